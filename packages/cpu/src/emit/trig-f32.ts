// Circular functions of float32 lanes and their inverses. Arguments of the formulas are kept terms.

import type { HelperDefinition } from './context.ts';
import { oddPolynomial, withSignOf } from './exp-f32.ts';
import { joinDemoted, pairsOf } from './halves.ts';
import { mathF64 } from './math-f64.ts';
import { type Term, Terms } from './terms.ts';
import { evenWords } from './vector-integer.ts';

type F32 = Terms<'f32x4'>;

const signBit = 0x8000_0000;
/** Adding this to a float64 rounds to an integer, which is then in the low word. */
const roundingAnchor = 1.5 * 2 ** 52;
// π ÷ 2 in two parts (fdlibm): products of the first with integers of 20 bits are exact.
const halfPiUpper = 1.5707963267341256;
const halfPiLower = 6.077100506303966e-11;
/** Beyond this, lanes are reduced one by one. */
const reductionLimit = 1e6;

interface ReducedAngle {
  /** |x| − quadrant · π/2, at most π/4 in magnitude. */
  readonly angle: Term;
  /** Nearest multiple of π/2; only the low two bits count. */
  readonly quadrant: Term;
}

/** Reduction in float64 by a two-part π/2: the error is far below float32's even where the angle is tiny. */
function reduce(t: F32, magnitude: Term): ReducedAngle {
  const parts = pairsOf(t.c, [magnitude]).map(({ d, values: [x] }) => {
    const anchored = d.keep(d.add(d.mul(x, d.const(2 / Math.PI)), d.const(roundingAnchor)));
    const n = d.keep(d.sub(anchored, d.const(roundingAnchor)));
    const angle = d.sub(d.sub(x, d.mul(n, d.const(halfPiUpper))), d.mul(n, d.const(halfPiLower)));
    return { anchored, angle: d.keep(angle) };
  });
  const angle = t.keep(
    joinDemoted(
      t,
      parts.map((part) => part.angle),
    ),
  );
  const [low, high = low] = parts.map((part) => part.anchored);
  const quadrant = t.once(() => {
    low();
    high();
    t.c.f.shuffle(evenWords);
  });
  return { angle, quadrant: t.keep(quadrant) };
}

/** sin r ÷ r − 1 over r², and cos r − 1 + r²/2 over r⁴, for |r| ≤ π/4. */
const sinCoefficients = [-0.16666655242443085, 0.008332188241183758, -0.00019518092449288815];
const cosCoefficients = [0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-5];

/** sin(angle + quadrant · π/2), with the sign of the upper half turn applied. */
function sineOf(t: F32, angle: Term, quadrant: Term, sign: Term): Term {
  const square = t.keep(t.mul(angle, angle));
  const sine = oddPolynomial(t, angle, square, sinCoefficients);
  const lead = t.sub(t.const(1), t.mul(square, t.const(0.5)));
  const cosine = t.add(t.mul(t.mul(square, square), t.horner(square, cosCoefficients)), lead);
  // The low bit of the quadrant, spread over the lane.
  const isOdd = t.op('i32x4.shr_s', t.op('i32x4.shl', quadrant, t.i32(31)), t.i32(31));
  return t.xor(t.select(cosine, sine, isOdd), t.and(sign, t.bits(signBit)));
}

const turnBit = (t: F32, quadrant: Term): Term => t.op('i32x4.shl', quadrant, t.i32(30));

export function sin(t: F32, x: Term): Term {
  return orLargeAngle(t, x, 'sin', (magnitude) => {
    const { angle, quadrant } = reduce(t, magnitude);
    return sineOf(t, angle, quadrant, t.xor(x, turnBit(t, quadrant)));
  });
}

export function cos(t: F32, x: Term): Term {
  return orLargeAngle(t, x, 'cos', (magnitude) => {
    const { angle, quadrant } = reduce(t, magnitude);
    const next = t.keep(t.op('i32x4.add', quadrant, t.bits(1)));
    return sineOf(t, angle, next, turnBit(t, next));
  });
}

/** (tan r ÷ r − 1) ÷ r² for |r| ≤ π/4, in powers of r². */
const tanCoefficients = [
  0.33333155512809753, 0.13338837027549744, 0.05340799689292908, 0.02444233000278473, 0.0030997239518910646,
  0.009397686459124088,
];

export function tan(t: F32, x: Term): Term {
  return orLargeAngle(t, x, 'tan', (magnitude) => {
    const { angle, quadrant } = reduce(t, magnitude);
    const square = t.keep(t.mul(angle, angle));
    const tangent = t.keep(oddPolynomial(t, angle, square, tanCoefficients));
    const isOdd = t.op('i32x4.shr_s', t.op('i32x4.shl', quadrant, t.i32(31)), t.i32(31));
    const value = t.select(t.div(t.const(-1), tangent), tangent, isOdd);
    return t.xor(value, t.and(x, t.bits(signBit)));
  });
}

