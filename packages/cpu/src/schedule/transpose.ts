// Maps that read an operand across the direction in which they write. Blocks of it are turned in scratch memory, so that
// memory is read and written in runs.

import {
  type Axis,
  add,
  beginOf,
  bitsOf,
  childrenOf,
  dimension,
  div,
  type Expr,
  elementAtOffset,
  endOf,
  type IndexAnalysis,
  type LoopHeader,
  mul,
  newAxis,
  newRowBuffer,
  rewrite,
  type Statement,
  sub,
  substituteAxes,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { estimate } from './cost.ts';
import { coefficientIn } from './domain.ts';
import type { BoxStore } from './map.ts';
import { partOf, type Tiling } from './tiles.ts';

/** Points of a block along each of its sides. */
const SIDE = 64;

/** The axis along which an operand's elements are neighbours that is read with large steps along `inner`. */
export function crossAxis(
  analysis: IndexAnalysis,
  axes: readonly Axis[],
  inner: Axis,
  values: readonly Expr[],
): Axis | undefined {
  if (estimate(inner.size) < 8) return undefined;
  for (const load of loadsOf(values)) {
    const axis = axes.find((candidate) => isAcross(analysis, load, candidate, inner));
    if (axis) return axis;
  }
  return undefined;
}

function isAcross(analysis: IndexAnalysis, load: Expr & { kind: 'load' }, across: Axis, inner: Axis): boolean {
  if (across === inner || estimate(across.size) < 4) return false;
  const step = coefficientIn(analysis, load.index[0], inner);
  if (!step || Math.abs(estimate(step)) < 4) return false;
  const stride = coefficientIn(analysis, load.index[0], across)?.constant;
  return stride === 1 || stride === -1;
}

function loadsOf(values: readonly Expr[]): Set<Expr & { kind: 'load' }> {
  const found = new Set<Expr & { kind: 'load' }>();
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    if (e.kind === 'load' && e.index.length === 1 && bitsOf(e.type) >= 8) found.add(e);
    childrenOf(e).forEach(visit);
  };
  values.forEach(visit);
  return found;
}

export interface Turned extends Tiling {
  readonly body: readonly Statement[];
}

/**
 * @param outer all axes but `across` and `inner`
 * @param stores what to write for each point, `inner` being the fastest axis of the result
 */
export function turnBlocks(
  analysis: IndexAnalysis,
  outer: readonly Axis[],
  across: Axis,
  inner: Axis,
  stores: readonly BoxStore[],
): Turned {
  const rows = partOf(across, SIDE, 'serial');
  const columns = partOf(inner, SIDE, 'vector');
  const width = rowWidth(inner);
  const from = (axis: Axis, begin: Expr | undefined): Expr => (begin ? sub(toIndex(axis), begin) : toIndex(axis));
  const place = add(mul(from(across, rows.loop.begin), width), from(inner, columns.loop.begin));
  const height = across.size.min(2 * SIDE);
  const turned = new Map<Expr, Expr>();
  const declare: Statement[] = [];
  const fill: Statement[] = [];
  for (const load of loadsOf(stores.map(({ value }) => value))) {
    if (!isAcross(analysis, load, across, inner)) continue;
    const buffer = newRowBuffer(load.source.name, load.type, height.mul(width));
    declare.push({ kind: 'alloc', tensor: buffer, scope: 'row' });
    fill.push({ kind: 'store', tensor: buffer, offset: place, value: load });
    turned.set(load, elementAtOffset(buffer, place));
  }
  const write: Statement[] = stores.map(({ tensor, offset, value }) => ({
    kind: 'store',
    tensor,
    offset,
    value: rewrite(value, (e) => turned.get(e)),
  }));
  return {
    parallel: [...outer, ...columns.parallel, ...rows.parallel],
    loops: [rows.loop, columns.loop],
    points: rows.points.mul(columns.points),
    body: [
      ...declare,
      ...fillInFours(analysis, rows.loop, columns.loop, fill),
      { kind: 'for', loops: [rows.loop, columns.loop], reductions: [], body: write },
    ],
  };
}

/** Fills buffers four columns at a time, which code generation turns in registers, then the columns that are left. */
function fillInFours(
  analysis: IndexAnalysis,
  rows: LoopHeader,
  columns: LoopHeader,
  fill: readonly Statement[],
): Statement[] {
  const [begin, end] = [beginOf(columns), endOf(columns)];
  const fours = newAxis(`${columns.axis.name}f`, columns.axis.size.floorDiv(4));
  const whole = div(sub(end, begin), 4);
  const lanes: LoopHeader = { ...rows, mode: 'vector' };
  const together = fill.flatMap((statement) =>
    [0, 1, 2, 3].map((column) => {
      const at = new Map([[columns.axis, add(begin, add(mul(toIndex(fours), 4), column))]]);
      const put = (e: Expr): Expr => analysis.simplify(substituteAxes(e, at));
      if (statement.kind !== 'store') throw new TypeError(`buffers are filled by stores, not ${statement.kind}`);
      return { ...statement, offset: put(statement.offset), value: put(statement.value) };
    }),
  );
  const loop = (header: LoopHeader, body: readonly Statement[]): Statement => ({
    kind: 'for',
    loops: [header, lanes],
    reductions: [],
    body,
  });
  return [
    loop({ axis: fours, mode: 'serial', begin: dimension(0), end: whole }, together),
    loop({ axis: columns.axis, mode: 'serial', begin: add(begin, mul(whole, 4)), end }, fill),
  ];
}

/** Elements between rows of the buffer: not a power of two, so that a column does not fall on few places of the cache. */
function rowWidth(inner: Axis): number {
  const most = inner.size.constant;
  return (most !== undefined && most <= 2 * SIDE ? most : SIDE) + 4;
}
