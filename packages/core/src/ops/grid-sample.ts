// GridSample and AffineGrid: sampling an image at positions that a grid gives (spatial transformers).

import {
  abs,
  add,
  and,
  cast,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  floor,
  ge,
  gt,
  le,
  lt,
  max,
  min,
  mod,
  mul,
  or,
  rem,
  round,
  type Stage,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType, sizeAs } from './compute-type.ts';
import { defineOperator, int, type LowerContext, type NodeContext, string } from './define.ts';
import { expectEqual, expectFloat, expectRank } from './expect.ts';
import { freshShape } from './small-tensor.ts';
import { both } from './window.ts';

type Padding = 'zeros' | 'border' | 'reflection';
type Mode = 'nearest' | 'linear' | 'cubic';

/** How positions become pixels along one axis. */
interface SampleAxis {
  readonly size: Dim;
  readonly alignCorners: boolean;
  readonly padding: Padding;
}

/** From [−1, 1] to pixels: the ends are the centres of the outer pixels (aligned) or their outer borders. */
function toPixels(x: Expr, { size, alignCorners }: SampleAxis): Expr {
  const real = x.type as DType;
  if (alignCorners) return mul(mul(add(x, 1), 0.5), sizeAs(real, size.sub(1)));
  return mul(sub(mul(add(x, 1), sizeAs(real, size)), 1), 0.5);
}

/** A wave that runs up and down between `low` and `low + range`. */
function reflectPosition(x: Expr, low: number, range: Expr): Expr {
  const period = mul(range, 2);
  const phase = rem(abs(sub(x, low)), period);
  const wave = min(phase, sub(period, phase));
  // A range of zero has no period.
  return add(select(le(range, 0), 0, wave), low);
}

/** Brings a position near the image, so that it can be an index. Padding outside is decided pixel by pixel. */
function padPosition(x: Expr, { size, alignCorners, padding }: SampleAxis): Expr {
  const real = x.type as DType;
  switch (padding) {
    case 'zeros':
      // Pixels that far out are zero for every kernel.
      return min(max(x, -3), sizeAs(real, size.add(2)));
    case 'border': {
      const clamped = min(max(x, 0), sizeAs(real, size.sub(1)));
      if (alignCorners) return clamped;
      // Positions on the outer half of a border pixel stay: a cubic kernel sees the difference.
      return select(or(lt(x, -0.5), gt(x, sub(sizeAs(real, size), 0.5))), clamped, x);
    }
    case 'reflection':
      return alignCorners
        ? reflectPosition(x, 0, sizeAs(real, size.sub(1)))
        : reflectPosition(x, -0.5, sizeAs(real, size));
  }
}

/** Index of a pixel inside the image, and whether it is there at all. */
function padPixel(pixel: Expr, { size, alignCorners, padding }: SampleAxis): { index: Expr; inside?: Expr } {
  switch (padding) {
    case 'zeros':
      return { index: pixel, inside: and(ge(pixel, 0), lt(pixel, dimension(size))) };
    case 'border':
      return { index: min(max(pixel, 0), dimension(size.sub(1))) };
    case 'reflection': {
      const period = size.mul(2).sub(alignCorners ? 2 : 0);
      const phase = mod(pixel, dimension(period));
      return { index: min(phase, sub(dimension(alignCorners ? period : period.sub(1)), phase)) };
    }
  }
}

interface Tap {
  readonly pixel: Expr;
  readonly weight: Expr | undefined;
}

/** Cubic convolution with a = −0.75 (R. G. Keys, IEEE ASSP 29, 1981): weights of pixels −1, 0, 1, 2 at fraction t. */
function cubicWeights(t: Expr): readonly Expr[] {
  const a = -0.75;
  const near = (x: Expr): Expr => add(mul(mul(sub(mul(x, a + 2), a + 3), x), x), 1);
  const far = (x: Expr): Expr => mul(sub(mul(add(mul(sub(x, 5), x), 8), x), 4), a);
  return [far(add(t, 1)), near(t), near(sub(1, t)), far(sub(2, t))];
}

/** Pixels that a position mixes. */
function tapsAt(position: Expr, mode: Mode): readonly Tap[] {
  if (mode === 'nearest') return [{ pixel: toIndex(position), weight: undefined }];
  const base = floor(position);
  const fraction = sub(position, base);
  const first = toIndex(base);
  if (mode === 'linear') {
    return [
      { pixel: first, weight: sub(1, fraction) },
      { pixel: add(first, 1), weight: fraction },
    ];
  }
  return cubicWeights(fraction).map((weight, at) => ({ pixel: add(first, at - 1), weight }));
}

/** Weighted sum over the taps of all axes, the first axis outermost. */
function mix(
  axes: readonly SampleAxis[],
  taps: readonly (readonly Tap[])[],
  load: (index: readonly Expr[], inside: Expr | undefined) => Expr,
): Expr {
  const visit = (axis: number, index: readonly Expr[], inside: Expr | undefined): Expr => {
    if (axis === axes.length) return load(index, inside);
    const terms = taps[axis].map(({ pixel, weight }) => {
      const padded = padPixel(pixel, axes[axis]);
      const value = visit(axis + 1, [...index, padded.index], padded.inside ? both(inside, padded.inside) : inside);
      return weight ? mul(value, weight) : value;
    });
    return terms.reduce(add);
  };
  return visit(0, [], undefined);
}

/** Names of the modes up to opset 19, where there were only images. */
const oldModes: Readonly<Record<string, Mode>> = { bilinear: 'linear', bicubic: 'cubic' };

