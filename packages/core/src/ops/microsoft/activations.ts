// Activations and biases of com.microsoft: fusions that ONNX Runtime's optimiser writes into models.

import { add, dimension, mul } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { gelu, swish, tanhGelu } from '../activations.ts';
import { defineOperator, float, int } from '../define.ts';
import { expandDropout } from '../dropout.ts';
import { expectEqual, expectRank } from '../expect.ts';
import {
  floats,
  likeInput,
  pair,
  pointwise,
  requireDType,
  requireSameDType,
  requireStretchable,
} from '../pointwise.ts';

const domain = 'com.microsoft';

export const Gelu = pointwise('Gelu', { domain, since: 1 }, gelu);

export const QuickGelu = pointwise(
  'QuickGelu',
  { domain, since: 1, attributes: { alpha: float(1.702) } },
  (x, { alpha }) => swish(x, alpha),
);

export const BiasGelu = pair('BiasGelu', { domain, since: 1, dtypes: floats }, (x, bias) => gelu(add(x, bias)));

/** The approximation by tanh, of x + bias when there is one. */
export const FastGelu = defineOperator({
  domain,
  name: 'FastGelu',
  since: 1,
  infer: (ctx) => [likeInput(ctx, 0, requireSameDType(ctx, ctx.hasInput(1) ? [0, 1] : [0], floats))],
  lower(ctx) {
    const shape = ctx.outputShape(0);
    return ctx.map(ctx.outputDType(0), shape, (index) => {
      const x = ctx.at(0, index);
      return tanhGelu(ctx.hasInput(1) ? add(x, ctx.broadcastAt(1, index, shape)) : x);
    });
  },
});

/** x + bias + skip, the bias running along the last axis. */
export const BiasAdd = defineOperator({
  domain,
  name: 'BiasAdd',
  since: 1,
  infer(ctx) {
    const dtype = requireSameDType(ctx, [0, 1, 2], floats);
    const shape = ctx.shape(0);
    for (const input of [1, 2]) requireStretchable(ctx, ctx.shape(input), shape);
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const shape = ctx.outputShape(0);
    return ctx.map(ctx.outputDType(0), shape, (index) =>
      add(add(ctx.at(0, index), ctx.broadcastAt(1, index, shape)), ctx.broadcastAt(2, index, shape)),
    );
  },
});

/** x + bias is cut in two along its last axis; the first half is multiplied by the Gelu of the second. */
export const BiasSplitGelu = defineOperator({
  domain,
  name: 'BiasSplitGelu',
  since: 1,
  infer(ctx) {
    const dtype = requireSameDType(ctx, [0, 1], floats);
    const shape = expectRank(ctx, 0, 1, Infinity);
    const width = shape[shape.length - 1];
    expectEqual(ctx, expectRank(ctx, 1, 1)[0], width, 'the sizes of the bias and of the last axis');
    if (width.constant !== undefined && width.constant % 2 !== 0)
      ctx.fail(`the last axis, ${width}, cannot be halved.`);
    return [tensorType(dtype, [...shape.slice(0, -1), width.floorDiv(2)])];
  },
  lower(ctx) {
    const shape = ctx.outputShape(0);
    const half = dimension(shape[shape.length - 1]);
    return ctx.map(ctx.outputDType(0), shape, (index) => {
      const rows = index.slice(0, -1);
      const lane = index[index.length - 1];
      const biased = (at: typeof lane) => add(ctx.at(0, [...rows, at]), ctx.at(1, [at]));
      return mul(biased(lane), gelu(biased(add(lane, half))));
    });
  },
});

/** dropout(x + bias) + residual */
export const BiasDropout = defineOperator({
  domain,
  name: 'BiasDropout',
  since: 1,
  attributes: { seed: int() },
  infer(ctx) {
    const dtype = requireDType(ctx, 0, floats);
    return [likeInput(ctx, 0, dtype), likeInput(ctx, 0, 'bool')];
  },
  expand(ctx) {
    const [data, bias, residual] = ctx.node.inputs;
    const biased = ctx.op('Add', [data, bias]);
    const [kept, mask] = expandDropout(ctx, biased, { ratio: 3, training: 4, seed: ctx.attributes.seed });
    return [residual ? ctx.op('Add', [kept, residual]) : kept, mask];
  },
});
