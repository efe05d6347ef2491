// Norms over the last axes: LayerNormalization, RMSNormalization and their forms with other names. All lower to stages
// that share their rows: totals, one mean and one scale per row, then the result.

import {
  add,
  cast,
  constant,
  Dim,
  type DType,
  div,
  type Expr,
  mul,
  type Source,
  type Stage,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType, sizeAs } from './compute-type.ts';
import { defineOperator, derive, float, int, type LowerContext, type NodeContext } from './define.ts';
import { expectFloat } from './expect.ts';
import { Rows } from './rows.ts';

/** What a norm subtracts and multiplies by, one number a row in the compute type. */
export interface RowStatistics {
  /** Absent for norms that do not centre. */
  readonly mean: Stage | undefined;
  /** 1 / √(variance + ε), or 1 / √(mean square + ε). */
  readonly inverse: Stage;
}

/** Σ value / n over each row. */
export function rowMean(ctx: LowerContext, rows: Rows, value: (index: readonly Expr[]) => Expr, dtype: DType): Stage {
  const total = rows.reduce('sum', dtype, value, 'total');
  return rows.mapRows(dtype, (row) => div(ctx.at(total, row), sizeAs(dtype, rows.length)), 'mean');
}

/** Mean and population variance of each row, in two passes: exact where E[x²] − E[x]² cancels. */
export function rowMoments(ctx: LowerContext, rows: Rows, value: (index: readonly Expr[]) => Expr, dtype: DType) {
  const mean = rowMean(ctx, rows, value, dtype);
  const square = (index: readonly Expr[]): Expr => {
    const centred = sub(value(index), rows.perRow(mean, index));
    return mul(centred, centred);
  };
  const squares = rows.reduce('sum', dtype, square, 'squares');
  const variance = rows.mapRows(dtype, (row) => div(ctx.at(squares, row), sizeAs(dtype, rows.length)), 'variance');
  return { mean, variance };
}

export function inverseDeviation(ctx: LowerContext, rows: Rows, variance: Stage, epsilon: number): Stage {
  const { dtype } = variance;
  return rows.mapRows(
    dtype,
    (row) => div(constant(dtype, 1), sqrt(add(ctx.at(variance, row), epsilon))),
    'inverse_deviation',
  );
}

/** @param value elements in the compute type `dtype` */
export function layerStatistics(
  ctx: LowerContext,
  rows: Rows,
  value: (index: readonly Expr[]) => Expr,
  dtype: DType,
  options: { readonly epsilon: number; readonly centres: boolean },
): RowStatistics {
  if (options.centres) {
    const { mean, variance } = rowMoments(ctx, rows, value, dtype);
    return { mean, inverse: inverseDeviation(ctx, rows, variance, options.epsilon) };
  }
  const square = (index: readonly Expr[]): Expr => mul(value(index), value(index));
  const meanSquare = rowMean(ctx, rows, square, dtype);
  return { mean: undefined, inverse: inverseDeviation(ctx, rows, meanSquare, options.epsilon) };
}

/** (x − mean) · inverse at one element. */
export function normalized(rows: Rows, statistics: RowStatistics, x: Expr, index: readonly Expr[]): Expr {
  const { mean, inverse } = statistics;
  return mul(mean ? sub(x, rows.perRow(mean, index)) : x, rows.perRow(inverse, index));
}

interface LayerNormInputs {
  readonly x: Source;
  readonly scale: number;
  readonly bias: number | undefined;
  readonly axis: number;
  readonly epsilon: number;
  readonly centres: boolean;
  readonly dtype: DType;
}

/** Norm of all axes from `axis` on, times scale, plus bias (both broadcast to x). */
export function layerNorm(ctx: LowerContext, inputs: LayerNormInputs) {
  const { x, axis, dtype } = inputs;
  const { shape } = x;
  const wide = computeType(x.dtype);
  const lane = Array.from({ length: shape.length - axis }, (_, at) => axis + at);
  const rows = new Rows(ctx, shape, lane);
  const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(x, index));
  const statistics = layerStatistics(ctx, rows, value, wide, inputs);
  const result = rows.map(dtype, (index) => {
    const y = normalized(rows, statistics, value(index), index);
    const scaled = mul(y, cast(wide, ctx.broadcastAt(inputs.scale, index, shape)));
    const hasBias = inputs.bias !== undefined && ctx.hasInput(inputs.bias);
    return cast(dtype, hasBias ? add(scaled, cast(wide, ctx.broadcastAt(inputs.bias!, index, shape))) : scaled);
  });
  return { result, rows, ...statistics };
}

