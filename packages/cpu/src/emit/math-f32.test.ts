import { describe, expect, it } from 'vitest';
import { erfOf, powerOf, sigmoidOf } from '../../../tensor-ir/src/scalar-functions.ts';
import { apply, compile, interestingValues, randomFrom, seed } from '../../tests/emit-harness.ts';
import type { MathOp } from './math-f32.ts';
import { emitBinaryScalar, emitUnaryScalar } from './scalar-ops.ts';
import { emitBinary, emitUnary } from './vector-ops.ts';

/** Reference, and the largest error in units in the last place. */
const functions: Readonly<Record<MathOp, readonly [(x: number) => number, number]>> = {
  exp: [Math.exp, 1],
  expm1: [Math.expm1, 1.7],
  log: [Math.log, 0.8],
  log1p: [Math.log1p, 1.4],
  tanh: [Math.tanh, 1.3],
  sigmoid: [sigmoidOf, 2.5],
  erf: [erfOf, 5],
  sin: [Math.sin, 1.6],
  cos: [Math.cos, 1.6],
  tan: [Math.tan, 2.8],
  asin: [Math.asin, 2.4],
  acos: [Math.acos, 1.2],
  atan: [Math.atan, 1.5],
  sinh: [Math.sinh, 1.6],
  cosh: [Math.cosh, 1.4],
  asinh: [Math.asinh, 1.7],
  acosh: [Math.acosh, 1.8],
  atanh: [Math.atanh, 1.1],
};

/** Functions whose results below this may be 0. */
const flushes: ReadonlySet<MathOp> = new Set(['exp', 'sigmoid']);
const smallestExp = 2 ** -125;

const unaryKernel = (op: MathOp) => ({
  inputs: ['float32' as const],
  output: 'float32' as const,
  emit: (c: Parameters<typeof emitUnary>[0]) => emitUnary(c, op, 'float32'),
});

/** Numbers of all magnitudes, numbers where functions bend, and the special ones. */
function testValues(): Float32Array {
  const random = randomFrom(seed);
  const patterns = Uint32Array.from({ length: 200_000 }, (_, i) => i * 21_474);
  const moderate = Float32Array.from({ length: 150_000 }, (_, i) => (random() - 0.5) * [2, 4, 20, 200, 1e5][i % 5]);
  const edges = [88.72283, 88.72284, 89, -87.33, -88, -103.9, -104, 0.625, 3.8, 3.82, 3.83, 1e6, 1000001, Math.PI / 2];
  const special = interestingValues('float32') as number[];
  return Float32Array.from(
    [special, edges, edges.map((x) => -x), [...moderate], [...new Float32Array(patterns.buffer)]].flat(),
  );
}

/** Difference in units in the last place of a float32 of the size of `exact`; 0 where both round to the same. */
function errorOf(actual: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(actual, rounded)) return 0;
  if (Number.isNaN(rounded) || Number.isNaN(actual)) return Number.POSITIVE_INFINITY;
  // Beside the largest number, infinity is one step away.
  const value = Number.isFinite(actual) ? actual : Math.sign(actual) * 2 ** 128;
  if (exact === 0) return actual === 0 ? Number.POSITIVE_INFINITY : Math.abs(actual) / 2 ** -149;
  const exponent = Math.min(Math.max(Math.floor(Math.log2(Math.abs(exact))), -126), 127);
  return Math.abs(value - exact) / 2 ** (exponent - 23);
}

describe.each(Object.entries(functions) as [MathOp, (typeof functions)[MathOp]][])('%s', (op, [reference, bound]) => {
  const values = testValues();

  it(`is within ${bound} units in the last place`, () => {
    const kernel = unaryKernel(op);
    const actual = apply(kernel, compile(kernel, 4), [values]) as Float32Array;
    let worst = 0;
    let at = 0;
    for (const [i, x] of values.entries()) {
      const exact = reference(x);
      if (flushes.has(op) && exact < smallestExp && actual[i] <= 2 * exact) continue;
      const error = errorOf(actual[i], exact);
      if (error > worst) [worst, at] = [error, x];
    }
    expect(worst, `${op}(${at}), seed ${seed}`).toBeLessThanOrEqual(bound);
  });

  it('gives the same bits with 2 lanes, in the tail, with hoisted constants and as a scalar', () => {
    const kernel = unaryKernel(op);
    const some = values.subarray(0, 4003);
    const expected = apply(kernel, compile(kernel, 4), [some]);
    expect(apply(kernel, compile(kernel, 2), [some])).toEqual(expected);
    expect(apply(kernel, compile(kernel, 4, { hoist: true }), [some])).toEqual(expected);
    const scalar = { ...kernel, emit: (c: Parameters<typeof emitUnary>[0]) => emitUnaryScalar(c, op, 'float32') };
    expect(apply(scalar, compile(scalar, 1), [some])).toEqual(expected);
  });
});

describe('pow', () => {
  const kernel = {
    inputs: ['float32', 'float32'] as const,
    output: 'float32' as const,
    emit: (c: Parameters<typeof emitUnary>[0]) => emitBinary(c, 'pow', 'float32'),
  };

  it('is within 0.6 units in the last place, with the special cases of C', () => {
    const random = randomFrom(seed);
    const special = interestingValues('float32') as number[];
    const bases = special.flatMap((x) => special.map(() => x));
    const exponents = special.flatMap(() => special);
    for (let i = 0; i < 100_000; i++) {
      bases.push([random() * 10, 10 ** (random() * 60 - 30), 1 + (random() - 0.5) / 100, (random() - 0.5) * 20][i % 4]);
      exponents.push(
        [(random() - 0.5) * 40, (random() - 0.5) * 4, (random() - 0.5) * 2e4, Math.round(random() * 40 - 20)][i % 4],
      );
    }
    const [x, y] = [Float32Array.from(bases), Float32Array.from(exponents)];
    const actual = apply(kernel, compile(kernel, 4), [x, y]) as Float32Array;
    let worst = 0;
    let at = 0;
    for (const i of x.keys()) {
      const error = errorOf(actual[i], powerOf(x[i], y[i]));
      if (error > worst) [worst, at] = [error, i];
    }
    expect(worst, `pow(${x[at]}, ${y[at]}) = ${actual[at]}, seed ${seed}`).toBeLessThanOrEqual(0.6);

    const scalar = { ...kernel, emit: (c: Parameters<typeof emitUnary>[0]) => emitBinaryScalar(c, 'pow', 'float32') };
    const some = [x.subarray(0, 2000), y.subarray(0, 2000)];
    expect(apply(scalar, compile(scalar, 1), some)).toEqual(actual.slice(0, 2000));
  });
});

describe('half precision', () => {
  it.each(['exp', 'tanh', 'sigmoid', 'log'] as const)('%s of float16 is the float32 result, rounded', (op) => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const half = {
      inputs: ['float16' as const],
      output: 'float16' as const,
      emit: (c: Parameters<typeof emitUnary>[0]) => emitUnary(c, op, 'float16'),
    };
    const widen = { inputs: ['float16' as const], output: 'float32' as const, emit: () => {} };
    const narrow = { inputs: ['float32' as const], output: 'float16' as const, emit: () => {} };
    const single = apply(unaryKernel(op), compile(unaryKernel(op), 4), [apply(widen, compile(widen, 4), [patterns])]);
    expect(apply(half, compile(half, 4), [patterns])).toEqual(apply(narrow, compile(narrow, 4), [single]));
  });
});
