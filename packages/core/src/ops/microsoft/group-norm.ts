// com.microsoft GroupNorm and SkipGroupNorm: diffusion models' norm over channel groups, channels last by default,
// followed by SiLU.

import { add, cast, type Dim, type Expr, mul, type Source, type Stage, sigmoid } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { groupNorm } from '../batch-norm.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext, required } from '../define.ts';
import { expectEqual, expectFloat, expectRank } from '../expect.ts';

const attributes = {
  /** 0: none, 1: SiLU. */
  activation: required(int()),
  channels_last: int(1),
  epsilon: float(1e-5),
  groups: required(int()),
};

type GroupNode = NodeContext & {
  readonly attributes: {
    readonly activation: number;
    readonly channels_last: number;
    readonly epsilon: number;
    readonly groups: number;
  };
};

const channelAxisOf = (ctx: GroupNode): number => (ctx.attributes.channels_last ? 3 : 1);

function inferGroupNorm(ctx: GroupNode): readonly Dim[] {
  const shape = expectRank(ctx, 0, 4);
  const { groups, activation } = ctx.attributes;
  const channels = shape[channelAxisOf(ctx)];
  if (groups < 1 || (channels.constant !== undefined && channels.constant % groups !== 0)) {
    ctx.fail(`${channels} channels cannot be split into ${groups} groups.`);
  }
  if (activation !== 0 && activation !== 1) ctx.fail(`activation must be 0 or 1, not ${activation}.`);
  for (const input of [1, 2]) {
    expectEqual(ctx, expectRank(ctx, input, 1)[0], channels, `the size of input ${input} and the channels`);
  }
  return shape;
}

function lowerGroupNorm(ctx: LowerContext & GroupNode, x: Source): Stage {
  const { groups, epsilon, activation } = ctx.attributes;
  const wide = computeType(x.dtype);
  const channelAxis = channelAxisOf(ctx);
  const perGroup = x.shape[channelAxis].floorDiv(groups);
  const [gamma, beta] = [1, 2].map((input) => ctx.view(ctx.input(input), [groups, perGroup]));
  const finish = (y: Expr, group: Expr, channel: Expr): Expr => {
    const at = [group, channel];
    const result = add(mul(y, cast(wide, ctx.at(gamma, at))), cast(wide, ctx.at(beta, at)));
    return activation === 1 ? mul(result, sigmoid(result)) : result;
  };
  return groupNorm(ctx, { x, groups, channelAxis, epsilon, dtype: x.dtype, finish });
}

export const GroupNorm = defineOperator({
  domain: 'com.microsoft',
  name: 'GroupNorm',
  since: 1,
  attributes,
  infer: (ctx) => [tensorType(expectFloat(ctx, 0), inferGroupNorm(ctx))],
  lower: (ctx) => lowerGroupNorm(ctx, ctx.input(0)),
});

/** Normalises x + skip + bias, and also gives that sum. The skip may be one value for each image and channel. */
export const SkipGroupNorm = defineOperator({
  domain: 'com.microsoft',
  name: 'SkipGroupNorm',
  since: 1,
  attributes,
  infer(ctx) {
    const type = tensorType(expectFloat(ctx, 0), inferGroupNorm(ctx));
    return [type, type];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const channelAxis = channelAxisOf(ctx);
    const skip = ctx.input(3);
    const sum = ctx.map(
      x.dtype,
      x.shape,
      (index) => {
        const perImage = skip.shape.length === 2;
        const added = perImage ? ctx.at(skip, [index[0], index[channelAxis]]) : ctx.broadcastAt(skip, index, x.shape);
        const both = add(cast(wide, ctx.at(x, index)), cast(wide, added));
        const hasBias = ctx.hasInput(4);
        return cast(x.dtype, hasBias ? add(both, cast(wide, ctx.at(ctx.input(4), [index[channelAxis]]))) : both);
      },
      'sum',
    );
    return [lowerGroupNorm(ctx, sum), sum];
  },
});
