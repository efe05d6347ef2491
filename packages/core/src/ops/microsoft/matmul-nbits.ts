// com.microsoft MatMulNBits and MatMulBnb4: products with a weight matrix of a few bits, dequantised inside the sum so
// that the weight is read from memory as it is stored.

import {
  add,
  and,
  bitcast,
  boundedIndex,
  cast,
  constant,
  Dim,
  type DType,
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
  shr,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, int, type LowerContext, type NodeContext, required } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { zeroUnless } from '../window.ts';

const attributes = {
  K: required(int()),
  N: required(int()),
  accuracy_level: int(0),
  bits: int(4),
  block_size: required(int()),
  weight_prepacked: int(0),
};

type NBitsNode = NodeContext & {
  readonly attributes: {
    readonly K: number;
    readonly N: number;
    readonly bits: number;
    readonly block_size: number;
    readonly weight_prepacked: number;
  };
};

const [scales, zeroPoints, groupIndex, bias] = [2, 3, 4, 5];

/** Field `at` of the value stored in a byte, low bits first. */
export function unpack(byte: Expr, bits: number, at: Expr): Expr {
  if (bits === 8) return byte;
  return and(shr(byte, cast('uint8', mul(at, bits))), (1 << bits) - 1);
}

/** Reads a table of [N, columns] that may be stored flat. */
function tableReader(ctx: LowerContext, source: Source, columns: number): (n: Expr, column: Expr) => Expr {
  if (source.shape.length === 2) return (n, column) => ctx.at(source, [n, column]);
  return (n, column) => ctx.at(source, [add(mul(n, columns), column)]);
}

function checkNBits(ctx: NBitsNode) {
  const { K, N, bits, block_size: block } = ctx.attributes;
  if (![1, 2, 4, 8].includes(bits)) ctx.fail(`weights of ${bits} bits are not supported.`, 'Use 1, 2, 4 or 8.');
  if (block < 8 || (block & (block - 1)) !== 0)
    ctx.fail(`block_size must be a power of 2 of at least 8, not ${block}.`);
  if (ctx.attributes.weight_prepacked) ctx.fail('prepacked weights belong to one GPU kernel of onnxruntime.');
  const a = expectRank(ctx, 0, 1, Infinity);
  expectEqual(ctx, a[a.length - 1], Dim.constant(K), 'the last axis of A and K');
  const blocks = Math.ceil(K / block);
  const b = expectRank(ctx, 1, 3);
  const expected = [N, blocks, (block * bits) / 8];
  b.forEach((size, axis) => {
    expectEqual(ctx, size, Dim.constant(expected[axis]), `axis ${axis} of B and what K, N, bits and block_size give`);
  });
  return { shape: [...a.slice(0, -1), Dim.constant(N)], blocks, valuesPerByte: 8 / bits };
}

/**
 * Y[…, n] = Σ over blocks, bytes and fields of A[…, k] · (B[n, block, byte] field − zero point) · scale, with
 * k = (block · bytes + byte) · fields + field.
 */
function lowerNBits(ctx: LowerContext & NBitsNode): Stage {
  const { K, bits, block_size: blockSize } = ctx.attributes;
  const { shape, blocks, valuesPerByte } = checkNBits(ctx);
  const [a, b] = [ctx.input(0), ctx.input(1)];
  const { dtype } = a;
  const scaleAt = tableReader(ctx, ctx.input(scales), blocks);
  const zeroAt = zeroPointReader(ctx, blocks, bits, dtype);
  const over = [blocks, (blockSize * bits) / 8, valuesPerByte];
  const needsGuard = K % blockSize !== 0;
  const product = ctx.reduce('sum', dtype, shape, over, (index, [block, byte, field]) => {
    const n = index[index.length - 1];
    const k = add(mul(block, blockSize), add(mul(byte, valuesPerByte), field));
    const inside = needsGuard ? lt(k, dimension(K)) : undefined;
    const group = ctx.hasInput(groupIndex)
      ? boundedIndex(toIndex(ctx.at(ctx.input(groupIndex), [k], zeroUnless(inside))), blocks)
      : block;
    const quantised = cast(dtype, unpack(ctx.at(b, [n, block, byte]), bits, field));
    const weight = mul(sub(quantised, zeroAt(n, group)), scaleAt(n, group));
    return mul(ctx.at(a, [...index.slice(0, -1), k], zeroUnless(inside)), weight);
  });
  if (!ctx.hasInput(bias)) return product;
  return ctx.map(
    dtype,
    shape,
    (index) => add(ctx.at(product, index), ctx.at(ctx.input(bias), [index[index.length - 1]])),
    'bias',
  );
}

/** Zero points: the middle of the range, numbers of A's type, or packed like the weight with whole bytes per row. */
function zeroPointReader(ctx: LowerContext, blocks: number, bits: number, dtype: DType) {
  if (!ctx.hasInput(zeroPoints)) {
    const middle = constant(dtype, 1 << (bits - 1));
    return (): Expr => middle;
  }
  const source = ctx.input(zeroPoints);
  if (source.dtype !== 'uint8') {
    const read = tableReader(ctx, source, blocks);
    return (n: Expr, block: Expr): Expr => cast(dtype, read(n, block));
  }
  const valuesPerByte = 8 / bits;
  const read = tableReader(ctx, source, Math.ceil(blocks / valuesPerByte));
  return (n: Expr, block: Expr): Expr =>
    cast(dtype, unpack(read(n, div(block, valuesPerByte)), bits, mod(block, valuesPerByte)));
}

export const MatMulNBits = defineOperator({
  domain: 'com.microsoft',
  name: 'MatMulNBits',
  since: 1,
  attributes,
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, scales, bias);
    return [tensorType(dtype, checkNBits(ctx).shape)];
  },
  lower: (ctx) => lowerNBits(ctx),
});

