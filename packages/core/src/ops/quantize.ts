// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the formulas that all quantized operators share.

import {
  add,
  cast,
  Dim,
  type DType,
  div,
  type Expr,
  eq,
  isFloat,
  max,
  min,
  mul,
  productOf,
  round,
  select,
  shapeText,
  sub,
} from '@onnx-ts/tensor-ir';
import { dtypeAttribute } from './cast.ts';
import { defineOperator, type InferContext, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual } from './expect.ts';
import { stretchedIndex } from './lowering.ts';
import { float8s, floats, likeInput, requireDType, requireSameDType, requireStretchable } from './pointwise.ts';

const smallIntegers = ['int2', 'uint2', 'int4', 'uint4', 'int8', 'uint8', 'int16', 'uint16'] as const;
const packedFloats = ['float6e2m3', 'float6e3m2', 'float4e2m1'] as const;
const quantizedTypes: readonly DType[] = [...smallIntegers, ...float8s, ...packedFloats];

/**
 * saturate(round(x / scale) + zeroPoint), halves rounded to even. Floats of 8 bits and less have no zero point but 0, and
 * are rounded by the conversion itself.
 * @param options.precision type in which the division is made
 */
export function quantize(
  type: DType,
  x: Expr,
  scale: Expr,
  zeroPoint: Expr | undefined,
  options: { readonly saturate?: boolean; readonly precision?: DType } = {},
): Expr {
  const { saturate = true, precision = 'float32' } = options;
  const quotient = div(cast(precision, x), cast(precision, scale));
  if (isFloat(type)) return cast(type, quotient, { saturate });
  const rounded = round(quotient);
  return cast(type, zeroPoint ? add(rounded, cast(precision, zeroPoint)) : rounded, { saturate: true });
}

/** (x − zeroPoint) · scale */
export function dequantize(type: DType, x: Expr, scale: Expr, zeroPoint: Expr | undefined): Expr {
  const centred = zeroPoint && !isFloat(x.type) ? sub(cast('int32', x), cast('int32', zeroPoint)) : x;
  return cast(type, mul(cast('float32', centred), cast('float32', scale)));
}

interface Granularity {
  readonly axis: number;
  /** Consecutive elements along the axis that share a scale; 0 where a whole slice does. */
  readonly block_size?: number;
}

/** How scales and zero points lie over x: one for all, one for each slice of an axis, or one for each block along it. */
function checkGranularity(ctx: InferContext, { axis, block_size = 0 }: Granularity): void {
  const x = ctx.shape(0);
  const scale = ctx.shape(1);
  if (ctx.hasInput(2)) {
    expectEqual(ctx, productOf(scale), productOf(ctx.shape(2)), 'the numbers of scales and zero points');
  }
  if (productOf(scale).is(1)) return;
  if (block_size === 0) {
    if (scale.length !== 1) ctx.fail(`the scale ${shapeText(scale)} must have one axis, or block_size must be set.`);
    requireStretchable(ctx, scale, [sliceSize(ctx, axis, scale[0])]);
    return;
  }
  const at = ctx.axis(axis, x.length);
  if (block_size < 0) ctx.fail(`block_size must not be negative, but is ${block_size}.`);
  if (scale.length !== x.length) ctx.fail(`a blocked scale needs the rank of x, ${x.length}, not ${scale.length}.`);
  scale.forEach((size, n) => {
    expectEqual(ctx, size, n === at ? x[n].ceilDiv(block_size) : x[n], `axis ${n} of the scale and of x (in blocks)`);
  });
}

/** Size of the axis along which a scale of rank 1 runs. One of unknown size may be a single one, for which no axis counts. */
function sliceSize(ctx: NodeContext, axis: number, count: Dim): Dim {
  const x = ctx.shape(0);
  const isOutside = axis >= x.length || axis < -x.length;
  return isOutside && count.constant === undefined ? Dim.constant(1) : x[ctx.axis(axis, x.length)];
}

/** The scale or zero point that holds for an element of x; undefined when there is none. */
function parameterAt(
  ctx: LowerContext,
  input: number,
  index: readonly Expr[],
  { axis, block_size = 0 }: Granularity,
): Expr | undefined {
  if (!ctx.hasInput(input)) return undefined;
  const [size] = ctx.shape(input);
  if (productOf(ctx.shape(input)).is(1)) return ctx.scalar(input);
  if (block_size === 0 && sliceSize(ctx, axis, size).is(1)) return ctx.scalar(input);
  const at = ctx.axis(axis, index.length);
  if (block_size === 0) return ctx.at(input, [stretchedIndex(size, index[at])]);
  return ctx.at(
    input,
    index.map((position, n) => (n === at ? div(position, block_size) : position)),
  );
}

