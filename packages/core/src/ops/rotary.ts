// Rotary position embedding: pairs of features are turned by an angle that grows with the position.

import {
  add,
  boundedIndex,
  Dim,
  dimension,
  div,
  type Expr,
  eq,
  lt,
  mod,
  mul,
  type Source,
  type Stage,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';

export interface Rotation {
  /** Shape of the result; the last axis holds the features of one head. */
  readonly shape: readonly Dim[];
  /** Leading features that are turned; the others pass. */
  readonly turned: Dim;
  /** Pairs are neighbours (2 i, 2 i + 1) rather than halves (i, i + turned / 2). */
  readonly interleaved: boolean;
  /** Element by the index of the other axes and the feature. */
  readonly read: (outer: readonly Expr[], feature: Expr) => Expr;
  /** Cosine and sine for pair `pair` at the given index of the other axes. */
  readonly cos: (outer: readonly Expr[], pair: Expr) => Expr;
  readonly sin: (outer: readonly Expr[], pair: Expr) => Expr;
}

/** (a, b) becomes (a cos − b sin, b cos + a sin). */
export function rotate(ctx: LowerContext, dtype: Stage['dtype'], rotation: Rotation): Stage {
  const { shape, turned, read, cos, sin } = rotation;
  const last = shape.length - 1;
  const half = turned.floorDiv(2);
  if (rotation.interleaved) {
    return ctx.map(dtype, shape, (index) => {
      const [outer, feature] = [index.slice(0, last), index[last]];
      const pair = div(feature, 2);
      const isFirst = eq(mod(feature, 2), 0);
      const partner = read(outer, select(isFirst, add(feature, 1), sub(feature, 1)));
      const turn = mul(partner, sin(outer, pair));
      const result = add(mul(read(outer, feature), cos(outer, pair)), select(isFirst, mul(turn, -1), turn));
      return turned.equals(shape[last]) ? result : select(lt(feature, dimension(turned)), result, read(outer, feature));
    });
  }
  // Halves as segments: each reads whole runs of features, without a choice per element.
  const part = (length: Dim, body: (outer: readonly Expr[], feature: Expr) => Expr) => ({
    length,
    body: (index: readonly Expr[]) => body(index.slice(0, last), index[last]),
  });
  const upper = (feature: Expr): Expr => add(feature, dimension(half));
  const rest = shape[last].sub(turned);
  return ctx.segments(dtype, shape, last, [
    part(half, (outer, i) => sub(mul(read(outer, i), cos(outer, i)), mul(read(outer, upper(i)), sin(outer, i)))),
    part(half, (outer, i) => add(mul(read(outer, upper(i)), cos(outer, i)), mul(read(outer, i), sin(outer, i)))),
    ...(rest.is(0) ? [] : [part(rest, (outer, i) => read(outer, add(i, dimension(turned))))]),
  ]);
}

/** Sizes of an input [batch, heads, sequence, size] or [batch, sequence, heads · size], and its element reader. */
export function headView(ctx: LowerContext, x: Source, heads: Dim) {
  if (x.shape.length === 4) {
    return {
      shape: x.shape,
      batchOf: (outer: readonly Expr[]) => outer[0],
      positionOf: (outer: readonly Expr[]) => outer[2],
      read: (outer: readonly Expr[], feature: Expr) => ctx.at(x, [...outer, feature]),
    };
  }
  const [batch, sequence, hidden] = x.shape;
  const split = ctx.view(x, [batch, sequence, heads, hidden.floorDiv(heads)]);
  return {
    shape: split.shape,
    batchOf: (outer: readonly Expr[]) => outer[0],
    positionOf: (outer: readonly Expr[]) => outer[1],
    read: (outer: readonly Expr[], feature: Expr) => ctx.at(split, [...outer, feature]),
  };
}

/** An element of a cosine or sine table; `pair` is within the table wherever features are turned. */
export function tableEntry(
  ctx: LowerContext,
  table: Source,
  row: readonly Expr[],
  pair: Expr,
  isPartial: boolean,
): Expr {
  const width = table.shape[table.shape.length - 1];
  const guard = isPartial ? { when: lt(pair, dimension(width)), otherwise: 0 } : undefined;
  return ctx.at(table, [...row, pair], guard);
}

/**
 * Heads fill the last axis of the input, and the tables have an entry for each pair of features that turn.
 *
 * @param turned features of each head that turn; 0 for all
 * @param width of the tables
 */
export function expectRotation(ctx: NodeContext, features: Dim, heads: Dim, turned: number, width: Dim): void {
  const size = features.floorDiv(heads);
  expectEqual(ctx, size.mul(heads), features, 'the features of all heads and the last axis of the input');
  if (turned === 0) return expectEqual(ctx, width.mul(2), size, 'twice the width of the caches and the head size');
  const [most, pairs] = [size.constant, width.constant];
  if (turned % 2 !== 0 || (most !== undefined && turned > most)) {
    ctx.fail(`rotary_embedding_dim must be an even number of at most the head size ${size}, not ${turned}.`);
  }
  if (pairs !== undefined && pairs * 2 < turned) {
    ctx.fail(`caches of width ${pairs} are too narrow for a rotary_embedding_dim of ${turned}.`);
  }
}

export const RotaryEmbedding = defineOperator({
  name: 'RotaryEmbedding',
  since: 23,
  attributes: { interleaved: int(0), num_heads: int(), rotary_embedding_dim: int(0) },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2);
    const shape = expectRank(ctx, 0, 3, 4);
    if (shape.length === 3 && !ctx.attributes.num_heads) {
      ctx.fail('an input of rank 3 needs the attribute num_heads.');
    }
    const hasPositions = ctx.hasInput(3);
    const [cos, sin] = [1, 2].map((input) => expectRank(ctx, input, hasPositions ? 2 : 3));
    cos.forEach((size, axis) => {
      expectEqual(ctx, size, sin[axis], `axis ${axis} of cos_cache and sin_cache`);
    });
    const [batch, sequence] = shape.length === 4 ? [shape[0], shape[2]] : shape;
    const rows = hasPositions ? expectRank(ctx, 3, 2) : cos;
    expectEqual(ctx, rows[0], batch, `the batch sizes of X and of ${hasPositions ? 'position_ids' : 'the caches'}`);
    expectEqual(ctx, rows[1], sequence, `the lengths of X and of ${hasPositions ? 'position_ids' : 'the caches'}`);
    const heads = Dim.constant(shape.length === 3 ? ctx.attributes.num_heads! : 1);
    expectRotation(ctx, shape[shape.length - 1], heads, ctx.attributes.rotary_embedding_dim, cos[cos.length - 1]);
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const { shape, batchOf, positionOf, read } = headView(ctx, x, Dim.constant(ctx.attributes.num_heads || 1));
    const size = shape[3];
    const turned = ctx.attributes.rotary_embedding_dim ? Dim.constant(ctx.attributes.rotary_embedding_dim) : size;
    const interleaved = ctx.attributes.interleaved !== 0;
    const rowOf = (table: Source, outer: readonly Expr[]): readonly Expr[] => {
      const at = [batchOf(outer), positionOf(outer)];
      return ctx.hasInput(3)
        ? [boundedIndex(toIndex(ctx.at(ctx.input(3), at)), table.shape[0], { negative: false })]
        : at;
    };
    const entry = (input: number) => (outer: readonly Expr[], pair: Expr) => {
      const table = ctx.input(input);
      return tableEntry(ctx, table, rowOf(table, outer), pair, interleaved && !turned.equals(size));
    };
    const rotation = { shape, turned, interleaved, read, cos: entry(1), sin: entry(2) };
    const result = rotate(ctx, x.dtype, rotation);
    return x.shape.length === 4 ? result : ctx.view(result, x.shape);
  },
});
