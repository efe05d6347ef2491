// exp and what is made of it, on float32 lanes. Arguments of the formulas are kept terms.

import type { Term, Terms } from './terms.ts';

type F32 = Terms<'f32x4'>;

const signBit = 0x8000_0000;
/** Adding this rounds to an integer, which is then in the low bits. */
const roundingAnchor = 1.5 * 2 ** 23;
// ln 2 in two parts: products of the first with integers of 9 bits are exact.
const ln2Upper = 0.693359375;
const ln2Lower = -2.1219444e-4;
/** (e^r − 1 − r) ÷ r² for |r| ≤ ln 2 ÷ 2. */
const expCoefficients = [
  0.4999999403953552, 0.16666515171527863, 0.041668087244033813, 0.00836929865181446, 0.0013838307932019234,
];
/** The same, fitted for the relative error of e^r − 1. */
const expm1Coefficients = [
  0.4999999701976776, 0.16666531562805176, 0.04166725277900696, 0.008368097245693207, 0.0013899405021220446,
];

interface ReducedExponential {
  /** n + roundingAnchor, where e^x = 2^n · e^r. Its bits, shifted left by 23, are n as an exponent. */
  readonly anchored: Term;
  /** e^r − 1 */
  readonly excess: Term;
}

function reduce(t: F32, x: Term, coefficients: readonly number[]): ReducedExponential {
  const anchored = t.keep(t.add(t.mul(x, t.const(Math.LOG2E)), t.const(roundingAnchor)));
  const n = t.keep(t.sub(anchored, t.const(roundingAnchor)));
  const r = t.keep(t.sub(t.sub(x, t.mul(n, t.const(ln2Upper))), t.mul(n, t.const(ln2Lower))));
  const square = t.keep(t.mul(r, r));
  return { anchored, excess: t.add(t.mul(square, t.polynomial(r, square, coefficients)), r) };
}

/**
 * unit · 2^n for a power of two as unit: n is added to its exponent. The product must be a normal number; one step below
 * the least, it is 0.
 */
function powerOfTwo(t: F32, anchored: Term, unit = 1): Term {
  return t.op('i32x4.add', t.op('i32x4.shl', anchored, t.i32(23)), t.const(unit));
}

/**
 * e^x ÷ 2 for x ≤ 89, and 0 where e^x is below 2^−125.5 or so: arithmetic on denormals, which processors are slow at, would
 * otherwise be usual in a masked softmax. Halved, since e^x may need 2^128.
 */
function halfExp(t: F32, x: Term): Term {
  // The least x has n = −126, and 2^(n−1) comes out as 0.
  const { anchored, excess } = reduce(t, t.keep(atLeast(t, x, -87.5)), expCoefficients);
  return t.keep(t.mul(t.add(excess, t.const(1)), powerOfTwo(t, anchored, 0.5)));
}

/** e^x for x in [−87, 88]. */
function narrowExp(t: F32, x: Term): Term {
  const { anchored, excess } = reduce(t, x, expCoefficients);
  return t.mul(t.add(excess, t.const(1)), powerOfTwo(t, anchored));
}

// pmin and pmax give their first operand if either is NaN.
const atMost = (t: F32, x: Term, limit: number): Term => t.op('f32x4.pmin', x, t.const(limit));
const atLeast = (t: F32, x: Term, limit: number): Term => t.op('f32x4.pmax', x, t.const(limit));

/** The sign bit of x added to a value without one. */
export function withSignOf(t: F32, magnitude: Term, x: Term): Term {
  return t.or(magnitude, t.and(x, t.bits(signBit)));
}

/** x + x³ P(x²): the shape of odd functions near 0. */
export function oddPolynomial(t: F32, x: Term, square: Term, coefficients: readonly number[]): Term {
  const fourth = t.keep(t.mul(square, square));
  return t.add(t.mul(t.mul(t.polynomial(square, fourth, coefficients), square), x), x);
}

