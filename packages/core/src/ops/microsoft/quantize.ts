// Pointwise quantized operators of com.microsoft. They dequantize, compute and quantize
// each element.

import { add, cast, type DType, type Expr, lt, mul, select, sigmoid, sub } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, derive, float, int, type LowerContext, type NodeContext, required } from '../define.ts';
import { expectEqual } from '../expect.ts';
import { likeInput, requireDType, requireSameDType } from '../pointwise.ts';
import {
  dequantize,
  DequantizeLinear as OnnxDequantizeLinear,
  QuantizeLinear as OnnxQuantizeLinear,
  quantize,
} from '../quantize.ts';

const domain = 'com.microsoft';
const bytes: readonly DType[] = ['int8', 'uint8'];

export const QuantizeLinear = derive(OnnxQuantizeLinear, { domain, since: 1 });
export const DequantizeLinear = derive(OnnxDequantizeLinear, { domain, since: 1 });

/** Scale and zero point at two consecutive inputs, the latter optional. */
function scaleAndZero(ctx: LowerContext, input: number): [Expr, Expr | undefined] {
  return [ctx.scalar(input), ctx.hasInput(input + 1) ? ctx.scalar(input + 1) : undefined];
}

/**
 * Real formula on quantized operands, each of which is three inputs: elements, scale, zero point.
 * @param operands the first input of each
 * @param result input of the result's scale, before that of its zero point
 */
function lowerQuantized(
  ctx: LowerContext,
  operands: readonly number[],
  result: number,
  formula: (operands: readonly Expr[], index: readonly Expr[]) => Expr,
) {
  const type = ctx.outputDType(0);
  const shape = ctx.outputShape(0);
  return ctx.map(type, shape, (index) => {
    const reals = operands.map((input) =>
      dequantize('float32', ctx.broadcastAt(input, index, shape), ...scaleAndZero(ctx, input + 1)),
    );
    return quantize(type, formula(reals, index), ...scaleAndZero(ctx, result));
  });
}

function quantizedPair(name: string, formula: (a: Expr, b: Expr) => Expr) {
  return defineOperator({
    domain,
    name,
    since: 1,
    infer(ctx) {
      const dtype = requireSameDType(ctx, [0, 3], bytes);
      return [tensorType(dtype, ctx.broadcast(ctx.shape(0), ctx.shape(3)))];
    },
    lower: (ctx) => lowerQuantized(ctx, [0, 3], 6, ([a, b]) => formula(a, b)),
  });
}

export const QLinearAdd = quantizedPair('QLinearAdd', (a, b) => add(a, b));
export const QLinearMul = quantizedPair('QLinearMul', (a, b) => mul(a, b));

export const QLinearSigmoid = defineOperator({
  domain,
  name: 'QLinearSigmoid',
  since: 1,
  infer: (ctx) => [likeInput(ctx, 0, requireDType(ctx, 0, bytes))],
  lower: (ctx) => lowerQuantized(ctx, [0], 3, ([x]) => sigmoid(x)),
});

export const QLinearLeakyRelu = defineOperator({
  domain,
  name: 'QLinearLeakyRelu',
  since: 1,
  attributes: { alpha: float(0.01) },
  infer: (ctx) => [likeInput(ctx, 0, requireDType(ctx, 0, bytes))],
  lower: (ctx) => lowerQuantized(ctx, [0], 3, ([x]) => select(lt(x, 0), mul(x, ctx.attributes.alpha), x)),
});

/** Inputs: condition; X, scale, zero point; Y, scale, zero point; scale and zero point of the result. */
export const QLinearWhere = defineOperator({
  domain,
  name: 'QLinearWhere',
  since: 1,
  infer(ctx) {
    requireDType(ctx, 0, ['bool']);
    const dtype = requireSameDType(ctx, [1, 4], bytes);
    return [tensorType(dtype, ctx.broadcast(ctx.shape(0), ctx.shape(1), ctx.shape(4)))];
  },
  lower: (ctx) =>
    lowerQuantized(ctx, [1, 4], 7, ([x, y], index) => select(ctx.broadcastAt(0, index, ctx.outputShape(0)), x, y)),
});

/** (A − zeroA) · (B − zeroB) in int32 */
export const MulInteger = defineOperator({
  domain,
  name: 'MulInteger',
  since: 1,
  infer(ctx) {
    requireSameDType(ctx, [0, 2], bytes);
    return [tensorType('int32', ctx.broadcast(ctx.shape(0), ctx.shape(2)))];
  },
  lower(ctx) {
    const shape = ctx.outputShape(0);
    const operand = (input: number, index: readonly Expr[]): Expr => {
      const x = cast('int32', ctx.broadcastAt(input, index, shape));
      return ctx.hasInput(input + 1) ? sub(x, cast('int32', ctx.scalar(input + 1))) : x;
    };
    return ctx.map('int32', shape, (index) => mul(operand(0, index), operand(2, index)));
  },
});

/** Inputs: scale and zero point of the result, then elements, scale and zero point of each part. */
export const QLinearConcat = defineOperator({
  domain,
  name: 'QLinearConcat',
  since: 1,
  attributes: { axis: required(int()) },
  infer(ctx) {
    const dtype = requireDType(ctx, 1, bytes);
    const parts = concatParts(ctx);
    if (parts.length === 0) ctx.fail('it has nothing to concatenate.');
    const first = ctx.shape(parts[0]);
    const along = ctx.axis(ctx.attributes.axis, first.length);
    const shapes = parts.map((input) => ctx.shape(input));
    for (const shape of shapes) {
      if (shape.length !== first.length)
        ctx.fail(`parts of rank ${first.length} and ${shape.length} cannot be joined.`);
      shape.forEach((size, axis) => {
        if (axis !== along) expectEqual(ctx, size, first[axis], `sizes of the parts along axis ${axis}`);
      });
    }
    const length = shapes.map((shape) => shape[along]).reduce((sum, size) => sum.add(size));
    return [
      tensorType(
        dtype,
        first.map((size, axis) => (axis === along ? length : size)),
      ),
    ];
  },
  lower(ctx) {
    const type = ctx.outputDType(0);
    const along = ctx.axis(ctx.attributes.axis, ctx.outputShape(0).length);
    return ctx.segments(
      type,
      ctx.outputShape(0),
      along,
      concatParts(ctx).map((input) => ({
        length: ctx.shape(input)[along],
        body: (index) =>
          quantize(
            type,
            dequantize('float32', ctx.at(input, index), ...scaleAndZero(ctx, input + 1)),
            ...scaleAndZero(ctx, 0),
          ),
      })),
    );
  },
});

function concatParts(ctx: NodeContext): number[] {
  return Array.from({ length: Math.floor((ctx.inputCount - 2) / 3) }, (_, part) => 2 + 3 * part);
}