export const QuantizeLinear = defineOperator({
  name: 'QuantizeLinear',
  since: 10,
  attributes: { axis: int(1), block_size: int(0), output_dtype: int(0), precision: int(0), saturate: int(1) },
  infer(ctx) {
    requireDType(ctx, 0, [...floats, 'int32']);
    requireDType(ctx, 1, [...floats, 'int32', 'float8e8m0']);
    checkGranularity(ctx, ctx.attributes);
    const { output_dtype } = ctx.attributes;
    const asked = output_dtype ? dtypeAttribute(ctx, 'output_dtype', output_dtype) : undefined;
    const type = ctx.hasInput(2) ? requireDType(ctx, 2, quantizedTypes) : (asked ?? 'uint8');
    if (asked && asked !== type) ctx.fail(`output_dtype is ${asked}, but the zero point is ${type}.`);
    return [likeInput(ctx, 0, type)];
  },
  lower(ctx) {
    const { saturate, precision } = ctx.attributes;
    const type = ctx.outputDType(0);
    const options = {
      saturate: saturate !== 0,
      ...(precision && { precision: dtypeAttribute(ctx, 'precision', precision) }),
    };
    return ctx.map(type, ctx.outputShape(0), (index) => {
      const scale = parameterAt(ctx, 1, index, ctx.attributes)!;
      return quantize(type, ctx.at(0, index), scale, parameterAt(ctx, 2, index, ctx.attributes), options);
    });
  },
});

export const DequantizeLinear = defineOperator({
  name: 'DequantizeLinear',
  since: 10,
  attributes: { axis: int(1), block_size: int(0), output_dtype: int(0) },
  infer(ctx) {
    requireSameDType(ctx, ctx.hasInput(2) ? [0, 2] : [0], [...quantizedTypes, 'int32']);
    const scale = requireDType(ctx, 1, [...floats, 'float8e8m0']);
    checkGranularity(ctx, ctx.attributes);
    const { output_dtype } = ctx.attributes;
    if (output_dtype) return [likeInput(ctx, 0, dtypeAttribute(ctx, 'output_dtype', output_dtype))];
    return [likeInput(ctx, 0, scale === 'float8e8m0' ? 'float32' : scale)];
  },
  lower(ctx) {
    const type = ctx.outputDType(0);
    return ctx.map(type, ctx.outputShape(0), (index) => {
      const scale = parameterAt(ctx, 1, index, ctx.attributes)!;
      return dequantize(type, ctx.at(0, index), scale, parameterAt(ctx, 2, index, ctx.attributes));
    });
  },
});

/** uint8 with a scale and zero point that cover the range of x and 0. */
export const DynamicQuantizeLinear = defineOperator({
  name: 'DynamicQuantizeLinear',
  since: 11,
  infer(ctx) {
    requireDType(ctx, 0, ['float32']);
    const scalar: readonly Dim[] = [];
    return [
      likeInput(ctx, 0, 'uint8'),
      { kind: 'tensor', dtype: 'float32', shape: scalar },
      { kind: 'tensor', dtype: 'uint8', shape: scalar },
    ];
  },
  lower(ctx) {
    const shape = ctx.shape(0);
    const least = ctx.reduce('min', 'float32', [], shape, (_, at) => ctx.at(0, at), { name: 'least' });
    const greatest = ctx.reduce('max', 'float32', [], shape, (_, at) => ctx.at(0, at), { name: 'greatest' });
    const low = min(ctx.at(least, []), 0);
    const high = max(ctx.at(greatest, []), 0);
    const range = sub(high, low);
    const scale = ctx.map('float32', [], () => div(select(eq(range, 0), 1, range), 255), 'scale');
    const zeroPoint = ctx.map(
      'uint8',
      [],
      () => cast('uint8', round(div(sub(0, low), ctx.at(scale, []))), { saturate: true }),
      'zero_point',
    );
    const y = ctx.map('uint8', shape, (index) =>
      quantize('uint8', ctx.at(0, index), ctx.at(scale, []), ctx.at(zeroPoint, [])),
    );
    return [y, scale, zeroPoint];
  },
});
