// DeformConv: a convolution whose taps are moved by learned offsets. Sampling the moved taps is one map; the sum over
// channels and taps is then a contraction.

import {
  add,
  cast,
  type Dim,
  dimension,
  div,
  type Expr,
  floor,
  ge,
  lt,
  mul,
  productOf,
  type Stage,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { addChannelBias, type ConvNode, convGeometry, groupChannel } from './conv.ts';
import { defineOperator, int, ints, type LowerContext, string } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { flatten } from './flat-index.ts';
import { every, windowTap } from './window.ts';

const offsets = 2;
const bias = 3;
const mask = 4;

type DeformNode = ConvNode & { readonly attributes: { readonly offset_group: number } };

/** Σ over the corners of the cell around `position` of weight · pixel; pixels outside the image are 0. */
function interpolate(
  position: readonly Expr[],
  sizes: readonly Dim[],
  read: (at: readonly Expr[], inside: Expr) => Expr,
): Expr {
  const low = position.map(floor);
  const fraction = position.map((x, axis) => sub(x, low[axis]));
  let sum: Expr | undefined;
  for (let corner = 0; corner < 1 << position.length; corner++) {
    let weight: Expr | undefined;
    const conditions: Expr[] = [];
    const at = position.map((_, axis) => {
      const isHigh = (corner >> axis) & 1;
      const factor = isHigh ? fraction[axis] : sub(1, fraction[axis]);
      weight = weight ? mul(weight, factor) : factor;
      const index = add(toIndex(cast('int32', low[axis], { saturate: true })), isHigh);
      conditions.push(ge(index, 0), lt(index, dimension(sizes[axis])));
      return index;
    });
    const term = mul(weight!, read(at, every(...conditions)!));
    sum = sum ? add(sum, term) : term;
  }
  return sum!;
}

/** Pixels under the moved taps: [batch, channels, …kernel, …output]. */
function sampledTaps(ctx: LowerContext & DeformNode): Stage {
  const { axes, shape } = convGeometry(ctx, bias);
  const [x, w, offset] = [ctx.input(0), ctx.input(1), ctx.input(offsets)];
  const wide = computeType(x.dtype);
  const kernel = w.shape.slice(2);
  const count = kernel.length;
  const channelsPerOffset = dimension(x.shape[1].floorDiv(ctx.attributes.offset_group));
  const [batch, channels, ...spatial] = x.shape;
  return ctx.map(
    x.dtype,
    [batch, channels, ...kernel, ...shape.slice(2)],
    ([n, c, ...rest]) => {
      const [tap, at] = [rest.slice(0, count), rest.slice(count)];
      const { position } = windowTap(axes, at, tap);
      // Offsets are laid out as [offset group, tap, axis].
      const block = add(mul(div(c, channelsPerOffset), dimension(productOf(kernel))), flatten(tap, kernel));
      const moved = position.map((start, axis) => {
        const shift = ctx.at(offset, [n, add(mul(block, count), axis), ...at]);
        return add(cast(wide, start), cast(wide, shift));
      });
      const value = interpolate(moved, spatial, (pixel, inside) =>
        cast(wide, ctx.at(x, [n, c, ...pixel], { when: inside, otherwise: 0 })),
      );
      const weighted = ctx.hasInput(mask) ? mul(value, cast(wide, ctx.at(ctx.input(mask), [n, block, ...at]))) : value;
      return cast(x.dtype, weighted);
    },
    'sampled',
  );
}

export const DeformConv = defineOperator({
  name: 'DeformConv',
  since: 19,
  attributes: {
    auto_pad: string('NOTSET'),
    dilations: ints(),
    group: int(1),
    kernel_shape: ints(),
    offset_group: int(1),
    pads: ints(),
    strides: ints(),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, offsets, mask);
    const { axes, shape } = convGeometry(ctx, bias);
    const offset = expectRank(ctx, offsets, shape.length);
    const taps = productOf(ctx.shape(1).slice(2)).mul(ctx.attributes.offset_group);
    expectEqual(
      ctx,
      offset[1],
      taps.mul(axes.length),
      'the channels of offset and twice the taps of all offset groups',
    );
    if (ctx.hasInput(mask))
      expectEqual(ctx, expectRank(ctx, mask, shape.length)[1], taps, 'the channels of mask and taps');
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const { shape } = convGeometry(ctx, bias);
    const w = ctx.input(1);
    const [outputs, channels, ...kernel] = w.shape;
    const samples = sampledTaps(ctx);
    const product = ctx.reduce('sum', w.dtype, shape, [channels, ...kernel], ([n, o, ...at], [c, ...tap]) => {
      const channel = groupChannel(o, c, ctx.attributes.group, outputs, channels);
      return mul(ctx.at(samples, [n, channel, ...tap, ...at]), ctx.at(w, [o, c, ...tap]));
    });
    return addChannelBias(ctx, product, bias);
  },
});
