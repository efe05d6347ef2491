import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { cast, constant, type Expr, elementAt, mul, sub } from './expr.ts';
import { integerProducts } from './integer-products.ts';
import { interpretProgram } from './interpret.ts';
import { type Program, type Source, type Stage, StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyProgram } from './verify.ts';

const dims = (...sizes: number[]) => sizes.map(Dim.from);
const q = newTensorRef('q', 'uint8', dims(3, 4));
const zero = newTensorRef('zero', 'uint8', []);
const w = newTensorRef('w', 'int8', dims(4, 5), { isConstant: true });
const scales = newTensorRef('scales', 'float32', dims(5), { isConstant: true });

const inputs = new Map([
  [q, { dtype: 'uint8' as const, dims: [3, 4], data: Uint8Array.of(0, 255, 7, 128, 1, 2, 3, 4, 90, 80, 70, 60) }],
  [zero, { dtype: 'uint8' as const, dims: [], data: Uint8Array.of(128) }],
  [w, { dtype: 'int8' as const, dims: [4, 5], data: Int8Array.from({ length: 20 }, (_, at) => at * 13 - 128) }],
  [scales, { dtype: 'float32' as const, dims: [5], data: Float32Array.of(1, 0.5, 0.25, 2, 4) }],
]);

function dequantize(
  b: StageBuilder,
  x: Source,
  zeroPoint: Source | undefined,
  scale: (at: readonly Expr[]) => Expr,
): Stage {
  return b.map('float32', x.shape, (at) => {
    const value = zeroPoint
      ? sub(cast('int32', elementAt(x, at)), cast('int32', elementAt(zeroPoint, [])))
      : elementAt(x, at);
    return mul(cast('float32', value), scale(at));
  });
}

function matMul(b: StageBuilder, x: Source, y: Source): Stage {
  return b.reduce('sum', 'float32', [x.shape[0], y.shape[1]], [x.shape[1]], ([m, n], [k]) =>
    mul(elementAt(x, [m, k]), elementAt(y, [k, n])),
  );
}

function programOf(b: StageBuilder, last: Source): Program {
  return {
    inputs: [...inputs.keys()],
    stages: b.stages,
    outputs: [{ tensor: newTensorRef('y', last.dtype, last.shape), source: last }],
  };
}

function run(program: Program): number[] {
  const [{ tensor }] = program.outputs;
  return Array.from(interpretProgram(program, inputs, new Map()).get(tensor)!.data as Float32Array);
}

describe('integerProducts', () => {
  it('sums integers and scales them afterwards', () => {
    const b = new StageBuilder();
    const half = () => constant('float32', 0.5);
    const y = matMul(
      b,
      dequantize(b, q, zero, half),
      dequantize(b, w, undefined, ([, n]) => elementAt(scales, [n])),
    );
    const program = programOf(b, y);
    const made = integerProducts(program);
    verifyProgram(made);
    expect(made.stages.map(({ kind, dtype }) => `${kind} ${dtype}`)).toEqual([
      'map int16',
      'reduce int32',
      'map float32',
    ]);
    expect(run(made)).toEqual(run(program));
  });

  it('looks through transposes', () => {
    const b = new StageBuilder();
    const half = () => constant('float32', 0.5);
    const real = dequantize(b, w, undefined, half);
    const once = b.map('float32', dims(5, 4), ([i, j]) => elementAt(real, [j, i]));
    const twice = b.map('float32', dims(4, 5), ([i, j]) => elementAt(once, [j, i]));
    const program = programOf(b, matMul(b, dequantize(b, q, zero, half), twice));
    const made = integerProducts(program);
    expect(made.stages.map(({ dtype }) => dtype)).toContain('int32');
    expect(run(made)).toEqual(run(program));
  });

  it('leaves scales alone that change along the sum', () => {
    const b = new StageBuilder();
    const rows = newTensorRef('rows', 'float32', dims(4), { isConstant: true });
    const y = matMul(
      b,
      dequantize(b, q, zero, () => constant('float32', 1)),
      dequantize(b, w, undefined, ([k]) => elementAt(rows, [k])),
    );
    expect(integerProducts(programOf(b, y)).stages.some(({ dtype }) => dtype === 'int32')).toBe(false);
  });

  it('gives other readers the centred numbers too', () => {
    const b = new StageBuilder();
    const real = dequantize(b, q, zero, () => constant('float32', 0.5));
    const y = matMul(
      b,
      real,
      dequantize(b, w, undefined, () => constant('float32', 2)),
    );
    const sum = b.map('float32', dims(3, 5), ([m, n]) =>
      sub(elementAt(y, [m, n]), elementAt(real, [m, constant('index', 0)])),
    );
    const program = programOf(b, sum);
    const made = integerProducts(program);
    verifyProgram(made);
    expect(made.stages.map(({ kind, dtype }) => `${kind} ${dtype}`)).toEqual([
      'map int16',
      'map float32',
      'reduce int32',
      'map float32',
      'map float32',
    ]);
    expect(run(made)).toEqual(run(program));
  });
});
