// com.microsoft EmbedLayerNormalization: three embedding tables added and normalised, the input stage of BERT.

import {
  add,
  boundedIndex,
  cast,
  constant,
  type Dim,
  type Expr,
  ne,
  type Source,
  select,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, float, int, type LowerContext } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { layerNorm } from '../normalize.ts';

const [ids, segments, words, positions, segmentTable, gamma, beta, mask, positionIds] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/** Row of a table for the id that an input holds at an index. */
function lookup(ctx: LowerContext, table: Source, input: number, index: readonly Expr[], feature: Expr): Expr {
  const source = ctx.input(input);
  const id = toIndex(ctx.broadcastAt(source, index, ctx.shape(ids)));
  return ctx.at(table, [boundedIndex(id, table.shape[0], { negative: false }), feature]);
}

export const EmbedLayerNormalization = defineOperator({
  domain: 'com.microsoft',
  name: 'EmbedLayerNormalization',
  since: 1,
  attributes: { epsilon: float(1e-12), mask_index_type: int() },
  infer(ctx) {
    const dtype = expectSameType(ctx, words, positions, segmentTable, gamma, beta);
    const [batch, length] = expectRank(ctx, ids, 2);
    const hidden = expectRank(ctx, words, 2)[1];
    for (const input of [segments, positionIds, mask]) if (ctx.hasInput(input)) expectRank(ctx, input, 2);
    for (const table of [positions, segmentTable]) {
      if (ctx.hasInput(table)) expectEqual(ctx, expectRank(ctx, table, 2)[1], hidden, `the widths of the tables`);
    }
    const shape = [batch, length, hidden];
    return [tensorType(dtype, shape), tensorType('int32', [batch]), tensorType(dtype, shape)];
  },
  lower(ctx) {
    const [wordTable, positionTable] = [ctx.input(words), ctx.input(positions)];
    const { dtype } = wordTable;
    const wide = computeType(dtype);
    const [batch, length] = ctx.shape(ids);
    const shape = [batch, length, wordTable.shape[1]];
    const sum = ctx.map(
      dtype,
      shape,
      ([b, s, feature]) => {
        const position = ctx.hasInput(positionIds)
          ? lookup(ctx, positionTable, positionIds, [b, s], feature)
          : ctx.at(positionTable, [s, feature]);
        const word = lookup(ctx, wordTable, ids, [b, s], feature);
        const both = add(cast(wide, word), cast(wide, position));
        if (!ctx.hasInput(segments) || !ctx.hasInput(segmentTable)) return cast(dtype, both);
        const segment = lookup(ctx, ctx.input(segmentTable), segments, [b, s], feature);
        return cast(dtype, add(both, cast(wide, segment)));
      },
      'embedding_sum',
    );
    const { epsilon } = ctx.attributes;
    const norm = layerNorm(ctx, { x: sum, scale: gamma, bias: beta, axis: 2, epsilon, centres: true, dtype });
    return [norm.result, ctx.hasOutput(1) ? maskLengths(ctx, batch, length) : undefined, sum];
  },
});

/** Number of tokens of each sequence that the mask keeps; 0 without a mask. */
function maskLengths(ctx: LowerContext, batch: Dim, length: Dim) {
  if (!ctx.hasInput(mask)) return ctx.map('int32', [batch], () => constant('int32', 0));
  const source = ctx.input(mask);
  return ctx.reduce('sum', 'int32', [batch], [length], ([b], [s]) =>
    select(ne(ctx.at(source, [b, s]), 0), constant('int32', 1), constant('int32', 0)),
  );
}

/** EmbedLayerNormalization with tables and scales of bytes. */
export const QEmbedLayerNormalization = defineOperator({
  domain: 'com.microsoft',
  name: 'QEmbedLayerNormalization',
  since: 1,
  attributes: { epsilon: float(1e-12) },
  infer(ctx) {
    const [batch, length] = expectRank(ctx, ids, 2);
    return [tensorType('float32', [batch, length, expectRank(ctx, words, 2)[1]]), tensorType('int32', [batch])];
  },
  expand(ctx) {
    // The scales of words, positions, segments, gamma and beta start at input 8, their zero points at 13.
    const table = (input: number, at: number): Value | undefined => {
      const value = ctx.value(input);
      return value && ctx.op('DequantizeLinear', [value, ctx.value(8 + at), ctx.value(13 + at)]);
    };
    const tables = [words, positions, segmentTable, gamma, beta].map(table);
    const inputs = [ctx.value(ids), ctx.value(segments), ...tables, ctx.value(mask)];
    const epsilon = { float: ctx.attributes.epsilon };
    return ctx.ops('EmbedLayerNormalization', inputs, 2, { epsilon }, { domain: 'com.microsoft' });
  },
});
