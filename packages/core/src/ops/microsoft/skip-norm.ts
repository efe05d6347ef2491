// com.microsoft norms that add a residual first: SkipLayerNormalization and SkipSimplifiedLayerNormalization.

import { add, cast, type Dim, type Expr, type Source, type Stage } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { defineOperator, float, type InferContext, type LowerContext } from '../define.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from '../expect.ts';
import { expectBroadcastTo, layerNorm, rowOutput, rowOutputShape } from '../normalize.ts';

const attributes = { epsilon: float(1e-12) };

/** input + skip + bias; the skip may lack the batch or have a batch of 1. */
function residual(ctx: LowerContext, bias: number): Stage {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const read = (source: Source, index: readonly Expr[]): Expr => cast(wide, ctx.broadcastAt(source, index, x.shape));
  return ctx.map(
    x.dtype,
    x.shape,
    (index) => {
      const sum = add(cast(wide, ctx.at(x, index)), read(ctx.input(1), index));
      return cast(x.dtype, ctx.hasInput(bias) ? add(sum, read(ctx.input(bias), index)) : sum);
    },
    'sum',
  );
}

function inferSkipNorm(ctx: InferContext, inputs: { readonly bias: number; readonly beta: number | undefined }) {
  const dtype = expectFloat(ctx, 0);
  expectSameType(ctx, 0, 1, 2);
  const shape = expectRank(ctx, 0, 2, 3);
  expectBroadcastTo(ctx, 1, shape);
  for (const input of [2, inputs.bias, inputs.beta]) {
    if (input === undefined || !ctx.hasInput(input)) continue;
    const what = `the size of input ${input} and of the last axis`;
    expectEqual(ctx, expectRank(ctx, input, 1)[0], shape[shape.length - 1], what);
  }
  const statistics: readonly Dim[] = rowOutputShape(shape, shape.length - 1);
  const perRow = tensorType('float32', statistics);
  return [tensorType(dtype, shape), perRow, perRow, tensorType(dtype, shape)];
}

/** Inputs: input, skip, gamma, beta, bias. Outputs: result, mean, inverse deviation, the sum. */
export const SkipLayerNormalization = defineOperator({
  domain: 'com.microsoft',
  name: 'SkipLayerNormalization',
  since: 1,
  attributes,
  infer: (ctx) => inferSkipNorm(ctx, { beta: 3, bias: 4 }),
  lower(ctx) {
    const x = residual(ctx, 4);
    const axis = x.shape.length - 1;
    const { epsilon } = ctx.attributes;
    const norm = layerNorm(ctx, { x, scale: 2, bias: 3, axis, epsilon, centres: true, dtype: x.dtype });
    return [norm.result, rowOutput(ctx, norm.mean, 1), rowOutput(ctx, norm.inverse, 2), x];
  },
});

/** Inputs: input, skip, gamma, bias. The norm divides by the root mean square and has no shift. */
export const SkipSimplifiedLayerNormalization = defineOperator({
  domain: 'com.microsoft',
  name: 'SkipSimplifiedLayerNormalization',
  since: 1,
  attributes,
  infer: (ctx) => inferSkipNorm(ctx, { beta: undefined, bias: 3 }),
  lower(ctx) {
    const x = residual(ctx, 3);
    const axis = x.shape.length - 1;
    const { epsilon } = ctx.attributes;
    const norm = layerNorm(ctx, { x, scale: 2, bias: undefined, axis, epsilon, centres: false, dtype: x.dtype });
    return [norm.result, rowOutput(ctx, norm.mean, 1), rowOutput(ctx, norm.inverse, 2), x];
  },
});
