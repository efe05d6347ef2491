// Loops that block templates have in common: which rows of an operand a tap needs, and what happens to a finished block.
//
// A template computes blocks of `blockRows` × `blockColumns` of the result in scratch memory. Its rows are the points of
// some result axes, flattened; its columns are one result axis. Both parts below are generated from loops, so that any
// index map, guard or fused map works.

import {
  type Axis,
  add,
  bitsOf,
  cast,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  elementAtOffset,
  epilogueAxes,
  epilogueLoad,
  type IndexAnalysis,
  isInteger,
  type LoopHeader,
  type LoopPhase,
  type MapStage,
  min,
  mod,
  mul,
  newAxis,
  newTensorRef,
  productOf,
  type ReduceStage,
  type Statement,
  select,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { flatten, offsetIn } from '../schedule/flatten.ts';
import { blockColumns } from './micro-kernel.ts';

type Load = Extract<Expr, { kind: 'load' }>;

/** Rows of a block: a multiple of what the micro-kernel takes. Block and operand rows fit the second-level cache. */
export const blockRows = 48;

/** The most rows of a block whose size follows the number of rows. */
export const mostBlockRows = (3 / 2) * blockRows;

/**
 * Rows of a block that make blocks of about the same size, a multiple of `turnRows`. Each block reads all columns' panels
 * again: a last one of a few rows would cost about as much as a full one.
 */
export function evenBlockRows(rowCount: Dim, turnRows: number): Dim {
  const blocks = rowCount
    .add(blockRows / 2 - 1)
    .floorDiv(blockRows)
    .max(1);
  return rowCount.ceilDiv(blocks).ceilDiv(turnRows).mul(turnRows).max(turnRows);
}

/** A size that is filled in at run time by the template itself: where the fill values are, seen from the operand. */
export const fillOffset = Dim.symbol('fill offset');

/** The parts of a kernel that blocks are cut from. */
export interface BlockShape {
  readonly head: ReduceStage;
  readonly epilogue: MapStage | undefined;
  readonly output: TensorRef;
  readonly batch: readonly Axis[];
  readonly rows: readonly Axis[];
  readonly column: Axis;
}

export function newBlock(sums: DType, rows = blockRows): TensorRef {
  return newTensorRef('block', sums, [Dim.constant(rows * blockColumns)]);
}

/** Entry [tap][row mod turnRows] for each tap and row of a turn, then `extra` more. */
export function newTable(taps: Dim, turnRows: number, extra: number): TensorRef {
  return newTensorRef('table', 'int32', [taps.mul(turnRows).add(extra)]);
}

/** Positions along the row axes for a flat row number. */
export function rowLets(rows: readonly Axis[], row: Axis): Statement[] {
  const lets: Statement[] = [];
  let inner = Dim.constant(1);
  for (const axis of [...rows].reverse()) {
    const above = div(toIndex(row), dimension(inner));
    lets.unshift({ kind: 'let', axis, value: axis === rows[0] ? above : mod(above, dimension(axis.size)) });
    inner = inner.mul(axis.size);
  }
  return lets;
}

/**
 * One tile for each row of each batch entry: writes the offset in the operand of what the row needs at each tap, with the
 * axes of `fixed` at 0. Where the load's guard is false the offset is `fillOffset`.
 */
export function tablePhase(
  shape: BlockShape,
  analysis: IndexAnalysis,
  parts: {
    readonly load: Load;
    readonly taps: readonly Axis[];
    readonly fixed: readonly Axis[];
    readonly table: TensorRef;
    readonly turnRows: number;
    /** More to write for the batch entry. */
    readonly more?: readonly Statement[];
  },
): LoopPhase {
  const { load, taps, fixed, table, turnRows, more = [] } = parts;
  const row = newAxis('row', productOf(shape.rows.map((axis) => axis.size)));
  const atStart = new Map(fixed.map((axis) => [axis, dimension(0)]));
  const index = load.index.map((e) => substituteAxes(e, atStart));
  let offset = offsetIn(analysis, load.source as TensorRef, index);
  if (load.guard) {
    const guard = flatten(analysis, substituteAxes(load.guard, atStart), noStage);
    offset = select(guard, offset, dimension(fillOffset));
  }
  let tap: Expr = dimension(0);
  for (const axis of taps) tap = add(mul(tap, dimension(axis.size)), toIndex(axis));
  const entry = add(mul(tap, turnRows), mod(toIndex(row), turnRows));
  const store: Statement = { kind: 'store', tensor: table, offset: entry, value: cast('int32', offset) };
  const loops: LoopHeader[] = taps.map((axis) => ({ axis, mode: 'serial' }));
  return {
    name: `${shape.head.name}.table`,
    parallel: [...shape.batch, row],
    body: [
      ...rowLets(shape.rows, row),
      loops.length === 0 ? store : { kind: 'for', loops, reductions: [], body: [store] },
      ...more,
    ],
    independent: false,
  };
}

/**
 * One tile for each row of a column block: writes the row's part of the block to the result.
 * @param rowsOfBlock rows of the result that share a block
 */
export function epiloguePhase(
  shape: BlockShape,
  analysis: IndexAnalysis,
  block: TensorRef,
  rowsOfBlock: Dim = Dim.constant(blockRows),
): LoopPhase {
  const { batch, column, head } = shape;
  const columns = newAxis('block', column.size.ceilDiv(blockColumns));
  const row = newAxis('row', productOf(shape.rows.map((axis) => axis.size)));
  const lane = newAxis('lane', Math.min(blockColumns, column.size.constant ?? blockColumns));
  const first = mul(toIndex(columns), blockColumns);
  const positions = new Map<Axis, Expr>(head.axes.map((axis) => [axis, toIndex(axis)]));
  positions.set(column, add(first, toIndex(lane)));
  const result = elementAtOffset(
    block,
    add(mul(mod(toIndex(row), dimension(rowsOfBlock)), blockColumns), toIndex(lane)),
  ) as Load;
  const store = storeResult(shape, analysis, positions, result);
  const isWhole = column.size.isMultipleOf(blockColumns) || (column.size.constant ?? Infinity) < blockColumns;
  const end = isWhole ? undefined : min(dimension(blockColumns), sub(dimension(column.size), first));
  const loopOver = (axis: Axis, body: Statement): Statement => ({
    kind: 'for',
    loops: [{ axis, mode: 'vector', ...(end && { begin: dimension(0), end }) }],
    reductions: [],
    body: [body],
  });
  return {
    name: `${head.name}.epilogue`,
    parallel: [...batch, columns, row],
    body: [...rowLets(shape.rows, row), ...narrowLast(store, block, result, lane).map((part) => loopOver(...part))],
    independent: false,
  };
}

/**
 * The loops of an epilogue, as axes and bodies. Engines that join pairs of vectors do so between stores of whole vectors,
 * so narrow integers are computed in the block, as int32 in place of the sums, and narrowed by a loop of their own.
 */
function narrowLast(
  store: Extract<Statement, { kind: 'store' }>,
  block: TensorRef,
  sum: Load,
  lane: Axis,
): readonly (readonly [Axis, Statement])[] {
  const { value, tensor } = store;
  if (block.dtype !== 'int32' || !isInteger(tensor.dtype) || bitsOf(tensor.dtype) >= 32 || bitsOf(tensor.dtype) < 8)
    return [[lane, store]];
  const wide = value.kind === 'cast' && value.x.type === 'int32' ? value.x : cast('int32', value);
  const options = { saturate: value.kind === 'cast' && value.saturate };
  const narrowed = newAxis(lane.name, lane.size);
  const atNarrowed = new Map<Axis, Expr>([[lane, toIndex(narrowed)]]);
  return [
    [lane, { kind: 'store', tensor: block, offset: sum.index[0], value: wide }],
    [
      narrowed,
      {
        kind: 'store',
        tensor,
        offset: substituteAxes(store.offset, atNarrowed),
        value: cast(tensor.dtype, substituteAxes(sum, atNarrowed), options),
      },
    ],
  ];
}

/** Stores what the epilogue makes of the sum `result` at these positions along the head's axes. */
export function storeResult(
  { head, epilogue, output }: Pick<BlockShape, 'head' | 'epilogue' | 'output'>,
  analysis: IndexAnalysis,
  positions: ReadonlyMap<Axis, Expr>,
  result: Expr,
): Extract<Statement, { kind: 'store' }> {
  const positionOf = (axis: Axis): Expr => positions.get(axis)!;
  if (!epilogue) {
    const index = head.axes.map(positionOf);
    return { kind: 'store', tensor: output, offset: offsetIn(analysis, output, index), value: result };
  }
  const values = new Map<Axis, Expr>(epilogue.axes.map((axis) => [axis, dimension(0)]));
  for (const [from, to] of epilogueAxes({ head, epilogue })) values.set(to, positionOf(from));
  const value = flatten(analysis, substituteAxes(epilogue.body, values), () => result);
  const index = epilogue.axes.map((axis) => values.get(axis)!);
  return { kind: 'store', tensor: output, offset: offsetIn(analysis, output, index), value };
}

/** The head's axis that is fastest in the result's memory. */
export function fastestAxis(head: ReduceStage, epilogue: MapStage | undefined, output: TensorRef): Axis | undefined {
  const order = output.order ?? output.shape.map((_, axis) => axis);
  const logical = [...order].reverse().find((axis) => !output.shape[axis].is(1));
  if (logical === undefined) return undefined;
  if (!epilogue) return head.axes[logical];
  const load = epilogueLoad(epilogue, head);
  const at = load?.index.findIndex((e) => e.kind === 'axis' && e.axis === epilogue.axes[logical]) ?? -1;
  return at < 0 ? undefined : head.axes[at];
}

function noStage(): never {
  throw new TypeError('a guard of a block template reads no stage');
}
