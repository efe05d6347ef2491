// Matrix products and convolutions of quantized tensors. The integer ones lower to one contraction with int32 sums; the
// QLinear ones expand to them, and scale and round the sums.

import {
  cast,
  type Dim,
  type DType,
  type Expr,
  isFloat,
  mul,
  productOf,
  type Source,
  type Stage,
  shapeText,
  sub,
} from '@onnx-ts/tensor-ir';
import type { Value } from '../graph/graph.ts';
import { tensorType } from '../graph/types.ts';
import { codeOfDType } from '../onnx/import-tensor.ts';
import { NotKnownYet } from './context.ts';
import { type ConvNode, convAttributes, groupChannel } from './conv.ts';
import { defineOperator, type ExpandContext, int, type LowerContext } from './define.ts';
import { expectEqual } from './expect.ts';
import { broadcastIndex, stretchedIndex } from './lowering.ts';
import { matMulShape } from './matmul.ts';
import { float8s, floats, requireDType } from './pointwise.ts';
import { kernelShape, windowAxes, windowTap } from './window.ts';

const bytes: readonly DType[] = ['int8', 'uint8'];

/** x − zeroPoint in the type of the sums. */
function centred(sum: DType, x: Expr, zeroPoint: Expr | undefined): Expr {
  return zeroPoint ? sub(cast(sum, x), cast(sum, zeroPoint)) : cast(sum, x);
}

/**
 * Zero point for an element of a matrix operand.
 * @param vectorAxis axis of the operand along which a zero point of rank 1 runs
 */
function zeroPointAt(ctx: LowerContext, input: number, index: readonly Expr[], vectorAxis: number): Expr | undefined {
  if (!ctx.hasInput(input)) return undefined;
  const shape = ctx.shape(input);
  if (productOf(shape).is(1)) return ctx.scalar(input);
  const places = shape.length === 1 ? [index[vectorAxis]] : index.slice(index.length - shape.length);
  return ctx.at(
    input,
    shape.map((size, axis) => (places[axis] ? stretchedIndex(size, places[axis]) : 0)),
  );
}

/** Σ over k of (A − zeroA)[…, m, k] · (B − zeroB)[…, k, n], with the shape rules of numpy.matmul. */
export function lowerIntegerMatMul(ctx: LowerContext, sum: DType): Stage {
  const shape = ctx.outputShape(0);
  const [a, b]: readonly Source[] = [ctx.input(0), ctx.input(1)];
  const hasRows = a.shape.length > 1;
  const hasColumns = b.shape.length > 1;
  const batch = shape.slice(0, shape.length - Number(hasRows) - Number(hasColumns));
  const inner = a.shape[a.shape.length - 1];
  return ctx.reduce('sum', sum, shape, [inner], (index, [k]) => {
    const head = index.slice(0, batch.length);
    const row = hasRows ? [index[batch.length]] : [];
    const column = hasColumns ? [index[index.length - 1]] : [];
    const left = [...broadcastIndex(a.shape.slice(0, -2), head, batch), ...row, k];
    const right = [...broadcastIndex(b.shape.slice(0, -2), head, batch), k, ...column];
    return mul(
      centred(sum, ctx.at(a, left), zeroPointAt(ctx, 2, left, left.length - 2)),
      centred(sum, ctx.at(b, right), zeroPointAt(ctx, 3, right, right.length - 1)),
    );
  });
}

export const MatMulInteger = defineOperator({
  name: 'MatMulInteger',
  since: 10,
  infer(ctx) {
    requireDType(ctx, 0, bytes);
    requireDType(ctx, 1, bytes);
    return [tensorType('int32', matMulShape(ctx, ctx.shape(0), ctx.shape(1)))];
  },
  lower: (ctx) => lowerIntegerMatMul(ctx, 'int32'),
});

