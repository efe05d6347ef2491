// Operations of the IR on WGSL variables: given the texts of the operands, the text of the result.

import {
  type BinaryOp,
  bitsOf,
  type CompareOp,
  type DType,
  type ExprType,
  integerRange,
  isFloat,
  isUnsigned,
  type TestOp,
  type UnaryOp,
} from '@onnx-ts/tensor-ir';
import { decodeText, encodeText, isSmallFloat } from './formats.ts';
import type { HelperSet } from './helpers.ts';
import { isWide, registerTypeOf } from './register-type.ts';

/** A literal of a type; integers are wrapped to its width. */
export function literalText(type: ExprType, value: number | bigint, helpers: HelperSet): string {
  if (isWide(type)) {
    const bits = BigInt.asUintN(64, BigInt(value));
    return `vec2<u32>(${bits & 0xffffffffn}u, ${bits >> 32n}u)`;
  }
  if (type === 'bool') return Number(value) !== 0 ? 'true' : 'false';
  if (isFloat(type)) return floatText(Number(value), helpers);
  const wrapped = wrapNumber(type, Number(value));
  if (isUnsigned(type)) return `${wrapped}u`;
  // The least i32 has no literal.
  return wrapped === -2147483648 ? '(-2147483647i - 1i)' : wrapped < 0 ? `(${wrapped}i)` : `${wrapped}i`;
}

function wrapNumber(type: ExprType, value: number): number {
  if (type === 'index') return value | 0;
  if (type === 'uint32') return value >>> 0;
  const unused = 32 - bitsOf(type);
  return isUnsigned(type) ? (value << unused) >>> unused : (value << unused) >> unused;
}

function floatText(value: number, helpers: HelperSet): string {
  const rounded = Math.fround(value);
  if (Number.isNaN(rounded)) return `${helpers.use('not_a_number')}()`;
  if (rounded === Infinity) return `${helpers.use('infinity')}()`;
  if (rounded === -Infinity) return `(-${helpers.use('infinity')}())`;
  if (Object.is(rounded, -0)) return 'bitcast<f32>(0x80000000u)';
  const text = String(Math.abs(rounded));
  const literal = `${/[.e]/.test(text) ? text : `${text}.0`}f`;
  return rounded < 0 ? `(-${literal})` : literal;
}

/** Brings an exact result of i32 or u32 arithmetic into the range of a narrower integer type. */
export function wrapText(type: ExprType, text: string): string {
  if (type === 'index' || isFloat(type) || type === 'bool' || bitsOf(type) >= 32) return text;
  const bits = bitsOf(type);
  if (isUnsigned(type)) return `(${text} & ${(2 ** bits - 1).toString()}u)`;
  return `((${text} << ${32 - bits}u) >> ${32 - bits}u)`;
}

const builtinUnary: Readonly<Partial<Record<UnaryOp, string>>> = {
  abs: 'abs',
  floor: 'floor',
  ceil: 'ceil',
  round: 'round',
  trunc: 'trunc',
  sqrt: 'sqrt',
  exp: 'exp',
};

export function unaryText(op: UnaryOp, type: ExprType, x: string, helpers: HelperSet): string {
  if (type === 'bool') {
    if (op === 'not') return `!${x}`;
    throw new TypeError(`${op} is not defined for bool`);
  }
  if (isFloat(type)) {
    if (op === 'neg') return `-${x}`;
    const builtin = builtinUnary[op];
    return builtin ? `${builtin}(${x})` : `${helpers.use(`${op}_f32`)}(${x})`;
  }
  if (isWide(type)) {
    if (op === 'not') return `~${x}`;
    if (op === 'popcount') return `vec2<u32>(countOneBits(${x}.x) + countOneBits(${x}.y), 0u)`;
    if (type === 'uint64' && op === 'abs') return x;
    if (type === 'uint64' && op === 'sign') return `vec2<u32>(min(${x}.x | ${x}.y, 1u), 0u)`;
    return `${helpers.use(`wide_${op}`)}(${x})`;
  }
  switch (op) {
    case 'neg':
      return isUnsigned(type) ? wrapText(type, `(0u - ${x})`) : wrapText(type, `(-${x})`);
    case 'abs':
      return isUnsigned(type) ? x : wrapText(type, `abs(${x})`);
    case 'sign':
      return isUnsigned(type) ? `min(${x}, 1u)` : `sign(${x})`;
    case 'not':
      return wrapText(type, `(~${x})`);
    case 'popcount': {
      const mask = type === 'index' || bitsOf(type) >= 32 ? x : `(${x} & ${2 ** bitsOf(type) - 1})`;
      return `countOneBits(${mask})`;
    }
    default:
      throw new TypeError(`${op} is not defined for ${type}`);
  }
}

