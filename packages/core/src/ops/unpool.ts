// MaxUnpool: puts pooled maxima back where MaxPool found them.

import { constant, type Dim, dimension, lt, mod, productOf, toIndex } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, ints, type NodeContext, required } from './define.ts';
import { expectEqual, expectRank } from './expect.ts';
import { unflatten } from './flat-index.ts';
import { numbers, requireDType } from './pointwise.ts';
import { every, perAxis } from './window.ts';

type UnpoolNode = NodeContext & {
  readonly attributes: {
    readonly kernel_shape: readonly number[];
    readonly pads: readonly number[] | undefined;
    readonly strides: readonly number[] | undefined;
  };
};

/** The shape that MaxPool with these attributes had as input, if nothing was cut off. Positions refer to it. */
function unpooledShape(ctx: UnpoolNode): readonly Dim[] {
  const [batch, channels, ...spatial] = expectRank(ctx, 0, 3, Infinity);
  const count = spatial.length;
  const kernel = perAxis(ctx, 'kernel_shape', ctx.attributes.kernel_shape, count, 1, 1);
  const strides = perAxis(ctx, 'strides', ctx.attributes.strides, count, 1, 1);
  const pads = perAxis(ctx, 'pads', ctx.attributes.pads, 2 * count, 0, 0);
  return [
    batch,
    channels,
    ...spatial.map((size, axis) =>
      size
        .sub(1)
        .mul(strides[axis])
        .add(kernel[axis] - pads[axis] - pads[axis + count]),
    ),
  ];
}

export const MaxUnpool = defineOperator({
  name: 'MaxUnpool',
  since: 9,
  attributes: { kernel_shape: required(ints()), pads: ints(), strides: ints() },
  valueInputs: [2],
  infer(ctx) {
    const natural = unpooledShape(ctx);
    const type = requireDType(ctx, 0, numbers);
    requireDType(ctx, 1, ['int64']);
    expectRank(ctx, 1, natural.length).forEach((size, axis) => {
      expectEqual(ctx, size, ctx.shape(0)[axis], `axis ${axis} of X and of the positions`);
    });
    if (!ctx.hasInput(2)) return [tensorType(type, natural)];
    const wanted = ctx.contents(2);
    if (wanted && wanted.length !== natural.length) {
      ctx.fail(`output_shape must have ${natural.length} entries, not ${wanted.length}.`);
    }
    return [tensorType(type, wanted ?? natural.map(() => ctx.freshDim('unpooled')))];
  },
  lower(ctx) {
    const [x, positions] = [ctx.input(0), ctx.input(1)];
    const shape = ctx.outputShape(0);
    const spatial = unpooledShape(ctx).slice(2);
    return ctx.scatter(
      x.dtype,
      shape,
      () => constant(x.dtype, 0),
      x.shape,
      (index) => {
        // Positions count through all images; the image is the one of the pooled pixel.
        const pixel = unflatten(mod(toIndex(ctx.at(positions, index)), dimension(productOf(spatial))), spatial);
        const guard = every(
          ...spatial.map((size, axis) => {
            const limit = shape[axis + 2];
            return size.atMost(limit) ? undefined : lt(pixel[axis], dimension(limit));
          }),
        );
        const destination = [index[0], index[1], ...pixel];
        return { destination, value: ctx.at(x, index), ...(guard && { guard }) };
      },
    );
  },
});
