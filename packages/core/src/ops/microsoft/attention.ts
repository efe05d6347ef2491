// com.microsoft Attention: projection of one input to queries, keys and values, and attention over them.

import { add, Dim, type DType, dimension, type Expr, mul, type Stage } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, float, int, ints, type LowerContext, type NodeContext, required } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { attentionStages, defaultScale, mergeHeads } from '../scaled-dot-product.ts';
import { checkMasks, type MaskInputs, maskStages } from './attention-mask.ts';

export const projectedAttributes = {
  do_rotary: int(0),
  mask_filter_value: float(-10000),
  num_heads: required(int()),
  past_present_share_buffer: int(0),
  qkv_hidden_sizes: ints(),
  scale: float(),
  unidirectional: int(0),
};

export type ProjectedNode = NodeContext & {
  readonly attributes: {
    readonly do_rotary: number;
    readonly mask_filter_value: number;
    readonly num_heads: number;
    readonly past_present_share_buffer: number;
    readonly qkv_hidden_sizes?: readonly number[] | undefined;
    readonly scale: number | undefined;
    readonly unidirectional: number;
  };
};

/** Where the optional inputs of the operator are. */
export interface ProjectedInputs {
  readonly past: number;
  readonly mask: number;
  readonly attentionBias: number;
  /** Of a cache that is one buffer for past and present: how many of its positions are in use. */
  readonly pastLength?: number;
}

interface ProjectedSizes {
  readonly batch: Dim;
  readonly heads: Dim;
  readonly queries: Dim;
  readonly past: Dim;
  readonly keys: Dim;
  /** Positions that the cache after this node has room for. */
  readonly room: Dim;
  /** Columns of the projection for queries (and as many for keys), and for values. */
  readonly hidden: Dim;
  readonly valueHidden: Dim;
  readonly headSize: Dim;
  readonly valueSize: Dim;
}

export function projectedSizes(ctx: ProjectedNode, inputs: ProjectedInputs): ProjectedSizes {
  const [batch, queries, features] = expectRank(ctx, 0, 3);
  const weights = expectRank(ctx, 1, 2);
  expectEqual(ctx, features, weights[0], 'the hidden size of the input and the rows of the weights');
  const heads = Dim.constant(ctx.attributes.num_heads);
  const given = ctx.attributes.qkv_hidden_sizes;
  if (given?.length && (given.length !== 3 || given[0] !== given[1])) {
    ctx.fail(`qkv_hidden_sizes must be three sizes of which the first two are equal, not [${given.join(', ')}].`);
  }
  const [hidden, valueHidden] = given?.length
    ? [Dim.constant(given[0]), Dim.constant(given[2])]
    : [weights[1].floorDiv(3), weights[1].floorDiv(3)];
  expectEqual(ctx, hidden.mul(2).add(valueHidden), weights[1], 'the columns of the weights and the hidden sizes');
  const cached = ctx.hasInput(inputs.past) ? expectRank(ctx, inputs.past, 5)[3] : Dim.constant(0);
  const past = pastLength(ctx, inputs) ?? cached;
  if (ctx.attributes.num_heads < 1) ctx.fail(`num_heads must be at least 1, not ${ctx.attributes.num_heads}.`);
  const [headSize, valueSize] = [hidden.floorDiv(heads), valueHidden.floorDiv(heads)];
  expectEqual(ctx, headSize.mul(heads), hidden, 'the features of all heads and the hidden size of queries and keys');
  expectEqual(ctx, valueSize.mul(heads), valueHidden, 'the features of all heads and the hidden size of values');
  const keys = past.add(queries);
  const room = ctx.attributes.past_present_share_buffer ? cached : keys;
  return { batch, heads, queries, past, keys, room, hidden, valueHidden, headSize, valueSize };
}

/** Positions of a shared buffer that are in use; undefined for a cache that grows. */
function pastLength(ctx: ProjectedNode, { past, pastLength: input }: ProjectedInputs): Dim | undefined {
  if (!ctx.attributes.past_present_share_buffer) return undefined;
  if (input === undefined) ctx.fail('past_present_share_buffer is not supported here.', 'Use a cache that grows.');
  if (!ctx.hasInput(past) || !ctx.hasInput(input)) {
    ctx.fail('past_present_share_buffer needs the inputs past and past_sequence_length.');
  }
  const [length] = ctx.contents(input) ?? [];
  if (!length) throw new NotKnownYet('past_sequence_length');
  return length;
}

