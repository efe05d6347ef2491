// How the points of a loop domain are dealt out: some loops become tiles, the rest runs inside a tile.

import { type Axis, add, Dim, dimension, type LoopHeader, min, mul, newAxis, toIndex } from '@onnx-ts/tensor-ir';

/** What a phase's tiles are and what runs in each. */
export interface Tiling {
  readonly parallel: readonly Axis[];
  /** Loops inside a tile, outermost first. The last one is the axis that was asked for, cut to the tile's part of it. */
  readonly loops: readonly LoopHeader[];
  /** Points in one tile. */
  readonly points: Dim;
}

/** A tile should take at least this long, so that taking it from the queue does not matter. */
const TILE_NANOSECONDS = 4000;

/**
 * Deals out a box whose fastest loop is `inner`.
 * @param pointCost nanoseconds for one point
 */
export function tileBox(
  outer: readonly Axis[],
  inner: Axis,
  pointCost: number,
  mode: LoopHeader['mode'] = 'vector',
): Tiling {
  const wanted = Math.max(64, TILE_NANOSECONDS / Math.max(pointCost, 0.05));
  const { constant } = inner.size;
  if (constant === undefined || constant > 2 * wanted) {
    const length = 2 ** Math.round(Math.log2(wanted));
    const chunk = newAxis(`${inner.name}c`, inner.size.ceilDiv(length));
    const begin = mul(toIndex(chunk), dimension(length));
    const end = min(dimension(inner.size), add(begin, length));
    return {
      parallel: [...outer, chunk],
      loops: [{ axis: inner, mode, begin, end }],
      points: Dim.constant(length).min(inner.size),
    };
  }
  // Rows that are too short for a tile of their own are taken together.
  const parallel = [...outer];
  const loops: LoopHeader[] = [{ axis: inner, mode }];
  let points = constant;
  for (let next = parallel[parallel.length - 1]; next; next = parallel[parallel.length - 1]) {
    const size = next.size.constant;
    if (points >= 128 || size === undefined || size * points > 2 * wanted) break;
    loops.unshift({ axis: next, mode: 'serial' });
    points *= size;
    parallel.pop();
  }
  return { parallel, loops, points: Dim.constant(points) };
}

/** A loop over a part of an axis, with the axis that counts the parts. */
export function partOf(
  axis: Axis,
  length: number,
  mode: LoopHeader['mode'],
): { parallel: Axis[]; loop: LoopHeader; points: Dim } {
  const { constant } = axis.size;
  if (constant !== undefined && constant <= 2 * length)
    return { parallel: [], loop: { axis, mode }, points: axis.size };
  const part = newAxis(`${axis.name}c`, axis.size.ceilDiv(length));
  const begin = mul(toIndex(part), dimension(length));
  const end = min(dimension(axis.size), add(begin, length));
  return { parallel: [part], loop: { axis, mode, begin, end }, points: Dim.constant(length).min(axis.size) };
}

export function sizeOfLoops(axes: readonly Axis[]): Dim {
  return axes.reduce((size, axis) => size.mul(axis.size), Dim.constant(1));
}

export function serialLoops(axes: readonly Axis[]): LoopHeader[] {
  return axes.map((axis) => ({ axis, mode: 'serial' as const }));
}
