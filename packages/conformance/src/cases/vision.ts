// Operators on images: resizing, sampling, regions.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { drawFloats, encodeTensor } from '../values.ts';
import { signedAxis } from './movement.ts';

const transformations = [
  'half_pixel',
  'asymmetric',
  'align_corners',
  'pytorch_half_pixel',
  'half_pixel_symmetric',
  'tf_crop_and_resize',
];
const roundings = ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'];

function floatsOf(b: CaseBuilder, values: readonly number[]): string {
  return b.operand(encodeTensor('float32', [values.length], values));
}

function resize(b: CaseBuilder): void {
  const dtype = b.dtype(b.opset < 11 ? 'T' : 'T1', ['string', 'complex64', 'complex128', 'bool']);
  const mode = b.draws.pick(b.opset < 11 ? ['nearest', 'linear'] : ['nearest', 'linear', 'cubic']);
  const isLinear = mode === 'linear';
  const rank = mode === 'cubic' ? b.draws.pick([2, 4]) : isLinear ? b.draws.pick([2, 4, 3, 5]) : b.draws.between(1, 5);
  const spatial = rank <= 2 ? rank : rank === 3 && isLinear ? 3 : Math.min(rank - 2, mode === 'cubic' ? 2 : 3);
  const shape = Array.from({ length: rank }, (_, axis) =>
    axis < rank - spatial ? b.draws.between(1, 3) : b.draws.between(1, 9),
  );
  const resized = shape.map(
    (_, axis) => axis >= rank - spatial && (spatial < 3 || b.draws.below(3) > 0 || axis === rank - 1),
  );
  const scales = resized.map((isResized) => (isResized ? b.draws.pick([2, 1, 0.5, 1.5, 3, 0.6, 2.3]) : 1));
  const sizes = shape.map((size, axis) => (resized[axis] ? b.draws.between(1, 12) : size));
  const x = b.random(dtype, shape, dtype.startsWith('u') || dtype.startsWith('int') ? ['unit'] : ['unit', 'small']);
  b.allow({ ulps: 8, spread: 24, integers: 1 });
  if (b.opset < 11) {
    const usable = scales.map((scale, axis) => (Math.floor(scale * shape[axis]) < 1 ? 1 : scale));
    return b.output(b.op('Resize', [x, floatsOf(b, usable)], { mode }), dtype);
  }
  const transformation = b.draws.pick(
    transformations.filter((name) => name !== 'half_pixel_symmetric' || b.opset >= 19),
  );
  const isCrop = transformation === 'tf_crop_and_resize';
  const bySizes = b.draws.coin();
  const usable = scales.map((scale, axis) => (Math.floor(scale * shape[axis]) < 1 ? 1 : scale));
  const antialias = b.opset >= 18 && mode !== 'nearest' && b.draws.oneIn(3) && !isCrop ? 1 : undefined;
  // A downscaling product of scale and size that is no whole number is where peers go their own ways.
  const exactScales =
    /^(align_corners|half_pixel_symmetric)$/.test(transformation) || isCrop
      ? usable.map((scale) => (scale < 1 ? 1 : Math.ceil(scale)))
      : usable;
  // Nor do they cut what is not resized.
  const isCut = (axis: number): boolean =>
    resized[axis] && (bySizes ? sizes[axis] !== shape[axis] : exactScales[axis] !== 1);
  // A region may reach beyond the image, and run backward.
  const [left, right] = !b.isPeer && b.draws.oneIn(4) ? [-0.25, 1.25] : [0, 1];
  const roi = isCrop
    ? [
        ...shape.map((_, axis) => (isCut(axis) ? left + b.draws.below(3) / 8 : 0)),
        ...shape.map((_, axis) => (isCut(axis) ? right - b.draws.below(3) / 8 : 1)),
      ]
    : undefined;
  const attributes = {
    mode,
    coordinate_transformation_mode:
      transformation === 'half_pixel' ? b.draws.maybe(() => transformation) : transformation,
    nearest_mode: mode === 'nearest' ? b.draws.maybe(() => b.draws.pick(roundings)) : undefined,
    cubic_coeff_a: mode === 'cubic' ? b.draws.maybe(() => float(-0.5)) : undefined,
    exclude_outside: mode === 'cubic' && !isCrop ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    extrapolation_value: isCrop ? float(0.5) : undefined,
    antialias,
  };
  const unused = b.opset < 13 ? floatsOf(b, []) : undefined;
  const region = roi ? floatsOf(b, roi) : b.opset < 13 ? floatsOf(b, []) : undefined;
  const inputs = bySizes ? [x, region, unused, b.int64s(sizes)] : [x, region, floatsOf(b, exactScales)];
  b.output(b.op('Resize', inputs, attributes), dtype);
}

