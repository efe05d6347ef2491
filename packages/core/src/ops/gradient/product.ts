// Derivatives of matrix products, convolutions and pools.

import {
  add,
  and,
  type Dim,
  dimension,
  div,
  type Expr,
  eq,
  ge,
  lt,
  mod,
  mul,
  type Stage,
  sub,
} from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { type ConvNode, convAttributes, groupChannel } from '../conv.ts';
import { defineOperator, float, int, ints, type LowerContext, string } from '../define.ts';
import { likeInput } from '../pointwise.ts';
import { type WindowAxis, windowAxes, windowTap, zeroUnless } from '../window.ts';
import { gradientDomain, rule } from './rule.ts';

/** Ā = Ȳ Bᵀ, B̄ = Aᵀ Ȳ, summed over broadcast batches. Vectors become matrices first. */
export const MatMul = rule('MatMul', {}, (d) => {
  const { ctx } = d;
  const [rankA, rankB] = [ctx.rank(0), ctx.rank(1)];
  const swapped = (x: Value): Value => {
    const rank = ctx.typeOf(x).shape!.length;
    const axes = Array.from({ length: rank }, (_, axis) => axis);
    return ctx.op('Transpose', [x], { perm: [...axes.slice(0, -2), rank - 1, rank - 2] });
  };
  const withAxis = (x: Value, axis: number): Value => ctx.op('Unsqueeze', [x, ctx.literal('int64', [axis])]);
  const a = rankA === 1 ? withAxis(d.x(0), 0) : d.x(0);
  const b = rankB === 1 ? withAxis(d.x(1), 1) : d.x(1);
  let g = d.g;
  if (rankB === 1) g = withAxis(g, -1);
  if (rankA === 1) g = withAxis(g, -2);
  const ofA = d.sumLike(ctx.op('MatMul', [g, swapped(b)]), a);
  const ofB = d.sumLike(ctx.op('MatMul', [swapped(a), g]), b);
  return [rankA === 1 ? d.reshapeLike(ofA, d.x(0)) : ofA, rankB === 1 ? d.reshapeLike(ofB, d.x(1)) : ofB];
});

/** Y = α A′ B′ + β C */
export const Gemm = rule('Gemm', { alpha: float(1), beta: float(1), transA: int(0), transB: int(0) }, (d) => {
  const { ctx } = d;
  const { alpha, beta, transA, transB } = ctx.attributes;
  const [a, b, g] = [d.x(0), d.x(1), d.g];
  const product = (left: Value, right: Value, transLeft: boolean, transRight: boolean): Value =>
    ctx.op('Gemm', [left, right], {
      alpha: { float: alpha },
      transA: Number(transLeft),
      transB: Number(transRight),
    });
  const ofA = transA ? product(b, g, transB !== 0, true) : product(g, b, false, transB === 0);
  const ofB = transB ? product(g, a, true, transA !== 0) : product(a, g, transA === 0, false);
  return [ofA, ofB, d.hasInput(2) ? d.sumLike(d.mul(g, d.number(beta, g)), d.x(2)) : undefined];
});

export const Conv = rule('Conv', convAttributes, (d) => {
  const { ctx } = d;
  const options = { domain: gradientDomain };
  const inputs = [d.x(0), d.x(1), d.g];
  const spatial = Array.from({ length: ctx.rank(0) - 2 }, (_, at) => at + 2);
  return [
    ctx.hasOutput(0) ? ctx.op('ConvInput', inputs, d.forwardAttributes, options) : undefined,
    ctx.hasOutput(1) ? ctx.op('ConvWeight', inputs, d.forwardAttributes, options) : undefined,
    ctx.hasOutput(2) ? ctx.op('ReduceSum', [d.g, ctx.literal('int64', [0, ...spatial])], { keepdims: 0 }) : undefined,
  ];
});

/** The output window that reads an input position with a tap, and whether there is one. */
function windowOf(axes: readonly WindowAxis[], position: readonly Expr[], tap: readonly Expr[]) {
  const conditions: Expr[] = [];
  const at = axes.map((axis, n) => {
    const shifted = sub(add(position[n], dimension(axis.padBegin)), mul(tap[n], axis.dilation));
    const window = axis.stride === 1 ? shifted : div(shifted, axis.stride);
    conditions.push(ge(shifted, 0), lt(window, dimension(axis.output)));
    if (axis.stride > 1) conditions.push(eq(mod(shifted, axis.stride), 0));
    return window;
  });
  return { at, exists: conditions.reduce((a, b) => and(a, b)) };
}

