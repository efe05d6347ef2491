// Circular functions of float64 lanes and their inverses; see `trig-f32.ts`. Arguments of the formulas are kept terms.

import { oddPolynomial, withSignOf } from './exp-f64.ts';
import { lowHalves } from './halves.ts';
import { pushReducedLane } from './large-angle.ts';
import type { Term, Terms } from './terms.ts';

type F64 = Terms<'f64x2'>;

const signBit = 1n << 63n;
const roundingAnchor = 1.5 * 2 ** 52;
// π ÷ 2 in three parts: products of the first two with integers of 20 bits are exact.
const halfPiParts = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const;
/** Beyond this, angles are reduced one by one. */
const reductionLimit = 1e6;

interface ReducedAngle {
  /** |x| − quadrant · π/2 as a sum, at most π/4 in magnitude. */
  readonly angle: Term;
  readonly rest: Term;
  /** Nearest multiple of π/2; only the low two bits of the 64-bit lane count. */
  readonly quadrant: Term;
}

function reduce(t: F64, magnitude: Term): ReducedAngle {
  const { f } = t.c;
  const quadrant = t.keep(t.add(t.mul(magnitude, t.const(2 / Math.PI)), t.const(roundingAnchor)));
  const n = t.keep(t.sub(quadrant, t.const(roundingAnchor)));
  const first = t.keep(t.sub(magnitude, t.mul(n, t.const(halfPiParts[0]))));
  // The second part is subtracted with its rounding error (Knuth's two-sum), then the third.
  const second = t.keep(t.neg(t.mul(n, t.const(halfPiParts[1]))));
  const sum = t.keep(t.add(first, second));
  const virtual = t.keep(t.sub(sum, first));
  const error = t.add(t.sub(first, t.sub(sum, virtual)), t.sub(second, virtual));
  const low = t.keep(t.sub(error, t.mul(n, t.const(halfPiParts[2]))));
  const angle = t.keep(t.add(sum, low));
  const rest = t.keep(t.add(t.sub(sum, angle), low));

  const isLarge = t.keep(
    t.and(t.gt(magnitude, t.const(reductionLimit)), t.lt(magnitude, t.const(Number.POSITIVE_INFINITY))),
  );
  const locals = [f.local('v128'), f.local('v128'), f.local('v128')] as const;
  [angle, rest, quadrant].forEach((term, i) => {
    term();
    f.set(locals[i]);
  });
  t.op('v128.any_true', isLarge)();
  f.if(() => {
    const reduced = [0, 1].map((lane) => t.keep(t.once(() => pushReducedLane(t.c, magnitude, lane))));
    const join = (pattern: readonly number[]): Term =>
      t.once(() => {
        reduced[0]();
        reduced[1]();
        f.shuffle(pattern);
      });
    t.select(join(lowHalves), angle, isLarge)();
    f.set(locals[0]);
    t.andNot(rest, isLarge)();
    f.set(locals[1]);
    t.select(join(lowHalves.map((byte) => byte + 8)), quadrant, isLarge)();
    f.set(locals[2]);
  });
  return { angle: t.read(locals[0]), rest: t.read(locals[1]), quadrant: t.read(locals[2]) };
}

/** (sin r ÷ r − 1) ÷ r² and (cos r − 1 + r²/2) ÷ r⁴ in powers of r², for |r| ≤ π/4. */
const sinCoefficients = [
  -0.1666666666666663, 0.00833333333332184, -0.00019841269829358528, 2.75573135385144e-6, -2.505073438931338e-8,
  1.5895433293797535e-10,
];
const cosCoefficients = [
  0.041666666666666595, -0.0013888888888873338, 2.480158728899748e-5, -2.755731421529929e-7, 2.0875705115059047e-9,
  -1.1358732782155789e-11,
];

/** Sine and cosine of a reduced angle; the arrangement of the small terms is fdlibm's. */
function sineAndCosine(t: F64, { angle, rest }: ReducedAngle): { readonly sine: Term; readonly cosine: Term } {
  const square = t.keep(t.mul(angle, angle));
  const fourth = t.keep(t.mul(square, square));
  const [first, ...others] = sinCoefficients;
  const cube = t.keep(t.mul(square, angle));
  const sineSeries = t.mul(cube, t.polynomial(square, fourth, others));
  const sineRest = t.sub(t.mul(t.sub(t.mul(rest, t.const(0.5)), sineSeries), square), rest);
  const sine = t.keep(t.sub(angle, t.sub(sineRest, t.mul(cube, t.const(first)))));
  const halfSquare = t.keep(t.mul(square, t.const(0.5)));
  const lead = t.keep(t.sub(t.const(1), halfSquare));
  const cosineSeries = t.mul(fourth, t.polynomial(square, fourth, cosCoefficients));
  const cosineRest = t.add(t.sub(t.sub(t.const(1), lead), halfSquare), t.sub(cosineSeries, t.mul(angle, rest)));
  return { sine, cosine: t.keep(t.add(lead, cosineRest)) };
}

/** All bits of a lane where the low bit of the quadrant is set. */
const isOdd = (t: F64, quadrant: Term): Term => t.op('i64x2.ne', t.and(quadrant, t.bits64(1n)), t.bits64(0n));

