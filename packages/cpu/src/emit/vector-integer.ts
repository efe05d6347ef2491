// Integer and bool operations on vectors.

import { type BinaryOp, bitsOf, type CompareOp, type ExprType, isUnsigned, type UnaryOp } from '@onnx-ts/tensor-ir';
import type { PlainOp } from '../wasm/opcodes.ts';
import type { EmitContext } from './context.ts';
import { integerPowers, modulos, quotients, remainders } from './integer-helpers.ts';
import { emitLaneWise } from './lane-wise.ts';
import { type Term, Terms } from './terms.ts';
import { isWide, narrowBits, shapeOf, signOf, unsupported } from './value-type.ts';

/** Even words of two vectors: the low halves of four 64-bit lanes. */
export const evenWords = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];
/** Words 2 and 3 of the first operand come first. */
const upperHalf = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
const signBits64 = -(1n << 63n);

/** Brings 32-bit results back to the range of a narrower type. */
export function emitWrap(c: EmitContext, type: ExprType): void {
  const { f } = c;
  const bits = narrowBits(type);
  if (bits === undefined) return;
  if (isUnsigned(type)) {
    new Terms(c, 'f32x4').bits(2 ** bits - 1)();
    f.op('v128.and');
    return;
  }
  f.i32Const(32 - bits);
  f.op('i32x4.shl');
  f.i32Const(32 - bits);
  f.op('i32x4.shr_s');
}

export function emitBoolUnary(c: EmitContext, op: UnaryOp): void {
  if (op !== 'not') unsupported(op, 'bool');
  c.f.op('v128.not');
}

export function emitIntegerUnary(c: EmitContext, op: UnaryOp, type: ExprType): void {
  const { f } = c;
  const shape = isWide(type) ? 'i64x2' : 'i32x4';
  switch (op) {
    case 'neg':
      f.op(`${shape}.neg`);
      emitWrap(c, type);
      return;
    case 'abs':
      if (isUnsigned(type)) return;
      f.op(`${shape}.abs`);
      emitWrap(c, type);
      return;
    case 'sign':
      emitSign(c, type);
      return;
    case 'floor':
    case 'ceil':
    case 'round':
    case 'trunc':
      return;
    case 'not':
      f.op('v128.not');
      emitWrap(c, type);
      return;
    case 'popcount':
      emitPopcount(c, type);
      return;
    default:
      unsupported(op, type);
  }
}

function emitSign(c: EmitContext, type: ExprType): void {
  c.f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const x = t.pop();
    if (!isWide(type)) {
      // A true comparison is −1.
      if (isUnsigned(type)) t.op('i32x4.neg', t.op('i32x4.ne', x, t.bits(0)))();
      else t.op('i32x4.sub', t.op('i32x4.lt_s', x, t.bits(0)), t.op('i32x4.gt_s', x, t.bits(0)))();
    } else if (isUnsigned(type)) t.op('i64x2.neg', t.op('i64x2.ne', x, t.bits(0)))();
    else t.op('i64x2.sub', t.op('i64x2.lt_s', x, t.bits(0)), t.op('i64x2.gt_s', x, t.bits(0)))();
  });
}

function emitPopcount(c: EmitContext, type: ExprType): void {
  const { f } = c;
  const t = new Terms(c, 'f32x4');
  const bits = narrowBits(type);
  if (bits !== undefined && !isUnsigned(type)) {
    t.bits(2 ** bits - 1)();
    f.op('v128.and');
  }
  f.op('i8x16.popcnt');
  f.op('i16x8.extadd_pairwise_i8x16_u');
  f.op('i32x4.extadd_pairwise_i16x8_u');
  if (!isWide(type)) {
    // A count of 4 does not fit an int4, nor 2 an int2.
    if (bits !== undefined && bits <= 4) emitWrap(c, type);
    return;
  }
  f.scope(() => {
    const x = t.pop();
    const both = t.op('i64x2.add', x, t.op('i64x2.shr_u', x, t.i32(32)));
    t.and(both, () => f.lanesConst('i64x2', 0xffff_ffffn))();
  });
}

