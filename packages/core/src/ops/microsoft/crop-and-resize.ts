// com.microsoft CropAndResize: boxes cut out of images and scaled to one size, corners on corners.

import {
  add,
  and,
  boundedIndex,
  cast,
  ceil,
  constant,
  type Dim,
  type DType,
  dimension,
  div,
  type Expr,
  floor,
  ge,
  le,
  max,
  min,
  mul,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { computeType, sizeAs } from '../compute-type.ts';
import { defineOperator, float, string } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';

interface Place {
  /** In pixels, brought inside the image. */
  readonly at: Expr;
  readonly isInside: Expr;
}

/** Where pixel `out` of a crop of `count` pixels lies: between the box's ends, or in its middle if it is the only one. */
function placeOf(out: Expr, count: Dim, from: Expr, to: Expr, size: Dim): Place {
  const real = from.type as DType;
  const last = sizeAs(real, size.sub(1));
  const step = div(mul(sub(to, from), last), sizeAs(real, count.sub(1).max(1)));
  const spread = add(mul(from, last), mul(cast(real, out), step));
  const exact = select(ge(add(cast('index', out), 1), toIndex(count)), mul(to, last), spread);
  const at = select(le(dimension(count), 1), mul(mul(add(from, to), 0.5), last), exact);
  return { at: min(max(at, 0), last), isInside: and(ge(at, 0), le(at, last)) };
}

/** Inputs: X [N, C, H, W]; boxes [count, 4] as y1, x1, y2, x2 in [0, 1]; the image of each box; height and width of the crops. */
export const CropAndResize = defineOperator({
  domain: 'com.microsoft',
  name: 'CropAndResize',
  since: 1,
  attributes: { extrapolation_value: float(0), mode: string('bilinear') },
  valueInputs: [3],
  infer(ctx) {
    const { mode } = ctx.attributes;
    if (mode !== 'bilinear' && mode !== 'nearest') ctx.fail(`mode "${mode}" is not one of bilinear, nearest.`);
    const [, channels] = expectRank(ctx, 0, 4);
    const [count] = expectRank(ctx, 1, 2);
    const size = ctx.contents(3) ?? [ctx.freshDim('crop'), ctx.freshDim('crop')];
    return [tensorType(expectSameType(ctx, 0, 1), [count, channels, size[0], size[1]])];
  },
  lower(ctx) {
    const { extrapolation_value, mode } = ctx.attributes;
    const [batch, , height, width] = ctx.shape(0);
    const dtype = ctx.dtype(0);
    const real = computeType(dtype);
    const shape = ctx.outputShape(0);
    return ctx.map(dtype, shape, ([box, c, row, column]) => {
      const corner = (at: number): Expr => cast(real, ctx.at(1, [box, toIndex(at)]));
      const image = boundedIndex(toIndex(ctx.at(2, [box])), batch, { negative: false });
      const y = placeOf(row, shape[2], corner(0), corner(2), height);
      const x = placeOf(column, shape[3], corner(1), corner(3), width);
      const pixel = (at: Expr, size: Dim): Expr => boundedIndex(toIndex(cast('int32', at)), size, { negative: false });
      const read = (v: Expr, h: Expr): Expr => cast(real, ctx.at(0, [image, c, pixel(v, height), pixel(h, width)]));
      const mix = (a: Expr, b: Expr, share: Expr): Expr => add(a, mul(sub(b, a), share));
      const line = (v: Expr): Expr => mix(read(v, floor(x.at)), read(v, ceil(x.at)), sub(x.at, floor(x.at)));
      const value =
        mode === 'bilinear'
          ? mix(line(floor(y.at)), line(ceil(y.at)), sub(y.at, floor(y.at)))
          : read(floor(add(y.at, 0.5)), floor(add(x.at, 0.5)));
      return cast(dtype, select(and(y.isInside, x.isInside), value, constant(real, extrapolation_value)));
    });
  },
});
