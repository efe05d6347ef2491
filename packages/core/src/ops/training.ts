// ai.onnx.preview.training: steps of optimisers, and Gradient, which the pass `differentiate` replaces.

import { add, cast, constant, div, type Expr, gt, mul, pow, type Source, select, sqrt, sub } from '@onnx-ts/tensor-ir';
import { defineOperator, float, type LowerContext, type NodeContext, required, string, strings } from './define.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from './expect.ts';
import { likeInput } from './pointwise.ts';

const domain = 'ai.onnx.preview.training';

/** Inputs: the learning rate R, the number T of earlier steps, and `roles` groups of tensors of equal length. */
const [rate, steps, firstTensor] = [0, 1, 2];

/** Number of tensors that are optimised: each has one input in every group. */
function tensorCount(ctx: NodeContext, roles: number): number {
  const count = (ctx.inputCount - firstTensor) / roles;
  if (!Number.isInteger(count) || count < 1) {
    ctx.fail(`its ${ctx.inputCount} inputs are not R, T and ${roles} inputs for each tensor.`);
  }
  return count;
}

/** What a step makes of one element: the new value, then the new accumulators. */
type Update = (x: Expr, gradient: Expr, accumulators: readonly Expr[], step: Step) => readonly Expr[];

interface Step {
  readonly rate: Expr;
  /** T in the type of the tensor. */
  readonly time: Expr;
  readonly isFirst: (whenFirst: Expr, otherwise: Expr) => Expr;
}

/** The gradient and the accumulators of a tensor, each `count` inputs further on, are like it. */
function expectOneShape(ctx: NodeContext, x: number, count: number): void {
  const shape = ctx.shape(x);
  for (let other = x + count; other < ctx.inputCount; other += count) {
    expectSameType(ctx, x, other);
    const sizes = expectRank(ctx, other, shape.length);
    sizes.forEach((size, axis) => {
      expectEqual(ctx, size, shape[axis], `sizes of inputs ${other} and ${x} along axis ${axis}`);
    });
  }
}

/** Groups of inputs: X, gradients, accumulators; groups of outputs: X, accumulators. */
function inferStep(ctx: NodeContext, accumulators: number) {
  const count = tensorCount(ctx, 2 + accumulators);
  for (let at = 0; at < count; at++) expectOneShape(ctx, firstTensor + at, count);
  const groups = [0, ...Array.from({ length: accumulators }, (_, at) => 2 + at)];
  return groups.flatMap((group) =>
    Array.from({ length: count }, (_, at) => {
      const input = firstTensor + group * count + at;
      expectFloat(ctx, input);
      return likeInput(ctx, input);
    }),
  );
}

function lowerStep(ctx: LowerContext, accumulators: number, update: Update): readonly Source[] {
  const count = tensorCount(ctx, 2 + accumulators);
  const results: Source[] = [];
  for (let at = 0; at < count; at++) {
    const inputs = Array.from({ length: 2 + accumulators }, (_, group) => ctx.input(firstTensor + group * count + at));
    const [{ dtype, shape }] = inputs;
    const time = ctx.scalar(steps);
    const step: Step = {
      rate: cast(dtype, ctx.scalar(rate)),
      time: cast(dtype, time),
      isFirst: (whenFirst, otherwise) => select(gt(time, 0), otherwise, whenFirst),
    };
    for (let output = 0; output <= accumulators; output++) {
      results[output * count + at] = ctx.map(dtype, shape, (index) => {
        const [x, gradient, ...rest] = inputs.map((input) => ctx.at(input, index));
        return update(x, gradient, rest, step)[output];
      });
    }
  }
  return results;
}

