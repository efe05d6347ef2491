// Operators of com.microsoft that dequantize their input, apply an operator of ai.onnx, and quantize the result.

import { Dim, type DType } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { defineOperator, type ExpandContext, int, ints, type NodeContext, required } from '../define.ts';
import { likeInput, requireDType } from '../pointwise.ts';
import { range } from '../quantize-product.ts';
import { kernelShape, poolAttributes, windowAxes } from '../window.ts';

const domain = 'com.microsoft';
const bytes: readonly DType[] = ['int8', 'uint8'];

/** Inputs: X, its scale and zero point, scale and zero point of the result. Zero points may be missing. */
function throughReals(ctx: ExpandContext, formula: (x: Value) => Value): Value {
  const [x, scaleX, zeroX, scaleY, zeroY] = ctx.node.inputs;
  const y = formula(ctx.op('DequantizeLinear', [x, scaleX, zeroX]));
  return ctx.op('QuantizeLinear', [y, scaleY, zeroY], zeroY ? {} : { output_dtype: codeOfDType(ctx.dtype(0)) });
}

const channelsToFront = (rank: number): number[] => [0, rank - 1, ...range(1, rank - 1)];
const channelsToBack = (rank: number): number[] => [0, ...range(2, rank), 1];

function permuted<T>(items: readonly T[], order: readonly number[]): T[] {
  return order.map((at) => items[at]);
}

export const QLinearAveragePool = defineOperator({
  domain,
  name: 'QLinearAveragePool',
  since: 1,
  attributes: { ...poolAttributes, count_include_pad: int(0), channels_last: int(0) },
  infer(ctx) {
    const dtype = requireDType(ctx, 0, bytes);
    const given = ctx.shape(0);
    const isLast = ctx.attributes.channels_last !== 0;
    const shape = isLast ? permuted(given, channelsToFront(given.length)) : given;
    const spatial = shape.slice(2);
    const windows = windowAxes(ctx, ctx.attributes, spatial, kernelShape(ctx, ctx.attributes, spatial.length));
    const pooled = [shape[0], shape[1], ...windows.map(({ output }) => output)];
    return [tensorType(dtype, isLast ? permuted(pooled, channelsToBack(given.length)) : pooled)];
  },
  expand(ctx) {
    const { channels_last, ...attributes } = Object.fromEntries(ctx.node.attributes);
    const rank = ctx.rank(0);
    return throughReals(ctx, (x) => {
      if (ctx.attributes.channels_last === 0) return ctx.op('AveragePool', [x], attributes);
      const turned = ctx.op('Transpose', [x], { perm: channelsToFront(rank) });
      return ctx.op('Transpose', [ctx.op('AveragePool', [turned], attributes)], { perm: channelsToBack(rank) });
    });
  },
});

export const QLinearGlobalAveragePool = defineOperator({
  domain,
  name: 'QLinearGlobalAveragePool',
  since: 1,
  attributes: { channels_last: int(0) },
  infer(ctx) {
    const pooled = new Set(spatialAxes(ctx));
    const shape = ctx.shape(0).map((size, axis) => (pooled.has(axis) ? Dim.constant(1) : size));
    return [tensorType(requireDType(ctx, 0, bytes), shape)];
  },
  expand: (ctx) =>
    throughReals(ctx, (x) => ctx.op('ReduceMean', [x, ctx.literal('int64', spatialAxes(ctx))], { keepdims: 1 })),
});

function spatialAxes(ctx: NodeContext & { readonly attributes: { readonly channels_last: number } }): number[] {
  const rank = ctx.rank(0);
  return ctx.attributes.channels_last ? range(1, rank - 1) : range(2, rank);
}

export const QLinearReduceMean = defineOperator({
  domain,
  name: 'QLinearReduceMean',
  since: 1,
  attributes: { axes: required(ints()), keepdims: int(1) },
  infer: (ctx) => [tensorType(requireDType(ctx, 0, bytes), reducedShape(ctx))],
  expand: (ctx) =>
    throughReals(ctx, (x) =>
      ctx.op('ReduceMean', [x, ctx.literal('int64', ctx.attributes.axes)], { keepdims: ctx.attributes.keepdims }),
    ),
});

/** Sum of bytes in 32 bits. */
export const ReduceSumInteger = defineOperator({
  domain,
  name: 'ReduceSumInteger',
  since: 1,
  attributes: { axes: required(ints()), keepdims: int(1) },
  infer: (ctx) => [tensorType(sumType(requireDType(ctx, 0, bytes)), reducedShape(ctx))],
  expand(ctx) {
    const wide = ctx.op('Cast', [ctx.value(0)], { to: codeOfDType(sumType(ctx.dtype(0))) });
    const { axes, keepdims } = ctx.attributes;
    return ctx.op('ReduceSum', [wide, ctx.literal('int64', axes)], { keepdims });
  },
});

function sumType(dtype: DType): DType {
  return dtype === 'int8' ? 'int32' : 'uint32';
}

type ReduceNode = NodeContext & {
  readonly attributes: { readonly axes: readonly number[]; readonly keepdims: number };
};

function reducedShape(ctx: ReduceNode): readonly Dim[] {
  const shape = ctx.shape(0);
  const { axes, keepdims } = ctx.attributes;
  const reduced = new Set(axes.map((axis) => ctx.axis(axis, shape.length)));
  if (keepdims) return shape.map((size, axis) => (reduced.has(axis) ? Dim.constant(1) : size));
  return shape.filter((_, axis) => !reduced.has(axis));
}

/** The attribute `opset` is that of the Softmax meant: before 13, all axes from `axis` on are one. */
export const QLinearSoftmax = defineOperator({
  domain,
  name: 'QLinearSoftmax',
  since: 1,
  attributes: { axis: int(-1), opset: required(int()) },
  infer: (ctx) => [likeInput(ctx, 0, requireDType(ctx, 0, bytes))],
  expand(ctx) {
    const { axis, opset } = ctx.attributes;
    return throughReals(ctx, (x) => {
      if (opset >= 13) return ctx.op('Softmax', [x], { axis });
      const rows = ctx.op('Softmax', [ctx.op('Flatten', [x], { axis })], { axis: 1 });
      return ctx.op('Reshape', [rows, ctx.op('Shape', [x])]);
    });
  },
});
