import { describe, expect, it } from 'vitest';
import type { ExprType } from './dtype.ts';
import type { BinaryOp, UnaryOp } from './expr.ts';
import { bitcastFunction, castFunction } from './scalar-casts.ts';
import { erfOf, floorModulo, powerOf, roundHalfToEven, sigmoidOf } from './scalar-functions.ts';
import { binaryFunction, compareFunction, type ScalarValue, unaryFunction } from './scalar-ops.ts';

const unary = (op: UnaryOp, type: ExprType, x: ScalarValue): ScalarValue => unaryFunction(op, type)(x as never);
const binary = (op: BinaryOp, type: ExprType, a: ScalarValue, b: ScalarValue): ScalarValue =>
  binaryFunction(op, type)(a as never, b as never);
const cast = (from: ExprType, to: ExprType, x: ScalarValue, saturate = false): ScalarValue =>
  castFunction(from, to, saturate)(x as never);

describe('functions', () => {
  it('knows the error function to the last place', () => {
    const known = [
      [0.3, 0.3286267594591274],
      [0.9, 0.7969082124228322],
      [1, 0.8427007929497149],
      [1.2, 0.9103139782296353],
      [2, 0.9953222650189527],
      [2.9, 0.9999589021219005],
      [4, 0.9999999845827421],
      [5.5, 0.9999999999999927],
      [7, 1],
      [1e-300, 1.1283791670955126e-300],
    ];
    for (const [x, y] of known) {
      expect(Math.abs(erfOf(x) / y - 1)).toBeLessThan(3e-16);
      expect(erfOf(-x)).toBe(-erfOf(x));
    }
    expect(erfOf(-0)).toBe(-0);
    expect(erfOf(Infinity)).toBe(1);
    expect(erfOf(NaN)).toBeNaN();
  });

  it('rounds halves to even', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 4503599627370497, -0, 1e300].map(roundHalfToEven)).toEqual([
      0, 2, 2, -0, -2, 4503599627370497, -0, 1e300,
    ]);
    expect(roundHalfToEven(NaN)).toBeNaN();
  });

  it('has a sigmoid without overflow', () => {
    expect(sigmoidOf(-745)).toBeGreaterThan(0);
    expect(sigmoidOf(-Infinity)).toBe(0);
    expect(sigmoidOf(800)).toBe(1);
    expect(sigmoidOf(0)).toBe(0.5);
  });

  it('has powers of C and remainders of Python', () => {
    expect(powerOf(1, NaN)).toBe(1);
    expect(powerOf(-1, Infinity)).toBe(1);
    expect(powerOf(-8, 1 / 3)).toBeNaN();
    expect([floorModulo(-7, 3), floorModulo(7, -3), floorModulo(-6, 3), floorModulo(6, -3)]).toEqual([2, -2, 0, -0]);
    expect(floorModulo(-1, Infinity)).toBe(Infinity);
    expect(floorModulo(1, 0)).toBeNaN();
  });
});

