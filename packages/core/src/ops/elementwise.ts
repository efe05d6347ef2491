// Arithmetic on two or more tensors, and the pointwise operators that are neither plain functions (math.ts) nor
// activations (activations.ts).

import {
  add,
  bitsOf,
  cast,
  type Dim,
  type DType,
  div,
  type Expr,
  isFloat,
  max,
  min,
  mod,
  mul,
  pow,
  rem,
  select,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext } from './define.ts';
import {
  anything,
  broadcastMap,
  floats,
  likeInput,
  numbers,
  pair,
  pairSinceOpset1,
  requireDType,
  requireSameDType,
  variadic,
} from './pointwise.ts';
import { knownScalar } from './small-tensor.ts';
import { mapContents, truncatingQuotient } from './symbolic.ts';

export const Add = pairSinceOpset1('Add', { symbolic: (a, b) => a.add(b) }, add);
export const Sub = pairSinceOpset1('Sub', { symbolic: (a, b) => a.sub(b) }, sub);
export const Mul = pairSinceOpset1('Mul', { symbolic: (a, b) => a.mul(b) }, mul);
/** Integers are divided toward zero. */
export const Div = pairSinceOpset1('Div', { symbolic: symbolicQuotient }, div);

function symbolicQuotient(a: Dim, b: Dim, _attributes: unknown, dtype: DType): Dim | undefined {
  return isFloat(dtype) ? a.divideExactly(b) : truncatingQuotient(a, b);
}

/** The remainder has the sign of the divisor (Python's %), or with `fmod` that of the dividend (C's fmod). */
export const Mod = pair(
  'Mod',
  {
    since: 10,
    attributes: { fmod: int(0) },
    symbolic: (a, b, { fmod }) => (fmod === 0 || (a.lowerBound >= 0 && b.lowerBound >= 0) ? a.mod(b) : undefined),
  },
  (a, b, { fmod }) => (fmod === 0 ? mod(a, b) : rem(a, b)),
);

const addAll = (operands: readonly Expr[]): Expr => operands.reduce((sum, x) => add(sum, x));

export const Sum = variadic('Sum', { since: 1, dtypes: floats }, addAll);
export const Mean = variadic('Mean', { since: 1, dtypes: floats }, (operands) =>
  div(addAll(operands), operands.length),
);
export const Min = variadic('Min', { since: 1, dtypes: numbers, symbolic: (a, b) => a.min(b) }, (operands) =>
  operands.reduce((least, x) => min(least, x)),
);
export const Max = variadic('Max', { since: 1, dtypes: numbers, symbolic: (a, b) => a.max(b) }, (operands) =>
  operands.reduce((greatest, x) => max(greatest, x)),
);

const [powSinceOpset1] = pairSinceOpset1('Pow', { dtypes: floats }, pow);

export const Pow = [
  powSinceOpset1,
  defineOperator({
    name: 'Pow',
    since: 7,
    infer(ctx) {
      const dtype = requireDType(ctx, 0, numbers);
      requireDType(ctx, 1, numbers);
      return [tensorType(dtype, ctx.broadcast(ctx.shape(0), ctx.shape(1)))];
    },
    lower(ctx) {
      const exponent = knownScalar(ctx, 1);
      return broadcastMap(ctx, ([x, y]) => (exponent !== undefined && fixedPower(x, exponent)) || power(x, y));
    },
  }),
];

/** Powers that have a cheaper name. √x differs from x^½ only at −∞, where it is NaN. */
function fixedPower(x: Expr, exponent: number): Expr | undefined {
  if (exponent === 1) return x;
  if (exponent === 2) return mul(x, x);
  if (exponent === 3) return mul(mul(x, x), x);
  if (!isFloat(x.type)) return undefined;
  if (exponent === 0.5) return sqrt(x);
  return exponent === -1 ? div(1, x) : undefined;
}

/**
 * The result has the type of the base. Floats are computed in the wider of both types; an integer raised to a fraction
 * in float64, and truncated.
 */