function expectMode(context: NodeContext, given: string): Mode {
  const mode = oldModes[given] ?? given;
  if (mode === 'nearest' || mode === 'linear' || mode === 'cubic') return mode;
  return context.fail(`mode "${given}" is not one of nearest, linear, cubic.`);
}

function expectPadding(context: NodeContext, given: string): Padding {
  if (given === 'zeros' || given === 'border' || given === 'reflection') return given;
  return context.fail(`padding_mode "${given}" is not one of zeros, border, reflection.`);
}

function lowerGridSample(
  context: LowerContext,
  attributes: { readonly align_corners: number; readonly mode: string; readonly padding_mode: string },
): Stage {
  const dtype = context.dtype(0);
  const mode = expectMode(context, attributes.mode);
  const padding = expectPadding(context, attributes.padding_mode);
  const axes = context
    .shape(0)
    .slice(2)
    .map((size) => ({ size, alignCorners: attributes.align_corners !== 0, padding }));
  const shape = context.outputShape(0);
  const [batch, , ...sampled] = shape;
  const real = dtype === 'float64' ? dtype : computeType(context.dtype(1));
  const rank = axes.length;
  // All channels of an image are sampled at the same positions. A grid lists the innermost axis first.
  const positions = axes.map((axis, at) =>
    context.map(
      real,
      [batch, ...sampled],
      (index) => {
        const x = toPixels(cast(real, context.at(1, [...index, rank - 1 - at])), axis);
        return padPosition(mode === 'nearest' ? round(x) : x, axis);
      },
      `position${at}`,
    ),
  );
  // The nearest pixel is taken as it is, whatever its type; mixtures are computed in the type of the positions.
  const work = mode === 'nearest' ? dtype : real;
  return context.map(dtype, shape, ([n, c, ...place]) => {
    const taps = positions.map((position) => tapsAt(context.at(position, [n, ...place]), mode));
    const mixed = mix(axes, taps, (index, inside) =>
      cast(work, context.at(0, [n, c, ...index], inside && { when: inside, otherwise: 0 })),
    );
    return cast(dtype, mixed);
  });
}

function gridSample(since: number, mode: string) {
  return defineOperator({
    name: 'GridSample',
    since,
    attributes: { align_corners: int(0), mode: string(mode), padding_mode: string('zeros') },
    infer(context) {
      const shape = expectRank(context, 0, 3, Infinity);
      const grid = expectRank(context, 1, shape.length);
      expectFloat(context, 1);
      expectMode(context, context.attributes.mode);
      expectPadding(context, context.attributes.padding_mode);
      expectEqual(context, shape[0], grid[0], 'the batch sizes of image and grid');
      const last = grid[grid.length - 1].constant;
      if (last !== undefined && last !== shape.length - 2) {
        context.fail(`the last axis of the grid must have ${shape.length - 2} coordinates, not ${last}.`);
      }
      return [tensorType(context.dtype(0), [shape[0], shape[1], ...grid.slice(1, -1)])];
    },
    lower: (context) => lowerGridSample(context, context.attributes),
  });
}

export const GridSample16 = gridSample(16, 'bilinear');
export const GridSample20 = gridSample(20, 'linear');

/** The grid that GridSample needs for an affine map: theta · (x, y, 1) for every pixel of an image of the given size. */
export const AffineGrid = defineOperator({
  name: 'AffineGrid',
  since: 20,
  attributes: { align_corners: int(0) },
  valueInputs: [1],
  infer(context) {
    const dtype = expectFloat(context, 0);
    const [batch, rows, columns] = expectRank(context, 0, 3);
    const size = context.contents(1);
    const entries = size?.length ?? expectRank(context, 1, 1)[0].constant;
    if (entries === undefined) return [tensorType(dtype)];
    const rank = entries - 2;
    if (rank !== 2 && rank !== 3) context.fail(`size must have 4 or 5 entries, not ${entries}.`);
    expectEqual(context, rows, Dim.constant(rank), 'the rows of theta and the spatial axes');
    expectEqual(context, columns, Dim.constant(rank + 1), 'the columns of theta and the spatial axes plus one');
    const pixels = size?.slice(2) ?? freshShape(context, rank, 'grid');
    return [tensorType(dtype, [batch, ...pixels, Dim.constant(rank)])];
  },
  lower(context) {
    const dtype = context.dtype(0);
    const shape = context.outputShape(0);
    const sizes = shape.slice(1, -1);
    const real = computeType(dtype);
    const isAligned = context.attributes.align_corners !== 0;
    return context.map(dtype, shape, ([n, ...rest]) => {
      const row = rest[sizes.length];
      const theta = (column: number): Expr => cast(real, context.at(0, [n, row, column]));
      const terms = sizes.map((size, axis) =>
        mul(theta(sizes.length - 1 - axis), pixelCentre(cast(real, rest[axis]), size, isAligned)),
      );
      return cast(dtype, [...terms.reverse(), theta(sizes.length)].reduce(add));
    });
  },
});

/** From pixels to [−1, 1], the inverse of `toPixels`. One pixel whose centres are both ends lies in the middle. */
function pixelCentre(pixel: Expr, size: Dim, alignCorners: boolean): Expr {
  const real = pixel.type as DType;
  if (!alignCorners) return sub(div(add(mul(pixel, 2), 1), sizeAs(real, size)), 1);
  const steps = size.sub(1);
  return sub(div(mul(pixel, 2), sizeAs(real, steps.max(1))), sizeAs(real, steps.min(1)));
}