const convWindows = (ctx: LowerContext & ConvNode): readonly WindowAxis[] =>
  windowAxes(ctx, ctx.attributes, ctx.shape(0).slice(2), ctx.shape(1).slice(2));

/** Inputs: X, W, Ȳ. X̄[n, c, i…] = Σ over o, k… of Ȳ[n, o, (i + pad − k · dilation) / stride …] · W[o, c, k…] */
export const ConvInput = defineOperator({
  domain: gradientDomain,
  name: 'ConvInput',
  since: 1,
  attributes: convAttributes,
  infer: (ctx) => [likeInput(ctx, 0)],
  lower(ctx): Stage {
    const axes = convWindows(ctx);
    const { group } = ctx.attributes;
    const [outputs, channels, ...kernel] = ctx.shape(1);
    const perGroup: Dim = outputs.floorDiv(group);
    return ctx.reduce('sum', ctx.dtype(0), ctx.shape(0), [perGroup, ...kernel], ([n, c, ...position], [m, ...tap]) => {
      const { at, exists } = windowOf(axes, position, tap);
      const output = group === 1 ? m : add(mul(div(c, dimension(channels)), dimension(perGroup)), m);
      const channel = group === 1 ? c : mod(c, dimension(channels));
      return mul(ctx.at(2, [n, output, ...at], zeroUnless(exists)), ctx.at(1, [output, channel, ...tap]));
    });
  },
});

/** Inputs: X, W, Ȳ. W̄[o, c, k…] = Σ over n, y… of Ȳ[n, o, y…] · X[n, group(o) · C + c, y · stride + k · dilation − pad …] */
export const ConvWeight = defineOperator({
  domain: gradientDomain,
  name: 'ConvWeight',
  since: 1,
  attributes: convAttributes,
  infer: (ctx) => [likeInput(ctx, 1)],
  lower(ctx): Stage {
    const axes = convWindows(ctx);
    const [outputs, channels] = ctx.shape(1);
    const over = [ctx.shape(0)[0], ...axes.map(({ output }) => output)];
    return ctx.reduce('sum', ctx.dtype(1), ctx.shape(1), over, ([o, c, ...tap], [n, ...at]) => {
      const { position, inside } = windowTap(axes, at, tap);
      const channel = groupChannel(o, c, ctx.attributes.group, outputs, channels);
      return mul(ctx.at(2, [n, o, ...at]), ctx.at(0, [n, channel, ...position], zeroUnless(inside)));
    });
  },
});

export const GlobalAveragePool = rule('GlobalAveragePool', {}, (d) => {
  const ones = d.ctx.op('OnesLike', [d.x()], {}, { domain: gradientDomain });
  const spatial = d.ctx.literal(
    'int64',
    Array.from({ length: d.ctx.rank(0) - 2 }, (_, at) => at + 2),
  );
  const count = d.ctx.op('ReduceSum', [ones, spatial], { keepdims: 1 });
  return d.op('Expand', d.div(d.g, count), d.shapeOf(d.x()));
});

const poolAttributes = {
  auto_pad: string('NOTSET'),
  ceil_mode: int(0),
  dilations: ints(),
  kernel_shape: ints(),
  pads: ints(),
  strides: ints(),
  storage_order: int(0),
};

/** The gradient goes to the element that each window's maximum is. */
export const MaxPool = rule('MaxPool', poolAttributes, (d) => {
  const { ctx } = d;
  const { storage_order: _, ...pool } = d.forwardAttributes;
  const [, places] = ctx.ops('MaxPool', [d.x()], 2, pool);
  const flat = ctx.literal('int64', [-1]);
  const all = ctx.op('Expand', [d.number(0, d.g), ctx.op('Reshape', [ctx.op('Size', [d.x()]), flat])]);
  const sums = ctx.op('ScatterElements', [all, ctx.op('Reshape', [places, flat]), ctx.op('Reshape', [d.g, flat])], {
    axis: 0,
    reduction: 'add',
  });
  return d.reshapeLike(sums, d.x());
});
