// com.microsoft operators that tell attention where tokens are: T5's relative bias, and rotation by three positions at once.

import {
  abs,
  add,
  boundedIndex,
  cast,
  constant,
  Dim,
  div,
  type Expr,
  eq,
  gt,
  log,
  lt,
  max,
  min,
  mod,
  mul,
  type Source,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, float, int, ints, type NodeContext, required } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { headView, rotate, tableEntry } from '../rotary.ts';

const domain = 'com.microsoft';

/** The value of a scalar or one-element input that is a size. */
function sizeOf(ctx: NodeContext, input: number): Dim | undefined {
  return ctx.contents(input)?.[0];
}

/**
 * Bucket of the distance between a query and a key: one each for the nearest, logarithmically wider ones up to
 * `max_distance`; with `is_bidirectional`, half of the buckets are for keys after the query. The table [buckets, heads] is
 * stored head by head.
 */
export const RelativePositionBias = defineOperator({
  domain,
  name: 'RelativePositionBias',
  since: 1,
  attributes: { is_bidirectional: int(0), max_distance: required(int()) },
  valueInputs: [1, 2],
  infer(ctx) {
    const [buckets, heads] = expectRank(ctx, 0, 2);
    if (buckets.constant === undefined) throw new NotKnownYet('number of buckets');
    const [queries, keys] = [1, 2].map((input) => sizeOf(ctx, input) ?? ctx.freshDim('length'));
    return [tensorType(ctx.dtype(0), [Dim.constant(1), heads, queries, keys])];
  },
  lower(ctx) {
    const { is_bidirectional, max_distance } = ctx.attributes;
    const [rows, heads] = ctx.shape(0);
    const buckets = rows.constant!;
    const oneSide = is_bidirectional ? Math.floor(buckets / 2) : buckets;
    const exact = Math.floor(oneSide / 2);
    const table = ctx.view(ctx.input(0), [heads, buckets]);
    const growth = (oneSide - exact) / Math.log(max_distance / exact);
    return ctx.map(ctx.dtype(0), ctx.outputShape(0), ([, head, query, key]) => {
      const ahead = sub(key, query);
      const distance = cast('float32', abs(cast('int32', ahead)));
      const far = mul(log(div(max(distance, exact), exact)), growth);
      const wide = min(add(cast('int32', far), exact), oneSide - 1);
      const near = cast('int32', distance);
      const bucket = select(lt(near, exact), near, wide);
      const side = is_bidirectional ? select(gt(ahead, 0), constant('int32', oneSide), constant('int32', 0)) : 0;
      return ctx.at(table, [head, boundedIndex(toIndex(add(bucket, side)), buckets, { negative: false })]);
    });
  },
});

const [x, positionIds, cosTable, sinTable] = [0, 1, 2, 3];

/**
 * Which of the three positions (time, height, width) turns pair `pair`: in sections one after another, or by turns, where
 * time also takes what the other two leave.
 */
function streamOf(pair: Expr, sections: readonly number[], isInterleaved: boolean): Expr {
  const stream = (at: number): Expr => toIndex(at);
  const [time, height, width] = sections;
  if (!isInterleaved) {
    return select(lt(pair, time), stream(0), select(lt(pair, time + height), stream(1), stream(2)));
  }
  const turn = (at: number, count: number): Expr =>
    select(eq(mod(pair, 3), at), select(lt(pair, 3 * count), stream(at), stream(0)), stream(0));
  return add(turn(1, height), turn(2, width));
}

/** RotaryEmbedding whose angle depends, pair by pair, on one of three positions [3, batch, sequence]. */
export const MRotaryEmbedding = defineOperator({
  domain,
  name: 'MRotaryEmbedding',
  since: 1,
  attributes: {
    interleaved: int(0),
    is_packed_batching: int(0),
    /** 0: sections one after another, 1: interleaved. */
    mrope_layout: int(0),
    mrope_section: required(ints()),
    num_heads: int(0),
    rotary_embedding_dim: int(0),
    scale: float(1),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, x, cosTable, sinTable);
    const shape = expectRank(ctx, x, 3, 4);
    expectEqual(ctx, expectRank(ctx, positionIds, 3)[0], Dim.constant(3), 'the number of positions and 3');
    const sections = ctx.attributes.mrope_section;
    if (sections.length !== 3) ctx.fail(`mrope_section must have 3 entries, not ${sections.length}.`);
    const pairs = sections.reduce((sum, size) => sum + size, 0);
    expectEqual(ctx, expectRank(ctx, cosTable, 2)[1], Dim.constant(pairs), 'the sizes of the cache and the sections');
    const { num_heads: heads, rotary_embedding_dim: turned } = ctx.attributes;
    const hidden = shape[shape.length - 1];
    const whole = shape.length === 3 && heads > 0 ? hidden.floorDiv(heads) : hidden;
    // Without a number of heads, rows of three axes hold as many as there is place for.
    if (turned > 0 || shape.length === 4 || heads > 0) {
      const size = turned > 0 ? Dim.constant(turned) : whole;
      expectEqual(ctx, size, Dim.constant(2 * pairs), 'the size that is turned and twice the sections');
    }
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const source = ctx.input(x);
    const { num_heads, rotary_embedding_dim, mrope_section, mrope_layout } = ctx.attributes;
    const pairs = mrope_section.reduce((sum, size) => sum + size, 0);
    const hidden = source.shape[source.shape.length - 1];
    const heads = Dim.constant(num_heads);
    // Without a number of heads, the whole size of one is turned.
    const { shape, batchOf, positionOf, read } = headView(
      ctx,
      source,
      num_heads > 0 ? heads : hidden.floorDiv(2 * pairs),
    );
    const turned = rotary_embedding_dim > 0 ? Dim.constant(rotary_embedding_dim) : shape[3];
    const interleaved = ctx.attributes.interleaved !== 0;
    const isPartial = interleaved && !turned.equals(shape[3]);
    const entry = (table: Source) => (outer: readonly Expr[], pair: Expr) => {
      const stream = streamOf(pair, mrope_section, mrope_layout === 1);
      const id = toIndex(ctx.at(positionIds, [stream, batchOf(outer), positionOf(outer)]));
      return tableEntry(ctx, table, [boundedIndex(id, table.shape[0], { negative: false })], pair, isPartial);
    };
    const [cos, sin] = [entry(ctx.input(cosTable)), entry(ctx.input(sinTable))];
    const result = rotate(ctx, source.dtype, { shape, turned, interleaved, read, cos, sin });
    return source.shape.length === 4 ? result : ctx.view(result, source.shape);
  },
});
