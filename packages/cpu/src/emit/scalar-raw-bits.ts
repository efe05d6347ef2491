// `raw-bits.ts` for scalars.

import type { ExprType } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { emitExtract, emitSplatShape } from './lane-wise.ts';
import { emitFromRaw, emitToRaw } from './raw-bits.ts';
import { isNarrowFloat, narrowBits, signOf } from './value-type.ts';

/** Zero-extended bits → value. */
export function emitFromRawScalar(c: EmitContext, type: ExprType): void {
  const { f } = c;
  if (isNarrowFloat(type)) {
    emitSplatShape(c, 'i32x4');
    emitFromRaw(c, type);
    emitExtract(c, 'f32x4', 0);
    return;
  }
  if (type === 'bool') {
    f.i32Const(0);
    f.op('i32.ne');
    return;
  }
  if (signOf(type) === 's') emitExtend(c, type);
}

/** Value → bits; those above the width of an integer are unspecified. */
export function emitToRawScalar(c: EmitContext, type: ExprType): void {
  if (!isNarrowFloat(type)) return;
  emitSplatShape(c, 'f32x4');
  emitToRaw(c, type);
  emitExtract(c, 'i32x4', 0);
}

/** Brings an i32 to the range of a narrower integer type: wraps, and extends from its width. */
export function emitExtend(c: EmitContext, type: ExprType): void {
  const { f } = c;
  const bits = narrowBits(type);
  if (bits === undefined) return;
  if (signOf(type) === 'u') {
    f.i32Const(2 ** bits - 1);
    f.op('i32.and');
    return;
  }
  if (bits === 8) {
    f.op('i32.extend8_s');
    return;
  }
  if (bits === 16) {
    f.op('i32.extend16_s');
    return;
  }
  f.i32Const(32 - bits);
  f.op('i32.shl');
  f.i32Const(32 - bits);
  f.op('i32.shr_s');
}
