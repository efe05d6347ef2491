// x^y on float64 lanes, with C's rules for zeros, infinities and NaN: pow(1, NaN) and pow(NaN, 0) are 1.
//
// The logarithm is a sum of two float64 numbers, as in fdlibm's pow: products of upper parts, which have their low 32
// bits cleared, are exact.

import { expMinusOne, scaleByPower } from './exp-f64.ts';
import { decompose, exponentOf, normalize } from './log-f64.ts';
import type { Term, Terms } from './terms.ts';

type F64 = Terms<'f64x2'>;

const signBit = 1n << 63n;
const roundingAnchor = 1.5 * 2 ** 52;
const infinity = Number.POSITIVE_INFINITY;
/** (3/2 · ln((1 + s) ÷ (1 − s)) ÷ s − 3 − s²) ÷ s⁴ in powers of s², for numbers between √½ and √2. */
const logCoefficients = [
  0.6000000000000338, 0.42857142855149005, 0.3333333378001404, 0.27272676533972406, 0.23080136996856723,
  0.19885198329782788, 0.19794799064353624,
];
// 2 ÷ (3 ln 2), and its two parts.
const scale = 0.9617966939259756;
const scaleUpper = 0.9617966413497925;
const scaleLower = 5.2576183124437864e-8;

const upperPart = (t: F64, x: Term): Term => t.keep(t.and(x, t.bits64(0xffff_ffff_0000_0000n)));

/** log₂(mantissa · 2^exponent) as an upper and a lower part. */
function logarithm(t: F64, mantissa: Term, exponent: Term): readonly [Term, Term] {
  const excess = t.keep(t.sub(mantissa, t.const(1)));
  const sum = t.keep(t.add(mantissa, t.const(1)));
  const inverse = t.keep(t.div(t.const(1), sum));
  const s = t.keep(t.mul(excess, inverse));
  const sUpper = upperPart(t, s);
  const sumUpper = upperPart(t, sum);
  const sumLower = t.sub(mantissa, t.sub(sumUpper, t.const(1)));
  const defect = t.sub(t.sub(excess, t.mul(sUpper, sumUpper)), t.mul(sUpper, sumLower));
  const sLower = t.keep(t.mul(inverse, defect));

  // s³ · (3 + s² + r), where r holds the higher powers and the lower part of s².
  const square = t.keep(t.mul(s, s));
  const fourth = t.keep(t.mul(square, square));
  const powers = t.mul(fourth, t.polynomial(square, fourth, logCoefficients));
  const r = t.keep(t.add(powers, t.mul(sLower, t.add(sUpper, s))));
  const squareUpper = t.keep(t.mul(sUpper, sUpper));
  const factorUpper = upperPart(t, t.add(t.add(squareUpper, t.const(3)), r));
  const factorLower = t.sub(r, t.sub(t.sub(factorUpper, t.const(3)), squareUpper));
  const productUpper = t.keep(t.mul(sUpper, factorUpper));
  const productLower = t.keep(t.add(t.mul(sLower, factorUpper), t.mul(factorLower, s)));
  const upper = upperPart(t, t.add(productUpper, productLower));
  const lower = t.sub(productLower, t.sub(upper, productUpper));

  const scaledUpper = t.keep(t.mul(upper, t.const(scaleUpper)));
  const scaledLower = t.keep(t.add(t.mul(upper, t.const(scaleLower)), t.mul(lower, t.const(scale))));
  const total = upperPart(t, t.add(t.add(scaledUpper, scaledLower), exponent));
  return [total, t.keep(t.sub(scaledLower, t.sub(t.sub(total, exponent), scaledUpper)))];
}

/** 2^(upper + lower); `upper + lower` may be far outside what float64 can hold. */
function powerOfTwo(t: F64, upper: Term, lower: Term): Term {
  const sum = t.keep(t.add(upper, lower));
  const bounded = t.keep(t.op('f64x2.pmax', t.op('f64x2.pmin', sum, t.const(1100)), t.const(-1100)));
  const whole = t.keep(t.sub(t.add(bounded, t.const(roundingAnchor)), t.const(roundingAnchor)));
  const fraction = t.and(t.add(t.sub(upper, whole), lower), t.eq(bounded, sum));
  const excess = expMinusOne(t, t.keep(t.mul(fraction, t.const(Math.LN2))));
  return scaleByPower(t, t.add(excess, t.const(1)), whole);
}

export function pow(t: F64, x: Term, y: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const { normal, adjustment } = normalize(t, magnitude);
  const { exponentField, mantissa } = decompose(t, normal);
  const exponent = t.keep(t.sub(exponentOf(t, exponentField), adjustment));
  const [logUpper, logLower] = logarithm(t, t.keep(mantissa), exponent);
  const yUpper = upperPart(t, y);
  const productUpper = t.keep(t.mul(yUpper, logUpper));
  const productLower = t.keep(t.add(t.mul(t.sub(y, yUpper), logUpper), t.mul(y, logLower)));
  const general = t.keep(powerOfTwo(t, productUpper, productLower));

  // With a zero or an infinity, the result is a zero or an infinity.
  const isLimit = t.or(
    t.or(t.eq(magnitude, t.const(0)), t.eq(magnitude, t.const(infinity))),
    t.eq(t.abs(y), t.const(infinity)),
  );
  const grows = t.xor(t.gt(magnitude, t.const(1)), t.lt(y, t.const(0)));
  const value = t.select(t.and(t.const(infinity), grows), general, isLimit);
  const isOne = t.or(t.eq(y, t.const(0)), t.eq(magnitude, t.const(1)));
  const positive = t.keep(t.select(t.const(1), t.or(value, t.or(t.ne(x, x), t.ne(y, y))), isOne));

  // A negative base: the sign is that of an odd exponent, and other than whole exponents give NaN.
  const whole = t.keep(t.eq(t.op('f64x2.trunc', y), y));
  const half = t.keep(t.mul(y, t.const(0.5)));
  const isOdd = t.and(whole, t.ne(t.op('f64x2.trunc', half), half));
  const sign = t.and(t.and(x, t.bits64(signBit)), isOdd);
  const isNegative = t.and(t.lt(x, t.const(0)), t.gt(x, t.const(-infinity)));
  return t.or(t.or(positive, sign), t.andNot(isNegative, whole));
}