/** Windows and output shape for X [N, C, …] and W [M, C / group, …]. */
function convShape(ctx: ConvNode, x: readonly Dim[], w: readonly Dim[]) {
  const { group } = ctx.attributes;
  if (x.length < 3 || w.length !== x.length) {
    ctx.fail(`X and W must have one rank of at least 3, not the shapes ${shapeText(x)} and ${shapeText(w)}.`);
  }
  const kernel = w.slice(2);
  if (group < 1) ctx.fail(`group must be at least 1, not ${group}.`);
  expectEqual(ctx, x[1], w[1].mul(group), 'the channels of X and group times those of W');
  if (ctx.attributes.kernel_shape?.length) {
    kernelShape(ctx, ctx.attributes, kernel.length).forEach((size, axis) => {
      expectEqual(ctx, size, kernel[axis], 'kernel_shape and the shape of W');
    });
  }
  const axes = windowAxes(ctx, ctx.attributes, x.slice(2), kernel);
  return { axes, shape: [x[0], w[0], ...axes.map(({ output }) => output)] };
}

/** The image is padded with its zero point, which stands for 0. */
export const ConvInteger = defineOperator({
  name: 'ConvInteger',
  since: 10,
  attributes: convAttributes,
  infer(ctx) {
    requireDType(ctx, 0, bytes);
    requireDType(ctx, 1, bytes);
    return [tensorType('int32', convShape(ctx, ctx.shape(0), ctx.shape(1)).shape)];
  },
  lower(ctx) {
    const { axes, shape } = convShape(ctx, ctx.shape(0), ctx.shape(1));
    const [x, w] = [ctx.input(0), ctx.input(1)];
    const [outputs, channels, ...kernel] = w.shape;
    const zero = ctx.hasInput(2) ? ctx.scalar(2) : undefined;
    return ctx.reduce('sum', 'int32', shape, [channels, ...kernel], ([n, o, ...at], [c, ...tap]) => {
      const { position, inside } = windowTap(axes, at, tap);
      const channel = groupChannel(o, c, ctx.attributes.group, outputs, channels);
      const pixel = ctx.at(x, [n, channel, ...position], inside && { when: inside, otherwise: zero ?? 0 });
      const weight = [o, c, ...tap];
      return mul(centred('int32', pixel, zero), centred('int32', ctx.at(w, weight), zeroPointAt(ctx, 3, weight, 0)));
    });
  },
});

/** Rank of a value met while expanding; when it is not known, the expansion waits. */
function rankOf(ctx: ExpandContext, value: Value): number {
  const { shape } = ctx.typeOf(value);
  if (!shape) throw new NotKnownYet(`rank of ${value.name}`);
  return shape.length;
}

/**
 * The scale of A, one for all or for each row, such that it can be multiplied with the product. That has no rows when A is
 * a vector, and no columns when B is one.
 */
function alongRows(ctx: ExpandContext, value: Value): Value {
  if (rankOf(ctx, value) !== 1) return value;
  if (ctx.rank(0) === 1) return ctx.op('Squeeze', [value, ctx.literal('int64', [0])]);
  return ctx.rank(3) === 1 ? value : ctx.op('Unsqueeze', [value, ctx.literal('int64', [1])]);
}

/** The scale of B, one for all or for each column; a vector B has one column, which the product does not keep. */
function alongColumns(ctx: ExpandContext, value: Value): Value {
  if (rankOf(ctx, value) !== 1 || ctx.rank(3) > 1) return value;
  return ctx.op('Squeeze', [value, ctx.literal('int64', [0])]);
}

function toFloat32(ctx: ExpandContext, value: Value): Value {
  return ctx.op('Cast', [value], { to: codeOfDType('float32') });
}

/** An integer result as a real number: sum · scaleA · scaleB. */
export function scaledSum(ctx: ExpandContext, sum: Value, scaleA: Value, scaleB: Value): Value {
  const scale = ctx.op('Mul', [toFloat32(ctx, scaleA), toFloat32(ctx, scaleB)]);
  return ctx.op('Mul', [toFloat32(ctx, sum), scale]);
}