describe('integers', () => {
  it.each([
    ['add', 'int8', 127, 1, -128],
    ['sub', 'uint8', 0, 1, 255],
    ['mul', 'int32', 0x7fffffff, 0x7fffffff, 1],
    ['mul', 'uint32', 0xffffffff, 0xffffffff, 1],
    ['mul', 'int16', 300, 300, 24464],
    ['mul', 'int4', 7, 7, 1],
    ['div', 'int32', -7, 2, -3],
    ['div', 'int32', -(2 ** 31), -1, -(2 ** 31)],
    ['div', 'uint32', 0xffffffff, 2, 0x7fffffff],
    ['div', 'int32', 5, 0, 0],
    ['mod', 'int32', -7, 3, 2],
    ['mod', 'int8', 7, -3, -2],
    ['rem', 'int32', -7, 3, -1],
    ['rem', 'int32', -7, 0, 0],
    ['mod', 'int32', 7, 0, 0],
    ['pow', 'int32', 3, 21, 1870418611],
    ['pow', 'int32', -1, -3, -1],
    ['pow', 'int32', 2, -1, 0],
    ['pow', 'int32', 0, 0, 1],
    ['pow', 'uint8', 2, 9, 0],
    ['shl', 'int32', 1, 31, -(2 ** 31)],
    ['shl', 'uint32', 1, 32, 0],
    ['shr', 'uint32', 0x80000000, 31, 1],
    ['shr', 'int8', -128, 3, -16],
    ['shr', 'int8', -128, 9, -1],
    ['and', 'uint32', 0xf0f0f0f0, 0xff00ff00, 0xf000f000],
    ['xor', 'int8', -1, 15, -16],
    ['or', 'uint16', 0x8000, 1, 0x8001],
    ['max', 'int16', -3, 2, 2],
    ['div', 'index', -7, 2, -3],
    ['mod', 'index', -7, 2, 1],
    ['mul', 'index', 1e9, 1e6, 1e15],
  ] as const)('%s of %s', (op, type, a, b, expected) => {
    expect(binary(op, type, a, b)).toBe(expected);
  });

  it.each([
    ['add', 'int64', 2n ** 63n - 1n, 1n, -(2n ** 63n)],
    ['sub', 'uint64', 0n, 1n, 2n ** 64n - 1n],
    ['mul', 'int64', 2n ** 62n, 4n, 0n],
    ['div', 'int64', -7n, 2n, -3n],
    ['div', 'int64', -(2n ** 63n), -1n, -(2n ** 63n)],
    ['div', 'int64', 1n, 0n, 0n],
    ['mod', 'int64', -7n, 3n, 2n],
    ['rem', 'int64', -7n, 3n, -1n],
    ['pow', 'int64', 3n, 40n, 12157665459056928801n - 2n ** 64n],
    ['pow', 'int64', -1n, -2n, 1n],
    ['shl', 'int64', 1n, 63n, -(2n ** 63n)],
    ['shr', 'int64', -8n, 70n, -1n],
    ['shr', 'uint64', 2n ** 63n, 63n, 1n],
    ['min', 'int64', -3n, 2n, -3n],
  ] as const)('%s of %s', (op, type, a, b, expected) => {
    expect(binary(op, type, a, b)).toBe(expected);
  });

  it('has unary operations', () => {
    expect(unary('abs', 'int8', -128)).toBe(-128);
    expect(unary('neg', 'uint8', 1)).toBe(255);
    expect(unary('neg', 'int32', 0)).toBe(0);
    expect(unary('not', 'uint16', 0)).toBe(65535);
    expect(unary('not', 'int64', 0n)).toBe(-1n);
    expect(unary('sign', 'int64', -9n)).toBe(-1n);
    expect(unary('popcount', 'int8', -1)).toBe(8);
    expect(unary('popcount', 'uint64', 2n ** 64n - 1n)).toBe(64n);
    expect(unary('popcount', 'int64', -1n)).toBe(64n);
    expect(() => unary('exp', 'int32', 1)).toThrow('exp is not defined for int32');
    expect(() => binary('and', 'float32', 1, 1)).toThrow('and is not defined for float32');
  });
});

describe('floats', () => {
  it('rounds float32 and the small floats to float32 after each operation', () => {
    expect(binary('add', 'float32', 1, 2 ** -30)).toBe(1);
    expect(binary('add', 'float64', 1, 2 ** -30)).toBe(1 + 2 ** -30);
    expect(binary('mul', 'float16', 1000, 1000)).toBe(1e6);
    expect(unary('sqrt', 'float32', 2)).toBe(Math.fround(Math.SQRT2));
  });

  it('lets NaN through minimum and maximum, and orders zeros', () => {
    expect(binary('max', 'float32', NaN, 1)).toBeNaN();
    expect(binary('min', 'float32', 1, NaN)).toBeNaN();
    expect(binary('max', 'float32', -0, 0)).toBe(0);
  });

  it('compares with NaN as IEEE 754 does', () => {
    expect(compareFunction('ne', 'float32')(NaN as never, NaN as never)).toBe(true);
    expect(compareFunction('eq', 'float32')(NaN as never, NaN as never)).toBe(false);
    expect(compareFunction('ge', 'float32')(NaN as never, 0 as never)).toBe(false);
  });

  it('has signs', () => {
    expect([-2, -0, 0, 3].map((x) => unary('sign', 'float32', x))).toEqual([-1, 0, 0, 1]);
    expect(unary('sign', 'float32', NaN)).toBeNaN();
  });
});

