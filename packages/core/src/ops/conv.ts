// Conv, as one `sum` stage over channels and kernel taps (a windowed contraction), then a map that adds the bias.

import { add, type Dim, dimension, div, type Expr, mul, type Stage } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import {
  kernelShape,
  type WindowAttributes,
  type WindowAxis,
  windowAttributes,
  windowAxes,
  windowTap,
  zeroUnless,
} from './window.ts';

export const convAttributes = { ...windowAttributes, group: int(1) };

export type ConvNode = NodeContext & { readonly attributes: WindowAttributes & { readonly group: number } };

export interface ConvGeometry {
  readonly axes: readonly WindowAxis[];
  readonly shape: readonly Dim[];
}

/** Checks X [N, C, …], W [M, C / group, …] and the bias [M]; gives the windows and the output shape. */
export function convGeometry(ctx: ConvNode, bias = 2): ConvGeometry {
  const { attributes } = ctx;
  const x = expectRank(ctx, 0, 3, Infinity);
  const w = expectRank(ctx, 1, x.length);
  if (attributes.group < 1) ctx.fail(`group must be at least 1, not ${attributes.group}.`);
  expectEqual(ctx, x[1], w[1].mul(attributes.group), 'the channels of X and group times those of W');
  if (w[0].constant !== undefined && w[0].constant % attributes.group !== 0) {
    ctx.fail(`the ${w[0]} output channels cannot be split into ${attributes.group} groups.`);
  }
  if (ctx.hasInput(bias)) {
    expectEqual(ctx, expectRank(ctx, bias, 1)[0], w[0], 'the sizes of the bias and of the output channels');
  }
  const kernel = w.slice(2);
  if (attributes.kernel_shape?.length) {
    kernelShape(ctx, attributes, kernel.length).forEach((size, axis) => {
      expectEqual(ctx, size, kernel[axis], 'kernel_shape and the shape of W');
    });
  }
  const axes = windowAxes(ctx, attributes, x.slice(2), kernel);
  return { axes, shape: [x[0], w[0], ...axes.map(({ output }) => output)] };
}

/** Index of channel `c` of the group that output channel `o` belongs to. */
export function groupChannel(o: Expr, c: Expr, group: number, outputs: Dim, channels: Dim): Expr {
  if (group === 1) return c;
  const perGroup = dimension(outputs.floorDiv(group));
  return add(mul(div(o, perGroup), dimension(channels)), c);
}

/** Y[n, o, y…] = Σ over c, k… of X[n, group(o) · C + c, y · stride + k · dilation − pad …] · W[o, c, k…], plus bias. */
export function lowerConv(ctx: LowerContext & ConvNode): Stage {
  const { axes, shape } = convGeometry(ctx);
  const [x, w] = [ctx.input(0), ctx.input(1)];
  const [outputs, channels, ...kernel] = w.shape;
  const product = ctx.reduce('sum', x.dtype, shape, [channels, ...kernel], ([n, o, ...at], [c, ...tap]) => {
    const { position, inside } = windowTap(axes, at, tap);
    const channel = groupChannel(o, c, ctx.attributes.group, outputs, channels);
    return mul(ctx.at(x, [n, channel, ...position], zeroUnless(inside)), ctx.at(w, [o, c, ...tap]));
  });
  return addChannelBias(ctx, product, 2);
}

/** Adds a vector along axis 1 when the input is present. */
export function addChannelBias(ctx: LowerContext, stage: Stage, input: number): Stage {
  if (!ctx.hasInput(input)) return stage;
  const bias = ctx.input(input);
  return ctx.map(stage.dtype, stage.shape, (index) => add(ctx.at(stage, index), ctx.at(bias, [index[1]])), 'bias');
}

export const Conv = defineOperator({
  name: 'Conv',
  since: 1,
  attributes: convAttributes,
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2);
    return [tensorType(dtype, convGeometry(ctx).shape)];
  },
  lower: (ctx) => lowerConv(ctx),
});