/** Sizes of a per-row output: the normalised axes are kept with size 1. */
export function rowOutputShape(shape: readonly Dim[], axis: number): readonly Dim[] {
  return shape.map((size, at) => (at < axis ? size : Dim.constant(1)));
}

/** A per-row stage as an output of the operator. */
export function rowOutput(ctx: LowerContext, stage: Stage | undefined, output: number): Stage | undefined {
  if (!stage || !ctx.hasOutput(output)) return undefined;
  const dtype = ctx.outputDType(output);
  const converted =
    stage.dtype === dtype ? stage : ctx.map(dtype, stage.shape, (index) => cast(dtype, ctx.at(stage, index)));
  return ctx.view(converted, ctx.outputShape(output));
}

/** Type of the statistics by the attribute `stash_type`, a TensorProto data type. */
export function stashType(ctx: NodeContext, value: number): DType {
  if (value === 1) return 'float32';
  if (value === 16) return 'bfloat16';
  if (value === 10) return 'float16';
  if (value === 11) return 'float64';
  return ctx.fail(`stash_type ${value} is not a float type.`);
}

/** Fails unless an input can be broadcast to the shape of another by ONNX's one-way rule. */
export function expectBroadcastTo(ctx: NodeContext, input: number, target: readonly Dim[]): void {
  if (!ctx.hasInput(input)) return;
  const shape = ctx.shape(input);
  const offset = target.length - shape.length;
  const fits = shape.every((size, axis) => {
    if (axis + offset < 0) return false;
    const [a, b] = [size.constant, target[axis + offset].constant];
    return a === undefined || b === undefined || a === 1 || a === b;
  });
  if (!fits) {
    ctx.fail(`input ${input} of shape [${shape.join(', ')}] cannot be broadcast to [${target.join(', ')}].`);
  }
  for (const [axis, size] of shape.entries()) {
    // What may be 1 is broadcast then.
    if (size.lowerBound <= 1) continue;
    const what = `axis ${axis} of input ${input} and axis ${axis + offset} of the shape that it is broadcast to`;
    ctx.requireEqual(size, target[axis + offset], what);
  }
}

const layerAttributes = { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) };

// ONNX has it since 17; onnxruntime's optimizer writes it into older models of the default domain, too.
export const LayerNormalization = defineOperator({
  name: 'LayerNormalization',
  since: 1,
  attributes: layerAttributes,
  infer(ctx) {
    const shape = ctx.shape(0);
    const dtype = expectFloat(ctx, 0);
    const axis = ctx.axis(ctx.attributes.axis, shape.length);
    expectBroadcastTo(ctx, 1, shape);
    expectBroadcastTo(ctx, 2, shape);
    const statistics = tensorType(stashType(ctx, ctx.attributes.stash_type), rowOutputShape(shape, axis));
    return [tensorType(dtype, shape), statistics, statistics];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const axis = ctx.axis(ctx.attributes.axis, x.shape.length);
    const { epsilon } = ctx.attributes;
    const inputs = { x, scale: 1, bias: 2, axis, epsilon, centres: true, dtype: x.dtype };
    const { result, mean, inverse } = layerNorm(ctx, inputs);
    return [result, rowOutput(ctx, mean, 1), rowOutput(ctx, inverse, 2)];
  },
});

/** x / √(mean(x²) + ε) · scale. The result has the type of the scale. */
export const RMSNormalization = defineOperator({
  name: 'RMSNormalization',
  since: 23,
  attributes: layerAttributes,
  infer(ctx) {
    const shape = ctx.shape(0);
    expectFloat(ctx, 0);
    const axis = ctx.axis(ctx.attributes.axis, shape.length);
    expectBroadcastTo(ctx, 1, shape);
    // The second output exists only under the name SimplifiedLayerNormalization.
    const statistics = tensorType(stashType(ctx, ctx.attributes.stash_type), rowOutputShape(shape, axis));
    return [tensorType(expectFloat(ctx, 1), shape), statistics];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const axis = ctx.axis(ctx.attributes.axis, x.shape.length);
    const { epsilon } = ctx.attributes;
    const inputs = { x, scale: 1, bias: undefined, axis, epsilon, centres: false, dtype: ctx.dtype(1) };
    const { result, inverse } = layerNorm(ctx, inputs);
    return [result, rowOutput(ctx, inverse, 1)];
  },
});

/** onnxruntime's own name for RMSNormalization. Its optimizer writes it into the default domain, where ONNX has none. */
export const SimplifiedLayerNormalization = derive(RMSNormalization, {
  name: 'SimplifiedLayerNormalization',
  since: 1,
});

export const MicrosoftSimplifiedLayerNormalization = derive(SimplifiedLayerNormalization, { domain: 'com.microsoft' });
