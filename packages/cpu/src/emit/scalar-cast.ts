// Value conversions between scalars of any two types; see `vector-cast.ts`.

import { type ExprType, integerRange, isFloat } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { wrapFloat64 } from './integer-helpers.ts';
import { emitExtract, emitSplat } from './lane-wise.ts';
import { emitExtend } from './scalar-raw-bits.ts';
import { Terms } from './terms.ts';
import { isNarrowFloat, isWide, scalarOf, signOf } from './value-type.ts';
import { emitCast } from './vector-cast.ts';

/** x → x converted; the rules are those of the vector cast. */
export function emitCastScalar(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  if (from === to) return;
  if (to === 'bool') {
    emitToBool(c, from);
    return;
  }
  if (isFloat(to)) emitToFloat(c, from, to, saturate);
  else if (isFloat(from)) emitFloatToInteger(c, from, to, saturate);
  else emitIntegerToInteger(c, from, to, saturate);
}

function emitToBool(c: EmitContext, from: ExprType): void {
  const scalar = scalarOf(from);
  const t = new Terms(c, 'f32');
  if (scalar === 'i32') t.i32(0)();
  else if (scalar === 'i64') t.i64(0)();
  else new Terms(c, scalar).const(0)();
  c.f.op(`${scalar}.ne`);
}

function emitToFloat(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  if (isNarrowFloat(to)) {
    // The vector code rounds once.
    const source = from === 'index' ? 'int32' : from;
    emitSplat(c, source);
    emitCast({ ...c, lanes: 2 }, source, to, saturate);
    emitExtract(c, 'f32x4', 0);
    return;
  }
  const target = to === 'float64' ? 'f64' : 'f32';
  if (!isFloat(from)) f.op(`${target}.convert_${isWide(from) ? 'i64' : 'i32'}_${signOf(from)}`);
  else if (from === 'float64') f.op('f32.demote_f64');
  else if (to === 'float64') f.op('f64.promote_f32');
}

function emitFloatToInteger(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  const source = from === 'float64' ? 'f64' : 'f32';
  const word = isWide(to) ? 'i64' : 'i32';
  if (saturate) {
    const whole = word === 'i64' || to === 'uint32';
    f.op(`${word}.trunc_sat_${source}_${whole ? signOf(to) : 's'}`);
    if (!whole) emitClamp(c, 'int32', to);
    return;
  }
  if (source === 'f32') f.op('f64.promote_f32');
  c.helpers.call(f, wrapFloat64);
  if (word === 'i64') return;
  f.op('i32.wrap_i64');
  emitExtend(c, to);
}

function emitIntegerToInteger(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  // What is beyond all indices stays there: its low bits could name an element.
  if (saturate || (to === 'index' && isWide(from))) emitClamp(c, from, to);
  if (isWide(from) && !isWide(to)) f.op('i32.wrap_i64');
  if (!isWide(from) && isWide(to)) f.op(`i64.extend_i32_${signOf(from)}`);
  if (!isWide(to)) emitExtend(c, to);
}

/** Clamps a value of type `from` to what `to` can hold; it stays a value of the width of `from`. */
function emitClamp(c: EmitContext, from: ExprType, to: ExprType): void {
  const { f } = c;
  const word = isWide(from) ? 'i64' : 'i32';
  const [source, target] = [rangeOf(from), rangeOf(to)];
  const sign = signOf(from);
  const bound = (limit: bigint, better: 'lt' | 'gt'): void => {
    f.scope(() => {
      const t = new Terms(c, 'f32');
      const x = t.pop(word);
      const edge = word === 'i64' ? t.i64(BigInt.asIntN(64, limit)) : t.i32(Number(BigInt.asIntN(32, limit)));
      x();
      edge();
      t.op(`${word}.${better}_${sign}`, x, edge)();
      f.select();
    });
  };
  if (target.max < source.max) bound(target.max, 'lt');
  if (target.min > source.min) bound(target.min, 'gt');
}

function rangeOf(type: ExprType): { readonly min: bigint; readonly max: bigint } {
  return integerRange(type === 'index' ? 'int32' : type);
}