function power(x: Expr, y: Expr): Expr {
  if (x.type === y.type) return pow(x, y);
  const common = powerType(x.type as DType, y.type as DType);
  return cast(x.type, pow(cast(common, x), cast(common, y)));
}

function powerType(base: DType, exponent: DType): DType {
  if (!isFloat(base)) return isFloat(exponent) ? 'float64' : 'int64';
  if (!isFloat(exponent) || bitsOf(exponent) < bitsOf(base)) return base;
  return bitsOf(exponent) > bitsOf(base) ? exponent : 'float32';
}

const greatestFloat32 = 3.4028234663852886e38;

export const Clip = [
  clipByAttributes(1, undefined),
  clipByAttributes(6, greatestFloat32),
  defineOperator({
    name: 'Clip',
    since: 11,
    infer(ctx) {
      const bounds = [1, 2].filter((index) => ctx.hasInput(index));
      const dtype = requireSameDType(ctx, [0, ...bounds], numbers);
      for (const index of bounds) {
        if (
          ctx.rank(index) > 0 &&
          ctx.shape(index).some((size) => size.constant !== undefined && size.constant !== 1)
        ) {
          ctx.fail(`input ${index} must be a scalar.`);
        }
      }
      return [likeInput(ctx, 0, dtype)];
    },
    contents(ctx) {
      const bounds = [1, 2].filter((index) => ctx.hasInput(index));
      return mapContents(ctx, [0, ...bounds], ctx.dtype(0), (x, first, second) => {
        const least = ctx.hasInput(1) ? first : undefined;
        const greatest = ctx.hasInput(2) ? (second ?? first) : undefined;
        const raised = least ? x.max(least) : x;
        return greatest ? raised.min(greatest) : raised;
      });
    },
    lower(ctx) {
      const least = ctx.hasInput(1) ? ctx.scalar(1) : undefined;
      const greatest = ctx.hasInput(2) ? ctx.scalar(2) : undefined;
      return clip(ctx, least, greatest);
    },
  }),
];

/** Up to opset 10. A missing bound is `limit` or its negative; float16 has no value beyond that one. */
function clipByAttributes(since: number, limit: number | undefined) {
  return defineOperator({
    name: 'Clip',
    since,
    attributes: { min: float(), max: float() },
    infer: (ctx) => [likeInput(ctx, 0, requireDType(ctx, 0, floats))],
    lower(ctx) {
      const fallback = ctx.dtype(0) === 'float16' ? undefined : limit;
      const least = ctx.attributes.min ?? (fallback && -fallback);
      return clip(ctx, least, ctx.attributes.max ?? fallback);
    },
  });
}

/** Where the bounds cross, the upper one wins. */
function clip(ctx: LowerContext, least: Expr | number | undefined, greatest: Expr | number | undefined) {
  return ctx.map(ctx.outputDType(0), ctx.outputShape(0), (index) => {
    const x = ctx.at(0, index);
    const raised = least === undefined ? x : max(x, least);
    return greatest === undefined ? raised : min(raised, greatest);
  });
}

export const Where = defineOperator({
  name: 'Where',
  since: 9,
  infer(ctx) {
    requireDType(ctx, 0, ['bool']);
    const dtype = requireSameDType(ctx, [1, 2], anything);
    return [tensorType(dtype, ctx.broadcast(ctx.shape(0), ctx.shape(1), ctx.shape(2)))];
  },
  contents: (ctx) =>
    mapContents(ctx, [0, 1, 2], ctx.dtype(1), (condition, x, y) => {
      if (condition.constant !== undefined) return condition.is(0) ? y : x;
      return x.equals(y) ? x : undefined;
    }),
  lower: (ctx) => broadcastMap(ctx, ([condition, x, y]) => select(condition, x, y)),
});

export const Identity = defineOperator({
  name: 'Identity',
  since: 1,
  infer: (ctx) => [ctx.type(0)],
  contents: (ctx: NodeContext) => ctx.contents(0),
  lower: (ctx) => ctx.input(0),
  evaluateOnHost: (ctx) => ctx.hostValue(0)!,
});
