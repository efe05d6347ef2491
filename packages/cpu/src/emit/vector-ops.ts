// One operation of the tensor IR on one vector of lanes: the entry points. Operands are on the WebAssembly stack, in
// order; the result replaces them. See `value-type.ts` for how types are held, `scalar-ops.ts` for the same on scalars.

import { type BinaryOp, type CompareOp, type ExprType, isFloat, type TestOp, type UnaryOp } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { emitFromRaw, emitToRaw } from './raw-bits.ts';
import { pushConstant } from './terms.ts';
import { isWide, scalarOf, shapeOf } from './value-type.ts';
import { type BinaryFacts, emitFloatBinary, emitFloatCompare, emitFloatTest, emitFloatUnary } from './vector-float.ts';
import {
  emitBoolBinary,
  emitBoolUnary,
  emitIntegerBinary,
  emitIntegerCompare,
  emitIntegerUnary,
} from './vector-integer.ts';

export { emitFirstLane, emitSplat } from './lane-wise.ts';
export { emitCast } from './vector-cast.ts';
export type { BinaryFacts } from './vector-float.ts';
export { emitShiftBy } from './vector-integer.ts';

/** x → op x. `type` is the type of operand and result. */
export function emitUnary(c: EmitContext, op: UnaryOp, type: ExprType): void {
  if (isFloat(type)) emitFloatUnary(c, op, type);
  else if (type === 'bool') emitBoolUnary(c, op);
  else emitIntegerUnary(c, op, type);
}

/** a, b → a op b. `type` is the type of both operands and of the result. */
export function emitBinary(c: EmitContext, op: BinaryOp, type: ExprType, facts: BinaryFacts = {}): void {
  if (isFloat(type)) emitFloatBinary(c, op, type, facts);
  else if (type === 'bool') emitBoolBinary(c, op);
  else emitIntegerBinary(c, op, type);
}

/** a, b → bool mask. `type` is the type of the operands. */
export function emitCompare(c: EmitContext, op: CompareOp, type: ExprType): void {
  if (isFloat(type)) emitFloatCompare(c, op, type);
  else emitIntegerCompare(c, op, type);
}

/** x → bool mask. `type` is the type of the operand. */
export function emitTest(c: EmitContext, op: TestOp, type: ExprType): void {
  emitFloatTest(c, op, type);
}

/** whenTrue, whenFalse, bool mask → the chosen lanes. `type` is the type of the values. */
export function emitSelect(c: EmitContext, type: ExprType): void {
  if (isWide(type)) c.f.op('i64x2.extend_low_i32x4_s');
  c.f.op('v128.bitselect');
}

/** The same bits as another type of equal width. Narrow floats are rounded to their bits. */
export function emitBitcast(c: EmitContext, from: ExprType, to: ExprType): void {
  emitToRaw(c, from);
  emitFromRaw(c, to);
}

/** Pushes a constant in all lanes. Integers must fit their type, floats are rounded to float32 or float64. */
export function emitConst(c: EmitContext, type: ExprType, value: number | bigint): void {
  if (type === 'bool') {
    pushConstant(c, 'i32x4', Number(value) !== 0 ? -1 : 0);
    return;
  }
  pushConstant(c, shapeOf(type), scalarOf(type) === 'i64' ? BigInt(value) : Number(value));
}
