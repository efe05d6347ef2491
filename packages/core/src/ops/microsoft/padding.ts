// com.microsoft operators on batches of sequences of different lengths: dropping and restoring their padding, and attention on
// what is left. Token offsets list the positions of all real tokens first, then those of the padding.

import { boundedIndex, constant, Dim, dimension, type Expr, lt, toIndex } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, type ExpandContext, float, int, ints, required } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';
import { numbersOf, takeAlong, tensorOfNumbers } from '../host-elements.ts';

const domain = 'com.microsoft';

/** Only the real tokens of [batch, sequence, hidden], padded on the right; their offsets; running counts; the longest. */
export const RemovePadding = defineOperator({
  domain,
  name: 'RemovePadding',
  since: 1,
  infer(ctx) {
    const [batch, sequence, hidden] = expectRank(ctx, 0, 3);
    expectRank(ctx, 1, 1);
    return [
      tensorType(ctx.dtype(0), [ctx.freshDim('tokens'), hidden]),
      tensorType('int32', [batch, sequence]),
      tensorType('int32', [batch.add(1)]),
      tensorType('int32', [Dim.constant(1)]),
    ];
  },
  evaluate(ctx) {
    const input = ctx.tensor(0);
    const counts = Array.from(numbersOf(ctx.tensor(1)));
    const [batch, sequence, hidden] = input.dims;
    if (counts.some((count) => !(count >= 0 && count <= sequence))) {
      ctx.fail(`the token counts [${counts.join(', ')}] are not all within [0, ${sequence}].`);
    }
    const places = Array.from({ length: batch * sequence }, (_, at) => at);
    const isReal = (at: number): boolean => at % sequence < counts[Math.floor(at / sequence)];
    const real = places.filter(isReal);
    const ends = [0];
    for (const count of counts) ends.push(ends[ends.length - 1] + count);
    const offsets = [...real, ...places.filter((at) => !isReal(at))];
    return [
      takeAlong(input.reshape([batch * sequence, hidden]), 0, real),
      tensorOfNumbers('int32', offsets, [batch, sequence]),
      tensorOfNumbers('int32', ends, [batch + 1]),
      tensorOfNumbers('int32', [counts.reduce((most, count) => Math.max(most, count), 0)], [1]),
    ];
  },
});

/** The tokens at their places in [batch, sequence, hidden], zeros elsewhere. */
export const RestorePadding = defineOperator({
  domain,
  name: 'RestorePadding',
  since: 1,
  infer(ctx) {
    const [, hidden] = expectRank(ctx, 0, 2);
    const [batch, sequence] = expectRank(ctx, 1, 2);
    return [tensorType(ctx.dtype(0), [batch, sequence, hidden])];
  },
  lower(ctx) {
    const [tokens, hidden] = ctx.shape(0);
    const [batch, sequence] = ctx.shape(1);
    const dtype = ctx.dtype(0);
    const room = batch.mul(sequence);
    const places = ctx.view(ctx.input(1), [room]);
    // A token that has no offset has no place either.
    const place = (token: Expr): Expr => {
      const guard = tokens.atMost(room) ? undefined : { when: lt(token, dimension(room)), otherwise: -1 };
      return boundedIndex(toIndex(ctx.at(places, [token], guard)), room, { negative: false });
    };
    const spread = ctx.scatter(
      dtype,
      [batch.mul(sequence), hidden],
      () => constant(dtype, 0),
      [tokens, hidden],
      ([token, feature]) => ({
        destination: [place(token), feature],
        value: ctx.at(0, [token, feature]),
      }),
    );
    return ctx.view(spread, [batch, sequence, hidden]);
  },
});

const unpacked = (ctx: ExpandContext, x: Value | undefined, offsets: Value): Value | undefined =>
  x && ctx.op('RestorePadding', [x, offsets], {}, { domain });