describe('cast', () => {
  it.each([
    ['float32', 'int8', 200.7, false, -56],
    ['float32', 'int8', 200.7, true, 127],
    ['float32', 'int8', -200.7, true, -128],
    ['float32', 'uint8', -1.5, false, 255],
    ['float32', 'uint8', -1.5, true, 0],
    ['float32', 'int32', NaN, true, 0],
    ['float32', 'int32', Infinity, false, 0],
    ['float32', 'int32', 3e9, true, 2 ** 31 - 1],
    ['float32', 'int64', -2.9, false, -2n],
    ['float32', 'int64', 1e30, true, 2n ** 63n - 1n],
    ['float32', 'uint64', -1, true, 0n],
    ['float32', 'int4', 9, false, -7],
    ['float32', 'int4', 9, true, 7],
    ['float32', 'bool', NaN, false, true],
    ['float32', 'bool', -0, false, false],
    ['float32', 'index', -2.5, false, -2],
    ['bool', 'float32', true, false, 1],
    ['bool', 'int64', true, false, 1n],
    ['int64', 'int32', 2n ** 32n + 5n, false, 5],
    ['int64', 'int32', 2n ** 32n + 5n, true, 2 ** 31 - 1],
    ['int64', 'uint64', -1n, false, 2n ** 64n - 1n],
    ['int64', 'uint64', -1n, true, 0n],
    ['int64', 'float64', 2n ** 53n + 1n, false, 2 ** 53],
    ['int64', 'bool', 0n, false, false],
    ['uint8', 'int8', 200, false, -56],
    ['int8', 'uint8', -1, true, 0],
    ['index', 'int64', 7, false, 7n],
    ['float64', 'float16', 1 + 2 ** -11 + 2 ** -40, false, 1 + 2 ** -10],
    ['float32', 'float8e4m3fn', 1000, true, 448],
    ['float32', 'bfloat16', 1 + 2 ** -8, false, 1],
  ] as const)('%s to %s of %s (saturate %s)', (from, to, x, saturate, expected) => {
    expect(cast(from, to, x, saturate)).toBe(expected);
  });

  it('rounds large integers to float32 once', () => {
    // As a double this ties, and the tie would go to even, downwards.
    const x = 2n ** 60n + 2n ** 36n + 1n;
    expect(cast('int64', 'float32', x)).toBe(2 ** 60 + 2 ** 37);
    expect(cast('int64', 'float32', -x)).toBe(-(2 ** 60) - 2 ** 37);
    expect(cast('int64', 'float32', x - 1n)).toBe(2 ** 60);
  });
});

describe('bitcast', () => {
  it('keeps the bits', () => {
    const bits = (from: ExprType, to: ExprType, x: ScalarValue): ScalarValue => bitcastFunction(from, to)(x as never);
    expect(bits('float32', 'int32', -1)).toBe(-1082130432);
    expect(bits('uint32', 'float32', 0x3f800000)).toBe(1);
    expect(bits('float64', 'int64', 1)).toBe(0x3ff0000000000000n);
    expect(bits('int64', 'uint64', -1n)).toBe(2n ** 64n - 1n);
    expect(bits('float16', 'uint16', 1)).toBe(0x3c00);
    expect(bits('uint16', 'bfloat16', 0x3f80)).toBe(1);
    expect(bits('int8', 'float8e5m2', 0x7c)).toBe(Infinity);
    expect(bits('uint4', 'int4', 15)).toBe(-1);
    expect(() => bits('int8', 'int16', 1)).toThrow('no bitcast');
  });
});