/** Inputs: A, its scale and zero point, the same of B, scale and zero point of the result. Scales of A run along rows. */
export const QLinearMatMul = defineOperator({
  name: 'QLinearMatMul',
  since: 10,
  infer(ctx) {
    const allowed = [...bytes, ...float8s];
    requireDType(ctx, 0, allowed);
    requireDType(ctx, 3, allowed);
    for (const scale of [1, 4, 6]) requireDType(ctx, scale, floats);
    return [tensorType(requireDType(ctx, 7, allowed), matMulShape(ctx, ctx.shape(0), ctx.shape(3)))];
  },
  expand(ctx) {
    const [a, scaleA, zeroA, b, scaleB, zeroB, scaleY, zeroY] = ctx.node.inputs as readonly Value[];
    const rowAxis = Math.max(0, ctx.rank(0) - 2);
    const product = isFloat(ctx.dtype(0))
      ? ctx.op('MatMul', [
          ctx.op('DequantizeLinear', [a, toFloat32(ctx, scaleA)], { axis: rowAxis }),
          ctx.op('DequantizeLinear', [b, toFloat32(ctx, scaleB)], { axis: ctx.rank(3) - 1 }),
        ])
      : scaledSum(
          ctx,
          ctx.op('MatMulInteger', [a, b, zeroA, zeroB]),
          alongRows(ctx, scaleA),
          alongColumns(ctx, scaleB),
        );
    return ctx.op('QuantizeLinear', [product, toFloat32(ctx, scaleY), zeroY], { axis: rowAxis });
  },
});

const qLinearConvAttributes = { ...convAttributes, channels_last: int(0) };

/**
 * Inputs: X, its scale and zero point, the same of W, scale and zero point of the result, int32 bias. Scales and zero
 * points of W may be one for each output channel. With `channels_last` (com.microsoft) the channels of X and of the
 * result are their last axis.
 */
export const QLinearConv = defineOperator({
  name: 'QLinearConv',
  since: 10,
  attributes: qLinearConvAttributes,
  infer(ctx) {
    requireDType(ctx, 0, bytes);
    requireDType(ctx, 3, bytes);
    const type = requireDType(ctx, 7, bytes);
    if (!ctx.attributes.channels_last) return [tensorType(type, convShape(ctx, ctx.shape(0), ctx.shape(3)).shape)];
    const [batch, ...rest] = ctx.shape(0);
    const channelsFirst = [batch, rest[rest.length - 1], ...rest.slice(0, -1)];
    const [, channels, ...spatial] = convShape(ctx, channelsFirst, ctx.shape(3)).shape;
    return [tensorType(type, [batch, ...spatial, channels])];
  },
  expand(ctx) {
    const [image, scaleX, zeroX, w, scaleW, zeroW, scaleY, zeroY, bias] = ctx.node.inputs as readonly Value[];
    const { channels_last, ...attributes } = Object.fromEntries(ctx.node.attributes);
    const rank = ctx.rank(0);
    const isLast = ctx.attributes.channels_last !== 0;
    const x = isLast ? ctx.op('Transpose', [image], { perm: [0, rank - 1, ...range(1, rank - 1)] }) : image;
    const perChannel = (value: Value): Value =>
      rankOf(ctx, value) === 1 ? ctx.op('Unsqueeze', [value, ctx.literal('int64', range(1, rank - 1))]) : value;
    const sum = ctx.op('ConvInteger', [x, w, zeroX, zeroW], attributes);
    const biased = bias ? ctx.op('Add', [sum, perChannel(bias)]) : sum;
    const real = scaledSum(ctx, biased, scaleX, perChannel(scaleW));
    const y = ctx.op('QuantizeLinear', [real, scaleY, zeroY]);
    return isLast ? ctx.op('Transpose', [y], { perm: [0, ...range(2, rank), 1] }) : y;
  },
});

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at);
}
