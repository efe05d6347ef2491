// One element in, one element out: functions, activations, arithmetic with broadcasting.

import { codeOfDType as codeOf } from '@onnx-ts/core/internal';
import { bitsOf as bits, type DType, isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float } from '../graph-builder.ts';
import { drawBroadcastable, drawShape } from '../random.ts';
import { allKinds, drawFloats, drawIntegers, epsilonOf, type ValueKind } from '../values.ts';

type Generator = (b: CaseBuilder) => void;

interface UnaryOptions {
  readonly kinds?: readonly ValueKind[];
  /** Steps that the result may be off; absent means exact. */
  readonly ulps?: number;
  /** Steps at the largest magnitude, where a formula cancels. */
  readonly spread?: number;
  /** What may be lost where an intermediate result is below the normal numbers. */
  readonly absolute?: number;
  readonly attributes?: (b: CaseBuilder) => Attributes;
  readonly result?: DType;
  readonly constraint?: string;
}

function unary(op: string, options: UnaryOptions = {}): Generator {
  const { kinds = allKinds, ulps = 0, spread = 0, absolute = 0, attributes, result, constraint = 'T' } = options;
  return (b) => {
    const dtype = b.dtype(constraint);
    // Peers subtract 1 from exp(x).
    b.allow({ ulps, spread, absolute: b.isPeer && /elu$/i.test(op) ? 8 * epsilonOf(dtype) : absolute });
    const x = b.random(dtype, drawShape(b.draws), kinds);
    b.output(b.op(op, [x], attributes?.(b)), result ?? dtype);
  };
}

const bounded: readonly ValueKind[] = ['small', 'unit', 'normal', 'special'];

function oneOf(name: string, values: readonly number[]): (b: CaseBuilder) => Attributes {
  return (b) => ({ [name]: b.draws.maybe(() => float(b.draws.pick(values))) });
}

const alphas = [1, 0.5, 2, 0.01, 1.702, 0, -1];

function pair(op: string, result?: DType, constraint = 'T', kinds: readonly ValueKind[] = allKinds): Generator {
  return (b) => {
    const dtype = b.dtype(constraint);
    const [, left, right] = drawBroadcastable(b.draws, 2);
    const inputs = [b.random(dtype, left, kinds), b.random(dtype, right, kinds)];
    b.output(b.op(op, inputs), result ?? dtype);
  };
}

/** For peers no 0 for integers, which ends their process; and not −1, by which the least integer cannot be divided. */
function divisor(b: CaseBuilder, dtype: DType, dims: readonly number[]): string {
  if (isFloat(dtype) || (!b.isPeer && b.draws.oneIn(3))) return b.random(dtype, dims, allKinds);
  const isNegative = !dtype.startsWith('u') && b.draws.coin();
  return b.operand(isNegative ? drawIntegers(b.draws, dtype, dims, -9, -2) : drawIntegers(b.draws, dtype, dims, 1, 9));
}

function quotient(op: string, attributes?: (b: CaseBuilder, dtype: DType) => Attributes): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [, left, right] = drawBroadcastable(b.draws, 2);
    b.allow({ ulps: op === 'Div' ? 1 : 0 });
    const dividend = b.random(dtype, left, allKinds);
    b.output(b.op(op, [dividend, divisor(b, dtype, right)], attributes?.(b, dtype)), dtype);
  };
}

function variadic(op: string, ulps = 0): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [, ...shapes] = drawBroadcastable(b.draws, b.draws.between(1, 4));
    b.allow({ ulps, spread: ulps });
    b.output(
      b.op(
        op,
        shapes.map((shape) => b.random(dtype, shape, ulps > 0 ? ['small', 'unit', 'normal', 'special'] : allKinds)),
      ),
      dtype,
    );
  };
}

