// The operations of `vector-ops.ts` on scalars: operands that do not vary along the vector, and `index` arithmetic.
// Functions such as exp go through the vector code, so that both give the same bits.

import {
  type BinaryOp,
  type CompareOp,
  type ExprType,
  isUnsigned,
  type TestOp,
  type UnaryOp,
} from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { remainderHelpers } from './float-remainder.ts';
import { integerPowers, modulos, quotients, remainders } from './integer-helpers.ts';
import { emitExtract, emitSplatShape } from './lane-wise.ts';
import { emitExtend, emitFromRawScalar, emitToRawScalar } from './scalar-raw-bits.ts';
import { Terms } from './terms.ts';
import { isNarrowFloat, narrowBits, scalarOf, shapeOf, signOf, unsupported } from './value-type.ts';
import { emitFloatBinary, emitFloatUnary } from './vector-float.ts';
import { emitScalarShift } from './vector-integer.ts';

export { emitCastScalar } from './scalar-cast.ts';

/** x → op x. */
export function emitUnaryScalar(c: EmitContext, op: UnaryOp, type: ExprType): void {
  const { f } = c;
  if (type === 'bool') {
    if (op !== 'not') unsupported(op, type);
    f.op('i32.eqz');
    return;
  }
  const scalar = scalarOf(type);
  if (scalar === 'f32' || scalar === 'f64') emitFloatUnaryScalar(c, op, type, scalar);
  else emitIntegerUnaryScalar(c, op, type, scalar);
}

function emitFloatUnaryScalar(c: EmitContext, op: UnaryOp, type: ExprType, scalar: 'f32' | 'f64'): void {
  const { f } = c;
  switch (op) {
    case 'neg':
    case 'abs':
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'sqrt':
      f.op(`${scalar}.${op}`);
      return;
    case 'round':
      f.op(`${scalar}.nearest`);
      return;
    case 'not':
    case 'popcount':
      unsupported(op, type);
      return;
    default:
      throughVector(c, type, 1, () => emitFloatUnary(c, op, type));
  }
}

/** Puts scalars into vectors, lets `emit` compute, and takes the first lane. */
function throughVector(c: EmitContext, type: ExprType, operands: 1 | 2, emit: () => void): void {
  const { f } = c;
  const shape = shapeOf(type);
  if (operands === 2) {
    f.scope(() => {
      const right = f.local(scalarOf(type));
      f.set(right);
      emitSplatShape(c, shape);
      f.get(right);
      emitSplatShape(c, shape);
    });
  } else emitSplatShape(c, shape);
  emit();
  emitExtract(c, shape, 0);
}

function emitIntegerUnaryScalar(c: EmitContext, op: UnaryOp, type: ExprType, word: 'i32' | 'i64'): void {
  const { f } = c;
  switch (op) {
    case 'floor':
    case 'ceil':
    case 'round':
    case 'trunc':
      return;
    case 'popcount':
      if (narrowBits(type) !== undefined) {
        f.i32Const(2 ** narrowBits(type)! - 1);
        f.op('i32.and');
      }
      f.op(`${word}.popcnt`);
      emitExtend(c, type);
      return;
    case 'neg':
    case 'not':
      pushInt(c, word, -1);
      f.op(`${word}.${op === 'neg' ? 'mul' : 'xor'}`);
      emitExtend(c, type);
      return;
    case 'abs':
    case 'sign':
      break;
    default:
      unsupported(op, type);
  }
  f.scope(() => {
    const x = f.local(word);
    f.set(x);
    const compare = (name: 'lt_s' | 'gt_s' | 'ne'): void => {
      f.get(x);
      pushInt(c, word, 0);
      f.op(`${word}.${name}`);
    };
    if (op === 'abs') {
      if (isUnsigned(type)) return f.get(x);
      pushInt(c, word, 0);
      f.get(x);
      f.op(`${word}.sub`);
      f.get(x);
      compare('lt_s');
      f.select();
      return emitExtend(c, type);
    }
    if (isUnsigned(type)) compare('ne');
    else {
      compare('gt_s');
      compare('lt_s');
      f.op('i32.sub');
    }
    if (word === 'i64') f.op('i64.extend_i32_s');
  });
}

/** a, b → a op b. */
export function emitBinaryScalar(c: EmitContext, op: BinaryOp, type: ExprType): void {
  const scalar = scalarOf(type);
  if (type === 'bool') emitBoolBinaryScalar(c, op);
  else if (scalar === 'f32' || scalar === 'f64') emitFloatBinaryScalar(c, op, type, scalar);
  else emitIntegerBinaryScalar(c, op, type, scalar);
}

function emitBoolBinaryScalar(c: EmitContext, op: BinaryOp): void {
  const { f } = c;
  switch (op) {
    case 'and':
    case 'mul':
    case 'min':
      f.op('i32.and');
      return;
    case 'or':
    case 'add':
    case 'max':
      f.op('i32.or');
      return;
    case 'xor':
    case 'sub':
      f.op('i32.xor');
      return;
    default:
      unsupported(op, 'bool');
  }
}

