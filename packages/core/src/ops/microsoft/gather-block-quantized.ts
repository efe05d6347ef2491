// com.microsoft GatherBlockQuantized: rows of an embedding table that is stored with a few bits per value.

import {
  and,
  boundedIndex,
  cast,
  constant,
  type DType,
  div,
  type Expr,
  mod,
  mul,
  type Source,
  shr,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, int, type LowerContext, type NodeContext } from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';

const [data, indices, scales, zeroPoints] = [0, 1, 2, 3];

type GatherNode = NodeContext & {
  readonly attributes: {
    readonly bits: number;
    readonly block_size: number;
    readonly gather_axis: number;
    readonly quantize_axis: number;
  };
};

function layoutOf(ctx: GatherNode) {
  const { bits, block_size: blockSize } = ctx.attributes;
  const stored = expectRank(ctx, data, 1, Infinity);
  const gatherAxis = ctx.axis(ctx.attributes.gather_axis, stored.length);
  const quantizeAxis = ctx.axis(ctx.attributes.quantize_axis, stored.length);
  const isPacked = ctx.dtype(data) === 'uint8';
  if (isPacked && ![2, 4, 8].includes(bits)) ctx.fail(`bits must be 2, 4 or 8, not ${bits}.`);
  if (isPacked && quantizeAxis !== stored.length - 1) ctx.fail('bytes must be packed along the last axis.');
  if (blockSize < 1) ctx.fail(`block_size must be at least 1, not ${blockSize}.`);
  const valuesPerByte = isPacked ? 8 / bits : 1;
  const shape = stored.map((size, axis) => (axis === stored.length - 1 ? size.mul(valuesPerByte) : size));
  const blocks = shape[quantizeAxis].ceilDiv(blockSize);
  expectEqual(ctx, expectRank(ctx, scales, stored.length)[quantizeAxis], blocks, 'the blocks of scales and data');
  return { shape, gatherAxis, quantizeAxis, blockSize, valuesPerByte, bits: isPacked ? bits : 0 };
}

/** A field of a packed tensor at an index into its values; `bits` 0 means that values are not packed. */
function unpacked(ctx: LowerContext, source: Source, index: readonly Expr[], bits: number): Expr {
  if (bits === 0 || bits === 8) return ctx.at(source, index);
  const last = index[index.length - 1];
  const valuesPerByte = 8 / bits;
  const byte = ctx.at(source, [...index.slice(0, -1), div(last, valuesPerByte)]);
  return and(shr(byte, cast('uint8', mul(mod(last, valuesPerByte), bits))), (1 << bits) - 1);
}

/** The zero point in the middle of the range that packed bytes have when none is given; other types have 0. */
const defaultZero = (dtype: DType, bits: number): Expr => constant(dtype, bits === 0 ? 0 : 1 << (bits - 1));

export const GatherBlockQuantized = defineOperator({
  domain: 'com.microsoft',
  name: 'GatherBlockQuantized',
  since: 1,
  attributes: { bits: int(4), block_size: int(128), gather_axis: int(0), quantize_axis: int(1) },
  infer(ctx) {
    const { shape, gatherAxis } = layoutOf(ctx);
    const result = [...shape.slice(0, gatherAxis), ...ctx.shape(indices), ...shape.slice(gatherAxis + 1)];
    return [tensorType(ctx.dtype(scales), result)];
  },
  lower(ctx) {
    const { shape, gatherAxis, quantizeAxis, blockSize, bits } = layoutOf(ctx);
    const [table, rows, scale] = [ctx.input(data), ctx.input(indices), ctx.input(scales)];
    const { dtype } = scale;
    const wide = computeType(dtype);
    const rowRank = rows.shape.length;
    return ctx.map(dtype, ctx.outputShape(0), (index) => {
      const row = ctx.at(rows, index.slice(gatherAxis, gatherAxis + rowRank));
      const at = [
        ...index.slice(0, gatherAxis),
        boundedIndex(toIndex(row), shape[gatherAxis]),
        ...index.slice(gatherAxis + rowRank),
      ];
      const block = at.map((position, axis) => (axis === quantizeAxis ? div(position, blockSize) : position));
      const zero = ctx.hasInput(zeroPoints)
        ? cast(wide, unpacked(ctx, ctx.input(zeroPoints), block, bits))
        : defaultZero(wide, bits);
      const value = sub(cast(wide, unpacked(ctx, table, at, bits)), zero);
      return cast(dtype, mul(value, cast(wide, ctx.at(scale, block))));
    });
  },
});
