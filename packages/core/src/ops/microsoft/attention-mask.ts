// Masks of the com.microsoft attention operators: a bias that almost removes padding, causality, an additive bias.

import {
  add,
  and,
  cast,
  constant,
  type Dim,
  type DType,
  dimension,
  type Expr,
  eq,
  ge,
  gt,
  le,
  lt,
  select,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { LowerContext, NodeContext } from '../define.ts';
import { broadcastIndex } from '../lowering.ts';
import type { AttentionInputs, HeadLayout, ScorePosition } from '../scaled-dot-product.ts';

export interface MaskInputs {
  /** Input that marks padding; see `readPadding`. */
  readonly padding: number;
  /** Input that is added to the scores: [batch or 1, heads or 1, queries, keys]. */
  readonly bias: number;
  /** Added where padding is, not −∞: onnxruntime's mask_filter_value. */
  readonly filterValue: number;
  readonly isCausal: boolean;
}

interface ScoreSizes {
  readonly batch: Dim;
  readonly heads: HeadLayout;
  readonly queries: Dim;
  readonly keys: Dim;
  /** Keys of the cache, before the first query. */
  readonly past: Dim;
}

/**
 * Whether a key is real according to the padding input: [batch] holds lengths, [2 · batch] ends then starts, [3 · batch + 2]
 * lengths and then where sequences would start without their padding; of rank 2 to 4 it has an entry above 0 for each [batch, key], [batch, query, key] or [batch, 1, query, key] that is real.
 */
function readPadding(ctx: LowerContext, input: number, sizes: ScoreSizes): (at: ScorePosition) => Expr {
  const source = ctx.input(input);
  const { batch, keys, queries } = sizes;
  switch (source.shape.length) {
    case 1: {
      const end = (at: ScorePosition): Expr => toIndex(ctx.at(source, [at.batch]));
      const [length, both] = [source.shape[0], batch.mul(2)];
      const mayHaveStarts = length.equals(both) || length.constant === undefined || batch.constant === undefined;
      if (!mayHaveStarts || length.equals(batch)) return (at) => lt(at.key, end(at));
      // Only the run tells, where one of the two is a symbol.
      const guard = { when: eq(dimension(length), dimension(both)), otherwise: 0 };
      const start = (at: ScorePosition): Expr =>
        toIndex(ctx.at(source, [add(at.batch, dimension(batch))], length.equals(both) ? undefined : guard));
      return (at) => and(lt(at.key, end(at)), ge(at.key, start(at)));
    }
    case 2:
      return (at) => gt(ctx.at(source, broadcastIndex(source.shape, [at.batch, at.key], [batch, keys])), 0);
    case 3: {
      const full = [batch, queries, keys];
      return (at) => gt(ctx.at(source, broadcastIndex(source.shape, [at.batch, at.query, at.key], full)), 0);
    }
    default: {
      // Megatron's mask has all positions; this node's queries come last in it.
      const query = (at: ScorePosition): Expr => add(at.query, dimension(sizes.past));
      return (at) => gt(ctx.at(source, [at.batch, dimension(0), query(at), at.key]), 0);
    }
  }
}

/** Bias and condition of the scores, for `attentionStages`. */
export function maskStages(
  ctx: LowerContext,
  inputs: MaskInputs,
  sizes: ScoreSizes,
  wide: DType,
): Pick<AttentionInputs, 'bias' | 'keep'> {
  const terms: ((at: ScorePosition) => Expr)[] = [];
  if (ctx.hasInput(inputs.padding)) {
    const isReal = readPadding(ctx, inputs.padding, sizes);
    terms.push((at) => select(isReal(at), constant(wide, 0), constant(wide, inputs.filterValue)));
  }
  if (ctx.hasInput(inputs.bias)) {
    const source = ctx.input(inputs.bias);
    const full = [sizes.batch, sizes.heads.kvHeads.mul(sizes.heads.group), sizes.queries, sizes.keys];
    terms.push((at) => {
      const index = broadcastIndex(source.shape, [at.batch, at.head, at.query, at.key], full);
      return cast(wide, ctx.at(source, index));
    });
  }
  const keep = (at: ScorePosition): Expr => le(at.key, add(at.query, dimension(sizes.past)));
  return {
    ...(terms.length > 0 && { bias: (at: ScorePosition) => terms.map((term) => term(at)).reduce((a, b) => add(a, b)) }),
    ...(inputs.isCausal && { keep }),
  };
}

/** Checks the ranks that `maskStages` reads. */
export function checkMasks(ctx: NodeContext, inputs: Pick<MaskInputs, 'padding' | 'bias'>, batch: Dim): void {
  if (ctx.hasInput(inputs.padding)) {
    const shape = ctx.shape(inputs.padding);
    if (shape.length < 1 || shape.length > 4) ctx.fail('the mask must have rank 1 to 4.');
    const length = shape[0].constant;
    if (shape.length === 1 && length !== undefined && batch.constant !== undefined) {
      const known = [batch.constant, 2 * batch.constant, 3 * batch.constant + 2];
      if (!known.includes(length)) {
        ctx.fail(`a mask of rank 1 must have ${known.join(', ')} entries, not ${length}.`);
      }
    }
  }
  if (ctx.hasInput(inputs.bias) && ctx.rank(inputs.bias) !== 4) ctx.fail('the attention bias must have rank 4.');
}
