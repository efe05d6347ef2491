// Logarithms and inverse hyperbolic functions of float32 lanes. Arguments of the formulas are kept terms.

import { oddPolynomial, withSignOf } from './exp-f32.ts';
import type { Term, Terms } from './terms.ts';

type F32 = Terms<'f32x4'>;

const exponentMask = 0xff80_0000;
const smallestNormal = 2 ** -126;
const sqrtHalfBits = 0x3f35_04f3;
const ln2Upper = 0.693359375;
const ln2Lower = -2.1219444e-4;
/** (ln(1 + f) − f + f² ÷ 2) ÷ f³ for 1 + f between √½ and √2. */
const logCoefficients = [
  0.3333331346511841, -0.25000083446502686, 0.2000211775302887, -0.1666402369737625, 0.1421661078929901,
  -0.12470576912164688, 0.11969377845525742, -0.11338925361633301, 0.06183594465255737,
];

interface Decomposition {
  /** e, as a multiple of 2^23: the exponent field of 2^e without its bias. */
  readonly exponentField: Term;
  /** x ÷ 2^e, between √½ and √2. */
  readonly mantissa: Term;
}

/** Splits positive normal numbers. */
export function decompose(t: F32, x: Term): Decomposition {
  const exponentField = t.keep(t.and(t.op('i32x4.sub', x, t.bits(sqrtHalfBits)), t.bits(exponentMask)));
  return { exponentField, mantissa: t.op('i32x4.sub', x, exponentField) };
}

export function exponentOf(t: F32, exponentField: Term): Term {
  return t.op('f32x4.convert_i32x4_s', t.op('i32x4.shr_s', exponentField, t.i32(23)));
}

/** ln((1 + f) · 2^e), with f and e kept. */
function logOf(t: F32, fraction: Term, exponent: Term): Term {
  const square = t.keep(t.mul(fraction, fraction));
  const cubic = t.mul(t.mul(t.polynomial(fraction, square, logCoefficients), square), fraction);
  const lower = t.sub(t.add(cubic, t.mul(exponent, t.const(ln2Lower))), t.mul(square, t.const(0.5)));
  return t.add(t.add(lower, fraction), t.mul(exponent, t.const(ln2Upper)));
}

/** Puts right what arithmetic on bits made of 0 (−∞), ∞ (∞), negative numbers and NaN (NaN). */
function withLogLimits(t: F32, value: Term, x: Term): Term {
  const infinity = Number.POSITIVE_INFINITY;
  const finite = t.select(x, value, t.eq(x, t.const(infinity)));
  const bounded = t.select(t.const(-infinity), finite, t.eq(x, t.const(0)));
  // All bits set is a NaN.
  return t.or(bounded, t.op('v128.not', t.ge(x, t.const(0))));
}

export function log(t: F32, x: Term): Term {
  const isDenormal = t.keep(t.lt(x, t.const(smallestNormal)));
  const normal = t.keep(t.select(t.mul(x, t.const(2 ** 23)), x, isDenormal));
  const { exponentField, mantissa } = decompose(t, normal);
  const fraction = t.keep(t.sub(mantissa, t.const(1)));
  const exponent = t.keep(t.sub(exponentOf(t, exponentField), t.and(isDenormal, t.const(23))));
  return withLogLimits(t, logOf(t, fraction, exponent), x);
}

/** ln(1 + x): the rounding error of 1 + x is carried along, scaled like the mantissa. */
function logOnePlus(t: F32, x: Term): Term {
  const sum = t.keep(t.add(x, t.const(1)));
  const rounded = t.keep(t.sub(sum, t.const(1)));
  const error = t.keep(t.add(t.sub(t.const(1), t.sub(sum, rounded)), t.sub(x, rounded)));
  const { exponentField, mantissa } = decompose(t, sum);
  // 2^−e; for e = 128, where the error no longer counts, 0.
  const scale = t.op('i32x4.max_s', t.op('i32x4.sub', t.bits(0x3f80_0000), exponentField), t.bits(0));
  const fraction = t.keep(t.add(t.sub(mantissa, t.const(1)), t.mul(error, scale)));
  const exponent = t.keep(exponentOf(t, exponentField));
  return withLogLimits(t, logOf(t, fraction, exponent), sum);
}

export function log1p(t: F32, x: Term): Term {
  // The sign is that of x, also for −0.
  return withSignOf(t, logOnePlus(t, x), x);
}

/** Above this, √(x² ± 1) is x. */
const large = 2 ** 13;

/** asinh x for |x| < 0.5, as x + x³ P(x²). */
const asinhCoefficients = [
  -0.1666666567325592, 0.07499907165765762, -0.04461609572172165, 0.030033569782972336, -0.02004958502948284,
  0.009256630204617977,
];

export function asinh(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const square = t.keep(t.mul(magnitude, magnitude));
  const near = t.keep(oddPolynomial(t, magnitude, square, asinhCoefficients));
  const root = t.sqrt(t.add(square, t.const(1)));
  const excess = t.add(magnitude, t.div(square, t.add(root, t.const(1))));
  const far = logOnePlusOrLogTwice(t, excess, magnitude);
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(0.5))), x);
}

export function acosh(t: F32, x: Term): Term {
  const excess = t.keep(t.sub(x, t.const(1)));
  const root = t.sqrt(t.add(t.add(excess, excess), t.mul(excess, excess)));
  const value = logOnePlusOrLogTwice(t, t.add(excess, root), x);
  return t.or(value, t.lt(x, t.const(1)));
}

/** ln(1 + excess), or ln(2x) where x is large and `excess` may have overflowed. */
function logOnePlusOrLogTwice(t: F32, excess: Term, x: Term): Term {
  const isLarge = t.keep(t.gt(x, t.const(large)));
  const argument = t.keep(t.select(t.sub(x, t.const(1)), excess, isLarge));
  return t.add(logOnePlus(t, argument), t.and(isLarge, t.const(Math.LN2)));
}

/** atanh x for |x| < 0.5, as x + x³ P(x²). */
const atanhCoefficients = [
  0.3333333730697632, 0.199996218085289, 0.14297814667224884, 0.10929401963949203, 0.10524442046880722,
  0.01696207746863365, 0.18513444066047668,
];

export function atanh(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const square = t.keep(t.mul(magnitude, magnitude));
  const near = t.keep(oddPolynomial(t, magnitude, square, atanhCoefficients));
  const ratio = t.keep(t.div(t.add(magnitude, magnitude), t.sub(t.const(1), magnitude)));
  const far = t.mul(logOnePlus(t, ratio), t.const(0.5));
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(0.5))), x);
}
