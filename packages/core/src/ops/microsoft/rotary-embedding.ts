// com.microsoft RotaryEmbedding: like ai.onnx's, but positions are always given: one start for all, or one per token.

import { add, boundedIndex, Dim, type Expr, type Source, toIndex } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { stretchedIndex } from '../lowering.ts';
import { expectRotation, headView, rotate, tableEntry } from '../rotary.ts';

const [x, positionIds, cosTable, sinTable] = [0, 1, 2, 3];

type RotaryNode = NodeContext & {
  readonly attributes: { readonly num_heads: number; readonly rotary_embedding_dim: number };
};

/** Heads of an input of rank 3; without the attribute the tables tell the head size. */
function headCount(ctx: RotaryNode): Dim {
  const shape = ctx.shape(x);
  if (shape.length === 4) return shape[1];
  const { num_heads, rotary_embedding_dim } = ctx.attributes;
  if (num_heads > 0) return Dim.constant(num_heads);
  if (rotary_embedding_dim > 0) ctx.fail('rotary_embedding_dim with an input of rank 3 needs num_heads.');
  return shape[2].floorDiv(ctx.shape(cosTable)[1].mul(2));
}

/** Position of a token: its own id, or the start that all sequences share plus its place. */
function positionReader(ctx: LowerContext): (batch: Expr, place: Expr) => Expr {
  const ids = ctx.input(positionIds);
  if (ids.shape.length === 1) return (_, place) => add(toIndex(ctx.at(ids, [0])), place);
  return (batch, place) => {
    return toIndex(ctx.at(ids, [stretchedIndex(ids.shape[0], batch), place]));
  };
}

export const MicrosoftRotaryEmbedding = defineOperator({
  domain: 'com.microsoft',
  name: 'RotaryEmbedding',
  since: 1,
  attributes: {
    interleaved: int(0),
    is_packed_batching: int(0),
    num_heads: int(0),
    rotary_embedding_dim: int(0),
    scale: float(1),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, x, cosTable, sinTable);
    const shape = expectRank(ctx, x, 3, 4);
    expectRank(ctx, positionIds, 1, 2);
    const [width] = [cosTable, sinTable].map((input) => expectRank(ctx, input, 2)[1]);
    expectEqual(ctx, width, ctx.shape(sinTable)[1], 'the widths of the caches');
    const heads = shape.length === 4 ? Dim.constant(1) : headCount(ctx);
    expectRotation(ctx, shape[shape.length - 1], heads, ctx.attributes.rotary_embedding_dim, width);
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const source = ctx.input(x);
    const { shape, batchOf, positionOf, read } = headView(ctx, source, headCount(ctx));
    const { interleaved, rotary_embedding_dim } = ctx.attributes;
    const turned = rotary_embedding_dim > 0 ? Dim.constant(rotary_embedding_dim) : shape[3];
    const isPartial = interleaved !== 0 && !turned.equals(shape[3]);
    const position = positionReader(ctx);
    const entry = (table: Source) => (outer: readonly Expr[], pair: Expr) => {
      const row = boundedIndex(position(batchOf(outer), positionOf(outer)), table.shape[0], { negative: false });
      return tableEntry(ctx, table, [row], pair, isPartial);
    };
    const [cos, sin] = [entry(ctx.input(cosTable)), entry(ctx.input(sinTable))];
    const result = rotate(ctx, source.dtype, { shape, turned, interleaved: interleaved !== 0, read, cos, sin });
    return source.shape.length === 4 ? result : ctx.view(result, source.shape);
  },
});
