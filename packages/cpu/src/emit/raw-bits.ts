// Between the bits of an element, zero-extended to its lane, and the value the lane holds while computing.

import { bitsOf, type DType, type ExprType } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import {
  emitDecodeBfloat16,
  emitDecodeE8M0,
  emitDecodeMinifloat,
  emitEncodeBfloat16,
  emitEncodeE8M0,
  emitEncodeMinifloat,
} from './minifloat.ts';
import { Terms } from './terms.ts';
import { isNarrowFloat, narrowBits, signOf } from './value-type.ts';

/** Bits → value. */
export function emitFromRaw(c: EmitContext, type: ExprType): void {
  const { f } = c;
  if (isNarrowFloat(type)) {
    if (type === 'bfloat16') {
      emitDecodeBfloat16(c);
      return;
    }
    if (type === 'float8e8m0') {
      emitDecodeE8M0(c);
      return;
    }
    emitDecodeMinifloat(c, type as DType);
    return;
  }
  if (type === 'bool') {
    new Terms(c, 'f32x4').bits(0)();
    f.op('i32x4.ne');
    return;
  }
  const bits = narrowBits(type);
  if (bits === undefined || signOf(type) === 'u') return;
  f.i32Const(32 - bits);
  f.op('i32x4.shl');
  f.i32Const(32 - bits);
  f.op('i32x4.shr_s');
}

/** Value → bits. Narrow floats are rounded to nearest even, without saturation. */
export function emitToRaw(c: EmitContext, type: ExprType): void {
  const { f } = c;
  if (isNarrowFloat(type)) {
    emitEncode(c, type, false);
    return;
  }
  if (type === 'bool') {
    f.op('i32x4.neg');
    return;
  }
  const bits = narrowBits(type);
  if (bits === undefined || signOf(type) === 'u') return;
  new Terms(c, 'f32x4').bits(2 ** bits - 1)();
  f.op('v128.and');
}

/** float32 lanes → the nearest values of a narrower float type, still as float32 lanes. */
export function emitRoundTo(c: EmitContext, type: ExprType, saturate: boolean): void {
  emitEncode(c, type, saturate);
  emitFromRaw(c, type);
}

function emitEncode(c: EmitContext, type: ExprType, saturate: boolean): void {
  if (type === 'bfloat16') emitEncodeBfloat16(c);
  else if (type === 'float8e8m0') emitEncodeE8M0(c, saturate);
  // Saturation is a property of the float8 types only.
  else emitEncodeMinifloat(c, type as DType, saturate && bitsOf(type as DType) === 8);
}