/** Since 18: sizes or scales of some axes, and policies that keep the ratio. */
function resizeAxes(b: CaseBuilder): void {
  const dtype = b.dtype('T1', ['string', 'complex64', 'complex128', 'bool']);
  const shape = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(2, 8), b.draws.between(2, 8)];
  const axes = b.isPeer ? b.draws.shuffled([2, 3]) : b.draws.shuffled(b.draws.some([2, 3, 1, 0], 1));
  const mode = b.draws.pick(axes.length > 2 ? ['nearest'] : ['nearest', 'linear', 'cubic']);
  b.allow({ ulps: 8, spread: 24, integers: 1 });
  const byScales = !b.isPeer && b.draws.oneIn(3);
  const sizes = axes.map(() => b.draws.between(2, 12));
  const scales = axes.map(() => b.draws.pick([2, 1, 0.5, 1.5, 3, 0.6]));
  const x = b.random(dtype, shape, ['unit']);
  const attributes = {
    mode,
    axes: b.isPeer ? axes : axes.map((axis) => signedAxis(b, axis, 4)),
    keep_aspect_ratio_policy: byScales ? undefined : b.draws.pick([undefined, 'stretch', 'not_larger', 'not_smaller']),
    antialias: !b.isPeer && mode !== 'nearest' && b.draws.oneIn(3) ? 1 : undefined,
  };
  const usable = scales.map((scale, at) => (Math.floor(scale * shape[axes[at]]) < 1 ? 1 : scale));
  const inputs = byScales ? [x, undefined, floatsOf(b, usable)] : [x, undefined, undefined, b.int64s(sizes)];
  b.output(b.op('Resize', inputs, attributes), dtype);
}

function upsample(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string', 'complex64', 'complex128', 'bool']);
  const mode = b.draws.pick(['nearest', 'linear']);
  const shape = [b.draws.between(1, 2), b.draws.between(1, 2), b.draws.between(1, 6), b.draws.between(1, 6)];
  const scales = [1, 1, b.draws.pick([2, 1, 3, 1.5]), b.draws.pick([2, 1, 3, 1.5])];
  b.allow({ ulps: 8, spread: 8, integers: 1 });
  const x = b.random(dtype, shape, ['unit']);
  if (b.opset < 9) return b.output(b.op('Upsample', [x], { mode, scales: { floats: scales } }), dtype);
  b.output(b.op('Upsample', [x, floatsOf(b, scales)], { mode }), dtype);
}

function gridSample(b: CaseBuilder): void {
  const dtype = b.dtype('T1', ['string', 'complex64', 'complex128', 'bool']);
  const gridType = b.dtype('T2');
  const isNew = b.opset >= 20;
  const mode = b.draws.pick(isNew ? ['linear', 'nearest', 'cubic'] : ['bilinear', 'nearest', 'bicubic']);
  const padding = b.draws.pick([undefined, 'zeros', 'border', 'reflection']);
  const rank = isNew && !mode.endsWith('cubic') && b.draws.oneIn(3) ? 3 : 2;
  const n = b.draws.between(1, 2);
  const image = Array.from({ length: rank }, () => b.draws.between(b.isPeer ? 2 : 1, 6));
  const result = Array.from({ length: rank }, () => b.draws.between(1, 5));
  b.allow({ ulps: 32, spread: 64, integers: 1 });
  const inputs = [
    b.random(dtype, [n, b.draws.between(1, 3), ...image], ['unit', 'small']),
    // Far outside, NaN and infinities are where peers go their own ways.
    b.isPeer || b.draws.below(4) < 3
      ? b.operand(drawFloats(b.draws, gridType, [n, ...result, rank], -1.3, 1.3))
      : b.random(gridType, [n, ...result, rank], ['normal', 'special']),
  ];
  const attributes = {
    mode: mode === 'linear' || mode === 'bilinear' ? b.draws.maybe(() => mode) : mode,
    padding_mode: padding,
    align_corners: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('GridSample', inputs, attributes), dtype);
}

