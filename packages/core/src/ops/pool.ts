// Pools: reductions over sliding windows, or over all spatial axes.

import {
  abs,
  add,
  and,
  cast,
  constant,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  eq,
  integerRange,
  isFloat,
  isNotANumber,
  max,
  min,
  mul,
  or,
  pow,
  productOf,
  type Source,
  type Stage,
  select,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType, sizeAs } from './compute-type.ts';
import { defineOperator, float, int, type LowerContext, type NodeContext } from './define.ts';
import { expectFloat, expectRank } from './expect.ts';
import { flatten, unflatten } from './flat-index.ts';
import { numbers, requireDType } from './pointwise.ts';
import {
  kernelShape,
  poolAttributes,
  type WindowAttributes,
  type WindowAxis,
  windowAttributes,
  windowAxes,
  windowTap,
} from './window.ts';

type PoolNode = NodeContext & { readonly attributes: WindowAttributes };
type PoolContext = LowerContext & PoolNode;

interface PoolGeometry {
  readonly axes: readonly WindowAxis[];
  readonly kernel: readonly Dim[];
  readonly shape: readonly Dim[];
}

function poolGeometry(ctx: PoolNode): PoolGeometry {
  const [batch, channels, ...spatial] = expectRank(ctx, 0, 3, Infinity);
  const kernel = kernelShape(ctx, ctx.attributes, spatial.length);
  const axes = windowAxes(ctx, ctx.attributes, spatial, kernel);
  return { axes, kernel, shape: [batch, channels, ...axes.map(({ output }) => output)] };
}

/** Reads the pixel under tap `tap` of an output pixel; `outside` where the tap lies in the padding. */
function pixelUnder(
  ctx: LowerContext,
  x: Source,
  axes: readonly WindowAxis[],
  index: readonly Expr[],
  tap: readonly Expr[],
  outside: Expr,
): Expr {
  const [n, c, ...at] = index;
  const { position, inside } = windowTap(axes, at, tap);
  return ctx.at(x, [n, c, ...position], inside && { when: inside, otherwise: outside });
}

/** The value that no maximum ever picks. */
function lowest(dtype: DType): Expr {
  return constant(dtype, isFloat(dtype) ? -Infinity : integerRange(dtype).min);
}

/**
 * Where each maximum was found, as a position in the whole input; `columnMajor` within each image. It is the first pixel
 * that equals the maximum: padding, which may equal it too, has no position.
 */
function maximumPositions(
  ctx: PoolContext,
  { axes, kernel, shape }: PoolGeometry,
  maxima: Stage,
  columnMajor: boolean,
): Stage {
  const x = ctx.input(0);
  const taps = productOf(kernel);
  const winner = ctx.reduce('min', 'int64', shape, [taps], (index, [r]) => {
    const tap = unflatten(r, kernel);
    const pixel = pixelUnder(ctx, x, axes, index, tap, lowest(x.dtype));
    const isGreatest = eq(pixel, ctx.at(maxima, index));
    const matches = isFloat(x.dtype) ? or(isGreatest, isNotANumber(pixel)) : isGreatest;
    const { inside } = windowTap(axes, index.slice(2), tap);
    return select(inside ? and(inside, matches) : matches, cast('int64', r), cast('int64', dimension(taps.sub(1))));
  });
  return ctx.map('int64', shape, (index) => {
    const tap = unflatten(cast('index', ctx.at(winner, index)), kernel);
    const { position } = windowTap(axes, index.slice(2), tap);
    const spatial = x.shape.slice(2);
    const image = flatten(index.slice(0, 2), x.shape.slice(0, 2));
    const pixel = columnMajor ? flatten([...position].reverse(), [...spatial].reverse()) : flatten(position, spatial);
    return cast('int64', add(mul(image, dimension(productOf(spatial))), pixel));
  });
}

// Versions 1, 8, 10 and 12 only add outputs, attributes and types.
export const MaxPool = defineOperator({
  name: 'MaxPool',
  since: 1,
  attributes: { ...poolAttributes, storage_order: int(0) },
  infer(ctx) {
    const { shape } = poolGeometry(ctx);
    return [
      tensorType(requireDType(ctx, 0, numbers), shape),
      ctx.hasOutput(1) ? tensorType('int64', shape) : undefined,
    ];
  },
  lower(ctx) {
    const geometry = poolGeometry(ctx);
    const x = ctx.input(0);
    const { axes, kernel, shape } = geometry;
    const values = ctx.reduce('max', x.dtype, shape, kernel, (index, tap) =>
      pixelUnder(ctx, x, axes, index, tap, lowest(x.dtype)),
    );
    if (!ctx.hasOutput(1)) return [values];
    return [values, maximumPositions(ctx, geometry, values, ctx.attributes.storage_order === 1)];
  },
});

/** Taps of the window at `at` that lie in [−before, input + after) along one axis. */
function tapsInside(axis: WindowAxis, at: Expr, before: Dim, after: Dim): Expr {
  // Tap k reads position start + k · dilation, where start = at · stride − padBegin.
  const start = sub(mul(at, axis.stride), dimension(axis.padBegin));
  const ceilDiv = (x: Expr): Expr => div(add(x, axis.dilation - 1), axis.dilation);
  const first = ceilDiv(max(sub(dimension(before.negate()), start), 0));
  const end = ceilDiv(max(sub(dimension(axis.input.add(after)), start), 0));
  return max(sub(min(end, dimension(axis.kernel)), first), 0);
}

