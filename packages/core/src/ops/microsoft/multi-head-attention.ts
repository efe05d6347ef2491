// com.microsoft MultiHeadAttention: attention after the projections, as onnxruntime's optimizer writes it.

import {
  add,
  boundedIndex,
  cast,
  Dim,
  dimension,
  div,
  type Expr,
  mod,
  mul,
  type Stage,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext, required } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { attentionStages, defaultScale, mergeHeads } from '../scaled-dot-product.ts';
import { checkMasks, maskStages } from './attention-mask.ts';

const [query, key, value, bias, padding, attentionBias, pastKey, pastValue, pastLength, cacheIndirection] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
];

type HeadsNode = NodeContext & { readonly attributes: { readonly num_heads: number } };

/**
 * How the three operands are stored: apart as [batch, sequence, hidden] (keys and values also as [batch, heads, sequence,
 * size]), keys with values as [batch, sequence, heads, 2, size], or all in one as [batch, sequence, heads, 3, size].
 */
interface Sizes {
  readonly batch: Dim;
  readonly heads: Dim;
  readonly queries: Dim;
  readonly newKeys: Dim;
  readonly past: Dim;
  readonly keys: Dim;
  /** Positions that the cache after this node has room for: more than `keys` when it is one buffer for past and present. */
  readonly room: Dim;
  readonly headSize: Dim;
  readonly valueSize: Dim;
}

/** @param openPast number of positions in a shared buffer that are in use, as long as it is not known */
function sizesOf(ctx: HeadsNode, openPast?: () => Dim): Sizes {
  const q = expectRank(ctx, query, 3, 5);
  const heads = Dim.constant(ctx.attributes.num_heads);
  if (ctx.attributes.num_heads < 1) ctx.fail(`num_heads must be at least 1, not ${ctx.attributes.num_heads}.`);
  const [batch, queries] = q;
  const cached = ctx.hasInput(pastKey) ? expectRank(ctx, pastKey, 4)[2] : Dim.constant(0);
  const isShared = ctx.hasInput(pastKey) && ctx.hasInput(pastLength);
  const past = isShared ? (ctx.contents(pastLength)?.[0] ?? openPast?.() ?? cached) : cached;
  if (ctx.hasInput(pastKey) !== ctx.hasInput(pastValue)) ctx.fail('past_key and past_value come together.');
  const known = (newKeys: Dim, headSize: Dim, valueSize: Dim): Sizes => {
    const keys = past.add(newKeys);
    const isOutside = (past.constant ?? 0) < 0 || (cached.sub(keys).constant ?? 0) < 0;
    if (isShared && isOutside) {
      ctx.fail(
        `${newKeys} positions after ${past} do not fit into a buffer that past and present share, of ${cached}.`,
      );
    }
    return { batch, heads, queries, newKeys, past, keys, room: isShared ? cached : keys, headSize, valueSize };
  };
  if (q.length === 5) return known(queries, q[4], q[4]);
  const headSize = q[2].floorDiv(heads);
  expectEqual(ctx, headSize.mul(heads), q[2], 'the features of all heads and the last axis of the query');
  if (!ctx.hasInput(key)) return ctx.fail('a query of rank 3 needs a key.');
  const k = expectRank(ctx, key, 3, 5);
  if (k.length === 5) return known(k[1], headSize, headSize);
  const v = expectRank(ctx, value, k.length);
  if (k.length === 4) {
    expectEqual(ctx, k[3], headSize, 'the head sizes of query and key');
    return known(k[2], headSize, v[3]);
  }
  expectEqual(ctx, k[2], q[2], 'the hidden sizes of query and key');
  expectEqual(ctx, k[1], v[1], 'the lengths of key and value');
  return known(k[1], headSize, v[2].floorDiv(heads));
}

/** Element of query, key or value at batch, head, position, feature. */
type Reader = (b: Expr, head: Expr, position: Expr, feature: Expr) => Expr;

/** @param part 0: query, 1: key, 2: value */
function operandReader(ctx: LowerContext, sizes: Sizes, part: 0 | 1 | 2): Reader {
  const q = ctx.input(query);
  if (q.shape.length === 5) return biased(ctx, sizes, part, (b, h, s, d) => ctx.at(q, [b, s, h, part, d]));
  if (part > 0 && ctx.rank(key) === 5) {
    const pair = ctx.input(key);
    return biased(ctx, sizes, part, (b, h, s, d) => ctx.at(pair, [b, s, h, part - 1, d]));
  }
  const source = ctx.input([query, key, value][part]);
  // Keys by heads come projected from elsewhere (cross attention), bias included.
  if (source.shape.length === 4) return (b, h, s, d) => ctx.at(source, [b, h, s, d]);
  const size = part === 2 ? sizes.valueSize : sizes.headSize;
  const split = ctx.view(source, [source.shape[0], source.shape[1], sizes.heads, size]);
  return biased(ctx, sizes, part, (b, h, s, d) => ctx.at(split, [b, s, h, d]));
}