/** G′ = norm_coefficient · X + G; H′ = H + G′²; X′ = X − R / (1 + T · decay_factor) · G′ / (√H′ + ε) */
export const Adagrad = defineOperator({
  domain,
  name: 'Adagrad',
  since: 1,
  attributes: { decay_factor: float(0), epsilon: float(1e-6), norm_coefficient: float(0) },
  infer: (ctx) => inferStep(ctx, 1),
  lower(ctx) {
    const { decay_factor, epsilon, norm_coefficient } = ctx.attributes;
    return lowerStep(ctx, 1, (x, gradient, [squares], step) => {
      const slope = add(mul(x, norm_coefficient), gradient);
      const newSquares = add(squares, mul(slope, slope));
      const decayed = div(step.rate, add(mul(step.time, decay_factor), 1));
      return [sub(x, div(mul(decayed, slope), add(sqrt(newSquares), epsilon))), newSquares];
    });
  },
});

/**
 * G′ = norm_coefficient · X + G; V′ = α V + (1 − α) G′; H′ = β H + (1 − β) G′²;
 * X′ = (1 − norm_coefficient_post) · (X − r V′ / (√H′ + ε)), where r = R √(1 − βᵀ) / (1 − αᵀ), or R in the first step.
 */
export const Adam = defineOperator({
  domain,
  name: 'Adam',
  since: 1,
  attributes: {
    alpha: float(0.9),
    beta: float(0.999),
    epsilon: float(1e-6),
    norm_coefficient: float(0),
    norm_coefficient_post: float(0),
  },
  infer: (ctx) => inferStep(ctx, 2),
  lower(ctx) {
    const { alpha, beta, epsilon, norm_coefficient, norm_coefficient_post } = ctx.attributes;
    return lowerStep(ctx, 2, (x, gradient, [momentum, squares], step) => {
      const slope = add(mul(x, norm_coefficient), gradient);
      const newMomentum = add(mul(momentum, alpha), mul(slope, 1 - alpha));
      const newSquares = add(mul(squares, beta), mul(mul(slope, slope), 1 - beta));
      const missing = (factor: number): Expr => sub(1, pow(constant(step.time.type, factor), step.time));
      const corrected = div(mul(step.rate, sqrt(missing(beta))), missing(alpha));
      const size = step.isFirst(step.rate, corrected);
      const moved = sub(x, mul(size, div(newMomentum, add(sqrt(newSquares), epsilon))));
      return [mul(moved, 1 - norm_coefficient_post), newMomentum, newSquares];
    });
  },
});

/**
 * G′ = norm_coefficient · X + G; V′ = α V + β′ G′ with β′ = 1 in the first step and β later;
 * X′ = X − R V′ (standard), or X − R (G′ + α V′) (nesterov).
 */
export const Momentum = defineOperator({
  domain,
  name: 'Momentum',
  since: 1,
  attributes: {
    alpha: required(float()),
    beta: required(float()),
    mode: required(string()),
    norm_coefficient: required(float()),
  },
  infer(ctx) {
    const { mode } = ctx.attributes;
    if (mode !== 'standard' && mode !== 'nesterov') ctx.fail(`mode "${mode}" is not one of standard, nesterov.`);
    return inferStep(ctx, 1);
  },
  lower(ctx) {
    const { alpha, beta, mode, norm_coefficient } = ctx.attributes;
    return lowerStep(ctx, 1, (x, gradient, [momentum], step) => {
      const slope = add(mul(x, norm_coefficient), gradient);
      const weighted = step.isFirst(slope, mul(slope, beta));
      const newMomentum = add(mul(momentum, alpha), weighted);
      const direction = mode === 'nesterov' ? add(slope, mul(newMomentum, alpha)) : newMomentum;
      return [sub(x, mul(step.rate, direction)), newMomentum];
    });
  },
});

/** ∂y/∂x for every x of `xs`, at the values given for `xs` and `zs`. */
export const Gradient = defineOperator({
  domain,
  name: 'Gradient',
  since: 1,
  attributes: { xs: required(strings()), y: required(string()), zs: strings() },
  infer: (ctx) => (ctx.attributes.xs ?? []).map((_, at) => likeInput(ctx, at)),
  expand: (ctx) => ctx.fail('a gradient needs the graph around it, which is gone here.'),
});
