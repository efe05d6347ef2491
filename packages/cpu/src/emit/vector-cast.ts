// Value conversions between vectors of any two types.

import { type ExprType, integerRange, isFloat, isUnsigned } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { joinLow } from './halves.ts';
import { oddConversions, wrapFloat64 } from './integer-helpers.ts';
import { emitLaneWise } from './lane-wise.ts';
import { emitRoundTo } from './raw-bits.ts';
import { type Term, Terms } from './terms.ts';
import { isNarrowFloat, isWide, narrowBits, scalarOf, signOf, smallRange } from './value-type.ts';
import { emitFloatCompare } from './vector-float.ts';
import { emitIntegerCompare, emitLowWords, emitWrap, upper } from './vector-integer.ts';

/**
 * x → x converted. Float to integer truncates; what does not fit wraps, or is clamped with `saturate` (NaN gives 0).
 * To a float8 type, `saturate` has ONNX's meaning: the largest finite number instead of infinity or NaN.
 */
export function emitCast(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  if (from === to) return;
  if (to === 'bool') {
    emitToBool(c, from);
    return;
  }
  if (from === 'bool') {
    emitFromBool(c, to);
    return;
  }
  if (isFloat(from)) {
    if (isFloat(to)) emitFloatToFloat(c, from, to, saturate);
    else if (isWide(to)) emitFloatToWide(c, from, to, saturate);
    else if (from === 'float64') emitDoubleToSmall(c, to, saturate);
    else emitSingleToSmall(c, to, saturate);
  } else if (isFloat(to)) emitIntegerToFloat(c, from, to, saturate);
  else emitIntegerToInteger(c, from, to, saturate);
}

function emitToBool(c: EmitContext, from: ExprType): void {
  new Terms(c, 'f32x4').bits(0)();
  if (isFloat(from)) emitFloatCompare(c, 'ne', from);
  else emitIntegerCompare(c, 'ne', from);
}

function emitFromBool(c: EmitContext, to: ExprType): void {
  const { f } = c;
  switch (scalarOf(to)) {
    case 'f32':
      new Terms(c, 'f32x4').const(1)();
      f.op('v128.and');
      return;
    case 'f64':
      f.op('i64x2.extend_low_i32x4_s');
      new Terms(c, 'f64x2').const(1)();
      f.op('v128.and');
      return;
    case 'i64':
      f.op('i64x2.extend_low_i32x4_s');
      f.op('i64x2.neg');
      return;
    case 'i32':
      f.op('i32x4.neg');
  }
}

function emitFloatToFloat(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  if (from === 'float64') {
    if (isNarrowFloat(to)) emitDemoteToOdd(c);
    else c.f.op('f32x4.demote_f64x2_zero');
  } else if (to === 'float64') {
    c.f.op('f64x2.promote_low_f32x4');
    return;
  }
  if (isNarrowFloat(to)) emitRoundTo(c, to, saturate);
}

/**
 * float64 → float32 lanes, rounded to odd: towards zero, then the last bit is set where anything was lost. Rounding the
 * result again, to fewer bits, gives what rounding the float64 once would.
 */
function emitDemoteToOdd(c: EmitContext): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f64x2');
    const x = t.pop();
    const near = t.keep(t.op('f32x4.demote_f64x2_zero', x));
    const back = t.keep(t.op('f64x2.promote_low_f32x4', near));
    const lowWords = (mask: Term): Term =>
      t.once(() => {
        mask();
        emitLowWords(c);
      });
    // A true mask is −1: one step towards zero, in either sign.
    const towardsZero = t.op('i32x4.add', near, lowWords(t.gt(t.abs(back), t.abs(x))));
    t.or(towardsZero, t.and(lowWords(t.ne(back, x)), t.bits(1)))();
  });
}

function emitIntegerToFloat(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  const sign = signOf(from);
  if (isWide(from)) {
    if (isNarrowFloat(to)) {
      emitLaneWise(c, ['i64x2'], 'f64x2', () => c.helpers.call(f, oddConversions[sign]));
      emitDemoteToOdd(c);
    } else if (to === 'float64') emitLaneWise(c, ['i64x2'], 'f64x2', () => f.op(`f64.convert_i64_${sign}`));
    else emitLaneWise(c, ['i64x2'], 'f32x4', () => f.op(`f32.convert_i64_${sign}`));
  } else if (isNarrowFloat(to) && narrowBits(from) === undefined) {
    // Through float64, so that the integer is rounded only once.
    f.scope(() => {
      const t = new Terms(c, 'f64x2');
      const x = t.pop();
      const halves = c.lanes === 4 ? [x, upper(t, x)] : [x];
      const results = halves.map((half) => {
        t.op(`f64x2.convert_low_i32x4_${sign}`, half)();
        emitDemoteToOdd(c);
        return t.pop();
      });
      joinLow(t, results)();
    });
  } else {
    if (to === 'float64') {
      f.op(`f64x2.convert_low_i32x4_${sign}`);
      return;
    }
    f.op(narrowBits(from) === undefined ? `f32x4.convert_i32x4_${sign}` : 'f32x4.convert_i32x4_s');
  }
  if (isNarrowFloat(to)) emitRoundTo(c, to, saturate);
}