export function exp(t: F32, x: Term): Term {
  const half = halfExp(t, atMost(t, x, 89));
  return t.add(half, half);
}

export function expm1(t: F32, x: Term): Term {
  const bounded = t.keep(atLeast(t, atMost(t, x, 89), -18));
  const { anchored, excess } = reduce(t, bounded, expm1Coefficients);
  // Half of the result, since 2^n may be 2^128. The sign is that of x, also for −0.
  const scale = t.keep(powerOfTwo(t, anchored, 0.5));
  const half = t.keep(t.add(t.mul(excess, scale), t.sub(scale, t.const(0.5))));
  return withSignOf(t, t.add(half, half), x);
}

export function sigmoid(t: F32, x: Term): Term {
  // 1 ÷ (1 + e^−x), both parts halved. At the bound the power of two is infinite, and the result 0.
  const half = halfExp(t, atMost(t, t.neg(x), 89.1));
  return t.div(t.const(0.5), t.add(half, t.const(0.5)));
}

/** tanh x for |x| < 0.625, as x + x³ P(x²). */
const tanhCoefficients = [
  -0.3333328068256378, 0.13331405818462372, -0.05373651534318924, 0.02062816731631756, -0.0056922961957752705,
];

export function tanh(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const doubled = t.keep(atMost(t, t.add(magnitude, magnitude), 18.1));
  const power = narrowExp(t, doubled);
  const far = t.sub(t.const(1), t.div(t.const(2), t.add(power, t.const(1))));
  const square = t.keep(t.mul(magnitude, magnitude));
  const near = oddPolynomial(t, magnitude, square, tanhCoefficients);
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(0.625))), x);
}

/** erf x ÷ x for |x| ≤ 3.82, as a quotient of polynomials in x². At the end it is 1, to float32. */
const erfNumerator = [
  1.1283791065216064, 0.18689528107643127, 0.0523761548101902, 0.003638000227510929, 0.0002861513348761946,
  2.1338305487006437e-6,
];
const erfDenominator = [
  1, 0.4989645481109619, 0.11274082958698273, 0.014713007025420666, 0.0011390987783670425, 3.901876334566623e-5,
];
const erfEnd = 3.819999933242798;

/** A quotient rather than pieces: each piece would be computed for all lanes. */
export function erf(t: F32, x: Term): Term {
  const bounded = t.keep(atLeast(t, atMost(t, x, erfEnd), -erfEnd));
  const square = t.keep(t.mul(bounded, bounded));
  const fourth = t.keep(t.mul(square, square));
  const numerator = t.mul(bounded, t.polynomial(square, fourth, erfNumerator));
  const quotient = t.div(numerator, t.polynomial(square, fourth, erfDenominator));
  return atLeast(t, atMost(t, quotient, 1), -1);
}

/** sinh x for |x| < 1, as x + x³ P(x²). */
const sinhCoefficients = [0.1666666716337204, 0.00833331048488617, 0.00019842895562760532, 2.7822131869470468e-6];

/** e^|x| ÷ 2, finite as long as sinh and cosh are. */
function largeHalfExp(t: F32, magnitude: Term): Term {
  const { anchored, excess } = reduce(t, t.keep(atMost(t, magnitude, 89.5)), expCoefficients);
  const quarter = t.keep(t.mul(t.add(excess, t.const(1)), powerOfTwo(t, anchored, 0.25)));
  return t.keep(t.add(quarter, quarter));
}

export function sinh(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const half = largeHalfExp(t, magnitude);
  const far = t.sub(half, t.div(t.const(0.25), half));
  const square = t.keep(t.mul(magnitude, magnitude));
  const near = oddPolynomial(t, magnitude, square, sinhCoefficients);
  return withSignOf(t, t.select(near, far, t.lt(magnitude, t.const(1))), x);
}

export function cosh(t: F32, x: Term): Term {
  const half = largeHalfExp(t, t.keep(t.abs(x)));
  return t.add(half, t.div(t.const(0.25), half));
}
