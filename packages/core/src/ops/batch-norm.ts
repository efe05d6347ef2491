// Norms whose scale and bias belong to channels: BatchNormalization, InstanceNormalization, GroupNormalization.

import {
  add,
  cast,
  constant,
  Dim,
  type DType,
  div,
  type Expr,
  mul,
  type Source,
  type Stage,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext, required } from './define.ts';
import { expectEqual, expectFloat, expectRank } from './expect.ts';
import { layerStatistics, normalized, rowMoments } from './normalize.ts';
import { Rows } from './rows.ts';

/** Checks that inputs 1, 2, … hold one number for each channel (axis 1 of input 0). */
function expectPerChannel(ctx: NodeContext, inputs: readonly number[]): void {
  const channels = expectRank(ctx, 0, 2, Infinity)[1];
  for (const input of inputs) {
    expectEqual(ctx, expectRank(ctx, input, 1)[0], channels, `the size of input ${input} and the channels of X`);
  }
}

const allButChannels = (shape: readonly Dim[]): readonly number[] =>
  shape.map((_, axis) => axis).filter((axis) => axis !== 1);

type Parameter = (input: number, index: readonly Expr[]) => Expr;

/** (x − mean) · scale / √(variance + ε) + bias */
function affine(
  x: Expr,
  parts: { readonly scale: Expr; readonly bias: Expr; readonly mean: Expr; readonly variance: Expr },
  epsilon: number,
): Expr {
  const factor = div(parts.scale, sqrt(add(parts.variance, epsilon)));
  return add(mul(sub(x, parts.mean), factor), parts.bias);
}

/** Normalises by the running mean and variance: a map that fuses with the convolution before it. */
function lowerInference(ctx: LowerContext, epsilon: number, isPerActivation: boolean): Stage {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const parameter: Parameter = (input, index) =>
    cast(wide, ctx.at(ctx.input(input), isPerActivation ? index.slice(1) : [index[1] ?? constant('index', 0)]));
  return ctx.map(x.dtype, x.shape, (index) => {
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((input) => parameter(input, index));
    return cast(x.dtype, affine(cast(wide, ctx.at(x, index)), { scale, bias, mean, variance }, epsilon));
  });
}

/** Normalises by the moments of the batch, and moves the running moments towards them. */
function lowerTraining(ctx: LowerContext, epsilon: number, momentum: number): readonly (Stage | undefined)[] {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const rows = new Rows(ctx, x.shape, allButChannels(x.shape));
  const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(x, index));
  const { mean, variance } = rowMoments(ctx, rows, value, wide);
  const result = rows.map(x.dtype, (index) => {
    const [scale, bias] = [1, 2].map((input) => cast(wide, ctx.at(ctx.input(input), [index[1]])));
    const moments = { mean: rows.perRow(mean, index), variance: rows.perRow(variance, index) };
    return cast(x.dtype, affine(value(index), { scale, bias, ...moments }, epsilon));
  });
  const running = (input: number, current: Stage, output: number): Stage | undefined => {
    if (!ctx.hasOutput(output)) return undefined;
    const dtype = ctx.dtype(input);
    return ctx.map(dtype, current.shape, (channel) => {
      const before = mul(cast(wide, ctx.at(ctx.input(input), channel)), momentum);
      return cast(dtype, add(before, mul(ctx.at(current, channel), 1 - momentum)));
    });
  };
  const saved = (current: Stage): Stage =>
    ctx.map(x.dtype, current.shape, (channel) => cast(x.dtype, ctx.at(current, channel)));
  return [
    rows.restore(result),
    running(3, mean, 1),
    running(4, variance, 2),
    ctx.hasOutput(3) ? saved(mean) : undefined,
    ctx.hasOutput(4) ? saved(variance) : undefined,
  ];
}

// Versions 1 to 9: more than one output means training. `spatial` = 0 gives every activation its own statistics.
export const BatchNormalization1 = defineOperator({
  name: 'BatchNormalization',
  since: 1,
  attributes: { epsilon: float(1e-5), momentum: float(0.9), spatial: int(1) },
  infer(ctx) {
    const shape = ctx.shape(0);
    const dtype = expectFloat(ctx, 0);
    if (ctx.attributes.spatial) expectPerChannel(ctx, [1, 2, 3, 4]);
    else for (const input of [1, 2, 3, 4]) expectRank(ctx, input, Math.max(shape.length - 1, 0));
    const statistics = (input: number) => tensorType(ctx.dtype(input), ctx.shape(input));
    return [tensorType(dtype, shape), statistics(3), statistics(4), statistics(3), statistics(4)];
  },
  lower(ctx) {
    const { epsilon, momentum, spatial } = ctx.attributes;
    const isTraining = [1, 2, 3, 4].some((output) => ctx.hasOutput(output));
    if (!isTraining) return [lowerInference(ctx, epsilon, !spatial)];
    if (!spatial) return ctx.fail('training with spatial = 0 is not supported.');
    return lowerTraining(ctx, epsilon, momentum);
  },
});