/** The second bit of the quadrant at the place of the sign. */
const turnBit = (t: F64, quadrant: Term): Term => t.op('i64x2.shl', quadrant, t.i32(62));

export function sin(t: F64, x: Term): Term {
  const reduced = reduce(t, t.keep(t.abs(x)));
  const { sine, cosine } = sineAndCosine(t, reduced);
  const sign = t.and(t.xor(x, turnBit(t, reduced.quadrant)), t.bits64(signBit));
  return t.xor(t.select(cosine, sine, isOdd(t, reduced.quadrant)), sign);
}

export function cos(t: F64, x: Term): Term {
  const reduced = reduce(t, t.keep(t.abs(x)));
  const { sine, cosine } = sineAndCosine(t, reduced);
  const next = t.keep(t.op('i64x2.add', reduced.quadrant, t.bits64(1n)));
  return t.xor(t.select(cosine, sine, isOdd(t, next)), t.and(turnBit(t, next), t.bits64(signBit)));
}

export function tan(t: F64, x: Term): Term {
  const reduced = reduce(t, t.keep(t.abs(x)));
  const { sine, cosine } = sineAndCosine(t, reduced);
  const swap = t.keep(isOdd(t, reduced.quadrant));
  const numerator = t.select(t.neg(cosine), sine, swap);
  const denominator = t.select(sine, cosine, swap);
  return t.xor(t.div(numerator, denominator), t.and(x, t.bits64(signBit)));
}

const halfPi = Math.PI / 2;
const halfPiRest = 6.123233995736766e-17;

/** constant − x, with the part of the constant that float64 cannot hold. */
function fromConstant(t: F64, whole: number, rest: number, x: Term): Term {
  return t.sub(t.const(whole), t.sub(x, t.const(rest)));
}

/** (asin x ÷ x − 1) ÷ x² for |x| ≤ 0.5, in powers of x². */
const asinCoefficients = [
  0.1666666666666676, 0.0749999999997081, 0.04464285717464569, 0.030381942704721516, 0.0223722151044081,
  0.017351609477379997, 0.013980855361860249, 0.011398596102130112, 0.010782180415758959, 0.0036985945534263424,
  0.021727652204683406, -0.021029225861992885, 0.03264840918334939,
];

/** asin |x| where |x| ≤ 0.5, otherwise asin √((1 − |x|) ÷ 2), which is half of acos |x|. */
function arcsineCore(t: F64, magnitude: Term, isFar: Term): Term {
  const complement = t.keep(t.mul(t.sub(t.const(1), magnitude), t.const(0.5)));
  const square = t.keep(t.select(complement, t.mul(magnitude, magnitude), isFar));
  const argument = t.keep(t.select(t.sqrt(complement), magnitude, isFar));
  return t.keep(oddPolynomial(t, argument, square, asinCoefficients));
}

export function asin(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isFar = t.keep(t.gt(magnitude, t.const(0.5)));
  const core = arcsineCore(t, magnitude, isFar);
  const far = fromConstant(t, halfPi, halfPiRest, t.add(core, core));
  return withSignOf(t, t.select(far, core, isFar), x);
}

export function acos(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isFar = t.keep(t.gt(magnitude, t.const(0.5)));
  const core = arcsineCore(t, magnitude, isFar);
  const twice = t.keep(t.add(core, core));
  const far = t.select(fromConstant(t, Math.PI, 2 * halfPiRest, twice), twice, t.lt(x, t.const(0)));
  const near = fromConstant(t, halfPi, halfPiRest, t.xor(core, t.and(x, t.bits64(signBit))));
  return t.select(far, near, isFar);
}

/** (atan x ÷ x − 1) ÷ x² for |x| ≤ tan(π/8), in powers of x². */
const atanCoefficients = [
  -0.333333333333332, 0.19999999999953652, -0.14285714280196377, 0.11111110783298372, -0.09090897751161953,
  0.07692060086148089, -0.0666310257952948, 0.058478790577626595, -0.05039261767812333, 0.038063570475657484,
  -0.01790624672361756,
];

export function atan(t: F64, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  // Above tan(3π/8), π/2 + atan(−1/x); above tan(π/8), π/4 + atan((x − 1) ÷ (x + 1)).
  const isFar = t.keep(t.gt(magnitude, t.const(2.414213562373095)));
  const isNear = t.keep(t.le(magnitude, t.const(0.41421356237309503)));
  const numerator = t.select(t.const(-1), t.sub(magnitude, t.const(1)), isFar);
  const denominator = t.select(magnitude, t.add(magnitude, t.const(1)), isFar);
  const argument = t.keep(t.select(magnitude, t.div(numerator, denominator), isNear));
  const square = t.keep(t.mul(argument, argument));
  const core = t.keep(oddPolynomial(t, argument, square, atanCoefficients));
  const base = t.select(t.const(halfPi), t.const(halfPi / 2), isFar);
  const rest = t.select(t.const(halfPiRest), t.const(halfPiRest / 2), isFar);
  const far = t.add(base, t.add(core, rest));
  return withSignOf(t, t.select(core, far, isNear), x);
}
