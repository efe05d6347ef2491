// Applies the epilogue of a contraction to a block of its results, for templates that compute such blocks.

import {
  type Axis,
  cast,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  elementAtOffset,
  type Kernel,
  mod,
  newAxis,
  newTensorRef,
  productOf,
  type Statement,
  sub,
  add,
  mul,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { type EmitContext, HoistedConstants } from '../emit/context.ts';
import { epilogueStores, readEpilogue } from '../schedule/contraction.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { PhaseContext } from './emit-phase.ts';
import { Plan } from './plan.ts';
import { planBlock } from './plan-loops.ts';
import { Value } from './scope.ts';

/** Some axes of the contraction taken together, and the range of their row-major positions that the block covers. */
export interface BlockSide {
  /** From the slowest to the fastest. */
  readonly axes: readonly Axis[];
  readonly begin: Local;
  readonly end: Local;
}

export interface EpilogueBlock {
  /** Of class `contraction`; all outputs are written. */
  readonly kernel: Kernel;
  readonly rows: BlockSide;
  /** Neighbours along the columns are neighbours in the block. */
  readonly columns: BlockSide;
  /** The counter of every other axis (not over-axis) of the first stage. */
  readonly fixed: ReadonlyMap<Axis, Local>;
  readonly block: {
    /** Of the result at (rows.begin, columns.begin). */
    readonly address: Local;
    /** Elements between neighbouring rows. */
    readonly rowStride: number;
    /** Results are converted from this type to the first stage's. */
    readonly dtype: DType;
  };
}

/**
 * Appends code to `f`, a function with the parameters of a kernel: for each point of the block, reads the result, runs
 * the maps that follow the contraction and stores what the kernel outputs. An empty block is fine.
 */
export function emitEpilogueBlock(f: FunctionBuilder, context: PhaseContext, epilogue: EpilogueBlock): void {
  const constants = new HoistedConstants(12);
  const { constantLocal } = constants;
  // The first writing only finds out which constants are worth a local.
  const draft = new FunctionBuilder('draft', { args: 'i32', begin: 'i32', end: 'i32', scratch: 'i32' });
  const sites = context.errorSites.length;
  planEpilogue(context, epilogue).root.emit({ f: draft, lanes: 4, helpers: context.helpers, constantLocal });
  context.errorSites.length = sites;
  f.scope(() => {
    const c: EmitContext = { f, lanes: 4, helpers: context.helpers, constantLocal };
    constants.emit(f);
    planEpilogue(context, epilogue).root.emit(c);
  });
}

function planEpilogue(context: PhaseContext, { kernel, rows, columns, fixed, block }: EpilogueBlock): Plan {
  const { analysis } = context;
  const { head, indices } = readEpilogue(kernel);
  const tensor = newTensorRef('block', block.dtype, [Dim.symbol('block')]);
  const [row, column] = [sideAxis('row', rows), sideAxis('column', columns)];
  const [firstRow, firstColumn] = [newAxis('firstRow', row.size), newAxis('firstColumn', column.size)];
  const [lastRow, lastColumn] = [newAxis('endRow', row.size.add(1)), newAxis('endColumn', column.size.add(1))];
  const position = add(
    mul(sub(toIndex(row), toIndex(firstRow)), dimension(block.rowStride)),
    sub(toIndex(column), toIndex(firstColumn)),
  );
  const result = cast(head.dtype, elementAtOffset(tensor, analysis.simplify(position)));
  const values = new Map<Axis, Expr>([...unravel(row, rows.axes), ...unravel(column, columns.axes)]);
  const inBlock = (e: Expr): Expr => analysis.simplify(substituteAxes(e, values));
  const stores: Statement[] = epilogueStores(analysis, kernel, indices, result).map((store) => ({
    kind: 'store',
    tensor: store.tensor,
    offset: inBlock(store.offset),
    value: inBlock(store.value),
  }));
  const body: Statement = {
    kind: 'for',
    loops: [
      { axis: row, mode: 'serial', begin: toIndex(firstRow), end: toIndex(lastRow) },
      { axis: column, mode: 'vector', begin: toIndex(firstColumn), end: toIndex(lastColumn) },
    ],
    reductions: [],
    body: stores,
  };
  const written = new Set<TensorRef>(kernel.outputs.map((output) => output.tensor));
  const plan = new Plan({ ...context, written });
  plan.placeTensor(tensor, localValue(block.address));
  const counters: [Axis, Local][] = [
    ...fixed,
    [firstRow, rows.begin],
    [lastRow, rows.end],
    [firstColumn, columns.begin],
    [lastColumn, columns.end],
  ];
  for (const [axis, local] of counters) {
    plan.frames.push({ axis, depth: plan.frames.length, counter: localValue(local) });
    plan.root.binders.add(axis);
  }
  for (const output of written) plan.root.binders.add(output);
  planBlock(plan, [body]);
  return plan;
}

/** One axis over all positions of a side. */
function sideAxis(name: string, { axes }: BlockSide): Axis {
  return newAxis(name, productOf(axes.map(({ size }) => size)));
}

/** The axes of a side from their common position. */
function* unravel(position: Axis, axes: readonly Axis[]): Generator<[Axis, Expr]> {
  let inner = Dim.constant(1);
  for (const axis of [...axes].reverse()) {
    const above: Expr = div(toIndex(position), dimension(inner));
    yield [axis, axis === axes[0] ? above : mod(above, dimension(axis.size))];
    inner = inner.mul(axis.size);
  }
}

function localValue(local: Local): Value {
  return new Value('i32', ({ f }) => f.get(local), true);
}

