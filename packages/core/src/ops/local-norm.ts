// The remaining norms: LpNormalization, MeanVarianceNormalization, LRN.

import {
  abs,
  add,
  and,
  cast,
  Dim,
  dimension,
  div,
  type Expr,
  eq,
  ge,
  lt,
  mul,
  pow,
  select,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, float, int, ints, required } from './define.ts';
import { expectFloat, expectRank } from './expect.ts';
import { rowMoments } from './normalize.ts';
import { Rows } from './rows.ts';

/** x / ‖x‖ₚ along one axis; 0 where the norm is 0. */
export const LpNormalization = defineOperator({
  name: 'LpNormalization',
  since: 1,
  attributes: { axis: int(-1), p: int(2) },
  infer(ctx) {
    ctx.axis(ctx.attributes.axis, ctx.rank(0));
    if (ctx.attributes.p !== 1 && ctx.attributes.p !== 2) ctx.fail(`p must be 1 or 2, not ${ctx.attributes.p}.`);
    return [tensorType(expectFloat(ctx, 0), ctx.shape(0))];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const rows = new Rows(ctx, x.shape, [ctx.axis(ctx.attributes.axis, x.shape.length)]);
    const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(x, index));
    const isSquare = ctx.attributes.p === 2;
    const power = (index: readonly Expr[]): Expr => (isSquare ? mul(value(index), value(index)) : abs(value(index)));
    const total = rows.reduce('sum', wide, power, 'total');
    const norm = isSquare ? rows.mapRows(wide, (row) => sqrt(ctx.at(total, row)), 'norm') : total;
    const result = rows.map(x.dtype, (index) => {
      const length = rows.perRow(norm, index);
      return cast(x.dtype, select(eq(length, 0), 0, div(value(index), length)));
    });
    return rows.restore(result);
  },
});

/** (x − E[x]) / (√Var[x] + 1e-9), the constant being that of ONNX's function body. */
export const MeanVarianceNormalization = defineOperator({
  name: 'MeanVarianceNormalization',
  since: 9,
  attributes: { axes: ints([0, 2, 3]) },
  infer(ctx) {
    for (const axis of ctx.attributes.axes) ctx.axis(axis, ctx.rank(0));
    return [tensorType(expectFloat(ctx, 0), ctx.shape(0))];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const axes = ctx.attributes.axes.map((axis) => ctx.axis(axis, x.shape.length));
    const rows = new Rows(ctx, x.shape, axes);
    const value = (index: readonly Expr[]): Expr => cast(wide, ctx.at(x, index));
    const { mean, variance } = rowMoments(ctx, rows, value, wide);
    const deviation = rows.mapRows(wide, (row) => add(sqrt(ctx.at(variance, row)), 1e-9), 'deviation');
    const result = rows.map(x.dtype, (index) => {
      const centred = sub(value(index), rows.perRow(mean, index));
      return cast(x.dtype, div(centred, rows.perRow(deviation, index)));
    });
    return rows.restore(result);
  },
});

/** x / (bias + α / size · Σ x² over the neighbouring channels) ^ β */
export const LRN = defineOperator({
  name: 'LRN',
  since: 1,
  attributes: { alpha: float(1e-4), beta: float(0.75), bias: float(1), size: required(int()) },
  infer: (ctx) => [tensorType(expectFloat(ctx, 0), expectRank(ctx, 0, 3, Infinity))],
  lower(ctx) {
    const { alpha, beta, bias, size } = ctx.attributes;
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const before = Math.floor((size - 1) / 2);
    const squares = ctx.reduce('sum', wide, x.shape, [Dim.constant(size)], ([n, c, ...at], [k]) => {
      const channel = sub(add(c, k), before);
      const inside = and(ge(channel, 0), lt(channel, dimension(x.shape[1])));
      const neighbour = cast(wide, ctx.at(x, [n, channel, ...at], { when: inside, otherwise: 0 }));
      return mul(neighbour, neighbour);
    });
    return ctx.map(x.dtype, x.shape, (index) => {
      const base = add(mul(ctx.at(squares, index), alpha / size), bias);
      return cast(x.dtype, div(cast(wide, ctx.at(x, index)), pow(base, beta)));
    });
  },
});
