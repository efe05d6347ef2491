// Logarithms and inverse hyperbolic functions of float64 lanes; see `log-f32.ts`. Arguments are kept terms.

import { withSignOf } from './exp-f64.ts';
import type { Term, Terms } from './terms.ts';

type F64 = Terms<'f64x2'>;

const exponentMask = 0xfff0_0000_0000_0000n;
const sqrtHalfBits = 0x3fe6_a09e_667f_3bcdn;
const oneBits = 0x3ff0_0000_0000_0000n;
const smallestNormal = 2 ** -1022;
const infinity = Number.POSITIVE_INFINITY;
// ln 2 in two parts: products of the first with exponents are exact.
const ln2Upper = 0.6931471803691238;
const ln2Lower = 1.9082149292705877e-10;
/** (ln((1 + s) ÷ (1 − s)) ÷ s − 2) ÷ s² in powers of s², for numbers between √½ and √2. */
const logCoefficients = [
  0.6666666666666734, 0.39999999999416586, 0.28571428742063415, 0.22222198598702855, 0.18183563330455332,
  0.1531406873781609, 0.1479583257696103,
];
/** Words 1 and 3 of a vector, in the low half. */
const oddWords = [4, 5, 6, 7, 12, 13, 14, 15, 4, 5, 6, 7, 12, 13, 14, 15];

interface Decomposition {
  /** e as the exponent field of 2^e without its bias. */
  readonly exponentField: Term;
  /** x ÷ 2^e, between √½ and √2. */
  readonly mantissa: Term;
}

/** Splits positive normal numbers. */
export function decompose(t: F64, x: Term): Decomposition {
  const exponentField = t.keep(t.and(t.op('i64x2.sub', x, t.bits64(sqrtHalfBits)), t.bits64(exponentMask)));
  return { exponentField, mantissa: t.op('i64x2.sub', x, exponentField) };
}

export function exponentOf(t: F64, exponentField: Term): Term {
  const words = t.once(() => {
    exponentField();
    exponentField();
    t.c.f.shuffle(oddWords);
  });
  return t.op('f64x2.convert_low_i32x4_s', t.op('i32x4.shr_s', words, t.i32(20)));
}

/** A positive number without its denormals: those are multiplied by 2^54, which `adjustment` takes back. */
export function normalize(t: F64, x: Term): { readonly normal: Term; readonly adjustment: Term } {
  const isDenormal = t.keep(t.lt(x, t.const(smallestNormal)));
  const normal = t.keep(t.select(t.mul(x, t.const(2 ** 54)), x, isDenormal));
  return { normal, adjustment: t.and(isDenormal, t.const(54)) };
}

/** ln((1 + fraction) · 2^exponent), both kept; the arrangement is fdlibm's. */
function logOf(t: F64, fraction: Term, exponent: Term): Term {
  const s = t.keep(t.div(fraction, t.add(fraction, t.const(2))));
  const square = t.keep(t.mul(s, s));
  const fourth = t.keep(t.mul(square, square));
  const halfSquare = t.keep(t.mul(t.mul(fraction, fraction), t.const(0.5)));
  const series = t.mul(t.polynomial(square, fourth, logCoefficients), square);
  const lower = t.add(t.mul(s, t.add(series, halfSquare)), t.mul(exponent, t.const(ln2Lower)));
  return t.sub(t.mul(exponent, t.const(ln2Upper)), t.sub(t.sub(halfSquare, lower), fraction));
}

/** Puts right what arithmetic on bits made of 0 (−∞), ∞ (∞), negative numbers and NaN (NaN). */
function withLogLimits(t: F64, value: Term, x: Term): Term {
  const finite = t.select(x, value, t.eq(x, t.const(infinity)));
  const bounded = t.select(t.const(-infinity), finite, t.eq(x, t.const(0)));
  return t.or(bounded, t.op('v128.not', t.ge(x, t.const(0))));
}

export function log(t: F64, x: Term): Term {
  const { normal, adjustment } = normalize(t, x);
  const { exponentField, mantissa } = decompose(t, normal);
  const fraction = t.keep(t.sub(mantissa, t.const(1)));
  const exponent = t.keep(t.sub(exponentOf(t, exponentField), adjustment));
  return withLogLimits(t, logOf(t, fraction, exponent), x);
}

/** ln(1 + x): the rounding error of 1 + x is carried along, scaled like the mantissa. */
function logOnePlus(t: F64, x: Term): Term {
  const sum = t.keep(t.add(x, t.const(1)));
  const rounded = t.keep(t.sub(sum, t.const(1)));
  const error = t.keep(t.add(t.sub(t.const(1), t.sub(sum, rounded)), t.sub(x, rounded)));
  const { exponentField, mantissa } = decompose(t, sum);
  // 2^−e, which is still a normal number for e = 1023; for e = 1024 the sign bit is cleared.
  const scale = t.abs(t.op('i64x2.sub', t.bits64(oneBits), exponentField));
  const isScaled = t.lt(sum, t.const(2 ** 1000));
  const fraction = t.keep(t.add(t.sub(mantissa, t.const(1)), t.and(t.mul(error, scale), isScaled)));
  const exponent = t.keep(exponentOf(t, exponentField));
  return withLogLimits(t, logOf(t, fraction, exponent), sum);
}

export function log1p(t: F64, x: Term): Term {
  return withSignOf(t, logOnePlus(t, x), x);
}

/** Above this, √(x² ± 1) is x. */
const large = 2 ** 28;

export function asinh(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const square = t.keep(t.mul(magnitude, magnitude));
  const root = t.sqrt(t.add(square, t.const(1)));
  const excess = t.add(magnitude, t.div(square, t.add(root, t.const(1))));
  return withSignOf(t, logOnePlusOrLogTwice(t, excess, magnitude), x);
}

export function acosh(t: F64, x: Term): Term {
  const excess = t.keep(t.sub(x, t.const(1)));
  const root = t.sqrt(t.add(t.add(excess, excess), t.mul(excess, excess)));
  return t.or(logOnePlusOrLogTwice(t, t.add(excess, root), x), t.lt(x, t.const(1)));
}

/** ln(1 + excess), or ln(2x) where x is large and `excess` may have overflowed. */
function logOnePlusOrLogTwice(t: F64, excess: Term, x: Term): Term {
  const isLarge = t.keep(t.gt(x, t.const(large)));
  const argument = t.keep(t.select(t.sub(x, t.const(1)), excess, isLarge));
  return t.add(logOnePlus(t, argument), t.and(isLarge, t.const(Math.LN2)));
}

export function atanh(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const ratio = t.keep(t.div(t.add(magnitude, magnitude), t.sub(t.const(1), magnitude)));
  return withSignOf(t, t.mul(logOnePlus(t, ratio), t.const(0.5)), x);
}
