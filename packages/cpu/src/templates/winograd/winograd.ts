// Recognises convolutions with windows of 3 × 3 and strides of 1 on images that are large enough for Winograd's algorithm:
// tiles of the image are transformed, multiplied with transformed weights as one matrix product for each element of a
// tile, and the products are transformed into tiles of the result. It needs 2.25 (tiles of 2 × 2) or 4 times (4 × 4) fewer
// multiplications, and weights that take 1.8 or 4 times the memory.

import {
  type Axis,
  add,
  and,
  axesIn,
  cast,
  constant,
  Dim,
  dimension,
  div,
  type Expr,
  elementAt,
  IndexAnalysis,
  type Kernel,
  type Load,
  lt,
  min,
  mod,
  mul,
  newAxis,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { BlockShape } from '../block-phases.ts';
import { panelWidth as narrowPanel } from '../micro-kernel.ts';
import { mapKernel, zerosKernel } from '../operand-kernels.ts';
import { type PreparedProduct, type Product, replaceHead } from '../product.ts';
import { type WinogradMaps, winogradMaps } from './linear-map.ts';

/** All axes are the head's, those of `tile` aside. */
export interface Winograd extends BlockShape {
  /** The kernel with prepared operands. What its head says is a product with weights; how they are read is up to the code. */
  readonly kernel: Kernel;
  readonly maps: WinogradMaps;
  /** Vertical and horizontal axis of the result, and what they are as tiles. */
  readonly points: readonly [Axis, Axis];
  readonly tiles: readonly [Axis, Axis];
  /** Vertical and horizontal axis of the tile's pixels. */
  readonly tile: readonly [Axis, Axis];
  readonly channel: Axis;
  /** Pixel of a tile of the image. */
  readonly image: Load;
  readonly weights: TransformedWeights;
  readonly zeros: TensorRef | undefined;
}

/** transformed[tile element][panel of columns][channel][column] */
export interface TransformedWeights {
  /** Run once, at load, in this order; the last one is the transform. */
  readonly kernels: readonly Kernel[];
  readonly kernel: Kernel;
  readonly maps: WinogradMaps;
  readonly source: TensorRef;
  readonly transformed: TensorRef;
  /** Elements between neighbours in the source. */
  readonly strides: Readonly<Record<'column' | 'channel' | 'vertical' | 'horizontal', number>>;
  readonly columns: number;
  readonly panelWidth: number;
  readonly channels: number;
}

export interface PreparedWinograd {
  readonly winograd: Winograd;
  readonly kernel: Kernel;
  readonly before: readonly Kernel[];
  readonly locals: readonly TensorRef[];
}

/** Fewer tiles than this do not pay for reading more weights. */
const fewestTiles = 32;

/** Input times output channels of convolutions on images that are taken to be large. */
const mostWeightsOfLargeImage = 256 * 256;

/** Fewer channels than this do not pay for the transforms. */
const fewestChannels = 16;

/** @param prepared the same kernel as a plain product */
export function prepareWinograd(kernel: Kernel, { product, before }: PreparedProduct): PreparedWinograd | undefined {
  const { a, column, run, rows, batch, head: sum } = product;
  const channel = run.at(-1);
  const sized = sum.over.filter((axis) => axis !== channel && !axis.size.is(1));
  if (product.arithmetic !== 'float32' || sized.length !== 2 || !sized.every((axis) => axis.size.is(3)))
    return undefined;
  if (!channel || !batch.every((axis) => axis.size.is(1))) return undefined;
  const [channels, columns] = [channel.size.constant, column.size.constant];
  if (channels === undefined || columns === undefined) return undefined;
  if (channels % 4 !== 0 || columns % narrowPanel !== 0 || Math.min(channels, columns) < fewestChannels)
    return undefined;
  const analysis = new IndexAnalysis();
  const places = sized.map((tap) => slidingPlace(analysis, a, tap, rows));
  const [first, second] = places;
  if (!first || !second || first.at === second.at || first.point === second.point) return undefined;
  const points = [first.point, second.point] as const;
  const maps = mapsFor(points, channels * columns);
  const panelWidth = columns % product.panelWidth === 0 ? product.panelWidth : narrowPanel;
  const weights =
    maps && transformedWeights(kernel, product, panelWidth, maps, { channel, taps: [sized[0], sized[1]] });
  if (!weights) return undefined;
  const tiles = points.map((axis) => newAxis(`${axis.name} tile`, axis.size.ceilDiv(maps.size))) as [Axis, Axis];
  const tile = points.map((axis) => newAxis(`${axis.name} pixel`, maps.size + 2)) as [Axis, Axis];
  const image = pixelOfTile(product, [first.at, second.at], { points, taps: sized, tiles, tile, maps });
  const made = before.filter((copy) => copy.outputs[0].tensor !== product.packed);
  let { zeros } = product;
  if (image.guard && !zeros) {
    const fill = zerosKernel(kernel, [channel], 'float32');
    made.push(fill);
    zeros = fill.outputs[0].tensor;
  }
  made.push(...weights.kernels);
  const window = add(mul(toIndex(sized[0]), 3), toIndex(sized[1]));
  const right = elementAt(weights.transformed, [
    window,
    div(toIndex(column), panelWidth),
    toIndex(channel),
    mod(toIndex(column), panelWidth),
  ]);
  const { head, epilogue } = replaceHead(product, (type) => mul(cast(type, a), cast(type, right)));
  const stages = epilogue ? [head, epilogue] : [head];
  const params = new Set(product.kernel.params.filter((param) => param !== product.packed));
  params.add(weights.transformed);
  if (zeros) params.add(zeros);
  const main: Kernel = {
    ...product.kernel,
    params: [...params],
    stages,
    outputs: [{ stage: stages[stages.length - 1], tensor: product.output }],
  };
  const winograd: Winograd = {
    head,
    epilogue,
    output: product.output,
    batch,
    rows: rows.map((axis) => tiles[points.indexOf(axis)] ?? axis),
    column,
    kernel: main,
    maps,
    points,
    tiles,
    tile,
    channel,
    image,
    weights,
    zeros,
  };
  return { winograd, kernel: main, before: made, locals: made.map(({ outputs: [{ tensor }] }) => tensor) };
}

/** The index that slides with a tap, one by one: `point + tap + constant`. */
function slidingPlace(
  analysis: IndexAnalysis,
  { index }: Load,
  tap: Axis,
  rows: readonly Axis[],
): { readonly at: number; readonly point: Axis } | undefined {
  const users = index.flatMap((e, at) => (axesIn([e]).has(tap) ? [at] : []));
  if (users.length !== 1) return undefined;
  const [at] = users;
  const { terms } = analysis.formOf(index[at]);
  const axes = terms.flatMap(({ atom, coefficient }) => (atom.kind === 'axis' && coefficient.is(1) ? [atom.axis] : []));
  if (terms.length !== 2 || axes.length !== 2) return undefined;
  const point = axes.find((axis) => axis !== tap && rows.includes(axis));
  if (!point) return undefined;
  const isAlone = index.every((e, elsewhere) => elsewhere === at || !axesIn([e]).has(point));
  return isAlone ? { at, point } : undefined;
}

/**
 * The largest tiles of which there are enough. Where sizes are symbols, the channels have to tell: networks double them when
 * they halve the image.
 */
function mapsFor(points: readonly Axis[], weights: number): WinogradMaps | undefined {
  const [height, width] = points.map((axis) => axis.size.constant);
  if (height === undefined || width === undefined) return winogradMaps[weights <= mostWeightsOfLargeImage ? 4 : 2];
  const count = (size: number): number => Math.ceil(height / size) * Math.ceil(width / size);
  if (count(4) >= fewestTiles) return winogradMaps[4];
  return count(2) >= fewestTiles ? winogradMaps[2] : undefined;
}

function pixelOfTile(
  { a, batch }: Product,
  places: readonly [number, number],
  parts: Pick<Winograd, 'points' | 'tiles' | 'tile' | 'maps'> & { readonly taps: readonly Axis[] },
): Load {
  const { points, taps, tiles, tile, maps } = parts;
  const values = new Map<Axis, Expr>(batch.map((axis) => [axis, dimension(0)]));
  for (const side of [0, 1] as const) {
    values.set(points[side], mul(toIndex(tiles[side]), maps.size));
    values.set(taps[side], toIndex(tile[side]));
  }
  const index = a.index.map((e) => substituteAxes(e, values));
  let guard = a.guard && substituteAxes(a.guard, values);
  for (const side of [0, 1] as const) {
    // The last tiles may reach further than any window does.
    if (points[side].size.isMultipleOf(maps.size)) continue;
    const inside = lt(index[places[side]], dimension((a.source as TensorRef).shape[places[side]]));
    guard = guard ? and(guard, inside) : inside;
  }
  return elementAt(a.source as TensorRef, index, guard && { when: guard, otherwise: constant('float32', 0) }) as Load;
}

function transformedWeights(
  kernel: Kernel,
  { column }: Product,
  panelWidth: number,
  maps: WinogradMaps,
  { channel, taps }: { readonly channel: Axis; readonly taps: readonly [Axis, Axis] },
): TransformedWeights | undefined {
  const { body } = kernel.stages[0] as Product['head'];
  if (body.kind !== 'binary') return undefined;
  const weight = [body.a, body.b].find((factor) => axesIn([factor]).has(column));
  if (weight?.kind !== 'load' || weight.guard || weight.source.kind !== 'tensor' || !weight.source.isConstant)
    return undefined;
  const wide = weight.type === 'float32' ? undefined : widened(kernel, weight, [column, channel, ...taps]);
  const load = wide ? wide.load : weight;
  const source = load.source as TensorRef;
  const { base, terms } = new IndexAnalysis().offsetOf(source, load.index);
  const strideOf = (axis: Axis): number | undefined =>
    terms.find(({ atom }) => atom.kind === 'axis' && atom.axis === axis)?.coefficient.constant;
  const strides = [column, channel, ...taps].map(strideOf);
  const counted = terms.filter(({ atom }) => !(atom.kind === 'axis' && atom.axis.size.is(1)));
  if (!base.is(0) || counted.length !== 4 || strides.includes(undefined)) return undefined;
  const [columnStride, channelStride, vertical, horizontal] = strides as number[];
  const edge = maps.size + 2;
  const [element, panel, lane] = [
    newAxis('element', edge * edge),
    newAxis('p', column.size.floorDiv(panelWidth)),
    newAxis('c', panelWidth),
  ];
  // Which weights an element comes from; the sums over them are in the code.
  const values = new Map<Axis, Expr>([
    [column, add(mul(toIndex(panel), panelWidth), toIndex(lane))],
    [taps[0], min(div(toIndex(element), edge), 2)],
    [taps[1], min(mod(toIndex(element), edge), 2)],
  ]);
  const name = `${kernel.stages[0].name}.transformed`;
  const made = mapKernel(kernel, name, [element, panel, channel, lane], substituteAxes(load, values));
  return {
    kernels: wide ? [wide.kernel, made] : [made],
    kernel: made,
    maps,
    source,
    transformed: made.outputs[0].tensor,
    strides: { column: columnStride, channel: channelStride, vertical, horizontal },
    columns: column.size.constant!,
    panelWidth,
    channels: channel.size.constant!,
  };
}

/** Narrow weights as float32: a copy in the order of `axes`. */
function widened(
  kernel: Kernel,
  weight: Load,
  axes: readonly Axis[],
): { readonly kernel: Kernel; readonly load: Load } {
  const copy = mapKernel(kernel, `${kernel.stages[0].name}.single`, axes, cast('float32', weight));
  return { kernel: copy, load: elementAt(copy.outputs[0].tensor, axes) as Load };
}

/** Tiles of the result in all images. */
export function tileCount({ rows }: Winograd): Dim {
  return rows.reduce((count, axis) => count.mul(axis.size), Dim.constant(1));
}
