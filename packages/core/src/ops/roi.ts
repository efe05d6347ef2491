// Pooling over regions of interest: RoiAlign samples between pixels, MaxRoiPool takes whole ones.

import {
  add,
  and,
  boundedIndex,
  cast,
  Dim,
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
import { tensorType } from '../graph/types.ts';
import { computeType, sizeAs } from './compute-type.ts';
import {
  type AttributeSpec,
  defineOperator,
  type ExpandContext,
  float,
  type InferContext,
  int,
  ints,
  type LowerContext,
  type NodeContext,
  required,
  string,
} from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';

const alignAttributes = {
  mode: string('avg'),
  output_height: int(1),
  output_width: int(1),
  sampling_ratio: int(0),
  spatial_scale: float(1),
};

function inferAlign(context: InferContext<typeof alignAttributes>) {
  const dtype = expectSameType(context, 0, 1);
  const [, channels] = expectRank(context, 0, 4);
  const [count, corners] = expectRank(context, 1, 2);
  const [batches] = expectRank(context, 2, 1);
  expectEqual(context, corners, Dim.constant(4), 'the numbers of a region and the four coordinates of a box');
  expectEqual(context, count, batches, 'the numbers of regions and of batch indices');
  const { mode, output_height: height, output_width: width } = context.attributes;
  if (mode !== 'avg' && mode !== 'max') context.fail(`mode "${mode}" is not one of avg, max.`);
  if (height < 1 || width < 1) context.fail(`the output size ${height}×${width} must be positive.`);
  return [tensorType(dtype, [count, channels, Dim.constant(height), Dim.constant(width)])];
}

/**
 * A fixed number of samples in each bin is a tensor expression. With `sampling_ratio=0` the number depends on the size
 * of the region, which only the host can do.
 */
function expandAlign(context: ExpandContext<typeof alignAttributes>, isHalfPixel: boolean) {
  const { mode, output_height, output_width, sampling_ratio, spatial_scale } = context.attributes;
  return context.op(
    sampling_ratio > 0 ? 'RoiAlignSampled' : 'RoiAlignAdaptive',
    [context.value(0), context.value(1), context.value(2)],
    {
      mode,
      output_height,
      output_width,
      sampling_ratio,
      spatial_scale: { float: spatial_scale },
      half_pixel: Number(isHalfPixel),
    },
    { domain: 'onnx-ts' },
  );
}

export const RoiAlign10 = defineOperator({
  name: 'RoiAlign',
  since: 10,
  attributes: alignAttributes,
  infer: inferAlign,
  expand: (context) => expandAlign(context, false),
});

export const RoiAlign16 = defineOperator({
  name: 'RoiAlign',
  since: 16,
  attributes: { ...alignAttributes, coordinate_transformation_mode: string('half_pixel') },
  infer(context) {
    const { coordinate_transformation_mode: mode } = context.attributes;
    if (mode !== 'half_pixel' && mode !== 'output_half_pixel') {
      context.fail(`coordinate_transformation_mode "${mode}" is not one of half_pixel, output_half_pixel.`);
    }
    return inferAlign(context);
  },
  expand: (context) => expandAlign(context, context.attributes.coordinate_transformation_mode === 'half_pixel'),
});

const internalAttributes = { ...alignAttributes, half_pixel: int(1) };

/** One axis of a bilinear sample: the pixels on both sides, the share of the second, and whether it counts. */
interface Sample {
  readonly low: Expr;
  readonly high: Expr;
  readonly share: Expr;
  readonly counts: Expr;
}

/** Samples up to one pixel outside the image take its edge; those further out count as zero. */
function sampleAt(position: Expr, size: Dim): Sample {
  const real = position.type as DType;
  const last = sizeAs(real, size.sub(1));
  const inside = min(max(position, 0), last);
  const low = min(max(toIndex(floor(inside)), 0), dimension(size.sub(1)));
  return {
    low,
    high: min(add(low, 1), dimension(size.sub(1))),
    share: sub(inside, cast(real, low)),
    counts: and(ge(position, -1), le(position, sizeAs(real, size))),
  };
}

function lowerAlign(context: LowerContext<typeof internalAttributes>) {
  const dtype = context.dtype(0);
  const real = computeType(dtype);
  const [batch, , height, width] = context.shape(0);
  const { mode, output_height, output_width, sampling_ratio: ratio, spatial_scale, half_pixel } = context.attributes;
  const offset = half_pixel ? 0.5 : 0;

  /** Position of sample `step` of bin `bin`; `corner` is the first column of the region's box for this axis. */
  const positionOf = (region: Expr, corner: number, bins: number, bin: Expr, step: Expr): Expr => {
    const edge = (column: number): Expr => sub(mul(cast(real, context.at(1, [region, column])), spatial_scale), offset);
    const start = edge(corner);
    const extent = sub(edge(corner + 2), start);
    const binSize = div(half_pixel ? extent : max(extent, 1), bins);
    const within = div(mul(add(cast(real, step), 0.5), binSize), ratio);
    return add(add(start, mul(cast(real, bin), binSize)), within);
  };

  const pooled = context.reduce(
    mode === 'max' ? 'max' : 'sum',
    real,
    context.outputShape(0),
    [ratio, ratio],
    ([region, c, row, column], [stepY, stepX]) => {
      const y = sampleAt(positionOf(region, 1, output_height, row, stepY), height);
      const x = sampleAt(positionOf(region, 0, output_width, column, stepX), width);
      const image = boundedIndex(toIndex(context.at(2, [region])), batch, { negative: false });
      const corner = (yPixel: Expr, xPixel: Expr, yShare: Expr, xShare: Expr): Expr =>
        mul(mul(yShare, xShare), cast(real, context.at(0, [image, c, yPixel, xPixel])));
      const [nearY, nearX] = [sub(1, y.share), sub(1, x.share)];
      const corners = [
        corner(y.low, x.low, nearY, nearX),
        corner(y.low, x.high, nearY, x.share),
        corner(y.high, x.low, y.share, nearX),
        corner(y.high, x.high, y.share, x.share),
      ];
      // The maximum is taken over weighted pixels, not over interpolated samples (as in ONNX's reference).
      return select(and(y.counts, x.counts), corners.reduce(mode === 'max' ? max : add), 0);
    },
  );
  return context.map(dtype, context.outputShape(0), (index) => {
    const value = context.at(pooled, index);
    return cast(dtype, mode === 'max' ? value : div(value, ratio * ratio));
  });
}

/** RoiAlign with `sampling_ratio`² samples in each bin. */
export const RoiAlignSampled = defineOperator({
  domain: 'onnx-ts',
  name: 'RoiAlignSampled',
  since: 1,
  attributes: internalAttributes,
  infer: (context) => inferAlign(context),
  lower: lowerAlign,
});

interface HostSample {
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

/** Samples of every bin along one axis, about one for each pixel; undefined where a sample counts as zero. */
function adaptiveSamples(start: number, extent: number, bins: number, size: number): (HostSample | undefined)[][] {
  const binSize = extent / bins;
  const steps = Math.max(Math.ceil(binSize), 0);
  return Array.from({ length: bins }, (_, bin) =>
    Array.from({ length: steps }, (_, step) => {
      const position = start + bin * binSize + ((step + 0.5) * binSize) / steps;
      if (!(position >= -1 && position <= size)) return undefined;
      const inside = Math.min(Math.max(position, 0), size - 1);
      const low = Math.floor(inside);
      return { low, high: Math.min(low + 1, size - 1), share: inside - low };
    }),
  );
}

/** RoiAlign with as many samples in each bin as it has pixels. */
export const RoiAlignAdaptive = defineOperator({
  domain: 'onnx-ts',
  name: 'RoiAlignAdaptive',
  since: 1,
  attributes: internalAttributes,
  infer: (context) => inferAlign(context),
  evaluate(context) {
    const input = context.tensor(0);
    const [batch, channels, height, width] = input.dims;
    const pixels = numbersOf(input);
    const boxes = numbersOf(context.tensor(1));
    const images = context.tensor(2).toNumberArray();
    const { mode, output_height: rows, output_width: columns, spatial_scale: scale, half_pixel } = context.attributes;
    const offset = half_pixel ? 0.5 : 0;
    const isMax = mode === 'max';
    const result = new Float64Array(images.length * channels * rows * columns);

    const pool = (
      plane: number,
      ySamples: (HostSample | undefined)[],
      xSamples: (HostSample | undefined)[],
    ): number => {
      let total = 0;
      let greatest = -Infinity;
      for (const y of ySamples) {
        for (const x of xSamples) {
          let [a, b, c, d] = [0, 0, 0, 0];
          if (y && x) {
            const [upper, lower] = [plane + y.low * width, plane + y.high * width];
            a = (1 - y.share) * (1 - x.share) * pixels[upper + x.low];
            b = (1 - y.share) * x.share * pixels[upper + x.high];
            c = y.share * (1 - x.share) * pixels[lower + x.low];
            d = y.share * x.share * pixels[lower + x.high];
          }
          total += a + b + c + d;
          greatest = Math.max(greatest, a, b, c, d);
        }
      }
      const count = ySamples.length * xSamples.length;
      return count === 0 ? 0 : isMax ? greatest : total / count;
    };

    let at = 0;
    images.forEach((image, region) => {
      if (!(image >= 0 && image < batch)) context.fail(`batch index ${image} is outside the ${batch} images.`);
      const [x1, y1, x2, y2] = [0, 1, 2, 3].map((corner) => boxes[region * 4 + corner] * scale - offset);
      const extent = (from: number, to: number): number => (half_pixel ? to - from : Math.max(to - from, 1));
      const ySamples = adaptiveSamples(y1, extent(y1, y2), rows, height);
      const xSamples = adaptiveSamples(x1, extent(x1, x2), columns, width);
      for (let channel = 0; channel < channels; channel++) {
        const plane = (image * channels + channel) * height * width;
        for (const y of ySamples) for (const x of xSamples) result[at++] = pool(plane, y, x);
      }
    });
    return tensorOfNumbers(input.type, result, [images.length, channels, rows, columns]);
  },
});

/** Nearest integer, halves away from zero. */
const roundAway = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** Pixels [start, end) of each bin along one axis, clipped to the image. */
function wholeBins(from: number, to: number, bins: number, size: number): readonly (readonly [number, number])[] {
  const binSize = Math.fround(Math.max(to - from + 1, 1) / bins);
  const clip = (pixel: number): number => Math.min(Math.max(pixel + from, 0), size);
  return Array.from({ length: bins }, (_, bin) => [
    clip(Math.floor(Math.fround(bin * binSize))),
    clip(Math.ceil(Math.fround((bin + 1) * binSize))),
  ]);
}

/** The greatest pixel of each bin of each region [batch index, x1, y1, x2, y2]; empty bins give 0. */
export const MaxRoiPool = defineOperator({
  name: 'MaxRoiPool',
  since: 1,
  attributes: { pooled_shape: required(ints()), spatial_scale: float(1) },
  infer(context) {
    const dtype = expectSameType(context, 0, 1);
    const [, channels] = expectRank(context, 0, 4);
    const [count, columns] = expectRank(context, 1, 2);
    expectEqual(context, columns, Dim.constant(5), 'the numbers of a region and of a batch index with a box');
    return [tensorType(dtype, [count, channels, ...pooledShape(context).map(Dim.constant)])];
  },
  evaluate(context) {
    const input = context.tensor(0);
    const [batch, channels, height, width] = input.dims;
    const pixels = numbersOf(input);
    const regions = context.tensor(1);
    const boxes = numbersOf(regions);
    const [rows, columns] = pooledShape(context);
    const result = new Float64Array(regions.dims[0] * channels * rows * columns);
    let at = 0;
    for (let region = 0; region < regions.dims[0]; region++) {
      const image = Math.trunc(boxes[region * 5]);
      if (!(image >= 0 && image < batch)) context.fail(`batch index ${image} is outside the ${batch} images.`);
      const scale = Math.fround(context.attributes.spatial_scale);
      const [x1, y1, x2, y2] = [1, 2, 3, 4].map((corner) => roundAway(Math.fround(boxes[region * 5 + corner] * scale)));
      const yBins = wholeBins(y1, y2, rows, height);
      const xBins = wholeBins(x1, x2, columns, width);
      for (let channel = 0; channel < channels; channel++) {
        const plane = (image * channels + channel) * height * width;
        for (const [top, bottom] of yBins) {
          for (const [left, right] of xBins) {
            let greatest = top < bottom && left < right ? -Infinity : 0;
            for (let y = top; y < bottom; y++) {
              for (let x = left; x < right; x++) greatest = Math.max(greatest, pixels[plane + y * width + x]);
            }
            result[at++] = greatest;
          }
        }
      }
    }
    return tensorOfNumbers(input.type, result, [regions.dims[0], channels, rows, columns]);
  },
});

function pooledShape(context: NodeContext<{ readonly pooled_shape: AttributeSpec<readonly number[]> }>) {
  const { pooled_shape: shape } = context.attributes;
  if (shape.length !== 2 || shape.some((size) => size < 1)) {
    context.fail(`pooled_shape must be a height and a width, not [${shape.join(', ')}].`);
  }
  return shape;
}
