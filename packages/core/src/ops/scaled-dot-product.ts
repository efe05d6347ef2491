// Softmax(scale · Q Kᵀ + bias) V, the core that all attention operators share. It lowers to what an exporter would write
// with MatMul, Add and Softmax, so that providers recognise one structure: contraction, map, row stages, contraction.

import {
  add,
  cast,
  constant,
  type Dim,
  type DType,
  dimension,
  div,
  type Expr,
  mul,
  type Operand,
  type Source,
  type Stage,
  select,
  sqrt,
  tanh,
} from '@onnx-ts/tensor-ir';
import { computeType, sizeAs } from './compute-type.ts';
import type { LowerContext } from './define.ts';
import { Rows } from './rows.ts';
import { softmaxStages } from './softmax.ts';

/**
 * Heads of a query: [heads], or [key/value heads, queries that share one] when several query heads read one key head
 * (grouped-query attention). Query head h reads key head ⌊h / group⌋.
 */
export interface HeadLayout {
  readonly kvHeads: Dim;
  /** Query heads for each key head. */
  readonly group: Dim;
}

/** Where in the matrix of scores something applies. */
export interface ScorePosition {
  readonly batch: Expr;
  /** Query head. */
  readonly head: Expr;
  readonly query: Expr;
  readonly key: Expr;
}

export interface AttentionInputs {
  readonly dtype: DType;
  readonly batch: Dim;
  readonly heads: HeadLayout;
  readonly queries: Dim;
  readonly keys: Dim;
  readonly headSize: Dim;
  readonly valueSize: Dim;
  /** Element of Q at batch, head axes (see `headAxes`), position, feature. */
  readonly q: (batch: Expr, heads: readonly Expr[], query: Expr, feature: Expr) => Expr;
  /** Element of K at batch, key head, position, feature; V likewise. */
  readonly k: (batch: Expr, kvHead: Expr, key: Expr, feature: Expr) => Expr;
  readonly v: (batch: Expr, kvHead: Expr, key: Expr, feature: Expr) => Expr;
  /** In the type of the softmax, or a number. */
  readonly scale: Operand;
  /** x becomes softcap · tanh(x / softcap) before the bias; 0 for none. */
  readonly softcap?: number;
  /** Added to the scores, in the compute type. */
  readonly bias?: (at: ScorePosition) => Expr;
  /** Scores where this is false do not take part; undefined means that all do. */
  readonly keep?: (at: ScorePosition) => Expr | undefined;
  /** An additional logit for each head that only enlarges the divisor. */
  readonly sink?: (head: Expr) => Expr;
  /** In which the scores are scaled, masked and normalised. */
  readonly softmaxType?: DType;
}

export interface AttentionStages {
  /** [batch, …head axes, queries, valueSize] */
  readonly result: Stage;
  /** Q Kᵀ, not scaled, in the compute type of `dtype`. [batch, …head axes, queries, keys], as are the following. */
  readonly scores: Stage;
  readonly logits: Stage;
  readonly probabilities: Stage;
  /** An element of `scores` with the scale applied, and with the soft cap too, in the type of the softmax. */
  readonly scaled: (index: readonly Expr[]) => Expr;
  readonly capped: (index: readonly Expr[]) => Expr;
}

/** 1 / √(head size), the scale that all attention operators default to. */
export function defaultScale(headSize: Dim, type: DType): Operand {
  const size = headSize.constant;
  return size === undefined ? div(constant(type, 1), sqrt(sizeAs(type, headSize))) : 1 / Math.sqrt(size);
}

export function headAxes({ kvHeads, group }: HeadLayout): readonly Dim[] {
  return group.is(1) ? [kvHeads] : [kvHeads, group];
}

/** Number of the query head that an index into the head axes means. */
export function headNumber({ group }: HeadLayout, heads: readonly Expr[]): Expr {
  return heads.length === 1 ? heads[0] : add(mul(heads[0], dimension(group)), heads[1]);
}