export function inferProjected(ctx: ProjectedNode, inputs: ProjectedInputs, dtype: DType) {
  const { batch, heads, queries, room, valueHidden, headSize } = projectedSizes(ctx, inputs);
  if (ctx.attributes.do_rotary) ctx.fail('do_rotary is not supported here.', 'Apply RotaryEmbedding before.');
  checkMasks(ctx, { padding: inputs.mask, bias: inputs.attentionBias }, batch);
  return [
    tensorType(dtype, [batch, queries, valueHidden]),
    tensorType(dtype, [Dim.constant(2), batch, heads, room, headSize]),
  ];
}

/** Keys and values of the cache [2, batch, heads, past, size] followed by those of this node. */
function presentStage(ctx: LowerContext, sizes: ProjectedSizes, projected: Stage, inputs: ProjectedInputs): Stage {
  const { batch, heads, queries, past, keys, room, headSize, hidden } = sizes;
  const current = ([part, b, h, s, d]: readonly Expr[]): Expr => {
    const column = add(mul(add(part, 1), dimension(hidden)), add(mul(h, dimension(headSize)), d));
    return ctx.at(projected, [b, s, column]);
  };
  const shape = [Dim.constant(2), batch, heads, room, headSize];
  if (!ctx.hasInput(inputs.past)) return ctx.map(projected.dtype, shape, current);
  const stored = (index: readonly Expr[]): Expr => ctx.at(ctx.input(inputs.past), index);
  const beyond = (index: readonly Expr[]): Expr => stored(index.with(3, add(index[3], dimension(keys))));
  return ctx.segments(projected.dtype, shape, 3, [
    { length: past, body: stored },
    { length: queries, body: current },
    ...(room.equals(keys) ? [] : [{ length: room.sub(keys), body: beyond }]),
  ]);
}

/** Attention over a projection [batch, sequence, queries + keys + values]. */
export function lowerProjected(
  ctx: LowerContext & ProjectedNode,
  projected: Stage,
  inputs: ProjectedInputs,
): readonly (Stage | undefined)[] {
  const sizes = projectedSizes(ctx, inputs);
  const { hidden, headSize, valueSize } = sizes;
  const { dtype } = projected;
  const wide = computeType(dtype);
  const { mask_filter_value: filterValue, unidirectional, scale } = ctx.attributes;
  const heads = { kvHeads: sizes.heads, group: Dim.constant(1) };
  const needsPresent = ctx.hasInput(inputs.past) || ctx.hasOutput(1);
  const present = needsPresent ? presentStage(ctx, sizes, projected, inputs) : undefined;
  const columns = (first: Dim, size: Dim) => (b: Expr, head: Expr, s: Expr, d: Expr) =>
    ctx.at(projected, [b, s, add(dimension(first), add(mul(head, dimension(size)), d))]);
  const query = columns(Dim.constant(0), headSize);
  const cached = (part: number) => (b: Expr, head: Expr, s: Expr, d: Expr) => ctx.at(present!, [part, b, head, s, d]);
  const masks: MaskInputs = {
    padding: inputs.mask,
    bias: inputs.attentionBias,
    filterValue,
    isCausal: unidirectional !== 0,
  };
  const stages = attentionStages(ctx, {
    ...sizes,
    dtype,
    heads,
    q: (b, [head], s, d) => query(b, head, s, d),
    k: present ? cached(0) : columns(hidden, headSize),
    v: present ? cached(1) : columns(hidden.mul(2), valueSize),
    scale: scale || defaultScale(headSize, wide),
    ...maskStages(ctx, masks, { ...sizes, heads }, wide),
  });
  return [mergeHeads(ctx, stages.result, heads), present];
}

const [input, weights, bias] = [0, 1, 2];
const optional: ProjectedInputs = { mask: 3, past: 4, attentionBias: 5, pastLength: 6 };

export const MicrosoftAttention = defineOperator({
  domain: 'com.microsoft',
  name: 'Attention',
  since: 1,
  attributes: projectedAttributes,
  valueInputs: [6],
  infer: (ctx) => inferProjected(ctx, optional, expectSameType(ctx, input, weights, bias, optional.past)),
  lower(ctx) {
    const [x, w] = [ctx.input(input), ctx.input(weights)];
    const [batch, length] = x.shape;
    const shape = [batch, length, w.shape[1]];
    const product = ctx.reduce('sum', x.dtype, shape, [w.shape[0]], ([b, s, n], [k]) =>
      mul(ctx.at(x, [b, s, k]), ctx.at(w, [k, n])),
    );
    const projected = ctx.hasInput(bias)
      ? ctx.map(x.dtype, shape, (index) => add(ctx.at(product, index), ctx.at(ctx.input(bias), [index[2]])), 'bias')
      : product;
    return lowerProjected(ctx, projected, optional);
  },
});