function emitSingleToSmall(c: EmitContext, to: ExprType, saturate: boolean): void {
  const { f } = c;
  if (saturate) {
    if (to === 'uint32') {
      f.op('i32x4.trunc_sat_f32x4_u');
      return;
    }
    if (narrowBits(to) === undefined) f.op('i32x4.trunc_sat_f32x4_s');
    else emitClampedTrunc(c, to);
    return;
  }
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const x = t.pop();
    // Exact below 2^31. Larger values are rare and wrap one by one; NaN is not larger and gives 0.
    t.op('v128.any_true', t.ge(t.abs(x), t.const(2 ** 31)))();
    f.if(
      'v128',
      () => {
        x();
        emitLaneWise(c, ['f32x4'], 'i32x4', () => {
          f.op('f64.promote_f32');
          c.helpers.call(f, wrapFloat64);
          f.op('i32.wrap_i64');
        });
      },
      () => t.op('i32x4.trunc_sat_f32x4_s', x)(),
    );
  });
  emitWrap(c, to);
}

/** Clamps as floats, an instruction for each bound, after which no number is too large to be converted. */
function emitClampedTrunc(c: EmitContext, to: ExprType): void {
  const { f } = c;
  const { min, max } = smallRange(to);
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const x = t.pop();
    // These are the second operand where it is less, or greater, and the first where neither is: a NaN that comes first
    // stays, one that comes second is gone.
    if (isUnsigned(to)) {
      const atLeast = t.op('f32x4.pmax', t.const(min), x);
      t.op('f32x4.pmin', atLeast, t.const(max))();
    } else {
      const atMost = t.op('f32x4.pmin', x, t.const(max));
      t.op('f32x4.pmax', atMost, t.const(min))();
      if (c.helpers.relaxedSimd) {
        const y = t.pop();
        t.and(t.op('f32x4.eq', y, y), y)();
      }
    }
    f.op(c.helpers.relaxedSimd ? 'i32x4.relaxed_trunc_f32x4_s' : 'i32x4.trunc_sat_f32x4_s');
  });
}

function emitDoubleToSmall(c: EmitContext, to: ExprType, saturate: boolean): void {
  const { f } = c;
  if (saturate) {
    if (to === 'uint32') {
      f.op('i32x4.trunc_sat_f64x2_u_zero');
      return;
    }
    f.op('i32x4.trunc_sat_f64x2_s_zero');
    emitClampSmall(c, 'int32', to);
    return;
  }
  f.scope(() => {
    const t = new Terms(c, 'f64x2');
    const x = t.pop();
    t.op('v128.any_true', t.ge(t.abs(x), t.const(2 ** 31)))();
    f.if(
      'v128',
      () => {
        x();
        emitLaneWise(c, ['f64x2'], 'i32x4', () => {
          c.helpers.call(f, wrapFloat64);
          f.op('i32.wrap_i64');
        });
      },
      () => t.op('i32x4.trunc_sat_f64x2_s_zero', x)(),
    );
  });
  emitWrap(c, to);
}

function emitFloatToWide(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  const single = from !== 'float64';
  emitLaneWise(c, [single ? 'f32x4' : 'f64x2'], 'i64x2', () => {
    if (saturate) return f.op(`i64.trunc_sat_${single ? 'f32' : 'f64'}_${signOf(to)}`);
    if (single) f.op('f64.promote_f32');
    c.helpers.call(f, wrapFloat64);
  });
}

function emitIntegerToInteger(c: EmitContext, from: ExprType, to: ExprType, saturate: boolean): void {
  const { f } = c;
  if (isWide(from)) {
    if (isWide(to)) {
      if (saturate) emitClampWide(c, from, to);
      return;
    }
    if (saturate) emitClampWide(c, from, to);
    emitLowWords(c);
    emitWrap(c, to);
    return;
  }
  if (isWide(to)) {
    if (saturate && !isUnsigned(from) && isUnsigned(to)) emitClampSmall(c, from, 'uint32');
    f.op(`i64x2.extend_low_i32x4_${signOf(from)}`);
    return;
  }
  if (saturate) emitClampSmall(c, from, to);
  else emitWrap(c, to);
}

/** Clamps 32-bit lanes of type `from` to the range of `to`; only the bounds that can be passed cost anything. */
function emitClampSmall(c: EmitContext, from: ExprType, to: ExprType): void {
  const { f } = c;
  const [source, target] = [smallRange(from), smallRange(to)];
  const t = new Terms(c, 'f32x4');
  const sign = signOf(from);
  if (target.max < source.max) {
    t.bits(target.max)();
    f.op(`i32x4.min_${sign}`);
  }
  if (target.min > source.min) {
    t.bits(target.min)();
    f.op(`i32x4.max_${sign}`);
  }
}

/** Clamps 64-bit lanes of type `from` to the range of `to`. */
function emitClampWide(c: EmitContext, from: ExprType, to: ExprType): void {
  const [source, target] = [integerRange(from as 'int64'), integerRange(to as 'int64')];
  const bound = (value: bigint, word: 'min' | 'max'): void => {
    const { f } = c;
    f.scope(() => {
      const x = f.local('v128');
      f.set(x);
      const limit = (): void => f.lanesConst('i64x2', BigInt.asIntN(64, value));
      const flipped = (push: () => void): void => {
        push();
        if (!isUnsigned(from)) return;
        f.lanesConst('i64x2', -(1n << 63n));
        f.op('v128.xor');
      };
      f.get(x);
      limit();
      flipped(() => f.get(x));
      flipped(limit);
      f.op(word === 'min' ? 'i64x2.lt_s' : 'i64x2.gt_s');
      f.op('v128.bitselect');
    });
  };
  if (target.max < source.max) bound(target.max, 'min');
  if (target.min > source.min) bound(target.min, 'max');
}
