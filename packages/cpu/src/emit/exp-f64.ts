// exp and what is made of it, on float64 lanes; see `exp-f32.ts`. Arguments of the formulas are kept terms.

import type { Term, Terms } from './terms.ts';

type F64 = Terms<'f64x2'>;

const signBit = 1n << 63n;
/** Adding this rounds to an integer, which is then in the low bits. */
const roundingAnchor = 1.5 * 2 ** 52;
// ln 2 in two parts: products of the first with integers of 20 bits are exact.
const ln2Upper = 0.6931471803691238;
const ln2Lower = 1.9082149292705877e-10;
/** (e^r − 1 − r) ÷ r² for |r| ≤ ln 2 ÷ 2. */
export const expCoefficients = [
  0.5, 0.1666666666666668, 0.041666666666666775, 0.008333333333318897, 0.0013888888888790652, 0.00019841269893548436,
  2.4801587574873642e-5, 2.755723643801873e-6, 2.755701511774164e-7, 2.5111796275081634e-8, 2.100582552439653e-9,
];

interface ReducedExponential {
  /** n + roundingAnchor, where e^x = 2^n · e^r. Its bits, shifted left by 52, are n as an exponent. */
  readonly anchored: Term;
  /** n as a number. */
  readonly whole: Term;
  /** e^r − 1 */
  readonly excess: Term;
}

function reduce(t: F64, x: Term): ReducedExponential {
  const anchored = t.keep(t.add(t.mul(x, t.const(Math.LOG2E)), t.const(roundingAnchor)));
  const whole = t.keep(t.sub(anchored, t.const(roundingAnchor)));
  const r = t.keep(t.sub(t.sub(x, t.mul(whole, t.const(ln2Upper))), t.mul(whole, t.const(ln2Lower))));
  return { anchored, whole, excess: expMinusOne(t, r) };
}

/** e^r − 1 for |r| ≤ ln 2 ÷ 2, `r` kept. */
export function expMinusOne(t: F64, r: Term): Term {
  const square = t.keep(t.mul(r, r));
  return t.add(t.mul(square, t.polynomial(r, square, expCoefficients)), r);
}

/** unit · 2^n for a power of two as unit: n is added to its exponent. The product must be a normal number. */
function powerOfTwo(t: F64, anchored: Term, unit = 1): Term {
  return t.op('i64x2.add', t.op('i64x2.shl', anchored, t.i32(52)), t.const(unit));
}

/** y · 2^n, rounded once where it is denormal; n = `whole`, from −1100 to 1100. */
export function scaleByPower(t: F64, y: Term, whole: Term): Term {
  const half = t.keep(t.add(t.mul(whole, t.const(0.5)), t.const(roundingAnchor)));
  const rest = t.op('i64x2.sub', t.add(whole, t.const(roundingAnchor)), half);
  return t.mul(t.mul(y, powerOfTwo(t, half)), powerOfTwo(t, rest));
}

// pmin and pmax give their first operand if either is NaN.
const atMost = (t: F64, x: Term, limit: number): Term => t.op('f64x2.pmin', x, t.const(limit));
const atLeast = (t: F64, x: Term, limit: number): Term => t.op('f64x2.pmax', x, t.const(limit));

/** The sign bit of x added to a value without one. */
export function withSignOf(t: F64, magnitude: Term, x: Term): Term {
  return t.or(magnitude, t.and(x, t.bits64(signBit)));
}

/** x + x³ P(x²): the shape of odd functions near 0. */
export function oddPolynomial(t: F64, x: Term, square: Term, coefficients: readonly number[]): Term {
  const fourth = t.keep(t.mul(square, square));
  return t.add(t.mul(t.mul(t.polynomial(square, fourth, coefficients), square), x), x);
}

function wideExp(t: F64, x: Term): Term {
  const { whole, excess } = reduce(t, x);
  return scaleByPower(t, t.add(excess, t.const(1)), whole);
}

export function exp(t: F64, x: Term): Term {
  return wideExp(t, t.keep(atLeast(t, atMost(t, x, 710), -746)));
}

