// com.microsoft attention for one new token at a time, made of MultiHeadAttention.

import { Dim } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, type ExpandContext, float, int, type NodeContext, required } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { requireDType } from '../pointwise.ts';

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
      if (width % 3 !== 0) ctx.fail(`a packed query of ${width} columns has no three equal parts.`);
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
    if (columns % 3 !== 0) ctx.fail(`weights of ${columns} columns have no three equal parts.`);
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

/** Flags of DecoderAttention, which are scalar inputs; undefined when one is not known yet. */
function decoderFlags(ctx: NodeContext) {
  const flags = [8, 9, 10, 11].map((input) => ctx.constant(input)?.data[0]);
  if (flags.includes(undefined)) return undefined;
  const [isStatic, usesPast, hasState, hasMask] = flags.map(Boolean);
  return { isStatic, hasCache: usesPast && hasState, hasMask };
}

/**
 * Attention of a decoder layer on [sequence, batch, hidden]. Keys and values are projected from the query, with
 * `static_kv` from the key; with `use_past` and `has_layer_state` they are appended to the caches, or with `static_kv`
 * the caches as they are. True entries of the mask [batch, keys] mark padding.
 */
export const DecoderAttention = defineOperator({
  domain,
  name: 'DecoderAttention',
  since: 1,
  // Padding is left out altogether, whatever filter value is given.
  attributes: { mask_filter_value: float(-10000), num_heads: required(int()) },
  valueInputs: [8, 9, 10, 11],
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 3, 4, 6, 7);
    for (const input of [5, 8, 9, 10, 11]) if (input > 5 || ctx.hasInput(input)) requireDType(ctx, input, ['bool']);
    const [length, batch, hidden] = expectRank(ctx, 0, 3);
    const [keyLength] = expectRank(ctx, 1, 3);
    const heads = Dim.constant(ctx.attributes.num_heads);
    const size = hidden.floorDiv(heads);
    expectEqual(ctx, size.mul(heads), hidden, 'the features of all heads and the hidden size');
    expectEqual(ctx, expectRank(ctx, 2, 2)[1], hidden, 'the columns of q_weight and the hidden size');
    expectEqual(ctx, expectRank(ctx, 3, 2)[1], hidden.mul(2), 'the columns of kv_weight and twice the hidden size');
    expectEqual(ctx, expectRank(ctx, 4, 1)[0], hidden.mul(3), 'the size of the bias and three times the hidden size');
    const flags = decoderFlags(ctx);
    if (flags?.hasCache) for (const cache of [6, 7]) expectRank(ctx, cache, 4);
    const cached = flags?.hasCache ? ctx.shape(6)[2] : Dim.constant(0);
    const own = flags?.isStatic ? (flags.hasCache ? Dim.constant(0) : keyLength) : length;
    const cache = tensorType(dtype, [batch, heads, flags ? cached.add(own) : ctx.freshDim('keys'), size]);
    return [tensorType(dtype, [length, batch, hidden]), cache, cache];
  },
  expand(ctx) {
    const [query, key, queryWeight, weight, bias, padding, keyCache, valueCache] = ctx.node.inputs;
    const flags = decoderFlags(ctx);
    if (!flags) throw new NotKnownYet('a flag');
    const { isStatic, hasCache, hasMask } = flags;
    const toHeads = (x: Value): Value => {
      const split = ctx.op('Reshape', [x, ctx.literal('int64', [0, 0, ctx.attributes.num_heads, -1])]);
      return ctx.op('Transpose', [split], { perm: [1, 2, 0, 3] });
    };
    const biases = ctx.ops('Split', [bias], 3, { axis: 0, num_outputs: 3 });
    const project = (x: Value | undefined, matrix: Value | undefined, part: number): Value =>
      toHeads(ctx.op('Add', [ctx.op('MatMul', [x, matrix]), biases[part]]));
    const weights = ctx.ops('Split', [weight], 2, { axis: 1, num_outputs: 2 });
    const [keys, values] = [keyCache, valueCache].map((cache, part) => {
      if (hasCache && isStatic) return cache;
      const own = project(isStatic ? key : query, weights[part], part + 1);
      return hasCache ? ctx.op('Concat', [cache, own], { axis: 2 }) : own;
    });
    const mask =
      hasMask && padding ? ctx.op('Unsqueeze', [ctx.op('Not', [padding]), ctx.literal('int64', [1, 2])]) : undefined;
    const result = ctx.op('Attention', [project(query, queryWeight, 0), keys, values, mask]);
    const joined = ctx.op('Transpose', [result], { perm: [2, 0, 1, 3] });
    return [ctx.op('Reshape', [joined, ctx.literal('int64', [0, 0, -1])]), keys, values];
  },
});
