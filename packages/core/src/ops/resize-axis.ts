// One resized axis: where an output position lies in the input, and how its neighbours are weighted.

import {
  abs,
  add,
  and,
  cast,
  ceil,
  constant,
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
  mul,
  or,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { sizeAs } from './compute-type.ts';

export interface ResizeAxis {
  /** Which axis of the tensor. */
  readonly axis: number;
  readonly input: Dim;
  readonly output: Dim;
  /** Undefined when it is exactly output / input. */
  readonly scale: number | undefined;
  /** Start and end of the region of interest, as parts of the input; only for `tf_crop_and_resize`. */
  readonly region?: readonly [number, number];
}

export type CoordinateMode =
  | 'half_pixel'
  | 'half_pixel_symmetric'
  | 'pytorch_half_pixel'
  | 'align_corners'
  | 'asymmetric'
  | 'tf_half_pixel_for_nn'
  | 'tf_crop_and_resize';

/** `simple` is the rule before version 11: floor when growing, ceil when shrinking. */
export type NearestMode = 'round_prefer_floor' | 'round_prefer_ceil' | 'floor' | 'ceil' | 'simple';

/**
 * floor(size · scale) as a dim. A float32 factor such as 0.7 stands for the fraction that it was rounded from, so that
 * 10 · 0.7 is 7 also when the size is a symbol.
 */
export function scaledSize(size: Dim, scale: number): Dim {
  const known = size.constant;
  if (known !== undefined) return Dim.constant(Math.floor(Math.fround(known * scale)));
  for (let denominator = 1; denominator <= 4096; denominator++) {
    const numerator = Math.round(scale * denominator);
    if (Math.fround(numerator / denominator) === Math.fround(scale)) return size.mul(numerator).floorDiv(denominator);
  }
  return size.mul(Math.round(scale * 2 ** 20)).floorDiv(2 ** 20);
}

/** Output length as the scale says it, before it was rounded down. */
function exactLength(axis: ResizeAxis, type: DType): Expr {
  if (axis.scale === undefined) return sizeAs(type, axis.output);
  return mul(sizeAs(type, axis.input), axis.scale);
}

/** x / scale */
function unscaled(axis: ResizeAxis, x: Expr): Expr {
  if (axis.scale !== undefined) return div(x, axis.scale);
  // Multiplied first: exact for integers, so that ties of the nearest modes stay ties.
  return div(mul(x, sizeAs(x.type as DType, axis.input)), sizeAs(x.type as DType, axis.output));
}

/** Position in the input, in pixels, of an output position; formulas as in the documentation of Resize. */
export function sourceCoordinate(axis: ResizeAxis, at: Expr, mode: CoordinateMode, type: DType): Expr {
  const x = cast(type, at);
  const last = sub(sizeAs(type, axis.input), 1);
  const halfPixel = (): Expr => sub(unscaled(axis, add(x, 0.5)), 0.5);
  switch (mode) {
    case 'half_pixel':
      return halfPixel();
    case 'pytorch_half_pixel':
      return select(gt(sizeAs(type, axis.output), 1), halfPixel(), 0);
    case 'half_pixel_symmetric': {
      if (axis.scale === undefined) return halfPixel();
      const adjustment = div(sizeAs(type, axis.output), exactLength(axis, type));
      const offset = mul(div(sizeAs(type, axis.input), 2), sub(1, adjustment));
      return add(offset, halfPixel());
    }
    case 'asymmetric':
      return unscaled(axis, x);
    case 'tf_half_pixel_for_nn':
      return unscaled(axis, add(x, 0.5));
    case 'align_corners': {
      const length = exactLength(axis, type);
      return select(gt(length, 1), div(mul(x, last), sub(length, 1)), 0);
    }
    case 'tf_crop_and_resize': {
      const [start, end] = axis.region ?? [0, 1];
      const length = exactLength(axis, type);
      const spread = add(mul(last, start), div(mul(mul(x, end - start), last), sub(length, 1)));
      return select(gt(length, 1), spread, mul(last, (start + end) / 2));
    }
  }
}

/** Whether the coordinate lies beside the image, where `tf_crop_and_resize` puts the extrapolation value. */
export function isOutside(axis: ResizeAxis, x: Expr): Expr {
  return or(lt(x, 0), gt(x, sub(sizeAs(x.type as DType, axis.input), 1)));
}

/** An index brought into the input. */
function clamped(axis: ResizeAxis, index: Expr): Expr {
  return max(min(index, dimension(axis.input.sub(1))), 0);
}

/** output / input when it is a whole number for every value of the symbols. */
function wholeFactor(axis: ResizeAxis): number | undefined {
  const factor = axis.scale ?? axis.output.divideExactly(axis.input)?.constant;
  return factor !== undefined && Number.isInteger(factor) && factor > 0 ? factor : undefined;
}

/** Index of the input pixel that the output position takes. */
export function nearestIndex(axis: ResizeAxis, at: Expr, mode: CoordinateMode, rounding: NearestMode): Expr {
  const factor = wholeFactor(axis);
  const isHalfPixel = mode === 'half_pixel' || mode === 'pytorch_half_pixel';
  const isRounded = rounding === 'round_prefer_floor' || rounding === 'round_prefer_ceil';
  // Each input pixel is repeated: half-pixel centres never come to lie on a border.
  if (factor && isHalfPixel && isRounded) return div(at, factor);
  if (factor && mode === 'asymmetric' && (rounding === 'floor' || rounding === 'simple')) return div(at, factor);
  if (factor && mode === 'asymmetric' && rounding === 'round_prefer_floor') {
    const nearest = div(add(mul(at, 2), factor - 1), 2 * factor);
    return factor < 3 ? nearest : clamped(axis, nearest);
  }
  const x = sourceCoordinate(axis, at, mode, 'float32');
  return clamped(axis, toIndex(rounded(axis, x, rounding)));
}

function rounded(axis: ResizeAxis, x: Expr, mode: NearestMode): Expr {
  switch (mode) {
    case 'round_prefer_floor':
      return ceil(sub(x, 0.5));
    case 'round_prefer_ceil':
      return floor(add(x, 0.5));
    case 'floor':
      return floor(x);
    case 'ceil':
      return ceil(x);
    case 'simple': {
      const { scale, input, output } = axis;
      if (scale !== undefined) return scale < 1 ? ceil(x) : floor(x);
      return select(lt(dimension(output), dimension(input)), ceil(x), floor(x));
    }
  }
}

/** The lower neighbour of a coordinate and the weight of the upper one. */
export function linearNeighbours(axis: ResizeAxis, x: Expr) {
  const last = sub(sizeAs(x.type as DType, axis.input), 1);
  const inside = max(min(x, last), 0);
  const low = floor(inside);
  return { low: toIndex(low), weight: sub(inside, low) };
}

/** Beside the image both neighbours are its border. */
export function upperNeighbour(axis: ResizeAxis, low: Expr): Expr {
  return min(add(low, 1), dimension(axis.input.sub(1)));
}

/** A filter: its half width in input pixels when not stretched, and its value at a distance. */
export interface Filter {
  readonly radius: number;
  readonly at: (distance: Expr) => Expr;
}

export const triangle: Filter = {
  radius: 1,
  at: (distance) => max(sub(1, abs(distance)), 0),
};

/** Keys' cubic convolution with parameter a. */
export function cubic(a: number): Filter {
  return {
    radius: 2,
    at(distance) {
      const x = abs(distance);
      const near = add(mul(mul(sub(mul(x, a + 2), a + 3), x), x), 1);
      const far = sub(mul(add(mul(sub(mul(x, a), 5 * a), x), 8 * a), x), 4 * a);
      return select(le(x, 1), near, select(lt(x, 2), far, 0));
    },
  };
}

export interface FilterOptions {
  /** When shrinking, the filter is stretched to cover every input pixel. */
  readonly antialias: boolean;
}

/** Input pixels that take part in each output pixel. */
export function tapCount(axis: ResizeAxis, filter: Filter, { antialias }: FilterOptions): Dim {
  const { radius } = filter;
  if (!antialias) return Dim.constant(2 * radius);
  if (axis.scale !== undefined) return Dim.constant(2 * Math.ceil(radius / Math.min(axis.scale, 1)));
  return axis.input.max(axis.output).mul(radius).ceilDiv(axis.output).mul(2);
}

/** Index of tap `tap` around coordinate x, which may lie beside the image. */
export function tapIndex(x: Expr, tap: Expr, count: Dim): Expr {
  return add(toIndex(floor(x)), add(tap, dimension(Dim.constant(1).sub(count.floorDiv(2)))));
}

/** Weight of tap `tap` before normalisation. */
export function tapWeight(axis: ResizeAxis, filter: Filter, x: Expr, index: Expr, { antialias }: FilterOptions): Expr {
  const distance = sub(cast(x.type, index), x);
  if (!antialias) return filter.at(distance);
  if (axis.scale !== undefined) return filter.at(mul(distance, Math.min(axis.scale, 1)));
  const type = x.type as DType;
  const shrink = min(div(sizeAs(type, axis.output), sizeAs(type, axis.input)), constant(type, 1));
  return filter.at(mul(distance, shrink));
}

/** Whether an index lies in the input. */
export function isInside(axis: ResizeAxis, index: Expr): Expr {
  return and(ge(index, 0), lt(index, dimension(axis.input)));
}

/** The nearest index in the input. */
export const borderIndex = clamped;
