// A long reduction over rows of memory: sums of a part of the columns stay in scratch memory, and rows are added to them
// several at a time, so that memory is read in long runs.

import {
  type Axis,
  add,
  constant,
  type Dim,
  dimension,
  type Expr,
  elementAtOffset,
  identityOf,
  type LoopHeader,
  mul,
  newAxis,
  newRowBuffer,
  type Reduction,
  type Statement,
  sub,
  substituteAxes,
  toIndex,
  variableValue,
} from '@onnx-ts/tensor-ir';
import type { ScheduledPhase } from './scheduled.ts';
import { partOf, serialLoops } from './tiles.ts';

/** Rows that are added at once. */
const TOGETHER = 8;

/** Columns in a tile. */
const WIDTH = 512;

export interface ColumnSums {
  /** Kept axes around the columns. */
  readonly outer: readonly Axis[];
  readonly lane: Axis;
  /** Reduced axes; the rows of the innermost one are taken together. */
  readonly over: readonly Axis[];
  readonly reduction: Reduction;
  /** Uses the reduction's variable. */
  readonly finished: readonly Statement[];
}

export function columnSums(sums: ColumnSums): Pick<ScheduledPhase, 'parallel' | 'body'> & { readonly points: Dim } {
  const { outer, lane, over, reduction } = sums;
  const { variable, op, value, arg } = reduction;
  const { parallel, loop, points } = partOf(lane, WIDTH, 'vector');
  const place = loop.begin ? sub(toIndex(lane), loop.begin) : toIndex(lane);
  const columns = (body: readonly Statement[]): Statement => ({ kind: 'for', loops: [loop], reductions: [], body });
  const kept = [
    { tensor: variable, identity: arg ? constant('int32', 0) : identityOf(op, variable.dtype) },
    ...(arg ? [{ tensor: arg.best, identity: identityOf(op, arg.best.dtype) }] : []),
  ].map(({ tensor, identity }) => {
    const buffer = newRowBuffer(`${tensor.name} columns`, tensor.dtype, lane.size.min(2 * WIDTH));
    const store = (e: Expr): Statement => ({ kind: 'store', tensor: buffer, offset: place, value: e });
    return { tensor, buffer, begin: store(identity), keep: store(variableValue(tensor)) };
  });
  const load = kept.map(
    ({ tensor, buffer }): Statement => ({
      kind: 'alloc',
      tensor,
      scope: 'register',
      initial: elementAtOffset(buffer, place),
    }),
  );
  const keep = kept.map((each) => each.keep);

  const rows = over[over.length - 1];
  const group = newAxis(`${rows.name}g`, rows.size.floorDiv(TOGETHER));
  const one = newAxis(`${rows.name}u`, TOGETHER);
  const inGroup = new Map([[rows, add(mul(toIndex(group), TOGETHER), toIndex(one))]]);
  const together: Reduction = {
    ...reduction,
    value: substituteAxes(value, inGroup),
    ...(arg && { arg: { ...arg, position: substituteAxes(arg.position, inGroup) } }),
  };
  const unroll: LoopHeader = { axis: one, mode: 'unroll' };
  const rest: LoopHeader = { axis: rows, mode: 'serial', begin: dimension(group.size.mul(TOGETHER)) };
  const around = serialLoops(over.slice(0, -1));
  const inner: Statement[] = [
    {
      kind: 'for',
      loops: [{ axis: group, mode: 'serial' }],
      reductions: [],
      body: [columns([...load, { kind: 'for', loops: [unroll], reductions: [together], body: [] }, ...keep])],
    },
    {
      kind: 'for',
      loops: [rest],
      reductions: [],
      body: [columns([...load, { kind: 'for', loops: [], reductions: [reduction], body: [] }, ...keep])],
    },
  ];
  return {
    parallel: [...outer, ...parallel],
    points,
    body: [
      ...kept.map(({ buffer }): Statement => ({ kind: 'alloc', tensor: buffer, scope: 'row' })),
      columns(kept.map(({ begin }) => begin)),
      around.length > 0 ? { kind: 'for', loops: around, reductions: [], body: inner } : { kind: 'block', body: inner },
      columns([...load, ...sums.finished]),
    ],
  };
}