/** Number of real tokens of each sequence, from their running counts. */
function lengths(ctx: ExpandContext, ends: Value): Value {
  const list = (value: number): Value => ctx.literal('int64', [value]);
  const later = ctx.op('Slice', [ends, list(1), list(2 ** 31)]);
  return ctx.op('Sub', [later, ctx.op('Slice', [ends, list(0), list(-1)])]);
}

/** Rows of [batch, sequence, hidden] for the real tokens: as many as the packed input `like` has. */
function repacked(ctx: ExpandContext, result: Value, offsets: Value, like: Value): Value {
  const hidden = ctx.op('Shape', [result], { start: 2 });
  const rows = ctx.op('Reshape', [result, ctx.op('Concat', [ctx.literal('int64', [-1]), hidden], { axis: 0 })]);
  const flat = ctx.op('Reshape', [offsets, ctx.literal('int64', [-1])]);
  const count = ctx.op('Shape', [like], { start: 0, end: 1 });
  const real = ctx.op('Slice', [flat, ctx.literal('int64', [0]), count]);
  return ctx.op('Gather', [rows, real], { axis: 0 });
}

/** com.microsoft Attention on packed tokens [tokens, hidden]. */
export const PackedAttention = defineOperator({
  domain,
  name: 'PackedAttention',
  since: 1,
  attributes: { num_heads: required(int()), qkv_hidden_sizes: ints(), scale: float() },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 5);
    const [tokens] = expectRank(ctx, 0, 2);
    expectRank(ctx, 3, 2);
    expectRank(ctx, 4, 1);
    const columns = expectRank(ctx, 1, 2)[1];
    const given = ctx.attributes.qkv_hidden_sizes;
    return [tensorType(dtype, [tokens, given?.length ? Dim.constant(given[2]) : columns.floorDiv(3)])];
  },
  expand(ctx) {
    const [input, weights, bias, offsets, ends, attentionBias] = [0, 1, 2, 3, 4, 5].map((at) => ctx.value(at));
    const inputs = [unpacked(ctx, input, offsets!), weights, bias, lengths(ctx, ends!), undefined, attentionBias];
    const result = ctx.op('Attention', inputs, Object.fromEntries(ctx.node.attributes), { domain });
    return repacked(ctx, result, offsets!, input!);
  },
});

/** com.microsoft MultiHeadAttention on packed tokens: [tokens, hidden] each, or [tokens, heads, 3, size]. */
export const PackedMultiHeadAttention = defineOperator({
  domain,
  name: 'PackedMultiHeadAttention',
  since: 1,
  attributes: { mask_filter_value: float(-10000), num_heads: required(int()), scale: float() },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 3, 6);
    const query = ctx.shape(0);
    expectRank(ctx, 4, 2);
    expectRank(ctx, 5, 1);
    if (query.length === 4) return [tensorType(dtype, [query[0], query[1].mul(query[3])])];
    return [tensorType(dtype, [query[0], expectRank(ctx, 2, 2)[1]])];
  },
  expand(ctx) {
    const [query, key, value, bias, offsets, ends, attentionBias] = [0, 1, 2, 3, 4, 5, 6].map((at) => ctx.value(at));
    const rank = ctx.rank(0);
    const flat = rank === 4 ? ctx.op('Reshape', [query, ctx.literal('int64', [0, -1])]) : query;
    let q = unpacked(ctx, flat, offsets!)!;
    if (rank === 4) {
      const tail = ctx.op('Shape', [query], { start: 1 });
      q = ctx.op('Reshape', [q, ctx.op('Concat', [ctx.literal('int64', [0, 0]), tail], { axis: 0 })]);
    }
    const [k, v] = [unpacked(ctx, key, offsets!), unpacked(ctx, value, offsets!)];
    const inputs = [q, k, v, bias, lengths(ctx, ends!), attentionBias];
    const result = ctx.op('MultiHeadAttention', inputs, Object.fromEntries(ctx.node.attributes), { domain });
    return repacked(ctx, result, offsets!, query!);
  },
});
