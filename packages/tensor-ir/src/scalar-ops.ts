// The scalar operations of expressions on JavaScript values: the reference that every target is measured against.
//
// Integers of 64 bits are bigints, bools are booleans, strings strings, complex numbers `ComplexValue`, all else numbers.
// float32 and the small floats round to float32 after every operation; integers wrap. Shifts by a negative amount or by
// the width and more shift everything out. Integer powers with a negative exponent truncate: 0 unless the base is ±1.

import { bitsOf, type ExprType, isBigInteger, isFloat, isInteger, isUnsigned } from './dtype.ts';
import type { BinaryOp, CompareOp, TestOp, UnaryOp } from './expr.ts';
import { erfOf, floorModulo, powerOf, roundHalfToEven, sigmoidOf } from './scalar-functions.ts';

export interface ComplexValue {
  readonly re: number;
  readonly im: number;
}

export type ScalarValue = number | bigint | boolean | string | ComplexValue;

type NumberFunction = (x: number) => number;
type NumberPair = (a: number, b: number) => number;
type BigFunction = (x: bigint) => bigint;
type BigPair = (a: bigint, b: bigint) => bigint;

const same: NumberFunction = (x) => x;

/** Brings an exact result into the range of a type whose values are numbers: rounds floats, wraps integers. */
export function numberWrapper(type: ExprType): NumberFunction {
  if (type === 'index' || type === 'float64') return same;
  if (isFloat(type)) return Math.fround;
  const bits = bitsOf(type);
  if (type === 'uint32') return (x) => x >>> 0;
  if (type === 'int32') return (x) => x | 0;
  const unused = 32 - bits;
  return isUnsigned(type) ? (x) => (x << unused) >>> unused : (x) => (x << unused) >> unused;
}

/** Brings a bigint into the range of a 64-bit type. */
export function bigWrapper(type: ExprType): BigFunction {
  return type === 'uint64' ? (x) => BigInt.asUintN(64, x) : (x) => BigInt.asIntN(64, x);
}

function unsupported(op: string, type: ExprType): never {
  throw new TypeError(`${op} is not defined for ${type}`);
}

function signOf(x: number): number {
  return x > 0 ? 1 : x < 0 ? -1 : x + 0;
}

const floatUnary: Readonly<Partial<Record<UnaryOp, NumberFunction>>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: signOf,
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundHalfToEven,
  trunc: Math.trunc,
  sqrt: Math.sqrt,
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  erf: erfOf,
  sigmoid: sigmoidOf,
};

const integerUnary: Readonly<Partial<Record<UnaryOp, NumberFunction>>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  not: (x) => ~x,
};

const bigUnary: Readonly<Partial<Record<UnaryOp, BigFunction>>> = {
  neg: (x) => -x,
  abs: (x) => (x < 0n ? -x : x),
  sign: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
  not: (x) => ~x,
};

function countOnes(x: number): number {
  let count = 0;
  for (let rest = x >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** @throws TypeError when the type has no such operation */
export function unaryFunction(op: UnaryOp, type: ExprType): (x: never) => ScalarValue {
  if (type === 'bool') return op === 'not' ? (x: boolean) => !x : unsupported(op, type);
  if (isFloat(type)) {
    const f = floatUnary[op] ?? unsupported(op, type);
    return type === 'float64' ? f : (x: number) => Math.fround(f(x));
  }
  if (!isInteger(type)) return unsupported(op, type);
  if (isBigInteger(type)) {
    const wrap = bigWrapper(type);
    if (op === 'popcount') {
      return (x: bigint) => BigInt(countOnes(Number(x & 0xffffffffn)) + countOnes(Number((x >> 32n) & 0xffffffffn)));
    }
    const f = bigUnary[op] ?? unsupported(op, type);
    return (x: bigint) => wrap(f(x));
  }
  const wrap = numberWrapper(type);
  if (type === 'index' && (op === 'not' || op === 'popcount')) return unsupported(op, type);
  if (op === 'popcount' && type !== 'index') {
    const mask = bitsOf(type) === 32 ? -1 : (1 << bitsOf(type)) - 1;
    return (x: number) => countOnes(x & mask);
  }
  const f = integerUnary[op] ?? unsupported(op, type);
  return (x: number) => wrap(f(x)) + 0;
}

const floatBinary: Readonly<Partial<Record<BinaryOp, NumberPair>>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  mod: floorModulo,
  rem: (a, b) => a % b,
  pow: powerOf,
  min: Math.min,
  max: Math.max,
};

function integerPower(base: number, exponent: number, wrap: NumberFunction): number {
  if (exponent < 0) return base === 1 ? 1 : base === -1 ? (exponent % 2 === 0 ? 1 : -1) : 0;
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = wrap(Math.imul(result, square));
    square = wrap(Math.imul(square, square));
  }
  return result;
}

function bigPower(base: bigint, exponent: bigint, wrap: BigFunction): bigint {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : 0n;
  let result = 1n;
  let square = base;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = wrap(result * square);
    square = wrap(square * square);
  }
  return result;
}