const exactUnary = ['Abs', 'Neg', 'Ceil', 'Floor', 'Round', 'Sign', 'Relu', 'Sqrt'];
const inexactUnary: Readonly<Record<string, UnaryOptions>> = {
  Exp: { ulps: 8 },
  Log: { ulps: 8 },
  Sin: { ulps: 8, kinds: allKinds },
  Cos: { ulps: 8, kinds: allKinds },
  Tan: { ulps: 12, kinds: allKinds },
  Asin: { ulps: 8 },
  Acos: { ulps: 8 },
  Atan: { ulps: 8 },
  Sinh: { ulps: 12 },
  Cosh: { ulps: 12 },
  Asinh: { ulps: 12 },
  Acosh: { ulps: 12 },
  Atanh: { ulps: 12 },
  Erf: { ulps: 8 },
  Sigmoid: { ulps: 8 },
  Tanh: { ulps: 8 },
  Reciprocal: { ulps: 1 },
  Softplus: { ulps: 8 },
  Softsign: { ulps: 2 },
  HardSwish: { ulps: 4 },
  Mish: { ulps: 16, absolute: 1e-35 },
  Elu: { ulps: 8, attributes: oneOf('alpha', alphas) },
  Celu: { ulps: 8, attributes: oneOf('alpha', [1, 0.5, 2, -1]) },
  Selu: { ulps: 8, attributes: oneOf('alpha', alphas) },
  LeakyRelu: { ulps: 1, attributes: oneOf('alpha', alphas) },
  ThresholdedRelu: { attributes: oneOf('alpha', alphas) },
  Swish: { ulps: 12, absolute: 1e-35, attributes: oneOf('alpha', alphas) },
  HardSigmoid: {
    ulps: 2,
    spread: 1,
    kinds: bounded,
    attributes: (b) => ({ ...oneOf('alpha', alphas)(b), ...oneOf('beta', alphas)(b) }),
  },
  Gelu: {
    ulps: 8,
    spread: 2,
    kinds: ['small', 'unit', 'normal', 'special'],
    attributes: (b) => ({ approximate: b.draws.pick([undefined, 'none', 'tanh']) }),
  },
};

function clip(b: CaseBuilder): void {
  const byInput = b.opset >= 11;
  const dtype = b.dtype();
  const x = b.random(dtype, drawShape(b.draws), allKinds);
  const unsigned = dtype.startsWith('u');
  // The lower bound may be above the upper one, which then wins. What a NaN there means is left open.
  const bounds = [-1, 2]
    .map((bound) =>
      b.draws.maybe(() => (unsigned ? 2 : 0) + bound + b.draws.pick([0, 1, 2, -1, 4, -Infinity, Infinity])),
    )
    .map((bound) => (bound === undefined || isFloat(dtype) || Number.isFinite(bound) ? bound : bound < 0 ? 0 : 100));
  const y = byInput
    ? b.op('Clip', [x, ...bounds.map((bound) => (bound === undefined ? undefined : b.scalar(dtype, bound)))])
    : b.op('Clip', [x], {
        min: bounds[0] === undefined ? undefined : float(bounds[0]),
        max: bounds[1] === undefined ? undefined : float(bounds[1]),
      });
  b.output(y, dtype);
}

function pow(b: CaseBuilder): void {
  const [base, exponent] = b.opset < 12 ? [b.dtype(), undefined] : [b.dtype('T'), b.dtype('T1')];
  const [, left, right] = drawBroadcastable(b.draws, 2);
  b.allow({ ulps: 12 });
  const isWhole = !isFloat(base);
  const wholeKinds: readonly ValueKind[] = b.isPeer ? ['small', 'unit'] : ['small', 'unit', 'wide', 'special'];
  const x = b.random(base, left, isWhole ? wholeKinds : ['small', 'unit', 'normal', 'special', 'positive', 'wide']);
  const type = exponent ?? base;
  const isSigned = !type.startsWith('u');
  const whole = drawIntegers(b.draws, type, right, isSigned && !isWhole && b.draws.coin() ? -4 : 0, 4);
  const isSpecial = isFloat(type) && !isWhole && b.draws.coin();
  const y = isSpecial ? b.random(type, right, ['unit', 'normal', 'special']) : b.operand(whole);
  b.output(b.op('Pow', [x, y]), base);
}

function where(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [, condition, left, right] = drawBroadcastable(b.draws, 3);
  const inputs = [b.random('bool', condition), b.random(dtype, left, allKinds), b.random(dtype, right, allKinds)];
  b.output(b.op('Where', inputs), dtype);
}

function prelu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [whole, slope] = drawBroadcastable(b.draws, 1);
  b.output(b.op('PRelu', [b.random(dtype, whole, allKinds), b.random(dtype, slope, allKinds)]), dtype);
}

function shrink(b: CaseBuilder): void {
  const dtype = b.dtype();
  const x = b.random(dtype, drawShape(b.draws), ['small', 'unit', 'normal', 'special']);
  b.allow({ ulps: 1 });
  b.output(b.op('Shrink', [x], { ...oneOf('bias', [0, 0.5, 1])(b), ...oneOf('lambd', [0.5, 1, 0])(b) }), dtype);
}

function bitShift(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [, left, right] = drawBroadcastable(b.draws, 2);
  // More bits than there are leave 0.
  const most = Number(dtype.slice(4)) - (b.isPeer || b.draws.coin() ? 1 : -9);
  const amount = drawIntegers(b.draws, dtype, right, 0, most);
  const direction = b.draws.pick(['LEFT', 'RIGHT']);
  b.output(b.op('BitShift', [b.random(dtype, left, allKinds), b.operand(amount)], { direction }), dtype);
}