/** Values of the two 4-bit float formats of bitsandbytes, by their code. */
const fp4 = [0, 0.00520833333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25];
const bnb4Values = [
  [...fp4, ...fp4.map((value) => -value)],
  [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ],
];

/** A stage that holds a few numbers. */
function smallTable(ctx: LowerContext, dtype: DType, values: readonly number[]): Stage {
  const pick = (at: Expr, from: number, count: number): Expr => {
    if (count === 1) return constant(dtype, values[from]);
    const half = count / 2;
    return select(lt(at, from + half), pick(at, from, half), pick(at, from + half, half));
  };
  return ctx.map(dtype, [values.length], ([at]) => pick(at, 0, values.length), 'table');
}

/**
 * Y[…, n] = Σ over k of A[…, k] · table[code of weight n · K + k] · absmax[block]. The weight is one run of 4-bit codes,
 * high half first.
 */
export const MatMulBnb4 = defineOperator({
  domain: 'com.microsoft',
  name: 'MatMulBnb4',
  since: 1,
  attributes: {
    K: required(int()),
    N: required(int()),
    block_size: required(int()),
    /** 0: FP4, 1: NF4. */
    quant_type: required(int()),
    training_mode: int(0),
    transB: int(1),
  },
  infer(ctx) {
    const { K, N, block_size, quant_type } = ctx.attributes;
    if (quant_type !== 0 && quant_type !== 1) ctx.fail(`quant_type must be 0 or 1, not ${quant_type}.`);
    const dtype = expectSameType(ctx, 0, 2);
    const a = expectRank(ctx, 0, 1, Infinity);
    const inner = ctx.attributes.transB ? K : N;
    const outer = ctx.attributes.transB ? N : K;
    expectEqual(ctx, a[a.length - 1], Dim.constant(inner), 'the last axis of A and the inner size of the weight');
    const codes = expectRank(ctx, 1, 1, 2).reduce((product, size) => product.mul(size), Dim.constant(1));
    expectEqual(ctx, codes, Dim.constant(Math.ceil((N * K) / 2)), 'the bytes of B and N · K / 2');
    expectEqual(ctx, expectRank(ctx, 2, 1)[0], Dim.constant(Math.ceil((N * K) / block_size)), 'the sizes of absmax');
    return [tensorType(dtype, [...a.slice(0, -1), Dim.constant(outer)])];
  },
  lower(ctx) {
    const { K, N, block_size: block, quant_type, transB } = ctx.attributes;
    const [a, absmax] = [ctx.input(0), ctx.input(2)];
    const codes = ctx.view(ctx.input(1), [Math.ceil((N * K) / 2)]);
    const table = smallTable(ctx, a.dtype, bnb4Values[quant_type]);
    const shape = ctx.outputShape(0);
    return ctx.reduce('sum', a.dtype, shape, [transB ? K : N], (index, [k]) => {
      const n = index[index.length - 1];
      const flat = transB ? add(mul(n, K), k) : add(mul(k, K), n);
      const byte = ctx.at(codes, [div(flat, 2)]);
      const isHigh = eq(mod(flat, 2), 0);
      const code = and(select(isHigh, shr(byte, 4), byte), 15);
      const weight = mul(ctx.at(table, [toIndex(code)]), ctx.at(absmax, [div(flat, block)]));
      return mul(ctx.at(a, [...index.slice(0, -1), k]), weight);
    });
  },
});

/** Values of the 4-bit floats of float4e2m1 by their code. */
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/**
 * Y[…, n] = Σ over k of A[…, k] · e2m1(B[n, k]) · e4m3(weight_scale[n, k / block]) · weight_scale_2, plus bias. Two codes are
 * in a byte, the low half first; the block scales are 8-bit floats given as bytes.
 */
export const MatMulBlockQuantizedFp4Weight = defineOperator({
  domain: 'com.microsoft',
  name: 'MatMulBlockQuantizedFp4Weight',
  since: 1,
  attributes: { block_size: int(16) },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 5);
    const a = expectRank(ctx, 0, 1, Infinity);
    const [n, bytes] = expectRank(ctx, 1, 2);
    expectEqual(ctx, a[a.length - 1], bytes.mul(2), 'the last axis of A and the columns of B');
    expectEqual(ctx, expectRank(ctx, 2, 2)[1], bytes.mul(2).ceilDiv(ctx.attributes.block_size), 'the blocks of B');
    return [tensorType(dtype, a.with(-1, n))];
  },
  lower(ctx) {
    const [a, b, scale] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const table = smallTable(ctx, 'float32', [...e2m1, ...e2m1.map((value) => -value)]);
    const shape = ctx.outputShape(0);
    const product = ctx.reduce('sum', 'float32', shape, [b.shape[1], 2], (index, [byte, half]) => {
      const n = index[index.length - 1];
      const k = add(mul(byte, 2), half);
      const code = unpack(ctx.at(b, [n, byte]), 4, half);
      const blockScale = cast(
        'float32',
        bitcast('float8e4m3fn', ctx.at(scale, [n, div(k, ctx.attributes.block_size)])),
      );
      const weight = mul(ctx.at(table, [toIndex(code)]), blockScale);
      return mul(cast('float32', ctx.at(a, [...index.slice(0, -1), k])), weight);
    });
    return ctx.map(a.dtype, shape, (index) => {
      const scaled = mul(ctx.at(product, index), ctx.scalar(3));
      if (!ctx.hasInput(5)) return cast(a.dtype, scaled);
      return cast(a.dtype, add(scaled, cast('float32', ctx.at(ctx.input(5), [index[index.length - 1]]))));
    });
  },
});
