import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { elementAt, exp, mul } from './expr.ts';
import { fuseProgram } from './fuse.ts';
import { interpretProgram } from './interpret.ts';
import { splitReductions } from './split-reductions.ts';
import { type Program, type ReduceOp, StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyKernel, verifyProgram } from './verify.ts';

const [height, width] = [210, 200];

function reduction(op: ReduceOp, shape: readonly number[], over: readonly number[], selectLast = false): Program {
  const x = newTensorRef('x', 'float32', [...shape, ...over].map(Dim.from));
  const stages = new StageBuilder();
  const isArg = op === 'argmax' || op === 'argmin';
  const result = stages.reduce(
    op,
    isArg ? 'int64' : 'float32',
    shape,
    over,
    (kept, at) => mul(elementAt(x, [...kept, ...at]), 2),
    { selectLast },
  );
  const tensor = newTensorRef('y', result.dtype, result.shape);
  return { inputs: [x], stages: stages.stages, outputs: [{ tensor, source: result }] };
}

function run(program: Program, data: Float32Array) {
  const [x] = program.inputs;
  const dims = x.shape.map((dim) => dim.constant!);
  const outputs = interpretProgram(program, new Map([[x, { dtype: 'float32', dims, data }]]), new Map());
  return outputs.get(program.outputs[0].tensor)!;
}

/** Small whole numbers, so that sums are exact and there are many equal ones. */
const values = Float32Array.from({ length: height * width }, (_, at) => ((at * 7919) % 101) - 50);

describe('reductions to one result', () => {
  it.each(['sum', 'max', 'min'] as const)('%s over two axes', (op) => {
    const program = reduction(op, [], [height, width]);
    const split = splitReductions(program);
    verifyProgram(split);
    expect(split.stages.map((stage) => stage.shape.map(String))).toEqual([['60'], []]);
    expect(run(split, values).data).toEqual(run(program, values).data);
  });

  it.each([
    ['argmax', false],
    ['argmax', true],
    ['argmin', false],
    ['argmin', true],
  ] as const)('%s, the last of equal ones: %s', (op, selectLast) => {
    const program = reduction(op, [1], [height * width], selectLast);
    const split = splitReductions(program);
    verifyProgram(split);
    expect(split.stages.length).toBeGreaterThan(1);
    expect(run(split, values).data).toEqual(run(program, values).data);
    const withNaN = Float32Array.from(values, (value, at) => (at === 900 || at === 30_000 ? NaN : value));
    expect(run(split, withNaN).data).toEqual(run(program, withNaN).data);
  });

  it('fuses so that blocks are a kernel of their own', () => {
    const { kernels } = fuseProgram(splitReductions(reduction('sum', [], [height, width])));
    for (const kernel of kernels) verifyKernel(kernel);
    expect(kernels.map(({ outputs }) => outputs[0].tensor.shape.map(String))).toEqual([['60'], []]);
  });
});

describe('reductions of unknown length', () => {
  const [batch, rows] = [Dim.symbol('batch'), Dim.symbol('rows')];
  const reductionOf = (sizes: readonly Dim[]): Program => {
    const x = newTensorRef('x', 'float32', sizes);
    const stages = new StageBuilder();
    const result = stages.reduce('max', 'float32', [], sizes, (_, at) => mul(elementAt(x, at), 2));
    const tensor = newTensorRef('y', 'float32', []);
    return { inputs: [x], stages: stages.stages, outputs: [{ tensor, source: result }] };
  };

  it('have the outer axes for blocks, as many as leave long ones', () => {
    const program = reductionOf([batch, rows, Dim.constant(4), Dim.constant(128)]);
    const split = splitReductions(program);
    verifyProgram(split);
    expect(split.stages.map((stage) => stage.shape.map(String))).toEqual([['batch', 'rows', '4'], []]);
    const { kernels } = fuseProgram(split);
    for (const kernel of kernels) verifyKernel(kernel);
    expect(kernels.length).toBe(2);
    const [x] = program.inputs;
    const inputs = new Map([[x, { dtype: 'float32' as const, dims: [3, 5, 4, 128], data: values.slice(0, 7680) }]]);
    const sizes = new Map([
      ['batch', 3],
      ['rows', 5],
    ]);
    const [got, want] = [split, program].map((one) => interpretProgram(one, inputs, sizes).get(one.outputs[0].tensor));
    expect(got).toEqual(want);
  });

  it('are left alone where blocks would be short, or unknown', () => {
    for (const program of [reductionOf([batch, Dim.constant(64)]), reductionOf([Dim.constant(512), rows])])
      expect(splitReductions(program)).toBe(program);
  });
});

it('leaves alone what has several results, is short, or has no divisor', () => {
  for (const program of [
    reduction('sum', [8], [height * width]),
    reduction('sum', [], [width]),
    reduction('sum', [], [40_009]),
  ])
    expect(splitReductions(program)).toBe(program);
});

it('what reads a split reduction reads its result', () => {
  const x = newTensorRef('x', 'float32', [Dim.constant(1), Dim.constant(height * width)]);
  const stages = new StageBuilder();
  const power = stages.map('float32', x.shape, (index) => exp(mul(elementAt(x, index), 0.01)));
  const total = stages.reduce('sum', 'float32', [1], [height * width], ([i], [j]) => elementAt(power, [i, j]));
  const scaled = stages.map('float32', x.shape, ([i, j]) => mul(elementAt(power, [i, j]), elementAt(total, [i])));
  const tensor = newTensorRef('y', 'float32', x.shape);
  const program: Program = { inputs: [x], stages: stages.stages, outputs: [{ tensor, source: scaled }] };
  const split = splitReductions(program);
  verifyProgram(split);
  const [got, want] = [run(split, values).data as Float32Array, run(program, values).data as Float32Array];
  expect(Math.max(...got.map((value, at) => Math.abs(value / want[at] - 1)))).toBeLessThan(1e-6);
});
