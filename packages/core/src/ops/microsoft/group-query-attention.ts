// com.microsoft GroupQueryAttention: the attention of exported language models, with rotary embedding and the key/value
// cache inside. Every sequence of a batch has its own length: seqlens_k holds total length − 1.

import {
  add,
  and,
  boundedIndex,
  cast,
  constant,
  Dim,
  type DType,
  dimension,
  type Expr,
  eq,
  ge,
  lt,
  min,
  mul,
  type Source,
  type Stage,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext, required, string } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { broadcastIndex } from '../lowering.ts';
import { layerStatistics, normalized } from '../normalize.ts';
import { rotate, tableEntry } from '../rotary.ts';
import { Rows } from '../rows.ts';
import {
  type AttentionStages,
  attentionStages,
  defaultScale,
  headNumber,
  joinHeads,
  mergeHeads,
  type ScorePosition,
} from '../scaled-dot-product.ts';
import { every } from '../window.ts';
import { type CacheFormat, type CacheInputs, cacheFormat, checkCache, type HeadReader } from './cache-format.ts';
import { SlidingCache } from './sliding-cache.ts';

const [query, key, value, pastKey, pastValue, lengths, totalLength, cosTable] = [0, 1, 2, 3, 4, 5, 6, 7];
const [sinTable, positionIds, attentionBias, headSink, keyScale, valueScale, queryNorm, keyNorm] = [
  8, 9, 10, 11, 12, 13, 14, 15,
];

const attributes = {
  causal: int(1),
  do_rotary: int(0),
  k_quant_type: string('NONE'),
  kv_cache_bit_width: int(),
  kv_num_heads: required(int()),
  local_window_size: int(-1),
  num_heads: required(int()),
  qk_norm_epsilon: float(1e-6),
  /** 0: none, 1: before the softmax, 2: after it. */
  qk_output: int(0),
  rotary_interleaved: int(0),
  scale: float(),
  sliding_window_cache: int(0),
  smooth_softmax: int(-1),
  softcap: float(0),
  v_quant_type: string('NONE'),
};

interface Attributes {
  readonly causal: number;
  readonly do_rotary: number;
  readonly k_quant_type: string;
  readonly kv_cache_bit_width: number | undefined;
  readonly kv_num_heads: number;
  readonly local_window_size: number;
  readonly num_heads: number;
  readonly qk_norm_epsilon: number;
  readonly qk_output: number;
  readonly rotary_interleaved: number;
  readonly scale: number | undefined;
  readonly sliding_window_cache: number;
  readonly smooth_softmax: number;
  readonly softcap: number;
  readonly v_quant_type: string;
}

type GroupQueryNode = NodeContext & { readonly attributes: Attributes };

interface Sizes {
  readonly batch: Dim;
  readonly queries: Dim;
  readonly headSize: Dim;
  readonly heads: Dim;
  readonly kvHeads: Dim;
  readonly group: Dim;
  /** Positions that the past cache has room for. */
  readonly past: Dim;
  /** Longest sequence after this node. */
  readonly total: Dim;
  /** Positions that the present cache has room for. */
  readonly present: Dim;
  /** Query, key and value come in one tensor, heads after heads. */
  readonly isPacked: boolean;
}