function affineGrid(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const rank = b.draws.pick([2, 3]);
  const n = b.draws.between(1, 2);
  const theta = b.random(dtype, [n, rank, rank + 1], ['unit']);
  const corners = b.draws.maybe(() => b.draws.below(2));
  // The corners of one pixel are left open.
  const size = [n, b.draws.between(1, 3), ...Array.from({ length: rank }, () => b.draws.between(corners ? 2 : 1, 5))];
  b.allow({ ulps: 8, spread: 16 });
  b.output(b.op('AffineGrid', [theta, b.int64s(size)], { align_corners: corners }), dtype);
}

function roiAlign(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const [n, c, h, w] = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(3, 9), b.draws.between(3, 9)];
  const count = b.draws.between(1, 4);
  const generator = b.draws.generator();
  // Regions may reach beyond the image, or end before they begin.
  const isWild = !b.isPeer && b.draws.oneIn(4);
  const rois = Array.from({ length: count }, () => {
    if (isWild) return Array.from({ length: 4 }, () => (generator.uniform() * 3 - 1) * (w + h));
    const [x, y] = [generator.uniform() * w, generator.uniform() * h];
    return [x, y, x + generator.uniform() * (w - x), y + generator.uniform() * (h - y)];
  }).flat();
  b.allow({ ulps: 32, spread: 64 });
  const inputs = [
    b.random(dtype, [n, c, h, w], ['unit', 'normal']),
    b.operand(encodeTensor(dtype, [count, 4], rois)),
    b.operand(
      encodeTensor(
        'int64',
        [count],
        Array.from({ length: count }, () => generator.below(n)),
      ),
    ),
  ];
  const attributes = {
    mode: b.draws.pick([undefined, 'avg', 'max']),
    output_height: b.draws.between(1, 3),
    output_width: b.draws.between(1, 3),
    sampling_ratio: b.draws.pick([2, 1, 3, 0]),
    spatial_scale: b.draws.maybe(() => float(b.draws.pick([1, 0.5]))),
    coordinate_transformation_mode:
      b.opset >= 16 ? b.draws.pick([undefined, 'half_pixel', 'output_half_pixel']) : undefined,
  };
  b.output(b.op('RoiAlign', inputs, attributes), dtype);
}

function nonMaxSuppression(b: CaseBuilder): void {
  const [n, boxes, classes] = [b.draws.between(1, 2), b.draws.pick([3, 1, 7, 12, 90, 0]), b.draws.between(1, 3)];
  const center = b.draws.below(2);
  const generator = b.draws.generator();
  const coordinates = Array.from({ length: n * boxes }, () => {
    const [x, y] = [generator.below(8), generator.below(8)];
    const [w, h] = [generator.between(1, 4), generator.between(1, 4)];
    if (center) return [x + w / 2, y + h / 2, w, h];
    // Corners in any order.
    return generator.below(4) === 3 ? [y + h, x + w, y, x] : [y, x, y + h, x + w];
  }).flat();
  // Scores are all different: which of two equal ones comes first is left open.
  const order = Array.from({ length: n * classes * boxes }, (_, at) => at);
  for (let at = order.length - 1; at > 0; at--) {
    const other = generator.below(at + 1);
    [order[at], order[other]] = [order[other], order[at]];
  }
  const inputs = [
    b.operand(encodeTensor('float32', [n, boxes, 4], coordinates)),
    b.operand(
      encodeTensor(
        'float32',
        [n, classes, boxes],
        order.map((rank) => rank / order.length),
      ),
    ),
    b.draws.maybe(() => b.int64s([b.draws.pick([3, 1, 100, 0])])),
    b.draws.maybe(() => b.operand(encodeTensor('float32', [1], [b.draws.pick([0.45, 0.3, 0.7, 0, 1])]))),
    b.draws.maybe(() => b.operand(encodeTensor('float32', [1], [b.draws.pick([0.21, 0.5, 0])]))),
  ];
  b.output(b.op('NonMaxSuppression', inputs, { center_point_box: center || undefined }), 'int64');
}

export const vision: Family = {
  name: 'vision',
  cases: {
    Resize: resize,
    'Resize#axes': (b) => (b.opset >= 18 ? resizeAxes(b) : resize(b)),
    Upsample: upsample,
    GridSample: gridSample,
    AffineGrid: affineGrid,
    RoiAlign: roiAlign,
    NonMaxSuppression: nonMaxSuppression,
  },
};
