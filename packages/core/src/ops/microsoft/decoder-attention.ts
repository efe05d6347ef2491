// com.microsoft attention for one new token at a time, made of MultiHeadAttention.

import { Dim } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, type ExpandContext, float, int, required } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';

const domain = 'com.microsoft';

const attributes = {
  mask_filter_value: float(-10000),
  num_heads: required(int()),
  past_present_share_buffer: int(0),
  scale: float(),
};

type DecoderContext = ExpandContext & {
  readonly attributes: {
    readonly mask_filter_value: number;
    readonly num_heads: number;
    readonly past_present_share_buffer: number;
    readonly scale: number | undefined;
  };
};

function multiHead(ctx: DecoderContext, inputs: readonly (Value | undefined)[], outputs: number): readonly Value[] {
  const { mask_filter_value, num_heads, scale } = ctx.attributes;
  const given = {
    mask_filter_value: { float: mask_filter_value },
    num_heads,
    ...(scale && { scale: { float: scale } }),
  };
  return ctx.ops('MultiHeadAttention', inputs, outputs, given, { domain });
}

/** Query, key and value that are one tensor [batch, sequence, queries + keys + values]; keys are as wide as queries. */
function splitColumns(ctx: ExpandContext, packed: Value, widths: readonly [number, number]): readonly Value[] {
  const [hidden, valueHidden] = widths;
  return ctx.ops('Split', [packed, ctx.literal('int64', [hidden, hidden, valueHidden])], 3, { axis: 2 });
}

/**
 * Inputs as MultiHeadAttention's in another order: query, key, value, mask, attention bias, past key and value, past length,
 * beam width, cache indirection, bias. Keys of a shared buffer are stored like all others, not in GPU kernels' own order.
 */
export const DecoderMaskedMultiHeadAttention = defineOperator({
  domain,
  name: 'DecoderMaskedMultiHeadAttention',
  since: 1,
  attributes: { ...attributes, output_qk: int(0) },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 4, 5, 6, 10);
    const [batch, queries, width] = expectRank(ctx, 0, 3);
    const heads = Dim.constant(ctx.attributes.num_heads);
    const past = ctx.hasInput(5) ? expectRank(ctx, 5, 4) : undefined;
    const isCross = ctx.hasInput(1) && ctx.rank(1) === 4;
    const hidden = ctx.hasInput(1) ? width : width.floorDiv(3);
    const value = ctx.hasInput(2) ? ctx.shape(2) : undefined;
    const valueHidden = isCross ? value![3].mul(heads) : (value?.[2] ?? hidden);
    const keys = isCross ? ctx.shape(1)[2] : (past?.[2] ?? Dim.constant(0)).add(queries);
    const room = ctx.attributes.past_present_share_buffer && past ? past[2] : keys;
    const total = ctx.attributes.past_present_share_buffer && !isCross ? ctx.freshDim('keys') : keys;
    return [
      tensorType(dtype, [batch, queries, valueHidden]),
      tensorType(dtype, [batch, heads, room, hidden.floorDiv(heads)]),
      tensorType(dtype, [batch, heads, room, valueHidden.floorDiv(heads)]),
      tensorType(dtype, [batch, heads, queries, total]),
    ];
  },
  expand(ctx) {
    const [query, key, value, mask, bias, pastKey, pastValue, length, , beams, projectionBias] = Array.from(
      { length: 11 },
      (_, at) => ctx.value(at),
    );
    const width = ctx.shape(0)[2].constant;
    const isShared = ctx.attributes.past_present_share_buffer !== 0;
    if (isShared && pastKey && !length) ctx.fail('past_present_share_buffer needs the input past_sequence_length.');
    let parts = [query, key, value];
    if (!key) {
      if (width === undefined) throw new NotKnownYet('width of a packed query');
      parts = [...splitColumns(ctx, query!, [width / 3, width / 3])];
    }
    const cache = [pastKey, pastValue, isShared ? length : undefined, beams];
    const last = [3, 2, 1].find((output) => ctx.hasOutput(output)) ?? 0;
    return multiHead(ctx, [...parts, projectionBias, mask, bias, ...cache], last + 1);
  },
});

/** Projection of one token by merged weights, then attention over a cache [2, batch, heads, positions, size]. */
export const DecoderMaskedSelfAttention = defineOperator({
  domain,
  name: 'DecoderMaskedSelfAttention',
  since: 1,
  attributes: { ...attributes, do_rotary: int(0) },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 4, 5);
    const [batch, queries] = expectRank(ctx, 0, 3);
    const columns = expectRank(ctx, 1, 2)[1];
    const past = expectRank(ctx, 4, 5);
    if (ctx.attributes.do_rotary) ctx.fail('do_rotary is not supported here.', 'Apply RotaryEmbedding before.');
    const room = ctx.attributes.past_present_share_buffer ? past[3] : past[3].add(queries);
    return [tensorType(dtype, [batch, queries, columns.floorDiv(3)]), tensorType(dtype, past.with(3, room))];
  },
  expand(ctx) {
    const [x, weights, bias, mask, past, attentionBias, length, , beams] = Array.from({ length: 9 }, (_, at) =>
      ctx.value(at),
    );
    const columns = ctx.shape(1)[1].constant;
    if (columns === undefined) throw new NotKnownYet('number of columns of the weights');
    const projected = ctx.op('Add', [ctx.op('MatMul', [x, weights]), bias]);
    const parts = splitColumns(ctx, projected, [columns / 3, columns / 3]);
    const [pastKey, pastValue] = [0, 1].map((at) => ctx.op('Gather', [past, ctx.literal('int64', at)], { axis: 0 }));
    const isShared = ctx.attributes.past_present_share_buffer !== 0;
    const cache = [pastKey, pastValue, isShared ? length : undefined, beams];
    const [result, key, value] = multiHead(ctx, [...parts, undefined, mask, attentionBias, ...cache], 3);
    const axis = ctx.literal('int64', [0]);
    const present = ctx.op('Concat', [ctx.op('Unsqueeze', [key, axis]), ctx.op('Unsqueeze', [value, axis])], {
      axis: 0,
    });
    return [result, present];
  },
});