function sizesOf(ctx: GroupQueryNode, total: Dim): Sizes {
  const { num_heads, kv_num_heads } = ctx.attributes;
  const [batch, queries, hidden] = expectRank(ctx, query, 3);
  if (kv_num_heads < 1 || num_heads % kv_num_heads !== 0) {
    ctx.fail(`${num_heads} query heads cannot share ${kv_num_heads} key heads evenly.`);
  }
  const isPacked = !ctx.hasInput(key);
  const stored = isPacked ? num_heads + 2 * kv_num_heads : num_heads;
  const headSize = hidden.floorDiv(stored);
  expectEqual(ctx, headSize.mul(stored), hidden, `the features of ${stored} heads and the last axis of the query`);
  if (!isPacked) {
    for (const input of [key, value]) {
      const shape = expectRank(ctx, input, 3);
      expectEqual(ctx, shape[2], headSize.mul(kv_num_heads), `the hidden size of input ${input} and of the key heads`);
      expectEqual(ctx, shape[1], queries, `the lengths of query and input ${input}`);
      expectEqual(ctx, shape[0], batch, `the batch sizes of query and input ${input}`);
    }
  }
  if (ctx.hasInput(pastKey) !== ctx.hasInput(pastValue)) ctx.fail('past_key and past_value come together.');
  const past = ctx.hasInput(pastKey) ? expectRank(ctx, pastKey, 4)[2] : Dim.constant(0);
  if (ctx.hasInput(pastKey)) {
    const width = ctx.dtype(pastKey) === 'uint8' ? headSize.ceilDiv(2) : headSize;
    const cache = [batch, Dim.constant(kv_num_heads), past, width];
    for (const input of [pastKey, pastValue]) {
      expectRank(ctx, input, 4).forEach((size, axis) => {
        expectEqual(ctx, size, cache[axis], `axis ${axis} of input ${input} and what query and key heads give`);
      });
    }
  }
  if (ctx.attributes.do_rotary && ctx.hasInput(cosTable)) {
    const [width, size] = [expectRank(ctx, cosTable, 2)[1].constant, headSize.constant];
    if (width !== undefined && size !== undefined && width * 2 > size) {
      ctx.fail(`a cos_cache of width ${width} turns ${width * 2} features, but heads have ${size}.`);
    }
  }
  return {
    batch,
    queries,
    headSize,
    heads: Dim.constant(num_heads),
    kvHeads: Dim.constant(kv_num_heads),
    group: Dim.constant(num_heads / kv_num_heads),
    past,
    total,
    present: ctx.attributes.sliding_window_cache ? past : past.max(total),
    isPacked,
  };
}

function checkOptions(ctx: GroupQueryNode, sizes: Sizes): void {
  const { causal, do_rotary, local_window_size: window, qk_output, sliding_window_cache } = ctx.attributes;
  if (do_rotary && !(ctx.hasInput(cosTable) && ctx.hasInput(sinTable))) {
    ctx.fail('do_rotary needs cos_cache and sin_cache.');
  }
  if (![0, 1, 2].includes(qk_output)) ctx.fail(`qk_output ${qk_output} is not one of 0, 1, 2.`);
  if (!causal && window >= 0) ctx.fail('local_window_size needs causal attention.');
  for (const inputs of cacheInputs(ctx)) checkCache(ctx, inputs, sizes.kvHeads, sizes.headSize);
  if (!sliding_window_cache) return;
  if (!(window > 0 && ctx.hasInput(pastKey))) {
    ctx.fail('sliding_window_cache needs a local_window_size above 0 and a past_key.');
  }
  const capacity = sizes.past.constant;
  if (capacity !== undefined && capacity < window) {
    ctx.fail(`a sliding cache of ${capacity} positions cannot hold a local_window_size of ${window}.`);
  }
  if (qk_output) ctx.fail('qk_output is not defined for a sliding_window_cache.');
}

/** How keys and how values are stored. */
function cacheInputs({ attributes }: GroupQueryNode): readonly [CacheInputs, CacheInputs] {
  const { k_quant_type, v_quant_type, kv_cache_bit_width: bitWidth } = attributes;
  return [
    { cache: pastKey, scale: keyScale, quantType: k_quant_type, attribute: 'k_quant_type', bitWidth },
    { cache: pastValue, scale: valueScale, quantType: v_quant_type, attribute: 'v_quant_type', bitWidth },
  ];
}

/** Lengths of the sequences, as expressions per batch entry. */
class Lengths {
  readonly #ctx: LowerContext;
  readonly #sizes: Sizes;