/** Lanes with a large angle take the float64 function; what a lane gets does not depend on the others. */
function orLargeAngle(t: F32, x: Term, op: 'sin' | 'cos' | 'tan', near: (magnitude: Term) => Term): Term {
  const { f, helpers } = t.c;
  const magnitude = t.keep(t.abs(x));
  const result = f.local('v128');
  near(magnitude)();
  f.set(result);
  const isLarge = t.keep(t.gt(magnitude, t.const(reductionLimit)));
  t.op('v128.any_true', isLarge)();
  f.if(() => {
    t.select(t.call(helpers.reference(largeAngle[op]), x), t.read(result), isLarge)();
    f.set(result);
  });
  return t.read(result);
}

const largeAngle = { sin: throughFloat64('sin'), cos: throughFloat64('cos'), tan: throughFloat64('tan') } as const;

function throughFloat64(op: 'sin' | 'cos' | 'tan'): HelperDefinition {
  return {
    name: `f32x4.${op}_large`,
    params: { x: 'v128' },
    result: 'v128',
    body: (c, [x]) => {
      const t = new Terms(c, 'f32x4');
      const wide = c.helpers.reference(mathF64[op]);
      const results = pairsOf(c, [t.read(x)]).map(({ d, values: [value] }) => d.keep(d.call(wide, value)));
      joinDemoted(t, results)();
    },
  };
}

const halfPi = Math.fround(Math.PI / 2);
const halfPiRest = Math.PI / 2 - halfPi;
const pi = Math.fround(Math.PI);
const piRest = Math.PI - pi;

/** constant − x, with the part of the constant that float32 cannot hold. */
function fromConstant(t: F32, whole: number, rest: number, x: Term): Term {
  return t.sub(t.const(whole), t.sub(x, t.const(rest)));
}

/** (asin x ÷ x − 1) ÷ x² for |x| ≤ 0.5, in powers of x². */
const asinCoefficients = [
  0.16666752099990845, 0.07495306432247162, 0.045469772070646286, 0.02418077364563942, 0.04216641187667847,
];

/** asin |x| where |x| ≤ 0.5, otherwise asin √((1 − |x|) ÷ 2), which is half of acos |x|. */
function arcsineCore(t: F32, magnitude: Term, isFar: Term): Term {
  const complement = t.keep(t.mul(t.sub(t.const(1), magnitude), t.const(0.5)));
  const square = t.keep(t.select(complement, t.mul(magnitude, magnitude), isFar));
  const argument = t.keep(t.select(t.sqrt(complement), magnitude, isFar));
  return t.keep(oddPolynomial(t, argument, square, asinCoefficients));
}

export function asin(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isFar = t.keep(t.gt(magnitude, t.const(0.5)));
  const core = arcsineCore(t, magnitude, isFar);
  const far = fromConstant(t, halfPi, halfPiRest, t.add(core, core));
  return withSignOf(t, t.select(far, core, isFar), x);
}

export function acos(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isFar = t.keep(t.gt(magnitude, t.const(0.5)));
  const core = arcsineCore(t, magnitude, isFar);
  const twice = t.keep(t.add(core, core));
  const isNegative = t.lt(x, t.const(0));
  const far = t.select(fromConstant(t, pi, piRest, twice), twice, isNegative);
  const near = fromConstant(t, halfPi, halfPiRest, t.xor(core, t.and(x, t.bits(signBit))));
  return t.select(far, near, isFar);
}

/** (atan x ÷ x − 1) ÷ x² for |x| ≤ 1, in powers of x². */
const atanCoefficients = [
  -0.333333283662796, 0.1999971568584442, -0.14280343055725098, 0.11061233282089233, -0.08821462094783783,
  0.06763648986816406, -0.04498325660824776, 0.02277761697769165, -0.007425363175570965, 0.0011345221428200603,
];

export function atan(t: F32, x: Term): Term {
  const magnitude = t.keep(t.abs(x));
  const isFar = t.keep(t.gt(magnitude, t.const(1)));
  const argument = t.keep(t.select(t.div(t.const(1), magnitude), magnitude, isFar));
  const square = t.keep(t.mul(argument, argument));
  const core = t.keep(oddPolynomial(t, argument, square, atanCoefficients));
  return withSignOf(t, t.select(fromConstant(t, halfPi, halfPiRest, core), core, isFar), x);
}