function emitFloatBinaryScalar(c: EmitContext, op: BinaryOp, type: ExprType, scalar: 'f32' | 'f64'): void {
  const { f } = c;
  switch (op) {
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
    case 'min':
    case 'max':
      f.op(`${scalar}.${op}`);
      return;
    case 'rem':
    case 'mod':
      c.helpers.call(f, remainderHelpers[`${op}_${scalar}`]);
      return;
    case 'pow':
      throughVector(c, type, 2, () => emitFloatBinary(c, op, type, {}));
      return;
    default:
      unsupported(op, type);
  }
}

function emitIntegerBinaryScalar(c: EmitContext, op: BinaryOp, type: ExprType, word: 'i32' | 'i64'): void {
  const { f } = c;
  const sign = signOf(type);
  switch (op) {
    case 'add':
    case 'sub':
    case 'mul':
      f.op(`${word}.${op}`);
      emitExtend(c, type);
      return;
    case 'and':
    case 'or':
    case 'xor':
      f.op(`${word}.${op}`);
      return;
    case 'min':
    case 'max':
      f.scope(() => {
        const t = new Terms(c, 'f32');
        const b = t.pop(word);
        const a = t.pop(word);
        a();
        b();
        t.op(`${word}.${op === 'min' ? 'lt' : 'gt'}_${sign}`, a, b)();
        f.select();
      });
      return;
    case 'div':
      c.helpers.call(f, quotients[`${word}_${sign}`]);
      emitExtend(c, type);
      return;
    case 'rem':
      c.helpers.call(f, remainders[`${word}_${sign}`]);
      return;
    case 'mod':
      c.helpers.call(f, modulos[`${word}_${sign}`]);
      return;
    case 'shl':
    case 'shr':
      emitScalarShift(c, op, type, word);
      if (op === 'shl') emitExtend(c, type);
      return;
    case 'pow':
      emitPowerScalar(c, type, word);
  }
}

function emitPowerScalar(c: EmitContext, type: ExprType, word: 'i32' | 'i64'): void {
  const { f } = c;
  const sign = signOf(type);
  if (word === 'i64') {
    c.helpers.call(f, integerPowers[sign]);
    return;
  }
  f.scope(() => {
    const exponent = f.local('i32');
    f.set(exponent);
    f.op(`i64.extend_i32_${sign}`);
    f.get(exponent);
  });
  f.op(`i64.extend_i32_${sign}`);
  c.helpers.call(f, integerPowers[sign]);
  f.op('i32.wrap_i64');
  emitExtend(c, type);
}

/** a, b → i32 0 or 1. `type` is the type of the operands. */
export function emitCompareScalar(c: EmitContext, op: CompareOp, type: ExprType): void {
  const { f } = c;
  const scalar = scalarOf(type);
  if (scalar === 'f32' || scalar === 'f64') {
    f.op(`${scalar}.${op}`);
    return;
  }
  f.op(op === 'eq' || op === 'ne' ? `${scalar}.${op}` : `${scalar}.${op}_${signOf(type)}`);
}

/** x → i32 0 or 1. `type` is the type of the operand. */
export function emitTestScalar(c: EmitContext, op: TestOp, type: ExprType): void {
  const scalar = type === 'float64' ? 'f64' : 'f32';
  c.f.scope(() => {
    const t = new Terms(c, scalar);
    const x = t.pop();
    if (op === 'isnan') t.ne(x, x)();
    else t.eq(x, t.const(op === 'isposinf' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY))();
  });
}

/** whenTrue, whenFalse, i32 condition → the chosen one. */
export function emitSelectScalar(c: EmitContext): void {
  c.f.select();
}

/** The same bits as another type of equal width. */
export function emitBitcastScalar(c: EmitContext, from: ExprType, to: ExprType): void {
  const { f } = c;
  emitToRawScalar(c, from);
  const [source, target] = [isNarrowFloat(from) ? 'i32' : scalarOf(from), isNarrowFloat(to) ? 'i32' : scalarOf(to)];
  if (source === 'f32' && target === 'i32') f.op('i32.reinterpret_f32');
  else if (source === 'i32' && target === 'f32') f.op('f32.reinterpret_i32');
  else if (source === 'f64' && target === 'i64') f.op('i64.reinterpret_f64');
  else if (source === 'i64' && target === 'f64') f.op('f64.reinterpret_i64');
  if (!isNarrowFloat(to) && to !== 'bool') {
    emitExtend(c, to);
    return;
  }
  const bits = narrowBits(from);
  if (bits !== undefined) {
    f.i32Const(2 ** bits - 1);
    f.op('i32.and');
  }
  emitFromRawScalar(c, to);
}

/** Pushes a constant. Integers must fit their type. */
export function emitConstScalar(c: EmitContext, type: ExprType, value: number | bigint): void {
  const { f } = c;
  switch (scalarOf(type)) {
    case 'f32':
      f.f32Const(Number(value));
      return;
    case 'f64':
      f.f64Const(Number(value));
      return;
    case 'i64':
      f.i64Const(BigInt.asIntN(64, BigInt(value)));
      return;
    case 'i32':
      f.i32Const(type === 'bool' ? Number(Number(value) !== 0) : Number(value) | 0);
  }
}

function pushInt(c: EmitContext, word: 'i32' | 'i64', value: number): void {
  if (word === 'i32') c.f.i32Const(value);
  else c.f.i64Const(value);
}