export function testText(op: TestOp, x: string, helpers: HelperSet): string {
  if (op === 'isnan') return `${helpers.use('is_nan')}(${x})`;
  return `${helpers.use('is_infinite')}(${x}, ${op === 'isposinf' ? '0x7f800000u' : '0xff800000u'})`;
}

const symbols: Readonly<Partial<Record<BinaryOp, string>>> = {
  add: '+',
  sub: '-',
  mul: '*',
  and: '&',
  or: '|',
  xor: '^',
};

const wideBinary: Readonly<Partial<Record<BinaryOp, string>>> = { add: 'add', sub: 'sub', mul: 'mul', shl: 'shl' };
const wideSigned: Readonly<Partial<Record<BinaryOp, string>>> = { div: 'div', rem: 'rem', pow: 'pow', shr: 'shr' };

export function binaryText(op: BinaryOp, type: ExprType, a: string, b: string, helpers: HelperSet): string {
  if (type === 'bool') return boolText(op, a, b);
  if (isFloat(type)) return floatBinary(op, a, b, helpers);
  if (isWide(type)) return wideBinaryText(op, type, a, b, helpers);
  const register = registerTypeOf(type);
  const symbol = symbols[op];
  if (symbol) {
    const text = `(${a} ${symbol} ${b})`;
    return op === 'and' || op === 'or' || op === 'xor' ? text : wrapText(type, text);
  }
  const call = (name: string): string => `${helpers.use(`${name}_${register}`)}(${a}, ${b})`;
  switch (op) {
    case 'div':
      return wrapText(type, call('divide'));
    case 'rem':
      return call('remainder');
    case 'mod':
      return isUnsigned(type) ? call('remainder') : call('modulo');
    case 'pow':
      return wrapText(type, call('power'));
    case 'min':
    case 'max':
      return `${op}(${a}, ${b})`;
    case 'shl':
      return wrapText(type, `${helpers.use(`shift_left_${register}`)}(${a}, ${b}, ${bitsOf(type as DType)}u)`);
    case 'shr':
      return `${helpers.use(`shift_right_${register}`)}(${a}, ${b}, ${bitsOf(type as DType)}u)`;
    default:
      throw new TypeError(`${op} is not defined for ${type}`);
  }
}

function boolText(op: BinaryOp, a: string, b: string): string {
  if (op === 'and' || op === 'min') return `(${a} && ${b})`;
  if (op === 'or' || op === 'max') return `(${a} || ${b})`;
  if (op === 'xor') return `(${a} != ${b})`;
  throw new TypeError(`${op} is not defined for bool`);
}

function floatBinary(op: BinaryOp, a: string, b: string, helpers: HelperSet): string {
  if (op === 'add' || op === 'sub' || op === 'mul') return `(${a} ${symbols[op]} ${b})`;
  if (op === 'div') return `(${a} / ${b})`;
  const names: Partial<Record<BinaryOp, string>> = {
    mod: 'modulo',
    rem: 'remainder',
    pow: 'power',
    min: 'min',
    max: 'max',
  };
  const name = names[op];
  if (!name) throw new TypeError(`${op} is not defined for floats`);
  return `${helpers.use(`${name}_f32`)}(${a}, ${b})`;
}

function wideBinaryText(op: BinaryOp, type: 'int64' | 'uint64', a: string, b: string, helpers: HelperSet): string {
  if (op === 'and' || op === 'or' || op === 'xor') return `(${a} ${symbols[op]} ${b})`;
  const plain = wideBinary[op];
  if (plain) return `${helpers.use(`wide_${plain}`)}(${a}, ${b})`;
  const sign = type === 'int64' ? 'i' : 'u';
  const signed = wideSigned[op];
  if (signed) return `${helpers.use(`wide_${signed}_${sign}`)}(${a}, ${b})`;
  if (op === 'mod') return `${helpers.use(sign === 'i' ? 'wide_mod_i' : 'wide_rem_u')}(${a}, ${b})`;
  const less = helpers.use(`wide_lt_${sign}`);
  return op === 'min' ? `select(${b}, ${a}, ${less}(${a}, ${b}))` : `select(${a}, ${b}, ${less}(${a}, ${b}))`;
}