export function expm1(t: F64, x: Term): Term {
  const { anchored, excess } = reduce(t, t.keep(atLeast(t, atMost(t, x, 710), -40)));
  // Half of the result, since 2^n may be 2^1024. The sign is that of x, also for −0.
  const scale = t.keep(powerOfTwo(t, anchored, 0.5));
  const half = t.keep(t.add(t.mul(excess, scale), t.sub(scale, t.const(0.5))));
  return withSignOf(t, t.add(half, half), x);
}

export function sigmoid(t: F64, x: Term): Term {
  const power = t.keep(wideExp(t, t.keep(atLeast(t, t.neg(t.abs(x)), -746))));
  const numerator = t.select(power, t.const(1), t.lt(x, t.const(0)));
  return t.div(numerator, t.add(power, t.const(1)));
}

export function tanh(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const { anchored, excess } = reduce(t, t.keep(atMost(t, t.add(magnitude, magnitude), 40)));
  const scale = t.keep(powerOfTwo(t, anchored));
  const power = t.keep(t.add(t.mul(excess, scale), t.sub(scale, t.const(1))));
  return withSignOf(t, t.div(power, t.add(power, t.const(2))), x);
}

/** erf x ÷ x − 1 for |x| < 0.84375, in powers of x². */
const erfCoefficients = [
  0.12837916709551256, -0.3761263890318329, 0.11283791670931437, -0.026866170640256436, 0.005223977572421354,
  -0.0008548323601659352, 0.00012055193996388489, -1.4922000793301015e-5, 1.6400110092968687e-6, -1.570375567293801e-7,
  1.0694398123508863e-8,
];
/** erfc x · e^(x²) ÷ u for x ≥ 0.84, in powers of u = 2 ÷ (2 + x). */
const scaledErfcCoefficients = [
  0.2821175065414832, 0.28155526409276266, 0.25268317836342963, 0.1380828766418166, 0.250863362225679,
  -0.5165228644468318, 1.0598586826975405, -1.7653043445093535, 1.7550857877015886, -1.0228310174057211,
  0.3310137568347294, -0.04660252261516173,
];

export function erf(t: F64, x: Term): Term {
  const magnitude = t.keep(atMost(t, t.abs(x), 6));
  const square = t.keep(t.mul(magnitude, magnitude));
  const fourth = t.keep(t.mul(square, square));
  const near = t.keep(t.add(t.mul(t.polynomial(square, fourth, erfCoefficients), magnitude), magnitude));
  const u = t.keep(t.div(t.const(2), t.add(magnitude, t.const(2))));
  const scaled = t.keep(t.mul(t.polynomial(u, t.keep(t.mul(u, u)), scaledErfcCoefficients), u));
  const far = t.sub(t.const(1), t.mul(wideExp(t, t.keep(t.neg(square))), scaled));
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(0.84375))), x);
}

/** (sinh x ÷ x − 1) ÷ x² for |x| < 1, in powers of x². */
const sinhCoefficients = [
  0.16666666666666669, 0.008333333333332912, 0.0001984126984159341, 2.755731910675589e-6, 2.5052130999120204e-8,
  1.605665909949069e-10, 7.776604017509376e-13,
];

/** e^|x| ÷ 2, finite as long as sinh and cosh are. */
function halfExp(t: F64, magnitude: Term): Term {
  const { anchored, excess } = reduce(t, t.keep(atMost(t, magnitude, 710.5)));
  const quarter = t.keep(t.mul(t.add(excess, t.const(1)), powerOfTwo(t, anchored, 0.25)));
  return t.keep(t.add(quarter, quarter));
}

export function sinh(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const half = halfExp(t, magnitude);
  const far = t.sub(half, t.div(t.const(0.25), half));
  const square = t.keep(t.mul(magnitude, magnitude));
  const near = oddPolynomial(t, magnitude, square, sinhCoefficients);
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(1))), x);
}

export function cosh(t: F64, x: Term): Term {
  const half = halfExp(t, t.keep(t.abs(x)));
  return t.add(half, t.div(t.const(0.25), half));
}