function isInf(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const attributes = {
    detect_positive: b.draws.maybe(() => b.draws.below(2)),
    detect_negative: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('IsInf', [b.random(dtype, drawShape(b.draws), allKinds)], attributes), 'bool');
}

function swiglu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [, left, right] = drawBroadcastable(b.draws, 2);
  b.allow({ ulps: 12, absolute: 1e-34 });
  const inputs = [b.random(dtype, left, bounded), b.random(dtype, right, bounded)];
  b.output(b.op('SwiGLU', inputs, oneOf('alpha', alphas)(b)), dtype);
}

export const elementwise: Family = {
  name: 'elementwise',
  cases: {
    ...Object.fromEntries(exactUnary.map((op) => [op, unary(op)])),
    ...Object.fromEntries(Object.entries(inexactUnary).map(([op, options]) => [op, unary(op, options)])),
    Identity: (b) => unary('Identity', { constraint: b.opset >= 14 ? 'V' : 'T' })(b),
    Clip: clip,
    Shrink: shrink,
    PRelu: prelu,
    Pow: pow,
    Where: where,
    Add: pair('Add'),
    Sub: pair('Sub'),
    Mul: pair('Mul'),
    Div: quotient('Div'),
    Mod: quotient('Mod', (b, dtype) => ({ fmod: isFloat(dtype) ? 1 : b.draws.maybe(() => b.draws.below(2)) })),
    Sum: variadic('Sum', 2),
    Mean: variadic('Mean', 3),
    Min: variadic('Min'),
    Max: variadic('Max'),
    SwiGLU: swiglu,
  },
};

export const logic: Family = {
  name: 'logic',
  cases: {
    Not: (b) => b.output(b.op('Not', [b.random('bool', drawShape(b.draws))]), 'bool'),
    And: pair('And', 'bool'),
    Or: pair('Or', 'bool'),
    Xor: pair('Xor', 'bool'),
    Equal: pair('Equal', 'bool'),
    Greater: pair('Greater', 'bool'),
    GreaterOrEqual: pair('GreaterOrEqual', 'bool'),
    Less: pair('Less', 'bool'),
    LessOrEqual: pair('LessOrEqual', 'bool'),
    IsNaN: unary('IsNaN', { result: 'bool', constraint: 'T1' }),
    IsInf: isInf,
    BitwiseAnd: pair('BitwiseAnd'),
    BitwiseOr: pair('BitwiseOr'),
    BitwiseXor: pair('BitwiseXor'),
    BitwiseNot: unary('BitwiseNot'),
    BitShift: bitShift,
  },
};

/** Integers in the float range of a type, so that conversions are defined. */
function castable(b: CaseBuilder, from: DType, to: DType): string {
  const shape = drawShape(b.draws);
  if (isFloat(from) && !isFloat(to) && to !== 'bool')
    return b.operand(drawFloats(b.draws, from, shape, to.startsWith('u') ? 0 : -2, 2));
  return b.random(from, shape, allKinds);
}

const numeric = (dtype: DType): boolean => dtype !== 'string' && !dtype.startsWith('complex');

export const casts: Family = {
  name: 'cast',
  cases: {
    Cast(b) {
      const from = b.dtype(b.dtypes('T1').filter(numeric));
      const to = b.dtype(b.dtypes('T2').filter(numeric));
      const saturate = b.opset >= 19 && to.startsWith('float8') ? b.draws.maybe(() => b.draws.below(2)) : undefined;
      b.output(b.op('Cast', [castable(b, from, to)], { to: codeOf(to), saturate }), to);
    },
    'Cast#text'(b) {
      const types = b.dtypes('T1').filter((dtype) => numeric(dtype) && !dtype.startsWith('float4'));
      const from = b.dtype(types);
      b.output(
        b.op('Cast', [b.random(from, drawShape(b.draws), ['small', 'unit', 'normal'])], { to: codeOf('string') }),
      );
    },
    CastLike(b) {
      const from = b.dtype(b.dtypes('T1').filter(numeric));
      const to = b.dtype(b.dtypes('T2').filter(numeric));
      b.output(b.op('CastLike', [castable(b, from, to), b.random(to, [b.draws.below(3)])]), to);
    },
    BitCast(b) {
      const from = b.dtype(b.dtypes('T1').filter(numeric));
      const to = b.dtype(b.dtypes('T2').filter((dtype) => numeric(dtype) && bits(dtype) === bits(from)));
      b.output(
        b.op('BitCast', [b.random(from, drawShape(b.draws), ['small', 'unit', 'normal', 'wide'])], { to: codeOf(to) }),
      );
    },
  },
};