const comparisons: Readonly<Record<CompareOp, string>> = { eq: '==', ne: '!=', lt: '<', le: '<=', gt: '>', ge: '>=' };

/** @param type that of the operands */
export function compareText(op: CompareOp, type: ExprType, a: string, b: string, helpers: HelperSet): string {
  if (isWide(type)) {
    if (op === 'eq') return `all(${a} == ${b})`;
    if (op === 'ne') return `any(${a} != ${b})`;
    const less = helpers.use(`wide_lt_${type === 'int64' ? 'i' : 'u'}`);
    if (op === 'lt') return `${less}(${a}, ${b})`;
    if (op === 'gt') return `${less}(${b}, ${a})`;
    return op === 'le' ? `!${less}(${b}, ${a})` : `!${less}(${a}, ${b})`;
  }
  if (type === 'bool' && op !== 'eq' && op !== 'ne') {
    const whole = (x: string): string => `u32(${x})`;
    return `(${whole(a)} ${comparisons[op]} ${whole(b)})`;
  }
  // Compilers may take it that there is no NaN: only "not equal" has to say so, the others are false by themselves.
  if (isFloat(type) && op === 'ne') {
    const nan = helpers.use('is_nan');
    return `(${a} != ${b} || ${nan}(${a}) || ${nan}(${b}))`;
  }
  return `(${a} ${comparisons[op]} ${b})`;
}

export function castText(to: ExprType, from: ExprType, saturate: boolean, x: string, helpers: HelperSet): string {
  if (to === 'bool') {
    if (from === 'bool') return x;
    if (isWide(from)) return `any(${x} != vec2<u32>(0u, 0u))`;
    return compareText('ne', from, x, literalText(from, 0, helpers), helpers);
  }
  if (from === 'bool') return fromBool(to, x);
  if (isFloat(to)) return roundText(to, toFloat(from, x, helpers), saturate, helpers);
  if (isFloat(from)) return floatToInteger(to, saturate, x, helpers);
  if (isWide(to)) return toWide(to, from, saturate, x, helpers);
  if (isWide(from)) return fromWide(to, from, saturate, x, helpers);
  return narrow(to, from, saturate, x);
}

function fromBool(to: ExprType, x: string): string {
  const register = registerTypeOf(to);
  return register === 'vec2<u32>' ? `vec2<u32>(u32(${x}), 0u)` : `${register}(${x})`;
}

function toFloat(from: ExprType, x: string, helpers: HelperSet): string {
  if (isFloat(from)) return x;
  if (isWide(from)) return `${helpers.use(`wide_to_f32_${from === 'int64' ? 'i' : 'u'}`)}(${x})`;
  return `f32(${x})`;
}

/** An f32 rounded to what a narrower float can hold. */
function roundText(to: ExprType, x: string, saturate: boolean, helpers: HelperSet): string {
  if (!isSmallFloat(to)) return x;
  return decodeText(to, encodeText(to, x, saturate, helpers), helpers);
}

function floatToInteger(to: ExprType, saturate: boolean, x: string, helpers: HelperSet): string {
  if (isWide(to)) {
    if (!saturate) return `${helpers.use('wide_from_f32')}(${x})`;
    return `${helpers.use(`wide_clamp_f32_${to === 'int64' ? 'i' : 'u'}`)}(${x})`;
  }
  if (to === 'index' || (saturate && !isUnsigned(to))) {
    const { min, max } = integerRange(to === 'index' ? 'int32' : to);
    const [low, high] = [min, max].map((bound) => literalText(to, bound, helpers));
    return `${helpers.use('clamp_float_i32')}(${x}, ${low}, ${high})`;
  }
  if (saturate) return `${helpers.use('clamp_float_u32')}(${x}, ${integerRange(to).max}u)`;
  const bits = `${helpers.use('wrap_float_u32')}(${x})`;
  return wrapText(to, isUnsigned(to) ? bits : `bitcast<i32>(${bits})`);
}