export function attentionStages(ctx: LowerContext, inputs: AttentionInputs): AttentionStages {
  const { dtype, batch, queries, keys, heads, softcap = 0, bias, keep, sink } = inputs;
  // Scores and probabilities of float16 and bfloat16 tensors stay in float32: rounded, they would cost most of the
  // precision that the result has.
  const sums = computeType(dtype);
  const wide = inputs.softmaxType ?? sums;
  const axes = headAxes(heads);
  const outer = [batch, ...axes];
  const split = (index: readonly Expr[]) => ({ b: index[0], h: index.slice(1, 1 + axes.length) });
  const scores = ctx.reduce(
    'sum',
    sums,
    [...outer, queries, keys],
    [inputs.headSize],
    (index, [feature]) => {
      const { b, h } = split(index);
      const [query, key] = index.slice(1 + axes.length);
      return mul(cast(sums, inputs.q(b, h, query, feature)), cast(sums, inputs.k(b, h[0], key, feature)));
    },
    { name: 'scores' },
  );
  const scaled = (index: readonly Expr[]): Expr => mul(cast(wide, ctx.at(scores, index)), inputs.scale);
  const capped = (index: readonly Expr[]): Expr =>
    softcap > 0 ? mul(tanh(div(scaled(index), softcap)), softcap) : scaled(index);
  const position = (index: readonly Expr[]): ScorePosition => {
    const { b, h } = split(index);
    const [query, key] = index.slice(1 + axes.length);
    return { batch: b, head: headNumber(heads, h), query, key };
  };
  const logits = ctx.map(
    wide,
    scores.shape,
    (index) => {
      const at = position(index);
      const biased = bias ? add(capped(index), bias(at)) : capped(index);
      const condition = keep?.(at);
      return condition ? select(condition, biased, -Infinity) : biased;
    },
    'logits',
  );
  const rows = new Rows(ctx, scores.shape, [scores.shape.length - 1]);
  const probabilities = softmaxStages(ctx, rows, sums, (index) => ctx.at(logits, index), {
    wide,
    emptyRowsAreZero: keep !== undefined || bias !== undefined,
    ...(sink && { sink: (row) => cast(wide, sink(position([...row, dimension(0)]).head)) }),
  });
  const values = ctx.reduce(
    'sum',
    sums,
    [...outer, queries, inputs.valueSize],
    [keys],
    (index, [key]) => {
      const { b, h } = split(index);
      const [query, feature] = index.slice(1 + axes.length);
      return mul(ctx.at(probabilities, [b, ...h, query, key]), cast(sums, inputs.v(b, h[0], key, feature)));
    },
    { name: 'weighted_values' },
  );
  const result = sums === dtype ? values : ctx.map(dtype, values.shape, (index) => cast(dtype, ctx.at(values, index)));
  return { result, scores, logits, probabilities, scaled, capped };
}

/** [batch, …head axes, positions, features] as [batch, positions, all heads · features]. */
export function mergeHeads(ctx: LowerContext, stage: Stage, heads: HeadLayout): Stage {
  const count = headAxes(heads).length;
  const [batch, ...rest] = stage.shape;
  const [positions, features] = rest.slice(count);
  const swapped = ctx.map(stage.dtype, [batch, positions, ...rest.slice(0, count), features], (index) => {
    const [b, position, ...tail] = index;
    return ctx.at(stage, [b, ...tail.slice(0, count), position, tail[count]]);
  });
  return ctx.view(swapped, [batch, positions, heads.kvHeads.mul(heads.group).mul(features)]);
}

/** [batch, …head axes, positions, features] as [batch, all heads, positions, features]. */
export function joinHeads(ctx: LowerContext, stage: Stage, heads: HeadLayout): Stage {
  if (headAxes(heads).length === 1) return stage;
  const [batch, kvHeads, group, ...rest] = stage.shape;
  return ctx.view(stage, [batch, kvHeads.mul(group), ...rest]);
}

/** Reads Q as stored: [batch, positions, heads · features], or [batch, heads, positions, features]. */
export function queryReader(ctx: LowerContext, source: Source, heads: HeadLayout, headSize: Dim): AttentionInputs['q'] {
  const axes = headAxes(heads);
  if (source.shape.length === 3) {
    const [batch, positions] = source.shape;
    const split = ctx.view(source, [batch, positions, ...axes, headSize]);
    return (b, h, query, feature) => ctx.at(split, [b, query, ...h, feature]);
  }
  if (axes.length === 1) return (b, h, query, feature) => ctx.at(source, [b, ...h, query, feature]);
  const [batch, , positions] = source.shape;
  const split = ctx.view(source, [batch, ...axes, positions, headSize]);
  return (b, h, query, feature) => ctx.at(split, [b, ...h, query, feature]);
}

/** Reads K or V as stored: [batch, positions, heads · features], or [batch, heads, positions, features]. */
export function keyReader(ctx: LowerContext, source: Source, kvHeads: Dim, headSize: Dim): AttentionInputs['k'] {
  if (source.shape.length === 4) return (b, head, key, feature) => ctx.at(source, [b, head, key, feature]);
  const [batch, positions] = source.shape;
  const split = ctx.view(source, [batch, positions, kvHeads, headSize]);
  return (b, head, key, feature) => ctx.at(split, [b, key, head, feature]);
}