export function emitBoolBinary(c: EmitContext, op: BinaryOp): void {
  const name: Partial<Record<BinaryOp, PlainOp>> = {
    and: 'v128.and',
    mul: 'v128.and',
    min: 'v128.and',
    or: 'v128.or',
    add: 'v128.or',
    max: 'v128.or',
    xor: 'v128.xor',
    sub: 'v128.xor',
  };
  c.f.op(name[op] ?? unsupported(op, 'bool'));
}

export function emitIntegerBinary(c: EmitContext, op: BinaryOp, type: ExprType): void {
  const { f } = c;
  const wide = isWide(type);
  const shape = wide ? 'i64x2' : 'i32x4';
  switch (op) {
    case 'add':
    case 'sub':
    case 'mul':
      f.op(`${shape}.${op}`);
      emitWrap(c, type);
      return;
    case 'and':
    case 'or':
    case 'xor':
      f.op(`v128.${op}`);
      return;
    case 'min':
    case 'max':
      if (wide) {
        emitWideExtreme(c, op, type);
        return;
      }
      f.op(`i32x4.${op}_${signOf(type)}`);
      return;
    case 'div':
    case 'rem':
    case 'mod':
      if (wide) {
        emitWideDivision(c, op, type);
        return;
      }
      emitDivision(c, op, type);
      return;
    case 'shl':
    case 'shr':
      emitShift(c, op, type);
      return;
    case 'pow':
      emitPower(c, type);
  }
}

function emitWideExtreme(c: EmitContext, op: 'min' | 'max', type: ExprType): void {
  c.f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const b = t.pop();
    const a = t.pop();
    const flip = (x: Term): Term => (isUnsigned(type) ? t.xor(x, () => c.f.lanesConst('i64x2', signBits64)) : x);
    const greater = t.op('i64x2.gt_s', flip(a), flip(b));
    t.op('v128.bitselect', op === 'max' ? a : b, op === 'max' ? b : a, greater)();
  });
}

function emitWideDivision(c: EmitContext, op: 'div' | 'rem' | 'mod', type: ExprType): void {
  const table = op === 'div' ? quotients : op === 'rem' ? remainders : modulos;
  emitLaneWise(c, ['i64x2', 'i64x2'], 'i64x2', () => c.helpers.call(c.f, table[`i64_${signOf(type)}`]));
}

/**
 * Division of 32-bit lanes through f64, whose 53 bits are enough for the truncated quotient of any two 32-bit integers.
 * Adding 1.5 · 2^52 leaves the quotient modulo 2^32 in the low word; it is 0 for an infinite quotient or NaN.
 */
function emitDivision(c: EmitContext, op: 'div' | 'rem' | 'mod', type: ExprType): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f64x2');
    const b = t.pop();
    const a = t.pop();
    const convert = `f64x2.convert_low_i32x4_${signOf(type)}` as const;
    const quotient = (x: Term, y: Term): Term =>
      t.add(t.op('f64x2.trunc', t.div(t.op(convert, x), t.op(convert, y))), t.const(1.5 * 2 ** 52));
    const low = quotient(a, b);
    const high = c.lanes === 4 ? quotient(upper(t, a), upper(t, b)) : undefined;
    const words = t.keep(
      t.once(() => {
        low();
        if (high) high();
        else t.bits(0)();
        f.shuffle(evenWords);
      }),
    );
    if (op === 'div') {
      words();
      return emitWrap(c, type);
    }
    const isZero = (): Term => t.op('i32x4.eq', b, t.bits(0));
    const rest = t.andNot(t.op('i32x4.sub', a, t.op('i32x4.mul', words, b)), isZero());
    if (op === 'rem' || isUnsigned(type)) return rest();
    const r = t.keep(rest);
    // Where the remainder is not zero and has the other sign than the divisor, one divisor is added.
    const differs = t.op('i32x4.lt_s', t.xor(r, b), t.bits(0));
    t.op('i32x4.add', r, t.and(b, t.and(differs, t.op('i32x4.ne', r, t.bits(0)))))();
  });
}

/** Words 2 and 3 moved to the low half. */
export function upper(t: Terms, x: Term): Term {
  return t.once(() => {
    x();
    x();
    t.c.f.shuffle(upperHalf);
  });
}