/**
 * Number of pixels that an average divides by. Padding counts when `includePad`; pixels beyond the padding, which a
 * last window may reach with `ceil_mode`, never do. The average of no pixels is 0, so that it is at least 1.
 */
function divisor(axes: readonly WindowAxis[], at: readonly Expr[], includePad: boolean): Expr {
  const counts = axes.map((axis, n) => {
    const isFull = axis.staysInside && (includePad || (axis.padBegin.atMost(0) && axis.padEnd.atMost(0)));
    if (isFull) return dimension(axis.kernel);
    const zero = Dim.constant(0);
    return includePad ? tapsInside(axis, at[n], axis.padBegin, axis.padEnd) : tapsInside(axis, at[n], zero, zero);
  });
  const product = counts.reduce((product, count) => mul(product, count));
  return product.kind === 'dim' ? product : max(product, 1);
}

function lowerAveragePool(ctx: PoolContext, includePad: boolean): Stage {
  const { axes, kernel, shape } = poolGeometry(ctx);
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const total = ctx.reduce('sum', wide, shape, kernel, (index, tap) =>
    cast(wide, pixelUnder(ctx, x, axes, index, tap, constant(x.dtype, 0))),
  );
  return ctx.map(x.dtype, shape, (index) => {
    return cast(x.dtype, div(ctx.at(total, index), cast(wide, divisor(axes, index.slice(2), includePad))));
  });
}

const inferPool = (ctx: PoolNode) => [tensorType(expectFloat(ctx, 0), poolGeometry(ctx).shape)];

export const AveragePool = defineOperator({
  name: 'AveragePool',
  since: 1,
  attributes: { ...poolAttributes, count_include_pad: int(0) },
  infer: inferPool,
  lower: (ctx) => lowerAveragePool(ctx, ctx.attributes.count_include_pad === 1),
});

/** |x| to the power p */
function powerOf(x: Expr, p: number): Expr {
  if (p === 1) return abs(x);
  return p === 2 ? mul(x, x) : pow(abs(x), p);
}

function rootOf(x: Expr, p: number): Expr {
  if (p === 1) return x;
  return p === 2 ? sqrt(x) : pow(x, 1 / p);
}

function lowerLpPool(ctx: PoolContext, p: number): Stage {
  const { axes, kernel, shape } = poolGeometry(ctx);
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const total = ctx.reduce('sum', wide, shape, kernel, (index, tap) =>
    powerOf(cast(wide, pixelUnder(ctx, x, axes, index, tap, constant(x.dtype, 0))), p),
  );
  return ctx.map(x.dtype, shape, (index) => cast(x.dtype, rootOf(ctx.at(total, index), p)));
}

export const LpPool1 = defineOperator({
  name: 'LpPool',
  since: 1,
  attributes: { ...windowAttributes, p: float(2) },
  infer: inferPool,
  lower: (ctx) => lowerLpPool(ctx, ctx.attributes.p),
});

export const LpPool = defineOperator({
  name: 'LpPool',
  since: 2,
  attributes: { ...poolAttributes, p: int(2) },
  infer: inferPool,
  lower: (ctx) => lowerLpPool(ctx, ctx.attributes.p),
});

function globalShape(ctx: NodeContext): readonly Dim[] {
  const [batch, channels, ...spatial] = expectRank(ctx, 0, 2, Infinity);
  return [batch, channels, ...spatial.map(() => Dim.constant(1))];
}

const inferGlobalPool = (ctx: NodeContext) => [tensorType(expectFloat(ctx, 0), globalShape(ctx))];

export const GlobalMaxPool = defineOperator({
  name: 'GlobalMaxPool',
  since: 1,
  infer: (ctx) => inferGlobalPool(ctx),
  lower(ctx) {
    const x = ctx.input(0);
    return ctx.reduce('max', x.dtype, globalShape(ctx), x.shape.slice(2), ([n, c], at) => ctx.at(x, [n, c, ...at]));
  },
});

export const GlobalAveragePool = defineOperator({
  name: 'GlobalAveragePool',
  since: 1,
  infer: (ctx) => inferGlobalPool(ctx),
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const [shape, spatial] = [globalShape(ctx), x.shape.slice(2)];
    const total = ctx.reduce('sum', wide, shape, spatial, ([n, c], at) => cast(wide, ctx.at(x, [n, c, ...at])));
    const size = sizeAs(wide, productOf(spatial));
    return ctx.map(x.dtype, shape, (index) => cast(x.dtype, div(ctx.at(total, index), size)));
  },
});

function lowerGlobalLpPool(ctx: LowerContext, p: number): Stage {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const shape = globalShape(ctx);
  const total = ctx.reduce('sum', wide, shape, x.shape.slice(2), ([n, c], at) =>
    powerOf(cast(wide, ctx.at(x, [n, c, ...at])), p),
  );
  return ctx.map(x.dtype, shape, (index) => cast(x.dtype, rootOf(ctx.at(total, index), p)));
}

export const GlobalLpPool1 = defineOperator({
  name: 'GlobalLpPool',
  since: 1,
  attributes: { p: float(2) },
  infer: (ctx) => inferGlobalPool(ctx),
  lower: (ctx) => lowerGlobalLpPool(ctx, ctx.attributes.p),
});

export const GlobalLpPool = defineOperator({
  name: 'GlobalLpPool',
  since: 2,
  attributes: { p: int(2) },
  infer: (ctx) => inferGlobalPool(ctx),
  lower: (ctx) => lowerGlobalLpPool(ctx, ctx.attributes.p),
});
