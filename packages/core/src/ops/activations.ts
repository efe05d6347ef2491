// Activation functions. Formulas follow the ONNX operator reference unless a comment says otherwise; where the reference
// would overflow or cancel, an equal one that does not is used.

import {
  abs,
  add,
  div,
  type Expr,
  erf,
  exp,
  gt,
  le,
  lt,
  max,
  min,
  mul,
  neg,
  select,
  sigmoid,
  sub,
  tanh,
  unary,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, float, string } from './define.ts';
import { expectEqual, expectRank } from './expect.ts';
import { inRealNumbers } from './math.ts';
import { floats, numbers, pair, pointwise, requireSameDType, requireStretchable, signedIntegers } from './pointwise.ts';

const expm1 = (x: Expr): Expr => unary('expm1', x);
const log1p = (x: Expr): Expr => unary('log1p', x);

export const Relu = pointwise('Relu', { since: 1, dtypes: [...floats, ...signedIntegers] }, (x) => max(x, 0));

export const LeakyRelu = pointwise('LeakyRelu', { since: 1, attributes: { alpha: float(0.01) } }, (x, { alpha }) =>
  select(lt(x, 0), mul(x, alpha), x),
);

export const ThresholdedRelu = pointwise(
  'ThresholdedRelu',
  { since: 10, attributes: { alpha: float(1) } },
  (x, { alpha }) => select(gt(x, alpha), x, 0),
);

export const Elu = pointwise('Elu', { since: 1, attributes: { alpha: float(1) } }, (x, { alpha }) =>
  select(lt(x, 0), mul(expm1(x), alpha), x),
);

export const Selu = pointwise(
  'Selu',
  { since: 1, attributes: { alpha: float(1.6732632423543772), gamma: float(1.0507009873554805) } },
  (x, { alpha, gamma }) => mul(select(le(x, 0), mul(expm1(x), alpha), x), gamma),
);

/** max(0, x) + min(0, α(exp(x / α) − 1)): for any sign of α, one of the two terms is 0. */
export const Celu = pointwise('Celu', { since: 12, attributes: { alpha: float(1) } }, (x, { alpha }) =>
  select(lt(x, 0), mul(expm1(div(x, alpha)), alpha), x),
);

export const HardSigmoid = pointwise(
  'HardSigmoid',
  { since: 1, attributes: { alpha: float(0.2), beta: float(0.5) } },
  (x, { alpha, beta }) => hardSigmoid(x, alpha, beta),
);

export const HardSwish = pointwise('HardSwish', { since: 14 }, (x) => mul(x, hardSigmoid(x, 1 / 6, 0.5)));

function hardSigmoid(x: Expr, alpha: number, beta: number): Expr {
  return max(min(add(mul(x, alpha), beta), 1), 0);
}

export const Softplus = pointwise('Softplus', { since: 1 }, softplus);
export const Softsign = pointwise('Softsign', { since: 1 }, (x) => div(x, add(abs(x), 1)));
export const Mish = pointwise('Mish', { since: 18 }, (x) => mul(x, tanh(softplus(x))));

/** log(1 + exp(x)) without overflow for large x. */
function softplus(x: Expr): Expr {
  return add(max(x, 0), log1p(exp(neg(abs(x)))));
}

export const Swish = pointwise('Swish', { since: 24, attributes: { alpha: float(1) } }, (x, { alpha }) =>
  swish(x, alpha),
);

/** x · sigmoid(αx) */
export function swish(x: Expr, alpha: number): Expr {
  return mul(x, sigmoid(alpha === 1 ? x : mul(x, alpha)));
}

/** The first input is the gate, which passes through Swish. */
export const SwiGLU = pair(
  'SwiGLU',
  { since: 28, dtypes: floats, attributes: { alpha: float(1) } },
  (gate, x, { alpha }) => mul(swish(gate, alpha), x),
);

export const Gelu = pointwise(
  'Gelu',
  { since: 20, attributes: { approximate: string('none') }, choices: { approximate: ['none', 'tanh'] } },
  (x, { approximate }) => (approximate === 'tanh' ? tanhGelu(x) : gelu(x)),
);

/** x · Φ(x), Φ being the normal distribution function. */
export function gelu(x: Expr): Expr {
  return mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1));
}

/** Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016): the approximation by tanh. */
export function tanhGelu(x: Expr): Expr {
  const inner = mul(mul(x, add(mul(mul(x, x), 0.044715), 1)), Math.sqrt(2 / Math.PI));
  return mul(mul(x, 0.5), add(tanh(inner), 1));
}

/** Integers are compared with the threshold as real numbers, and the result is truncated. */
export const Shrink = pointwise(
  'Shrink',
  { since: 9, dtypes: numbers, attributes: { bias: float(0), lambd: float(0.5) } },
  (x, { bias, lambd }) =>
    inRealNumbers(x, (real) => select(lt(real, -lambd), add(real, bias), select(gt(real, lambd), sub(real, bias), 0))),
);

const reluTypes = [...floats, 'int32', 'int64', 'uint32', 'uint64'] as const;

function prelu(x: Expr, slope: Expr): Expr {
  return select(lt(x, 0), mul(x, slope), x);
}

export const PRelu = [
  // Up to opset 6 the slope has one element, or one for each channel (axis 1).
  defineOperator({
    name: 'PRelu',
    since: 1,
    infer(ctx) {
      const dtype = requireSameDType(ctx, [0, 1], reluTypes);
      const [[size], x] = [expectRank(ctx, 1, 0, 1), ctx.shape(0)];
      if (size && !size.is(1)) {
        expectEqual(
          ctx,
          size,
          expectRank(ctx, 0, 1, Infinity)[x.length > 1 ? 1 : 0],
          'the numbers of slopes and channels',
        );
      }
      return [tensorType(dtype, x)];
    },
    lower(ctx) {
      const shape = ctx.outputShape(0);
      const [size] = ctx.shape(1);
      const isShared = ctx.rank(1) === 0 || size.is(1);
      return ctx.map(ctx.outputDType(0), shape, (index) => {
        const channel = isShared ? 0 : (index[1] ?? index[0]);
        return prelu(ctx.at(0, index), ctx.at(1, ctx.rank(1) === 0 ? [] : [channel]));
      });
    },
  }),
  // Since opset 7 the slope is stretched to the shape of X.
  defineOperator({
    name: 'PRelu',
    since: 7,
    infer(ctx) {
      const dtype = requireSameDType(ctx, [0, 1], reluTypes);
      requireStretchable(ctx, ctx.shape(1), ctx.shape(0));
      return [tensorType(dtype, ctx.shape(0))];
    },
    lower(ctx) {
      const shape = ctx.outputShape(0);
      return ctx.map(ctx.outputDType(0), shape, (index) => prelu(ctx.at(0, index), ctx.broadcastAt(1, index, shape)));
    },
  }),
];