  constructor(ctx: LowerContext, sizes: Sizes) {
    this.#ctx = ctx;
    this.#sizes = sizes;
  }

  total(batch: Expr): Expr {
    const source = this.#ctx.input(lengths);
    const at = source.shape.length === 1 ? [batch] : [batch, dimension(0)];
    return add(toIndex(this.#ctx.at(source, at)), 1);
  }

  /** Positions before the first query. A first prompt may be padded at its end, so its length says nothing. */
  past(batch: Expr): Expr {
    const { queries, total } = this.#sizes;
    const before = sub(this.total(batch), dimension(queries));
    if (!this.#ctx.hasInput(pastKey) || queries.equals(total)) return dimension(0);
    return select(eq(dimension(queries), dimension(total)), dimension(0), before);
  }
}

/** The heads `first` … `first + count − 1` of a tensor [batch, sequence, heads · size]. */
function headReader(ctx: LowerContext, sizes: Sizes, input: number, heads: Dim, first: Dim): HeadReader {
  const source = ctx.input(input);
  const [batch, positions] = source.shape;
  const split = ctx.view(source, [batch, positions, heads, sizes.headSize]);
  return (b, position, head, feature) => ctx.at(split, [b, position, add(head, dimension(first)), feature]);
}

/** Divides every head by its root mean square and multiplies by a weight [head size]. */
function normalizedHeads(
  ctx: LowerContext & GroupQueryNode,
  sizes: Sizes,
  read: HeadReader,
  count: Dim,
  weight: number,
): HeadReader {
  if (!ctx.hasInput(weight)) return read;
  const dtype = ctx.dtype(query);
  const wide = computeType(dtype);
  const shape = [sizes.batch, sizes.queries, count, sizes.headSize];
  const rows = new Rows(ctx, shape, [3]);
  const valueAt = ([b, s, h, d]: readonly Expr[]): Expr => cast(wide, read(b, s, h, d));
  const epsilon = ctx.attributes.qk_norm_epsilon;
  const statistics = layerStatistics(ctx, rows, valueAt, wide, { epsilon, centres: false });
  const result = rows.map(dtype, (index) => {
    const scaled = mul(
      normalized(rows, statistics, valueAt(index), index),
      cast(wide, ctx.at(ctx.input(weight), [index[3]])),
    );
    return cast(dtype, scaled);
  });
  return (b, s, h, d) => ctx.at(result, [b, s, h, d]);
}

/** Turns every head by the angle of its position. */
function turnedHeads(
  ctx: LowerContext & GroupQueryNode,
  sizes: Sizes,
  read: HeadReader,
  count: Dim,
  ends: Lengths,
): HeadReader {
  if (!ctx.attributes.do_rotary) return read;
  const shape = [sizes.batch, sizes.queries, count, sizes.headSize];
  const [cosines, sines] = [ctx.input(cosTable), ctx.input(sinTable)];
  const turned = cosines.shape[1].mul(2);
  const interleaved = ctx.attributes.rotary_interleaved !== 0;
  const position = (b: Expr, s: Expr): Expr =>
    ctx.hasInput(positionIds) ? toIndex(ctx.at(ctx.input(positionIds), [b, s])) : add(ends.past(b), s);
  const entry =
    (table: Source) =>
    ([b, s]: readonly Expr[], pair: Expr): Expr => {
      const row = boundedIndex(position(b, s), table.shape[0], { negative: false });
      return tableEntry(ctx, table, [row], pair, interleaved && !turned.equals(sizes.headSize));
    };
  const result = rotate(ctx, ctx.dtype(query), {
    shape,
    turned,
    interleaved,
    read: ([b, s, h], feature) => read(b, s, h, feature),
    cos: entry(cosines),
    sin: entry(sines),
  });
  return (b, s, h, d) => ctx.at(result, [b, s, h, d]);
}

/** The cache with this node's positions written after the past ones: [batch, key heads, present, width]. */
function appendToCache(
  ctx: LowerContext,
  sizes: Sizes,
  cache: number,
  { dtype, width }: CacheFormat,
  read: HeadReader,
  ends: Lengths,
): Stage {
  const { batch, kvHeads, queries, past, present } = sizes;
  const before = ([b, h, t, d]: readonly Expr[]): Expr => {
    if (!ctx.hasInput(cache)) return constant(dtype, 0);
    const source = ctx.input(cache);
    // What lies beyond the sequences stays as it is, so that past and present can be one buffer.
    if (past.equals(present)) return ctx.at(source, [b, h, t, d]);
    return ctx.at(source, [b, h, t, d], { when: lt(t, dimension(past)), otherwise: 0 });
  };
  return ctx.scatter(
    dtype,
    [batch, kvHeads, present, width],
    before,
    [batch, kvHeads, queries, width],
    ([b, h, s, d]) => {
      const position = add(ends.past(b), s);
      const guard = and(ge(position, 0), lt(position, dimension(present)));
      return { destination: [b, h, position, d], value: read(b, s, h, d), guard };
    },
  );
}

/**
 * Whether a query sees a key: within its sequence, not ahead of the query, not behind its window.
 * @param sliding where keys are not numbered by their positions
 */
function visible(
  ctx: LowerContext & GroupQueryNode,
  ends: Lengths,
  sliding?: SlidingCache,
): (at: ScorePosition) => Expr {
  const { causal, local_window_size: window } = ctx.attributes;
  return ({ batch, query: s, key }) => {
    const total = ends.total(batch);
    const end = causal ? min(add(ends.past(batch), add(s, 1)), total) : total;
    const t = sliding ? sliding.position(batch, key) : key;
    const recent = window >= 0 ? ge(t, sub(end, window)) : undefined;
    return every(lt(t, end), recent, sliding && ge(t, 0))!;
  };
}

function biasReader(ctx: LowerContext, sizes: Sizes, wide: DType, sliding?: SlidingCache) {
  if (!ctx.hasInput(attentionBias)) return undefined;
  const source = ctx.input(attentionBias);
  const { batch, heads, queries, present } = sizes;
  const covered = source.shape[3];
  return (at: ScorePosition): Expr => {
    const full = [batch, heads, queries, covered];
    // Columns are positions in the sequence.
    const column = sliding ? sliding.position(at.batch, at.key) : at.key;
    const index = broadcastIndex(source.shape, [at.batch, at.head, at.query, column], full);
    const inside = every(lt(column, dimension(covered)), sliding && ge(column, 0))!;
    const isInside = !sliding && present.atMost(covered);
    return cast(wide, ctx.at(source, index, isInside ? undefined : { when: inside, otherwise: 0 }));
  };
}

/** The scores that the fourth output asks for; entries that no query sees are 0. */
function scoresOutput(ctx: LowerContext & GroupQueryNode, sizes: Sizes, stages: AttentionStages, ends: Lengths): Stage {
  const dtype = ctx.dtype(query);
  const isAfter = ctx.attributes.qk_output === 2;
  const source = joinHeads(ctx, isAfter ? stages.probabilities : stages.logits, sizes);
  const sees = visible(ctx, ends);
  return ctx.map(dtype, [sizes.batch, sizes.heads, sizes.queries, sizes.total], ([batch, head, q, k]) => {
    const score = cast(dtype, ctx.at(source, [batch, head, q, k]));
    return isAfter ? score : select(sees({ batch, head, query: q, key: k }), score, 0);
  });
}

export const GroupQueryAttention = defineOperator({
  domain: 'com.microsoft',
  name: 'GroupQueryAttention',
  since: 1,
  attributes,
  valueInputs: [totalLength],
  infer(ctx) {
    const dtype = expectSameType(ctx, query, key, value, cosTable, sinTable, attentionBias);
    const sizes = sizesOf(ctx, knownTotal(ctx) ?? ctx.freshDim('total'));
    checkOptions(ctx, sizes);
    const { batch, queries, heads, kvHeads, headSize, total, present } = sizes;
    const caches = cacheInputs(ctx).map(({ cache, quantType }) => {
      if (quantType === 'NONE')
        return tensorType(expectSameType(ctx, query, cache), [batch, kvHeads, present, headSize]);
      return tensorType(ctx.dtype(cache), [batch, kvHeads, present, ctx.shape(cache)[3]]);
    });
    const scores = ctx.attributes.qk_output ? tensorType(dtype, [batch, heads, queries, total]) : undefined;
    return [tensorType(dtype, [batch, queries, heads.mul(headSize)]), ...caches, scores];
  },
  lower(ctx) {
    const total = knownTotal(ctx) ?? ctx.fail('total_sequence_length is not known.');
    const sizes = sizesOf(ctx, total);
    const { heads, kvHeads, headSize, isPacked } = sizes;
    const dtype = ctx.dtype(query);
    const wide = computeType(dtype);
    const ends = new Lengths(ctx, sizes);
    const packed = heads.add(kvHeads.mul(2));
    const read = (input: number, count: Dim, first: Dim): HeadReader =>
      isPacked ? headReader(ctx, sizes, query, packed, first) : headReader(ctx, sizes, input, count, Dim.constant(0));
    const ownQueries = normalizedHeads(ctx, sizes, read(query, heads, Dim.constant(0)), heads, queryNorm);
    const ownKeys = normalizedHeads(ctx, sizes, read(key, kvHeads, heads), kvHeads, keyNorm);
    const q = turnedHeads(ctx, sizes, ownQueries, heads, ends);
    const k = turnedHeads(ctx, sizes, ownKeys, kvHeads, ends);
    const v = read(value, kvHeads, heads.add(kvHeads));
    const { softcap, smooth_softmax, scale, sliding_window_cache, local_window_size } = ctx.attributes;
    const sliding = sliding_window_cache ? new SlidingCache(sizes, ends, local_window_size) : undefined;
    const [keys, values] = [k, v].map((own, at) => {
      const inputs = cacheInputs(ctx)[at];
      const format = cacheFormat(ctx, inputs, dtype, kvHeads, headSize);
      const entries = format.encode(own);
      const both = sliding
        ? sliding.append(ctx, inputs.cache, format, entries)
        : { present: appendToCache(ctx, sizes, inputs.cache, format, entries, ends), seen: undefined };
      const source = both.seen ?? both.present;
      return { present: both.present, read: format.decode((index) => ctx.at(source, index)) };
    });
    const bias = biasReader(ctx, sizes, wide, sliding);
    const sink = ctx.hasInput(headSink)
      ? (head: Expr) => cast(wide, ctx.at(ctx.input(headSink), [head]))
      : smooth_softmax === 1
        ? () => constant(wide, 0)
        : undefined;
    const stages = attentionStages(ctx, {
      dtype,
      batch: sizes.batch,
      heads: sizes,
      queries: sizes.queries,
      keys: sliding?.keys ?? sizes.present,
      headSize,
      valueSize: headSize,
      q: (b, head, s, d) => q(b, s, headNumber(sizes, head), d),
      k: keys.read,
      v: values.read,
      scale: scale || defaultScale(headSize, wide),
      softcap,
      keep: visible(ctx, ends, sliding),
      ...(bias && { bias }),
      ...(sink && { sink }),
    });
    const scores = ctx.hasOutput(3) ? scoresOutput(ctx, sizes, stages, ends) : undefined;
    return [mergeHeads(ctx, stages.result, sizes), keys.present, values.present, scores];
  },
});

/** The value of total_sequence_length, a scalar or a vector of one. */
function knownTotal(ctx: GroupQueryNode): Dim | undefined {
  return ctx.contents(totalLength)?.[0];
}