function emitShift(c: EmitContext, op: 'shl' | 'shr', type: ExprType): void {
  const word = isWide(type) ? 'i64' : 'i32';
  emitLaneWise(c, [shapeOf(type), shapeOf(type)], shapeOf(type), () => emitScalarShift(c, op, type, word));
  if (op === 'shl') emitWrap(c, type);
}

/**
 * Takes value and amount. An amount outside [0, width) shifts everything out: what is left is 0, or the sign of a signed
 * number that is shifted right. Narrow results are not wrapped.
 */
export function emitScalarShift(c: EmitContext, op: 'shl' | 'shr', type: ExprType, word: 'i32' | 'i64'): void {
  const { f } = c;
  const width = widthOf(type);
  const pushInt = (value: number): void => (word === 'i32' ? f.i32Const(value) : f.i64Const(value));
  f.scope(() => {
    const amount = f.local(word);
    const isInside = (): void => {
      f.get(amount);
      pushInt(width);
      f.op(`${word}.lt_u`);
    };
    f.set(amount);
    if (op === 'shr' && !isUnsigned(type)) {
      f.get(amount);
      pushInt(width - 1);
      isInside();
      f.select();
      return f.op(`${word}.shr_s`);
    }
    f.get(amount);
    f.op(op === 'shl' ? `${word}.shl` : `${word}.shr_u`);
    pushInt(0);
    isInside();
    f.select();
  });
}

/** Shift of every lane by an amount known now; the faster form of `shl` and `shr`. */
export function emitShiftBy(c: EmitContext, op: 'shl' | 'shr', type: ExprType, amount: number): void {
  const { f } = c;
  const width = widthOf(type);
  const isInside = amount >= 0 && amount < width;
  const keepsSign = op === 'shr' && !isUnsigned(type);
  if (!isInside && !keepsSign) {
    f.drop();
    f.lanesConst('i32x4', 0);
    return;
  }
  f.i32Const(isInside ? amount : width - 1);
  const shape = isWide(type) ? 'i64x2' : 'i32x4';
  f.op(op === 'shl' ? `${shape}.shl` : `${shape}.shr_${signOf(type)}`);
  if (op === 'shl') emitWrap(c, type);
}

function widthOf(type: ExprType): number {
  return type === 'index' ? 32 : bitsOf(type);
}

function emitPower(c: EmitContext, type: ExprType): void {
  const shape = shapeOf(type);
  const sign = signOf(type);
  if (isWide(type)) {
    emitLaneWise(c, [shape, shape], shape, () => c.helpers.call(c.f, integerPowers[sign]));
    return;
  }
  const { f } = c;
  f.scope(() => {
    const exponent = f.local('i32');
    emitLaneWise(c, [shape, shape], shape, () => {
      f.set(exponent);
      f.op(`i64.extend_i32_${sign}`);
      f.get(exponent);
      f.op(`i64.extend_i32_${sign}`);
      c.helpers.call(f, integerPowers[sign]);
      f.op('i32.wrap_i64');
    });
  });
  emitWrap(c, type);
}

/** Pushes a mask of 32-bit lanes for integers and bools. */
export function emitIntegerCompare(c: EmitContext, op: CompareOp, type: ExprType): void {
  const { f } = c;
  const equality = op === 'eq' || op === 'ne';
  if (!isWide(type)) {
    // True is −1, so bools compare as unsigned numbers.
    f.op(equality ? `i32x4.${op}` : `i32x4.${op}_${signOf(type)}`);
    return;
  }
  if (equality || !isUnsigned(type)) f.op(equality ? `i64x2.${op}` : `i64x2.${op}_s`);
  else {
    f.scope(() => {
      const t = new Terms(c, 'f32x4');
      const b = t.pop();
      const flip = (x: Term): Term => t.xor(x, () => f.lanesConst('i64x2', signBits64));
      const a = t.pop();
      t.op(`i64x2.${op}_s`, flip(a), flip(b))();
    });
  }
  emitLowWords(c);
}

/** Takes 64-bit lanes, pushes their low words as two 32-bit lanes: narrows integers and masks. */
export function emitLowWords(c: EmitContext): void {
  const { f } = c;
  f.scope(() => {
    const mask = f.local('v128');
    f.tee(mask);
    f.get(mask);
    f.shuffle(evenWords);
  });
}
