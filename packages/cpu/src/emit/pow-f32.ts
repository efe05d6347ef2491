// x^y on float32 lanes, with C's rules for zeros, infinities and NaN (as numpy): pow(1, NaN) and pow(NaN, 0) are 1.

import { type F64, joinDemoted, pairsOf } from './halves.ts';
import { decompose, exponentOf } from './log-f32.ts';
import type { Term, Terms } from './terms.ts';

type F32 = Terms<'f32x4'>;

const signBit = 0x8000_0000;
/** Adding this to a float64 rounds to an integer, which is then in the low bits. */
const roundingAnchor = 1.5 * 2 ** 52;
const infinity = Number.POSITIVE_INFINITY;

/** log₂ m ÷ s in powers of s², where s = (m − 1) ÷ (m + 1), for m between √½ and √2. */
const log2Coefficients = [
  2.8853900817784077, 0.9617966935475768, 0.5770780423959858, 0.4122030741113276, 0.32005448632900646,
  0.2817740522620744,
];
/** 2^f for |f| ≤ ½. */
const exp2Coefficients = [
  0.9999999999616818, 0.6931471807284415, 0.24022651198158898, 0.055504103534601675, 0.009618027253527141,
  0.0013333922553797047, 0.00015469291183634667, 1.520192393600651e-5,
];

/** 2^(y · (exponent + log₂ mantissa)), in float64. */
function power(d: F64, mantissa: Term, exponent: Term, y: Term): Term {
  const s = d.keep(d.div(d.sub(mantissa, d.const(1)), d.add(mantissa, d.const(1))));
  const square = d.keep(d.mul(s, s));
  const logarithm = d.add(d.mul(d.horner(square, log2Coefficients), s), exponent);
  // Beyond these the result is 0 or infinite in float32. pmin and pmax let NaN pass on their left.
  const product = d.op('f64x2.pmin', d.mul(logarithm, y), d.const(140));
  const t = d.keep(d.op('f64x2.pmax', product, d.const(-160)));
  const anchored = d.keep(d.add(t, d.const(roundingAnchor)));
  const fraction = d.keep(d.sub(t, d.sub(anchored, d.const(roundingAnchor))));
  const scale = d.op('i64x2.add', d.op('i64x2.shl', anchored, d.i32(52)), d.const(1));
  return d.mul(d.horner(fraction, exp2Coefficients), scale);
}

export function pow(t: F32, x: Term, y: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isDenormal = t.keep(t.lt(magnitude, t.const(2 ** -126)));
  const normal = t.keep(t.select(t.mul(magnitude, t.const(2 ** 23)), magnitude, isDenormal));
  const { exponentField, mantissa } = decompose(t, normal);
  const exponent = t.sub(exponentOf(t, exponentField), t.and(isDenormal, t.const(23)));
  // The logarithm of 0, ∞ and NaN is in its exponent.
  const finite = t.select(magnitude, exponent, t.eq(magnitude, t.const(infinity)));
  const bounded = t.select(t.const(-infinity), finite, t.eq(magnitude, t.const(0)));
  const operands = [t.keep(mantissa), t.keep(t.or(bounded, t.ne(x, x))), y];
  const results = pairsOf(t.c, operands).map(({ d, values: [m, e, v] }) => d.keep(power(d, m, e, v)));
  const value = joinDemoted(t, results);
  const isOne = t.or(t.eq(y, t.const(0)), t.eq(magnitude, t.const(1)));
  const positive = t.keep(t.select(t.const(1), value, isOne));

  // A negative base: the sign is that of an odd exponent, and other than whole exponents give NaN.
  const whole = t.keep(t.eq(t.op('f32x4.trunc', y), y));
  const half = t.keep(t.mul(y, t.const(0.5)));
  const isOdd = t.and(whole, t.ne(t.op('f32x4.trunc', half), half));
  const sign = t.and(t.and(x, t.bits(signBit)), isOdd);
  const isNegative = t.and(t.lt(x, t.const(0)), t.gt(x, t.const(-infinity)));
  return t.or(t.or(positive, sign), t.andNot(isNegative, whole));
}
