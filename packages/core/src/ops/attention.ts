// ai.onnx Attention: keys and values may come with a cache, queries may share key heads, masks may be bool or additive.

import {
  add,
  cast,
  Dim,
  type DType,
  dimension,
  type Expr,
  ge,
  le,
  lt,
  type Source,
  type Stage,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { broadcastIndex } from './lowering.ts';
import {
  type AttentionStages,
  attentionStages,
  defaultScale,
  type HeadLayout,
  joinHeads,
  keyReader,
  mergeHeads,
  queryReader,
  type ScorePosition,
} from './scaled-dot-product.ts';
import { every } from './window.ts';

const attributes = {
  is_causal: int(0),
  kv_num_heads: int(),
  left_window_size: int(-1),
  q_num_heads: int(),
  qk_matmul_output_mode: int(0),
  right_window_size: int(-1),
  scale: float(),
  softcap: float(0),
  softmax_precision: int(),
};

type AttentionNode = NodeContext & {
  readonly attributes: { readonly q_num_heads: number | undefined; readonly kv_num_heads: number | undefined };
};

/** Inputs by position. */
const mask = 3;
const pastKey = 4;
const pastValue = 5;
const nonpadLengths = 6;

interface AttentionSizes {
  readonly batch: Dim;
  readonly heads: HeadLayout;
  readonly queries: Dim;
  readonly headSize: Dim;
  readonly valueSize: Dim;
  /** Keys given by this node, without the cache. */
  readonly newKeys: Dim;
  readonly past: Dim;
  readonly keys: Dim;
  /** Inputs are [batch, sequence, heads · size] rather than [batch, heads, sequence, size]. */
  readonly isPacked: boolean;
}

function attentionSizes(ctx: AttentionNode): AttentionSizes {
  const q = expectRank(ctx, 0, 3, 4);
  const k = expectRank(ctx, 1, q.length);
  const v = expectRank(ctx, 2, q.length);
  const isPacked = q.length === 3;
  const { q_num_heads, kv_num_heads } = ctx.attributes;
  if (isPacked && !(q_num_heads && kv_num_heads)) {
    ctx.fail('inputs of rank 3 need the attributes q_num_heads and kv_num_heads.');
  }
  const qHeads = isPacked ? Dim.constant(q_num_heads!) : q[1];
  const kvHeads = isPacked ? Dim.constant(kv_num_heads!) : k[1];
  const group = qHeads.floorDiv(kvHeads);
  const [a, b] = [qHeads.constant, kvHeads.constant];
  if (a !== undefined && b !== undefined && (b === 0 || a % b !== 0)) {
    ctx.fail(`the ${a} query heads cannot share ${b} key heads evenly.`);
  }
  const headSize = isPacked ? q[2].floorDiv(qHeads) : q[3];
  const valueSize = isPacked ? v[2].floorDiv(kvHeads) : v[3];
  const sequence = isPacked ? 1 : 2;
  if (isPacked) {
    const counted = [qHeads.mul(headSize), kvHeads.mul(headSize), kvHeads.mul(valueSize)];
    for (const [at, features] of counted.entries()) {
      expectEqual(ctx, features, [q, k, v][at][2], `the features of all heads and the last axis of ${'QKV'[at]}`);
    }
  }
  expectEqual(ctx, headSize, isPacked ? k[2].floorDiv(kvHeads) : k[3], 'the head sizes of Q and K');
  expectEqual(ctx, k[sequence], v[sequence], 'the lengths of K and V');
  for (const shape of [k, v]) expectEqual(ctx, q[0], shape[0], 'the batch sizes of Q, K and V');
  const past = ctx.hasInput(pastKey) ? expectRank(ctx, pastKey, 4)[2] : Dim.constant(0);
  if (ctx.hasInput(pastKey) !== ctx.hasInput(pastValue)) ctx.fail('past_key and past_value come together.');
  const newKeys = k[sequence];
  const keys = past.add(newKeys);
  return {
    batch: q[0],
    heads: { kvHeads, group },
    queries: q[sequence],
    headSize,
    valueSize,
    newKeys,
    past,
    keys,
    isPacked,
  };
}

/** A cache followed by the keys or values of this node, as [batch, heads, positions, size]. */
function appended(ctx: LowerContext, sizes: AttentionSizes, input: number, cache: number, size: Dim): Source {
  const source = ctx.input(input);
  const { kvHeads } = sizes.heads;
  const read = keyReader(ctx, source, kvHeads, size);
  const shape = [sizes.batch, kvHeads, sizes.keys, size];
  if (!ctx.hasInput(cache)) {
    return sizes.isPacked ? ctx.map(source.dtype, shape, ([b, h, t, d]) => read(b, h, t, d)) : source;
  }
  const before = ctx.input(cache);
  return ctx.segments(source.dtype, shape, 2, [
    { length: sizes.past, body: (index) => ctx.at(before, index) },
    { length: sizes.newKeys, body: ([b, h, t, d]) => read(b, h, t, d) },
  ]);
}

/** An attention mask as a bias or a condition; keys that a shorter mask does not cover are left out. */
function readMask(ctx: LowerContext, sizes: AttentionSizes, wide: DType) {
  if (!ctx.hasInput(mask)) return {};
  const source = ctx.input(mask);
  const { batch, heads, queries, keys } = sizes;
  const covered = source.shape[source.shape.length - 1];
  const isFull = covered.equals(keys);
  const full = [batch, heads.kvHeads.mul(heads.group), queries, isFull ? keys : covered];
  const inside = ({ key }: ScorePosition): Expr | undefined => (isFull ? undefined : lt(key, dimension(covered)));
  const read = (at: ScorePosition): Expr => {
    const index = broadcastIndex(source.shape, [at.batch, at.head, at.query, at.key], full);
    const guard = inside(at);
    return ctx.at(source, index, guard && { when: guard, otherwise: 0 });
  };
  if (source.dtype === 'bool') return { keep: read };
  return { bias: (at: ScorePosition) => cast(wide, read(at)), keep: inside };
}

/** Position of the first query among the keys: queries are the newest positions of the sequence. */
function queryOffset(ctx: LowerContext, sizes: AttentionSizes): (at: ScorePosition) => Expr {
  if (ctx.hasInput(pastKey)) return () => dimension(sizes.past);
  if (!ctx.hasInput(nonpadLengths)) return () => dimension(0);
  const lengths = ctx.input(nonpadLengths);
  return ({ batch }) => sub(toIndex(ctx.at(lengths, [batch])), dimension(sizes.queries));
}

interface Band {
  readonly is_causal: number;
  readonly left_window_size: number;
  readonly right_window_size: number;
}

/** Whether a key lies in the band around its query that causality and the local window leave. */
function bandCondition(band: Band, offset: (at: ScorePosition) => Expr, at: ScorePosition): Expr | undefined {
  const { is_causal, left_window_size: left, right_window_size: right } = band;
  const here = add(at.query, offset(at));
  const ahead = is_causal ? 0 : right;
  return every(
    ahead >= 0 ? le(at.key, add(here, ahead)) : undefined,
    left >= 0 ? ge(at.key, sub(here, left)) : undefined,
  );
}

/** The `qk_matmul_output` of the four modes: scaled, soft-capped, biased, normalised scores. */
function scoresOutput(ctx: LowerContext, stages: AttentionStages, mode: number): Stage {
  const dtype = ctx.outputDType(3);
  const { scores, logits, probabilities, scaled, capped } = stages;
  return ctx.map(dtype, scores.shape, (index) => {
    if (mode === 3) return cast(dtype, ctx.at(probabilities, index));
    if (mode === 2) return cast(dtype, ctx.at(logits, index));
    return cast(dtype, mode === 1 ? capped(index) : scaled(index));
  });
}

export const Attention = defineOperator({
  name: 'Attention',
  since: 23,
  attributes,
  infer(ctx) {
    const sizes = attentionSizes(ctx);
    const { batch, heads, queries, keys, headSize, valueSize, isPacked } = sizes;
    const dtype = expectSameType(ctx, 0, 1, pastKey);
    const valueType = expectSameType(ctx, 2, pastValue);
    const qHeads = heads.kvHeads.mul(heads.group);
    if (ctx.hasInput(mask)) expectRank(ctx, mask, 1, 4);
    if (ctx.hasInput(nonpadLengths)) expectRank(ctx, nonpadLengths, 1);
    const result = isPacked ? [batch, queries, qHeads.mul(valueSize)] : [batch, qHeads, queries, valueSize];
    return [
      tensorType(dtype, result),
      tensorType(dtype, [batch, heads.kvHeads, keys, headSize]),
      tensorType(valueType, [batch, heads.kvHeads, keys, valueSize]),
      tensorType(dtype, [batch, qHeads, queries, keys]),
    ];
  },
  lower(ctx) {
    const sizes = attentionSizes(ctx);
    const { heads, headSize, valueSize, isPacked } = sizes;
    const { is_causal, softcap, qk_matmul_output_mode: mode } = ctx.attributes;
    const dtype = ctx.dtype(0);
    const wide = ctx.attributes.softmax_precision === 11 ? 'float64' : computeType(dtype);
    const scale = ctx.attributes.scale ?? defaultScale(headSize, wide);
    const hasCache = ctx.hasInput(pastKey);
    const presentKey = hasCache || ctx.hasOutput(1) ? appended(ctx, sizes, 1, pastKey, headSize) : ctx.input(1);
    const presentValue = hasCache || ctx.hasOutput(2) ? appended(ctx, sizes, 2, pastValue, valueSize) : ctx.input(2);
    const { bias, keep } = readMask(ctx, sizes, wide);
    const offset = queryOffset(ctx, sizes);
    const isBanded = is_causal || ctx.attributes.left_window_size >= 0 || ctx.attributes.right_window_size >= 0;
    const hasCondition = keep !== undefined || isBanded || ctx.hasInput(nonpadLengths);
    const nonpad = (at: ScorePosition): Expr | undefined =>
      ctx.hasInput(nonpadLengths) ? lt(at.key, toIndex(ctx.at(ctx.input(nonpadLengths), [at.batch]))) : undefined;
    const conditions = (at: ScorePosition): Expr | undefined =>
      every(bandCondition(ctx.attributes, offset, at), nonpad(at), keep?.(at));
    const stages = attentionStages(ctx, {
      ...sizes,
      dtype,
      q: queryReader(ctx, ctx.input(0), heads, headSize),
      k: keyReader(ctx, presentKey, heads.kvHeads, headSize),
      v: keyReader(ctx, presentValue, heads.kvHeads, valueSize),
      scale,
      softcap,
      softmaxType: wide,
      ...(bias && { bias }),
      ...(hasCondition && { keep: conditions }),
    });
    const result = isPacked ? mergeHeads(ctx, stages.result, heads) : joinHeads(ctx, stages.result, heads);
    const scores = ctx.hasOutput(3) ? joinHeads(ctx, scoresOutput(ctx, stages, mode), heads) : undefined;
    return [result, presentKey, presentValue, scores];
  },
});