function integerBinary(op: BinaryOp, type: ExprType): NumberPair {
  const wrap = numberWrapper(type);
  switch (op) {
    case 'add':
      return (a, b) => wrap(a + b);
    case 'sub':
      return (a, b) => wrap(a - b);
    case 'mul':
      return type === 'index' ? (a, b) => a * b + 0 : (a, b) => wrap(Math.imul(a, b));
    case 'div':
      return (a, b) => (b === 0 ? 0 : wrap(Math.trunc(a / b)) + 0);
    case 'mod':
      return (a, b) => (b === 0 ? 0 : floorModulo(a, b) + 0);
    case 'rem':
      return (a, b) => (b === 0 ? 0 : (a % b) + 0);
    case 'min':
      return Math.min;
    case 'max':
      return Math.max;
  }
  if (type === 'index') return unsupported(op, type);
  switch (op) {
    case 'pow':
      return (a, b) => integerPower(a, b, wrap);
    case 'and':
      return (a, b) => wrap(a & b);
    case 'or':
      return (a, b) => wrap(a | b);
    case 'xor':
      return (a, b) => wrap(a ^ b);
  }
  const bits = bitsOf(type);
  if (op === 'shl') return (a, b) => (b >= 0 && b < bits ? wrap(a << b) : 0);
  if (isUnsigned(type)) return (a, b) => (b >= 0 && b < bits ? a >>> b : 0);
  return (a, b) => (b >= 0 && b < bits ? a >> b : a < 0 ? -1 : 0);
}

function bigBinary(op: BinaryOp, type: ExprType): BigPair {
  const wrap = bigWrapper(type);
  switch (op) {
    case 'add':
      return (a, b) => wrap(a + b);
    case 'sub':
      return (a, b) => wrap(a - b);
    case 'mul':
      return (a, b) => wrap(a * b);
    case 'div':
      return (a, b) => (b === 0n ? 0n : wrap(a / b));
    case 'mod':
      return (a, b) => {
        if (b === 0n) return 0n;
        const rest = a % b;
        return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
      };
    case 'rem':
      return (a, b) => (b === 0n ? 0n : a % b);
    case 'pow':
      return (a, b) => bigPower(a, b, wrap);
    case 'min':
      return (a, b) => {
        if (a < b) return a;
        return b;
      };
    case 'max':
      return (a, b) => {
        if (a > b) return a;
        return b;
      };
    case 'and':
      return (a, b) => a & b;
    case 'or':
      return (a, b) => a | b;
    case 'xor':
      return (a, b) => a ^ b;
    case 'shl':
      return (a, b) => (b >= 0n && b < 64n ? wrap(a << b) : 0n);
    case 'shr':
      return (a, b) => (b >= 0n && b < 64n ? a >> b : a < 0n ? -1n : 0n);
  }
}

function boolBinary(op: BinaryOp): (a: boolean, b: boolean) => boolean {
  switch (op) {
    case 'and':
    case 'min':
      return (a, b) => a && b;
    case 'or':
    case 'max':
      return (a, b) => a || b;
    case 'xor':
      return (a, b) => a !== b;
    default:
      return unsupported(op, 'bool');
  }
}

/** @throws TypeError when the type has no such operation */
export function binaryFunction(op: BinaryOp, type: ExprType): (a: never, b: never) => ScalarValue {
  if (type === 'bool') return boolBinary(op);
  if (isFloat(type)) {
    const f = floatBinary[op] ?? unsupported(op, type);
    return type === 'float64' ? f : (a: number, b: number) => Math.fround(f(a, b));
  }
  if (!isInteger(type)) return unsupported(op, type);
  return isBigInteger(type) ? bigBinary(op, type) : integerBinary(op, type);
}

/** Strings compare by code units; complex numbers only for equality. */
export function compareFunction(op: CompareOp, type: ExprType): (a: never, b: never) => boolean {
  if (type === 'complex64' || type === 'complex128') {
    if (op === 'eq') return (a: ComplexValue, b: ComplexValue) => a.re === b.re && a.im === b.im;
    if (op === 'ne') return (a: ComplexValue, b: ComplexValue) => a.re !== b.re || a.im !== b.im;
    return unsupported(op, type);
  }
  switch (op) {
    case 'eq':
      return (a: number, b: number) => a === b;
    case 'ne':
      return (a: number, b: number) => a !== b;
    case 'lt':
      return (a: number, b: number) => a < b;
    case 'le':
      return (a: number, b: number) => a <= b;
    case 'gt':
      return (a: number, b: number) => a > b;
    case 'ge':
      return (a: number, b: number) => a >= b;
  }
}

export function testFunction(op: TestOp): (x: number) => boolean {
  switch (op) {
    case 'isnan':
      return Number.isNaN;
    case 'isposinf':
      return (x) => x === Infinity;
    case 'isneginf':
      return (x) => x === -Infinity;
  }
}
