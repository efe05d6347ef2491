// Resize and Upsample. Nearest is one gather; linear reads the corners of a cell; cubic and antialiased filters work one
// axis after another with a small table of weights. Axes that keep their size take no part.

import {
  add,
  cast,
  constant,
  Dim,
  type DType,
  div,
  type Expr,
  isFloat,
  mul,
  or,
  round,
  type Source,
  type Stage,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import {
  defineOperator,
  float,
  floats,
  type InferContext,
  int,
  ints,
  type LowerContext,
  type NodeContext,
  required,
  string,
} from './define.ts';
import {
  borderIndex,
  type CoordinateMode,
  cubic,
  type Filter,
  isInside,
  isOutside,
  linearNeighbours,
  type NearestMode,
  nearestIndex,
  type ResizeAxis,
  scaledSize,
  sourceCoordinate,
  tapCount,
  tapIndex,
  tapWeight,
  triangle,
  upperNeighbour,
} from './resize-axis.ts';

type Mode = 'nearest' | 'linear' | 'cubic';

interface ResizeOptions {
  readonly mode: Mode;
  readonly coordinates: CoordinateMode;
  readonly rounding: NearestMode;
  readonly cubicA: number;
  readonly antialias: boolean;
  readonly excludeOutside: boolean;
  readonly extrapolation: number;
}

/** Reads the input through all resized axes at once: `pick` gives the position along each. */
function gather(ctx: LowerContext, x: Source, index: readonly Expr[], positions: ReadonlyMap<number, Expr>): Expr {
  return ctx.at(
    x,
    index.map((at, axis) => positions.get(axis) ?? at),
  );
}

function resizeNearest(
  ctx: LowerContext,
  x: Source,
  axes: readonly ResizeAxis[],
  shape: readonly Dim[],
  options: ResizeOptions,
): Stage {
  // The same for all lines of the image.
  const tables = axes.map((axis) => ({
    axis: axis.axis,
    positions: ctx.map(
      'int32',
      [axis.output],
      ([at]) => cast('int32', nearestIndex(axis, at, options.coordinates, options.rounding)),
      'positions',
    ),
  }));
  return ctx.map(x.dtype, shape, (index) => {
    const positions = tables.map(({ axis, positions }) => [axis, toIndex(ctx.at(positions, [index[axis]]))] as const);
    return gather(ctx, x, index, new Map(positions));
  });
}

function resizeLinear(
  ctx: LowerContext,
  x: Source,
  axes: readonly ResizeAxis[],
  shape: readonly Dim[],
  wide: DType,
  options: ResizeOptions,
): Stage {
  // The same for all lines of the image.
  const tables = axes.map((axis) => {
    const at = ([position]: readonly Expr[]) =>
      linearNeighbours(axis, sourceCoordinate(axis, position, options.coordinates, wide));
    return {
      axis,
      low: ctx.map('int32', [axis.output], (index) => cast('int32', at(index).low), 'positions'),
      weight: ctx.map(wide, [axis.output], (index) => at(index).weight, 'weights'),
    };
  });
  return ctx.map(wide, shape, (index) => {
    const cells = tables.map(({ axis, low, weight }) => {
      const here = [index[axis.axis]];
      const first = toIndex(ctx.at(low, here));
      return { axis: axis.axis, low: first, high: upperNeighbour(axis, first), weight: ctx.at(weight, here) };
    });
    const blend = (remaining: typeof cells, positions: ReadonlyMap<number, Expr>): Expr => {
      const [cell, ...rest] = remaining;
      if (!cell) return cast(wide, gather(ctx, x, index, positions));
      const low = blend(rest, new Map([...positions, [cell.axis, cell.low]]));
      const high = blend(rest, new Map([...positions, [cell.axis, cell.high]]));
      return add(mul(low, sub(1, cell.weight)), mul(high, cell.weight));
    };
    return blend(cells, new Map());
  });
}

/** Weights of all taps for each output position: [output, taps]. */
function weightTable(ctx: LowerContext, axis: ResizeAxis, filter: Filter, wide: DType, options: ResizeOptions): Stage {
  const count = tapCount(axis, filter, options);
  const shape = [axis.output, count];
  const weight = ([at, tap]: readonly Expr[]): Expr => {
    const x = sourceCoordinate(axis, at, options.coordinates, wide);
    const index = tapIndex(x, tap, count);
    const value = tapWeight(axis, filter, x, index, options);
    return options.excludeOutside ? select(isInside(axis, index), value, 0) : value;
  };
  const table = ctx.map(wide, shape, weight, 'weights');
  if (!options.excludeOutside && !options.antialias) return table;
  const total = ctx.reduce('sum', wide, [axis.output], [count], ([at], [tap]) => ctx.at(table, [at, tap]), {
    name: 'weight_total',
  });
  return ctx.map(wide, shape, ([at, tap]) => div(ctx.at(table, [at, tap]), ctx.at(total, [at])), 'unit_weights');
}

/** Filters along one axis. */
function resizeAlong(
  ctx: LowerContext,
  x: Source,
  axis: ResizeAxis,
  filter: Filter,
  wide: DType,
  options: ResizeOptions,
) {
  const table = weightTable(ctx, axis, filter, wide, options);
  const count = tapCount(axis, filter, options);
  const shape = x.shape.map((size, at) => (at === axis.axis ? axis.output : size));
  return ctx.reduce('sum', wide, shape, [count], (index, [tap]) => {
    const at = index[axis.axis];
    const coordinate = sourceCoordinate(axis, at, options.coordinates, wide);
    const position = borderIndex(axis, tapIndex(coordinate, tap, count));
    return mul(cast(wide, gather(ctx, x, index, new Map([[axis.axis, position]]))), ctx.at(table, [at, tap]));
  });
}

/** Back to the element type. Integers are truncated as a plain conversion would, but rounded after antialiasing. */
function converted(dtype: DType, value: Expr, options: ResizeOptions): Expr {
  if (isFloat(dtype)) return cast(dtype, value);
  return cast(dtype, options.antialias ? round(value) : value, { saturate: true });
}

function lowerResize(
  ctx: LowerContext,
  axes: readonly ResizeAxis[],
  shape: readonly Dim[],
  options: ResizeOptions,
): Source {
  const x = ctx.input(0);
  const isCrop = options.coordinates === 'tf_crop_and_resize';
  const wide = isFloat(x.dtype) ? computeType(x.dtype) : 'float32';
  const outside = (index: readonly Expr[]): Expr =>
    axes
      .map((axis) => isOutside(axis, sourceCoordinate(axis, index[axis.axis], options.coordinates, 'float32')))
      .reduce((a, b) => or(a, b));
  const finish = (stage: Stage): Stage => {
    const isDone = stage.dtype === x.dtype;
    if (isDone && !isCrop) return stage;
    return ctx.map(x.dtype, shape, (index) => {
      const value = isDone ? ctx.at(stage, index) : converted(x.dtype, ctx.at(stage, index), options);
      return isCrop ? select(outside(index), constant(x.dtype, options.extrapolation), value) : value;
    });
  };
  if (axes.length === 0) return x;
  if (options.mode === 'nearest') return finish(resizeNearest(ctx, x, axes, shape, options));
  if (options.mode === 'linear' && !options.antialias && axes.length <= 3) {
    return finish(resizeLinear(ctx, x, axes, shape, wide, options));
  }
  const filter = options.mode === 'cubic' ? cubic(options.cubicA) : triangle;
  let result: Source = x;
  for (const axis of axes) result = resizeAlong(ctx, result, axis, filter, wide, options);
  return finish(result as Stage);
}

/** Numbers of an input; undefined when it is absent, empty or not known yet. */
function knownFloats(ctx: NodeContext, input: number): readonly number[] | undefined {
  const numbers = ctx.hasInput(input) ? ctx.constant(input)?.toNumberArray() : undefined;
  return numbers?.length ? numbers : undefined;
}

/** Axes by scales. `which` says which axis of the tensor each scale is for. */
function axesByScale(ctx: NodeContext, scales: readonly number[], which: readonly number[]): readonly ResizeAxis[] {
  const shape = ctx.shape(0);
  if (scales.length !== which.length) ctx.fail(`scales must have ${which.length} entries, not ${scales.length}.`);
  return which.map((axis, at) => {
    const scale = scales[at];
    if (!(scale > 0)) ctx.fail(`scales must be positive, not ${scale}.`);
    return { axis, input: shape[axis], output: scaledSize(shape[axis], scale), scale };
  });
}

/** Output shape when axes are resized. */
function resizedShape(shape: readonly Dim[], axes: readonly ResizeAxis[]): readonly Dim[] {
  const result = [...shape];
  for (const { axis, output } of axes) result[axis] = output;
  return result;
}

/** Axes whose pixels move. */
function moving(axes: readonly ResizeAxis[], options: ResizeOptions): readonly ResizeAxis[] {
  if (options.coordinates === 'tf_crop_and_resize') return axes;
  return axes.filter(({ scale, input, output }) => scale !== 1 && !(scale === undefined && input.equals(output)));
}

function modeOf(ctx: NodeContext, mode: string): Mode {
  if (mode === 'bilinear') return 'linear';
  if (mode === 'nearest' || mode === 'linear' || mode === 'cubic') return mode;
  return ctx.fail(`mode "${mode}" is not one of nearest, linear, cubic.`);
}

/** Options of the versions before 11, which knew one way to place pixels. */
function plainOptions(ctx: NodeContext, mode: string): ResizeOptions {
  return {
    mode: modeOf(ctx, mode),
    coordinates: 'asymmetric',
    rounding: 'simple',
    cubicA: -0.75,
    antialias: false,
    excludeOutside: false,
    extrapolation: 0,
  };
}

const everyAxis = (ctx: NodeContext): readonly number[] => ctx.shape(0).map((_, axis) => axis);

function inferByScales(ctx: InferContext, scales: readonly number[] | undefined) {
  const shape = ctx.shape(0);
  if (!scales)
    return [
      tensorType(
        ctx.dtype(0),
        shape.map(() => ctx.freshDim('resized')),
      ),
    ];
  return [tensorType(ctx.dtype(0), resizedShape(shape, axesByScale(ctx, scales, everyAxis(ctx))))];
}

function lowerByScales(ctx: LowerContext, scales: readonly number[] | undefined, mode: string): Source {
  if (!scales) return ctx.fail('the scales are not known.');
  const options = plainOptions(ctx, mode);
  const axes = axesByScale(ctx, scales, everyAxis(ctx));
  return lowerResize(ctx, moving(axes, options), resizedShape(ctx.shape(0), axes), options);
}

export const Upsample1 = defineOperator({
  name: 'Upsample',
  since: 1,
  attributes: { height_scale: required(float()), mode: string('nearest'), width_scale: required(float()) },
  infer: (ctx) => inferByScales(ctx, [1, 1, ctx.attributes.height_scale, ctx.attributes.width_scale]),
  lower: (ctx) =>
    lowerByScales(ctx, [1, 1, ctx.attributes.height_scale, ctx.attributes.width_scale], ctx.attributes.mode),
});

export const Upsample7 = defineOperator({
  name: 'Upsample',
  since: 7,
  attributes: { mode: string('nearest'), scales: floats() },
  infer: (ctx) => inferByScales(ctx, ctx.attributes.scales),
  lower: (ctx) => lowerByScales(ctx, ctx.attributes.scales, ctx.attributes.mode),
});

/** The last Upsample and the first Resize take scales as an input. */
const scalesAsInput = (name: string, since: number) =>
  defineOperator({
    name,
    since,
    attributes: { mode: string('nearest') },
    valueInputs: [1],
    infer: (ctx) => inferByScales(ctx, knownFloats(ctx, 1)),
    lower: (ctx) => lowerByScales(ctx, knownFloats(ctx, 1), ctx.attributes.mode),
  });

export const Upsample = scalesAsInput('Upsample', 9);
export const Resize10 = scalesAsInput('Resize', 10);

interface ResizeAttributes {
  readonly antialias: number;
  readonly axes: readonly number[] | undefined;
  readonly coordinate_transformation_mode: string;
  readonly cubic_coeff_a: number;
  readonly exclude_outside: number;
  readonly extrapolation_value: number;
  readonly keep_aspect_ratio_policy: string;
  readonly mode: string;
  readonly nearest_mode: string;
}

type ResizeNode = NodeContext & { readonly attributes: ResizeAttributes };

const coordinateModes: readonly string[] = [
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
  'tf_half_pixel_for_nn',
  'tf_crop_and_resize',
] satisfies readonly CoordinateMode[];

const nearestModes: readonly string[] = [
  'round_prefer_floor',
  'round_prefer_ceil',
  'floor',
  'ceil',
] satisfies readonly NearestMode[];

function optionsOf(ctx: ResizeNode): ResizeOptions {
  const { attributes } = ctx;
  const { coordinate_transformation_mode: coordinates, nearest_mode: rounding } = attributes;
  if (!coordinateModes.includes(coordinates)) {
    ctx.fail(`coordinate_transformation_mode "${coordinates}" is not one of ${coordinateModes.join(', ')}.`);
  }
  if (!nearestModes.includes(rounding)) {
    ctx.fail(`nearest_mode "${rounding}" is not one of ${nearestModes.join(', ')}.`);
  }
  return {
    mode: modeOf(ctx, attributes.mode),
    coordinates: coordinates as CoordinateMode,
    rounding: rounding as NearestMode,
    cubicA: attributes.cubic_coeff_a,
    antialias: attributes.antialias !== 0,
    excludeOutside: attributes.exclude_outside !== 0,
    extrapolation: attributes.extrapolation_value,
  };
}

/** Resizing by one factor for all axes: the least or the greatest that the wanted sizes ask for. */
function axesByAspect(
  ctx: ResizeNode,
  sizes: readonly Dim[],
  which: readonly number[],
): readonly ResizeAxis[] | undefined {
  const shape = ctx.shape(0);
  const ratios = which.map((axis, at) => {
    const [wanted, have] = [sizes[at].constant, shape[axis].constant];
    return wanted === undefined || have === undefined ? undefined : wanted / have;
  });
  if (ratios.includes(undefined)) return undefined;
  const pick = ctx.attributes.keep_aspect_ratio_policy === 'not_larger' ? Math.min : Math.max;
  const scale = pick(...(ratios as number[]));
  return which.map((axis) => {
    const input = shape[axis];
    return { axis, input, output: Dim.constant(Math.floor(input.constant! * scale + 0.5)), scale };
  });
}

const [roi, scalesInput, sizesInput] = [1, 2, 3];

/** All axes that the node names, resized or not; undefined while scales or sizes are unknown. */
function resizeAxes(ctx: ResizeNode): readonly ResizeAxis[] | undefined {
  const shape = ctx.shape(0);
  const which = ctx.attributes.axes?.map((axis) => ctx.axis(axis, shape.length)) ?? everyAxis(ctx);
  const axes = axesBySizeOrScale(ctx, which);
  if (!axes || ctx.attributes.coordinate_transformation_mode !== 'tf_crop_and_resize') return axes;
  const region = knownFloats(ctx, roi);
  if (!region) return undefined;
  if (region.length !== 2 * which.length) ctx.fail(`roi must have ${2 * which.length} entries, not ${region.length}.`);
  return axes.map((axis, at) => ({ ...axis, region: [region[at], region[at + which.length]] as const }));
}

function axesBySizeOrScale(ctx: ResizeNode, which: readonly number[]): readonly ResizeAxis[] | undefined {
  const shape = ctx.shape(0);
  const scales = knownFloats(ctx, scalesInput);
  if (scales) return axesByScale(ctx, scales, which);
  if (!ctx.hasInput(sizesInput)) return undefined;
  const sizes = ctx.contents(sizesInput);
  if (!sizes?.length) return undefined;
  if (sizes.length !== which.length) ctx.fail(`sizes must have ${which.length} entries, not ${sizes.length}.`);
  if (ctx.attributes.keep_aspect_ratio_policy !== 'stretch') return axesByAspect(ctx, sizes, which);
  return which.map((axis, at) => ({ axis, input: shape[axis], output: sizes[at], scale: undefined }));
}

export const Resize = defineOperator({
  name: 'Resize',
  since: 11,
  attributes: {
    antialias: int(0),
    axes: ints(),
    coordinate_transformation_mode: string('half_pixel'),
    cubic_coeff_a: float(-0.75),
    exclude_outside: int(0),
    extrapolation_value: float(0),
    keep_aspect_ratio_policy: string('stretch'),
    mode: string('nearest'),
    nearest_mode: string('round_prefer_floor'),
  },
  valueInputs: [roi, scalesInput, sizesInput],
  infer(ctx) {
    optionsOf(ctx);
    const shape = ctx.shape(0);
    const axes = resizeAxes(ctx);
    if (axes) return [tensorType(ctx.dtype(0), resizedShape(shape, axes))];
    return [
      tensorType(
        ctx.dtype(0),
        shape.map(() => ctx.freshDim('resized')),
      ),
    ];
  },
  lower(ctx) {
    const options = optionsOf(ctx);
    const axes = resizeAxes(ctx) ?? ctx.fail('scales, sizes or the region of interest are not known.');
    return lowerResize(ctx, moving(axes, options), ctx.outputShape(0), options);
  },
});