/** The operand plus its part of the bias [query hidden + key hidden + value hidden]. */
function biased(ctx: LowerContext, sizes: Sizes, part: 0 | 1 | 2, read: Reader): Reader {
  if (!ctx.hasInput(bias)) return read;
  const { batch, heads, headSize, valueSize, queries, newKeys } = sizes;
  const hidden = heads.mul(headSize);
  const size = part === 2 ? valueSize : headSize;
  const first = dimension(hidden.mul(part));
  const source = ctx.input(bias);
  const shape = [batch, heads, part === 0 ? queries : newKeys, size];
  const sum = ctx.map(
    source.dtype,
    shape,
    ([b, h, s, d]) => add(read(b, h, s, d), ctx.at(source, [add(first, add(mul(h, dimension(size)), d))])),
    'biased',
  );
  return (b, h, s, d) => ctx.at(sum, [b, h, s, d]);
}

/**
 * Element of a cache. With a cache indirection [batch / beams, beams, positions], the beams of one batch entry have swapped
 * places since: it tells from which of them each position comes.
 */
function cacheReader(ctx: LowerContext, cache: number): Reader {
  const source = ctx.input(cache);
  if (!ctx.hasInput(cacheIndirection)) return (b, h, t, d) => ctx.at(source, [b, h, t, d]);
  const [, beams] = ctx.shape(cacheIndirection);
  return (b, h, t, d) => {
    const [entry, beam] = [div(b, dimension(beams)), mod(b, dimension(beams))];
    const from = boundedIndex(toIndex(ctx.at(cacheIndirection, [entry, beam, t])), beams, { negative: false });
    return ctx.at(source, [add(mul(entry, dimension(beams)), from), h, t, d]);
  };
}

/** The cache followed by the new positions, as a stage when the cache or the output `present` asks for one. */
function withCache(ctx: LowerContext, sizes: Sizes, part: 1 | 2, read: Reader): { read: Reader; present?: Stage } {
  const cache = part === 1 ? pastKey : pastValue;
  if (!ctx.hasInput(cache) && !ctx.hasOutput(part)) return { read };
  const { batch, heads, keys, past, newKeys, room } = sizes;
  const dtype = ctx.dtype(query);
  const size = part === 1 ? sizes.headSize : sizes.valueSize;
  const added = ([b, h, s, d]: readonly Expr[]): Expr => read(b, h, s, d);
  if (!ctx.hasInput(cache)) {
    const present = ctx.map(dtype, [batch, heads, keys, size], added);
    return { read: (b, h, s, d) => ctx.at(present, [b, h, s, d]), present };
  }
  const stored = (index: readonly Expr[]): Expr => ctx.at(ctx.input(cache), index);
  const reordered = cacheReader(ctx, cache);
  const isPlain = room.equals(keys) && !ctx.hasInput(cacheIndirection);
  const seen = ctx.segments(dtype, [batch, heads, keys, size], 2, [
    { length: past, body: isPlain ? stored : ([b, h, t, d]) => reordered(b, h, t, d) },
    { length: newKeys, body: added },
  ]);
  const result: Reader = (b, h, s, d) => ctx.at(seen, [b, h, s, d]);
  if (isPlain) return { read: result, present: seen };
  const present = ctx.segments(dtype, [batch, heads, room, size], 2, [
    { length: past, body: stored },
    { length: newKeys, body: added },
    { length: room.sub(keys), body: ([b, h, t, d]) => stored([b, h, add(t, dimension(keys)), d]) },
  ]);
  return { read: result, present };
}

export const MultiHeadAttention = defineOperator({
  domain: 'com.microsoft',
  name: 'MultiHeadAttention',
  since: 1,
  attributes: { mask_filter_value: float(-10000), num_heads: required(int()), scale: float(), unidirectional: int(0) },
  valueInputs: [pastLength],
  infer(ctx) {
    const dtype = expectSameType(ctx, query, key, value, bias, attentionBias, pastKey, pastValue);
    const { batch, heads, queries, keys, room, headSize, valueSize } = sizesOf(ctx, () => ctx.freshDim('past'));
    checkMasks(ctx, { padding, bias: attentionBias }, batch);
    if (ctx.hasInput(cacheIndirection)) expectRank(ctx, cacheIndirection, 3);
    return [
      tensorType(dtype, [batch, queries, heads.mul(valueSize)]),
      tensorType(dtype, [batch, heads, room, headSize]),
      tensorType(dtype, [batch, heads, room, valueSize]),
      tensorType(dtype, [batch, heads, queries, keys]),
    ];
  },
  lower(ctx) {
    const sizes = sizesOf(ctx);
    const dtype = ctx.dtype(query);
    const wide = computeType(dtype);
    const { mask_filter_value: filterValue, unidirectional, scale } = ctx.attributes;
    const heads = { kvHeads: sizes.heads, group: Dim.constant(1) };
    const q = operandReader(ctx, sizes, 0);
    const k = withCache(ctx, sizes, 1, operandReader(ctx, sizes, 1));
    const v = withCache(ctx, sizes, 2, operandReader(ctx, sizes, 2));
    const masks = { padding, bias: attentionBias, filterValue, isCausal: unidirectional !== 0 };
    const stages = attentionStages(ctx, {
      ...sizes,
      dtype,
      heads,
      q: (b, [head], s, d) => q(b, head, s, d),
      k: k.read,
      v: v.read,
      // A scale of 0 means the default, too.
      scale: scale || defaultScale(sizes.headSize, wide),
      ...maskStages(ctx, masks, { ...sizes, heads }, wide),
    });
    const scores = ctx.hasOutput(3)
      ? ctx.map(dtype, stages.logits.shape, (index) => cast(dtype, ctx.at(stages.logits, index)))
      : undefined;
    return [mergeHeads(ctx, stages.result, heads), k.present, v.present, scores];
  },
});
