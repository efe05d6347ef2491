import { describe, expect, it } from 'vitest';
import { erfOf, powerOf, sigmoidOf } from '../../../tensor-ir/src/scalar-functions.ts';
import { apply, compile, interestingValues, randomFrom, seed } from '../../tests/emit-harness.ts';
import type { MathOp } from './math-f32.ts';
import { emitBinaryScalar, emitUnaryScalar } from './scalar-ops.ts';
import { emitBinary, emitUnary } from './vector-ops.ts';

const functions: Readonly<Record<MathOp, (x: number) => number>> = {
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  tanh: Math.tanh,
  sigmoid: sigmoidOf,
  erf: erfOf,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
};

/** Our functions are within 2.5 units in the last place; the engine's own are not exact either. */
const bound = 4;

function errorOf(actual: number, exact: number): number {
  if (Object.is(actual, exact)) return 0;
  if (!Number.isFinite(exact) || !Number.isFinite(actual) || exact === 0) return Number.POSITIVE_INFINITY;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(exact))), -1022);
  return Math.abs(actual - exact) / 2 ** exponent / 2 ** -52;
}

function testValues(): Float64Array {
  const random = randomFrom(seed);
  const values = interestingValues('float64') as number[];
  for (let i = 0; i < 40_000; i++) values.push((random() - 0.5) * [2, 4, 20, 200, 1e5, 1500][i % 6]);
  for (let i = 0; i < 5000; i++) values.push((i % 2 ? 1 : -1) * 10 ** (random() * 600 - 300));
  // Close to multiples of π/2, small and large; the last is the hardest angle there is for float64.
  for (let n = 1; n < 300; n++) values.push((n * Math.PI) / 2, n * 1e6 * Math.PI, 2 ** n + n);
  values.push(6381956970095103 * 2 ** 797, 0.84375, 709.78, -745.1, 710.4, 0.41421356237309503, 2.414213562373095);
  return Float64Array.from(values);
}

describe.each(Object.entries(functions) as [MathOp, (x: number) => number][])('%s of float64', (op, reference) => {
  const kernel = {
    inputs: ['float64' as const],
    output: 'float64' as const,
    emit: (c: Parameters<typeof emitUnary>[0]) => emitUnary(c, op, 'float64'),
  };
  const values = testValues();

  it('agrees with Math', () => {
    const actual = apply(kernel, compile(kernel, 2), [values]) as Float64Array;
    let worst = 0;
    let at = 0;
    for (const [i, x] of values.entries()) {
      const error = errorOf(actual[i], reference(x));
      if (error > worst) [worst, at] = [error, i];
    }
    expect(worst, `${op}(${values[at]}) = ${actual[at]}, seed ${seed}`).toBeLessThanOrEqual(bound);
  });

  it('gives the same bits as a scalar', () => {
    const some = values.subarray(0, 3001);
    const scalar = { ...kernel, emit: (c: Parameters<typeof emitUnary>[0]) => emitUnaryScalar(c, op, 'float64') };
    expect(apply(scalar, compile(scalar, 1), [some])).toEqual(apply(kernel, compile(kernel, 2), [some]));
  });
});

describe('pow of float64', () => {
  it('agrees with Math, with the special cases of C', () => {
    const random = randomFrom(seed);
    const special = interestingValues('float64') as number[];
    const bases = special.flatMap((x) => special.map(() => x));
    const exponents = special.flatMap(() => special);
    for (let i = 0; i < 40_000; i++) {
      bases.push(
        [random() * 10, 10 ** (random() * 600 - 300), 1 + (random() - 0.5) / 100, (random() - 0.5) * 20][i % 4],
      );
      exponents.push(
        [(random() - 0.5) * 400, (random() - 0.5) * 2, (random() - 0.5) * 2e5, Math.round(random() * 400 - 200)][i % 4],
      );
    }
    const [x, y] = [Float64Array.from(bases), Float64Array.from(exponents)];
    const kernel = {
      inputs: ['float64', 'float64'] as const,
      output: 'float64' as const,
      emit: (c: Parameters<typeof emitUnary>[0]) => emitBinary(c, 'pow', 'float64'),
    };
    const actual = apply(kernel, compile(kernel, 2), [x, y]) as Float64Array;
    let worst = 0;
    let at = 0;
    for (const i of x.keys()) {
      const error = errorOf(actual[i], powerOf(x[i], y[i]));
      if (error > worst) [worst, at] = [error, i];
    }
    expect(worst, `pow(${x[at]}, ${y[at]}) = ${actual[at]}, seed ${seed}`).toBeLessThanOrEqual(bound);

    const scalar = { ...kernel, emit: (c: Parameters<typeof emitUnary>[0]) => emitBinaryScalar(c, 'pow', 'float64') };
    const some = [x.subarray(0, 2000), y.subarray(0, 2000)];
    expect(apply(scalar, compile(scalar, 1), some)).toEqual(actual.slice(0, 2000));
  });
});
