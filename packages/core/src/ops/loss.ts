// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.

import {
  boundedIndex,
  cast,
  constant,
  type Dim,
  type DType,
  div,
  type Expr,
  eq,
  mul,
  neg,
  type Stage,
  select,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, int, type LowerContext, type NodeContext, string } from './define.ts';
import { expectEqual, expectFloat, expectRank } from './expect.ts';
import { Rows } from './rows.ts';
import { logSoftmaxStages } from './softmax.ts';

const [scores, target, weight] = [0, 1, 2];

type LossNode = NodeContext & {
  readonly attributes: { readonly ignore_index: number | undefined; readonly reduction: string };
};

/** Scores are [batch, classes, …], targets [batch, …], weights [classes]. */
function lossShape(ctx: LossNode): readonly Dim[] {
  const shape = expectRank(ctx, scores, 2, Infinity);
  const targets = expectRank(ctx, target, shape.length - 1);
  const [batch, classes, ...rest] = shape;
  [batch, ...rest].forEach((size, axis) => {
    expectEqual(ctx, size, targets[axis], `axis ${axis} of the target and of the scores without classes`);
  });
  if (ctx.hasInput(weight)) expectEqual(ctx, expectRank(ctx, weight, 1)[0], classes, 'the weights and the classes');
  const { reduction } = ctx.attributes;
  if (!['none', 'mean', 'sum'].includes(reduction)) {
    ctx.fail(`reduction "${reduction}" is not one of none, mean, sum.`);
  }
  return reduction === 'none' ? targets : [];
}

/**
 * −weight[t] · p[n, t, …] for each target t, which `ignore_index` makes 0; summed or averaged by weight.
 * @param probability element of the log-probabilities in the compute type
 */
function lossStages(ctx: LowerContext & LossNode, dtype: DType, probability: (index: readonly Expr[]) => Expr): Stage {
  const wide = computeType(dtype);
  const { ignore_index: ignored, reduction } = ctx.attributes;
  const labels = ctx.input(target);
  const classes = ctx.shape(scores)[1];
  /** A value that depends on the target class, 0 where the target is ignored. */
  const perTarget = (index: readonly Expr[], value: (label: Expr) => Expr): Expr => {
    const label = ctx.at(labels, index);
    if (ignored === undefined) return value(boundedIndex(toIndex(label), classes));
    const isIgnored = eq(label, ignored);
    const safe = boundedIndex(toIndex(select(isIgnored, 0, label)), classes);
    return select(isIgnored, constant(wide, 0), value(safe));
  };
  const weightOf = (label: Expr): Expr =>
    ctx.hasInput(weight) ? cast(wide, ctx.at(ctx.input(weight), [label])) : constant(wide, 1);
  const loss = (index: readonly Expr[]): Expr =>
    perTarget(index, (label) => {
      const [batch, ...rest] = index;
      return mul(neg(probability([batch, label, ...rest])), weightOf(label));
    });
  if (reduction === 'none') return ctx.map(dtype, labels.shape, (index) => cast(dtype, loss(index)));
  const total = ctx.reduce('sum', wide, [], labels.shape, (_, index) => loss(index), { name: 'loss_total' });
  if (reduction === 'sum') return ctx.map(dtype, [], () => cast(dtype, ctx.at(total, [])));
  const weights = ctx.reduce('sum', wide, [], labels.shape, (_, index) => perTarget(index, weightOf), {
    name: 'weight_total',
  });
  return ctx.map(dtype, [], () => cast(dtype, div(ctx.at(total, []), ctx.at(weights, []))));
}

const attributes = { ignore_index: int(), reduction: string('mean') };

export const NegativeLogLikelihoodLoss = defineOperator({
  name: 'NegativeLogLikelihoodLoss',
  since: 12,
  attributes,
  infer: (ctx) => [tensorType(expectFloat(ctx, scores), lossShape(ctx))],
  lower(ctx) {
    const x = ctx.input(scores);
    const wide = computeType(x.dtype);
    return lossStages(ctx, x.dtype, (index) => cast(wide, ctx.at(x, index)));
  },
});

export const SoftmaxCrossEntropyLoss = defineOperator({
  name: 'SoftmaxCrossEntropyLoss',
  since: 12,
  attributes,
  infer(ctx) {
    const dtype = expectFloat(ctx, scores);
    return [tensorType(dtype, lossShape(ctx)), tensorType(dtype, ctx.shape(scores))];
  },
  lower(ctx) {
    const x = ctx.input(scores);
    const wide = computeType(x.dtype);
    const rows = new Rows(ctx, x.shape, [1]);
    const stages = logSoftmaxStages(ctx, rows, x.dtype, (index) => cast(wide, ctx.at(x, index)));
    const loss = lossStages(ctx, x.dtype, (index) => cast(wide, rows.element(stages, index)));
    return [loss, ctx.hasOutput(1) ? rows.restore(stages) : undefined];
  },
});