function toWide(to: 'int64' | 'uint64', from: ExprType, saturate: boolean, x: string, helpers: HelperSet): string {
  if (isWide(from)) {
    if (!saturate || from === to) return x;
    const isHigh = `((${x}.y >> 31u) != 0u)`;
    return to === 'uint64'
      ? `select(${x}, vec2<u32>(0u, 0u), ${isHigh})`
      : `select(${x}, vec2<u32>(0xffffffffu, 0x7fffffffu), ${isHigh})`;
  }
  if (isUnsigned(from)) return `vec2<u32>(${x}, 0u)`;
  const whole = `${helpers.use('wide_from_i32')}(${x})`;
  return saturate && to === 'uint64' ? `select(${whole}, vec2<u32>(0u, 0u), ${x} < 0i)` : whole;
}

function fromWide(to: ExprType, from: 'int64' | 'uint64', saturate: boolean, x: string, helpers: HelperSet): string {
  if (!saturate) {
    return wrapText(to, registerTypeOf(to) === 'u32' ? `${x}.x` : `bitcast<i32>(${x}.x)`);
  }
  if (from === 'int64') {
    const clamped = `${helpers.use('wide_clamp_i32')}(${x})`;
    if (registerTypeOf(to) === 'i32') return clampText(to, clamped, helpers);
    const unsigned = `select(${helpers.use('wide_clamp_u32')}(${x}), 0u, (${x}.y >> 31u) != 0u)`;
    return clampText(to, unsigned, helpers);
  }
  const clamped = `${helpers.use('wide_clamp_u32')}(${x})`;
  if (registerTypeOf(to) === 'u32') return clampText(to, clamped, helpers);
  return clampText(to, `i32(min(${clamped}, 2147483647u))`, helpers);
}

/** Clamps a value of the register's type to an integer type's range. */
function clampText(to: ExprType, x: string, helpers: HelperSet): string {
  if (to === 'index' || bitsOf(to) >= 32) return x;
  const { min, max } = integerRange(to);
  if (isUnsigned(to)) return `min(${x}, ${max}u)`;
  return `clamp(${x}, ${literalText(to, min, helpers)}, ${max}i)`;
}

function narrow(to: ExprType, from: ExprType, saturate: boolean, x: string): string {
  const target = registerTypeOf(to);
  const source = registerTypeOf(from);
  const bits = target === source ? x : `bitcast<${target}>(${x})`;
  if (!saturate) return wrapText(to, bits);
  const { min, max } = integerRange(to === 'index' ? 'int32' : to);
  if (target === 'u32') {
    const positive = source === 'u32' ? x : `bitcast<u32>(max(${x}, 0i))`;
    return max >= 4294967295n ? positive : `min(${positive}, ${max}u)`;
  }
  if (source === 'u32') return `i32(min(${x}, ${max}u))`;
  return max >= 2147483647n ? x : `clamp(${x}, ${min}i, ${max}i)`;
}

export function bitcastText(to: ExprType, from: ExprType, x: string, helpers: HelperSet): string {
  if (to === from || (isWide(to) && isWide(from))) return x;
  if (to === 'index' || from === 'index') throw new TypeError(`no bitcast from ${from} to ${to}`);
  return fromBits(to, toBits(from, x, helpers), helpers);
}

/** The bits of a value of at most 32 bits as a u32. */
export function toBits(type: DType, x: string, helpers: HelperSet): string {
  if (isSmallFloat(type)) return encodeText(type, x, false, helpers);
  if (type === 'bool') return `u32(${x})`;
  const register = registerTypeOf(type);
  const bits = register === 'u32' ? x : `bitcast<u32>(${x})`;
  return register === 'i32' && bitsOf(type) < 32 ? `(${bits} & ${2 ** bitsOf(type) - 1}u)` : bits;
}

/** A value from the low bits of a u32; the others are 0. */
export function fromBits(type: DType, bits: string, helpers: HelperSet): string {
  if (isSmallFloat(type)) return decodeText(type, bits, helpers);
  if (type === 'bool') return `(${bits} != 0u)`;
  const register = registerTypeOf(type);
  if (register === 'u32') return bits;
  return wrapText(type, `bitcast<${register}>(${bits})`);
}
