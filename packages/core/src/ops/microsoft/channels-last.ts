// com.microsoft convolutions and pools whose channels are the last axis: ONNX's own between two transposes, which layouts
// that are free to choose cancel.

import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { type ConvNode, convAttributes } from '../conv.ts';
import { defineOperator, type ExpandContext, floats, type InferContext, string } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';
import { range } from '../quantize-product.ts';
import { kernelShape, poolAttributes, windowAxes } from '../window.ts';

const domain = 'com.microsoft';

const toFront = (ctx: ExpandContext, x: Value | undefined): Value | undefined => {
  if (!x) return undefined;
  const rank = ctx.rank(0);
  return ctx.op('Transpose', [x], { perm: [0, rank - 1, ...range(1, rank - 1)] });
};
const toBack = (ctx: ExpandContext, x: Value): Value =>
  ctx.op('Transpose', [x], { perm: [0, ...range(2, ctx.rank(0)), 1] });

function inferConv(ctx: InferContext & ConvNode) {
  const x = expectRank(ctx, 0, 3, Infinity);
  const w = expectRank(ctx, 1, x.length);
  const windows = windowAxes(ctx, ctx.attributes, x.slice(1, -1), w.slice(2));
  return [tensorType(expectSameType(ctx, 0, 1, 2, 3), [x[0], ...windows.map(({ output }) => output), w[0]])];
}

export const NhwcConv = defineOperator({
  domain,
  name: 'NhwcConv',
  since: 1,
  attributes: convAttributes,
  infer: (ctx) => inferConv(ctx),
  expand(ctx) {
    const inputs = [toFront(ctx, ctx.value(0)), ctx.value(1), ctx.value(2)];
    return toBack(ctx, ctx.op('Conv', inputs, Object.fromEntries(ctx.node.attributes)));
  },
});

/** activation(Conv(X, W, B) + Z) */
export const NhwcFusedConv = defineOperator({
  domain,
  name: 'NhwcFusedConv',
  since: 1,
  attributes: { ...convAttributes, activation: string(), activation_params: floats() },
  infer: (ctx) => inferConv(ctx),
  expand(ctx) {
    const inputs = [toFront(ctx, ctx.value(0)), ctx.value(1), ctx.value(2), toFront(ctx, ctx.value(3))];
    return toBack(ctx, ctx.op('FusedConv', inputs, Object.fromEntries(ctx.node.attributes), { domain }));
  },
});

export const NhwcMaxPool = defineOperator({
  domain,
  name: 'NhwcMaxPool',
  since: 1,
  attributes: poolAttributes,
  infer(ctx) {
    const x = expectRank(ctx, 0, 3, Infinity);
    const spatial = x.slice(1, -1);
    const windows = windowAxes(ctx, ctx.attributes, spatial, kernelShape(ctx, ctx.attributes, spatial.length));
    return [tensorType(ctx.dtype(0), [x[0], ...windows.map(({ output }) => output), x[x.length - 1]])];
  },
  expand: (ctx) =>
    toBack(ctx, ctx.op('MaxPool', [toFront(ctx, ctx.value(0))], Object.fromEntries(ctx.node.attributes))),
});