export const BatchNormalization = defineOperator({
  name: 'BatchNormalization',
  since: 14,
  attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(0) },
  infer(ctx) {
    const shape = ctx.shape(0);
    const dtype = expectFloat(ctx, 0);
    // A vector has one channel.
    if (shape.length === 1 && !ctx.attributes.training_mode)
      for (const input of [1, 2, 3, 4]) expectRank(ctx, input, 1);
    else expectPerChannel(ctx, [1, 2, 3, 4]);
    const statistics = (input: number) => tensorType(ctx.dtype(input), ctx.shape(input));
    return [tensorType(dtype, shape), statistics(3), statistics(4)];
  },
  lower(ctx) {
    const { epsilon, momentum, training_mode } = ctx.attributes;
    if (training_mode) return lowerTraining(ctx, epsilon, momentum);
    // Running moments that are asked for outside training are the given ones.
    return [lowerInference(ctx, epsilon, false), ctx.input(3), ctx.input(4)];
  },
});

export const InstanceNormalization = defineOperator({
  name: 'InstanceNormalization',
  since: 1,
  attributes: { epsilon: float(1e-5) },
  infer(ctx) {
    const shape = expectRank(ctx, 0, 3, Infinity);
    expectPerChannel(ctx, [1, 2]);
    return [tensorType(expectFloat(ctx, 0), shape)];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const lane = x.shape.map((_, axis) => axis).slice(2);
    const rows = new Rows(ctx, x.shape, lane);
    const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(x, index));
    const statistics = layerStatistics(ctx, rows, value, wide, { epsilon: ctx.attributes.epsilon, centres: true });
    return rows.map(x.dtype, (index) => {
      const y = normalized(rows, statistics, value(index), index);
      const [scale, bias] = [1, 2].map((input) => cast(wide, ctx.at(ctx.input(input), [index[1]])));
      return cast(x.dtype, add(mul(y, scale), bias));
    });
  },
});

export interface GroupNormInputs {
  readonly x: Source;
  readonly groups: number;
  readonly channelAxis: number;
  readonly epsilon: number;
  readonly dtype: DType;
  /** Applied to the normalised value in the compute type; `group` and `channel` (within the group) say where it is. */
  readonly finish: (y: Expr, group: Expr, channel: Expr) => Expr;
}

/** Norm over the channels of a group and all pixels. The channel axis is seen as two: group, channel within it. */
export function groupNorm(ctx: LowerContext, inputs: GroupNormInputs): Stage {
  const { x, groups, channelAxis, dtype } = inputs;
  const wide = computeType(x.dtype);
  const perGroup = x.shape[channelAxis].floorDiv(groups);
  const split = [...x.shape];
  split.splice(channelAxis, 1, Dim.constant(groups), perGroup);
  const grouped = ctx.view(x, split);
  const lane = split.map((_, axis) => axis).filter((axis) => axis !== 0 && axis !== channelAxis);
  const rows = new Rows(ctx, split, lane);
  const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(grouped, index));
  const statistics = layerStatistics(ctx, rows, value, wide, { epsilon: inputs.epsilon, centres: true });
  const result = rows.map(dtype, (index) => {
    const y = normalized(rows, statistics, value(index), index);
    return cast(dtype, inputs.finish(y, index[channelAxis], index[channelAxis + 1]));
  });
  return ctx.view(rows.restore(result), x.shape);
}

function inferGroupNorm(ctx: NodeContext, groups: number) {
  const shape = expectRank(ctx, 0, 3, Infinity);
  const channels = shape[1].constant;
  if (groups < 1) ctx.fail(`num_groups must be at least 1, not ${groups}.`);
  if (channels !== undefined && channels % groups !== 0) {
    ctx.fail(`${channels} channels cannot be split into ${groups} groups.`);
  }
  return [tensorType(expectFloat(ctx, 0), shape)];
}

const groupAttributes = { epsilon: float(1e-5), num_groups: required(int()), stash_type: int(1) };

function lowerGroupNorm(ctx: LowerContext, groups: number, epsilon: number, isPerGroup: boolean): Stage {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const perGroup = x.shape[1].floorDiv(groups);
  const [scale, bias] = [1, 2].map((input) => {
    const source = ctx.input(input);
    return isPerGroup ? source : ctx.view(source, [groups, perGroup]);
  });
  const finish = (y: Expr, group: Expr, channel: Expr): Expr => {
    const at = isPerGroup ? [group] : [group, channel];
    return add(mul(y, cast(wide, ctx.at(scale, at))), cast(wide, ctx.at(bias, at)));
  };
  return groupNorm(ctx, { x, groups, channelAxis: 1, epsilon, dtype: x.dtype, finish });
}

/** Version 18 had one scale and bias per group. */
export const GroupNormalization18 = defineOperator({
  name: 'GroupNormalization',
  since: 18,
  attributes: groupAttributes,
  infer: (ctx) => inferGroupNorm(ctx, ctx.attributes.num_groups),
  lower: (ctx) => lowerGroupNorm(ctx, ctx.attributes.num_groups, ctx.attributes.epsilon, true),
});

export const GroupNormalization = defineOperator({
  name: 'GroupNormalization',
  since: 21,
  attributes: groupAttributes,
  infer: (ctx) => inferGroupNorm(ctx, ctx.attributes.num_groups),
  lower: (ctx) => lowerGroupNorm(ctx, ctx.attributes.num_groups, ctx.attributes.epsilon, false),
});
