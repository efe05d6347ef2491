// Matrix products of com.microsoft on quantized tensors. All but MatMulInteger16 expand to MatMulInteger, whose sums are
// scaled afterwards.

import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, derive, type ExpandContext, float, int } from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';
import { matMulShape } from '../matmul.ts';
import { requireDType, requireSameDType } from '../pointwise.ts';
import { lowerIntegerMatMul, QLinearConv as OnnxQLinearConv, scaledSum } from '../quantize-product.ts';

const domain = 'com.microsoft';
const bytes = ['int8', 'uint8'] as const;

/** The same as in ai.onnx, and images may have their channels last. */
export const QLinearConv = derive(OnnxQLinearConv, { domain, since: 1 });

export const MatMulInteger16 = defineOperator({
  domain,
  name: 'MatMulInteger16',
  since: 1,
  infer(ctx) {
    const dtype = requireSameDType(ctx, [0, 1], ['int16', 'uint16']);
    return [tensorType(dtype === 'int16' ? 'int32' : 'uint32', matMulShape(ctx, ctx.shape(0), ctx.shape(1)))];
  },
  lower: (ctx) => lowerIntegerMatMul(ctx, ctx.outputDType(0)),
});

/** Inputs: A, B, their scales, their zero points, bias. */
export const MatMulIntegerToFloat = defineOperator({
  domain,
  name: 'MatMulIntegerToFloat',
  since: 1,
  infer(ctx) {
    requireDType(ctx, 0, bytes);
    requireDType(ctx, 1, bytes);
    const dtype = requireDType(ctx, 2, ['float32', 'float16']);
    return [tensorType(dtype, matMulShape(ctx, ctx.shape(0), ctx.shape(1)))];
  },
  expand(ctx) {
    const [a, b, scaleA, scaleB, zeroA, zeroB, bias] = ctx.node.inputs as readonly Value[];
    const real = scaledSum(ctx, ctx.op('MatMulInteger', [a, b, zeroA, zeroB]), scaleA, scaleB);
    return addBias(ctx, ctx.op('CastLike', [real, scaleA]), bias);
  },
});

/** Inputs: A in float32, which is quantized for the run at hand; B, its scale and zero point; bias. */
export const DynamicQuantizeMatMul = defineOperator({
  domain,
  name: 'DynamicQuantizeMatMul',
  since: 1,
  infer(ctx) {
    const dtype = requireDType(ctx, 0, ['float32']);
    requireDType(ctx, 1, bytes);
    return [tensorType(dtype, matMulShape(ctx, ctx.shape(0), ctx.shape(1)))];
  },
  expand(ctx) {
    const [x, b, scaleB, zeroB, bias] = ctx.node.inputs as readonly Value[];
    const [a, scaleA, zeroA] = ctx.ops('DynamicQuantizeLinear', [x], 3);
    return addBias(ctx, scaledSum(ctx, ctx.op('MatMulInteger', [a, b, zeroA, zeroB]), scaleA, scaleB), bias);
  },
});

function addBias(ctx: ExpandContext, value: Value, bias: Value | undefined): Value {
  return bias ? ctx.op('Add', [value, bias]) : value;
}

/** Inputs: A, scale, zero point; B, scale, zero point; int32 C; scale and zero point of the result, if it is quantized. */
export const QGemm = defineOperator({
  domain,
  name: 'QGemm',
  since: 1,
  attributes: { alpha: float(1), transA: int(0), transB: int(0) },
  infer(ctx) {
    requireDType(ctx, 0, bytes);
    requireDType(ctx, 3, bytes);
    const { transA, transB } = ctx.attributes;
    const [a, b] = [expectRank(ctx, 0, 2), expectRank(ctx, 3, 2)];
    const [rows, inner] = transA ? [a[1], a[0]] : a;
    const [depth, columns] = transB ? [b[1], b[0]] : b;
    expectEqual(ctx, inner, depth, 'the inner sizes of A and B');
    const isQuantized = ctx.hasInput(7);
    return [tensorType(isQuantized ? (ctx.hasInput(8) ? ctx.dtype(8) : 'uint8') : 'float32', [rows, columns])];
  },
  expand(ctx) {
    const [a, scaleA, zeroA, b, scaleB, zeroB, c, scaleY, zeroY] = ctx.node.inputs as readonly Value[];
    const { alpha, transA, transB } = ctx.attributes;
    const turned = (matrix: Value, isTurned: number): Value =>
      isTurned ? ctx.op('Transpose', [matrix], { perm: [1, 0] }) : matrix;
    const product = ctx.op('MatMulInteger', [turned(a, transA), turned(b, transB), zeroA, zeroB]);
    const sum = c ? ctx.op('Add', [product, c]) : product;
    const scale = alpha === 1 ? scaleA : ctx.op('Mul', [scaleA, ctx.literal('float32', alpha)]);
    const real = scaledSum(ctx, sum, scale, scaleB);
    return scaleY ? ctx.op('QuantizeLinear', [real, scaleY, zeroY]) : real;
  },
});
