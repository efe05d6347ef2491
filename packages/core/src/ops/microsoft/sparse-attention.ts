// com.microsoft SparseAttention: grouped-query attention in which a mask of blocks, one of several layouts for each head, says
// which keys a query may see. Made of GroupQueryAttention with a bias.

import {
  add,
  and,
  cast,
  constant,
  Dim,
  dimension,
  div,
  type Expr,
  eq,
  ge,
  lt,
  mod,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { defineOperator, float, int, type NodeContext, required } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';
import { likeInput } from '../pointwise.ts';

const ownDomain = 'onnx-ts';

type BlockNode = NodeContext & { readonly attributes: { readonly block_size: number; readonly num_heads: number } };

/** Sizes from the inputs: queries (for their number), rows and columns of the block masks, total lengths, longest length. */
function blockSizes(ctx: BlockNode) {
  const [batch, queries] = expectRank(ctx, 0, 3);
  const [layouts, rows] = expectRank(ctx, 1, 2);
  const [, entries] = expectRank(ctx, 2, 2);
  return { batch, queries, layouts, blocks: rows.sub(1), entries };
}

/** 0 where a block of the mask (compressed sparse rows) lets a query see a key, −∞ elsewhere. */
export const BlockBias = defineOperator({
  domain: ownDomain,
  name: 'BlockBias',
  since: 1,
  attributes: { block_size: required(int()), num_heads: required(int()) },
  valueInputs: [4],
  infer(ctx) {
    const { batch, queries } = blockSizes(ctx);
    const total: Dim = ctx.contents(4)?.[0] ?? ctx.freshDim('total');
    return [tensorType('float32', [batch, ctx.attributes.num_heads, queries, total].map(Dim.from))];
  },
  lower(ctx) {
    const { queries, layouts, blocks, entries } = blockSizes(ctx);
    const { block_size } = ctx.attributes;
    const [rows, columns] = [ctx.input(1), ctx.input(2)];
    const one = constant('int32', 1);
    const kept = ctx.reduce('max', 'int32', [layouts, blocks, blocks], [entries], ([layout, row, column], [at]) => {
      const place = cast('int32', at);
      const isOfRow = and(ge(place, ctx.at(rows, [layout, row])), lt(place, ctx.at(rows, [layout, add(row, 1)])));
      return select(and(isOfRow, eq(ctx.at(columns, [layout, at]), cast('int32', column))), one, constant('int32', 0));
    });
    const shape = ctx.outputShape(0);
    const isPrompt = eq(dimension(queries), dimension(shape[3]));
    return ctx.map('float32', shape, ([b, head, query, key]) => {
      // A prompt may be padded at its end, so that its length does not tell where it starts.
      const past = select(isPrompt, dimension(0), sub(toIndex(ctx.at(3, [b])), dimension(queries)));
      const position = add(past, query);
      const block = (x: Expr): Expr => div(x, block_size);
      const inside = and(ge(position, 0), lt(block(position), dimension(blocks)));
      const guard = and(inside, lt(block(key), dimension(blocks)));
      const index = [mod(head, dimension(layouts)), block(position), block(key)];
      const isKept = eq(ctx.at(kept, index, { when: guard, otherwise: 0 }), 1);
      return select(isKept, constant('float32', 0), constant('float32', -Infinity));
    });
  },
});

/** Inputs: query, key, value, caches of both, rows and columns of the block masks, longest length, lengths, cosines, sines. */
export const SparseAttention = defineOperator({
  domain: 'com.microsoft',
  name: 'SparseAttention',
  since: 1,
  attributes: {
    do_rotary: int(0),
    kv_num_heads: required(int()),
    num_heads: required(int()),
    rotary_interleaved: int(0),
    scale: float(),
    sparse_block_size: required(int()),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 3, 4);
    const [batch, queries, width] = expectRank(ctx, 0, 3);
    const { num_heads, kv_num_heads } = ctx.attributes;
    const isPacked = !ctx.hasInput(1);
    const hidden = isPacked ? width.floorDiv(num_heads + 2 * kv_num_heads).mul(num_heads) : width;
    return [tensorType(dtype, [batch, queries, hidden]), likeInput(ctx, 3), likeInput(ctx, 4)];
  },
  expand(ctx) {
    const [query, key, value, pastKey, pastValue, rows, columns, total, lengths, cos, sin] = Array.from(
      { length: 11 },
      (_, at) => ctx.value(at),
    );
    const { do_rotary, kv_num_heads, num_heads, rotary_interleaved, scale, sparse_block_size } = ctx.attributes;
    const given = { block_size: sparse_block_size, num_heads };
    const blocks = ctx.op('BlockBias', [query, rows, columns, lengths, total], given, { domain: ownDomain });
    const bias = ctx.op('Cast', [blocks], { to: codeOfDType(ctx.dtype(0)) });
    const before = ctx.op('Sub', [lengths, ctx.literal('int32', 1)]);
    const inputs = [query, key, value, pastKey, pastValue, before, total, cos, sin, undefined, bias];
    const attributes = {
      do_rotary,
      kv_num_heads,
      num_heads,
      rotary_interleaved,
      ...(scale && { scale: { float: scale } }),
    };
    return ctx.ops('GroupQueryAttention', inputs, 3, attributes, { domain: 'com.microsoft' });
  },
});
