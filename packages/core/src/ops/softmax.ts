// Softmax and its relatives: four stages that share their rows (peak, powers, total, quotient).

import {
  add,
  cast,
  constant,
  type DType,
  div,
  type Expr,
  eq,
  exp,
  log,
  max,
  type Stage,
  select,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, type InferContext, int, type LowerContext, type NodeContext } from './define.ts';
import { expectFloat } from './expect.ts';
import { Rows } from './rows.ts';

export interface SoftmaxOptions {
  /** Gives 0 instead of NaN for rows that hold nothing but −∞. */
  readonly emptyRowsAreZero?: boolean;
  /** An additional logit of every row that takes part in the sum only (an "attention sink"). */
  readonly sink?: (row: readonly Expr[]) => Expr;
  /** Type of the logits and of all steps; `computeType(dtype)` unless given. */
  readonly wide?: DType;
}

/**
 * exp(x − max x) / Σ exp(x − max x) over each row. `value` gives logits in the compute type; the result is rows first
 * (see `Rows.restore`).
 */
export function softmaxStages(
  ctx: LowerContext,
  rows: Rows,
  dtype: DType,
  value: (index: readonly Expr[]) => Expr,
  { emptyRowsAreZero = false, sink, wide = computeType(dtype) }: SoftmaxOptions = {},
): Stage {
  let peak = rows.reduce('max', wide, value, 'peak');
  if (sink || emptyRowsAreZero) {
    const found = peak;
    // A finite peak keeps −∞ − peak from being NaN.
    const floor = wide === 'float64' ? -1e300 : -1e38;
    peak = rows.mapRows(
      wide,
      (row) => {
        const raised = emptyRowsAreZero ? max(ctx.at(found, row), floor) : ctx.at(found, row);
        return sink ? max(raised, sink(row)) : raised;
      },
      'finite_peak',
    );
  }
  const power = rows.map(wide, (index) => exp(sub(value(index), rows.perRow(peak, index))), 'power');
  let total = rows.reduce('sum', wide, (index) => rows.element(power, index), 'total');
  if (sink || emptyRowsAreZero) {
    const found = total;
    total = rows.mapRows(
      wide,
      (row) => {
        const sum = ctx.at(found, row);
        if (sink) return add(sum, exp(sub(sink(row), ctx.at(peak, row))));
        return select(eq(sum, 0), 1, sum);
      },
      'divisor',
    );
  }
  return rows.map(dtype, (index) => cast(dtype, div(rows.element(power, index), rows.perRow(total, index))));
}

/** x − max x − log Σ exp(x − max x) over each row. */
export function logSoftmaxStages(ctx: LowerContext, rows: Rows, dtype: DType, value: (index: readonly Expr[]) => Expr) {
  const wide = computeType(dtype);
  const peak = rows.reduce('max', wide, value, 'peak');
  const total = rows.reduce('sum', wide, (index) => exp(sub(value(index), rows.perRow(peak, index))), 'total');
  const logTotal = rows.mapRows(wide, (row) => log(ctx.at(total, row)), 'log_total');
  return rows.map(dtype, (index) =>
    cast(dtype, sub(sub(value(index), rows.perRow(peak, index)), rows.perRow(logTotal, index))),
  );
}

type AxisNode = NodeContext & { readonly attributes: { readonly axis: number } };
type Normalizer = (ctx: LowerContext, rows: Rows, dtype: DType, value: (index: readonly Expr[]) => Expr) => Stage;

/** Before 13 the input is seen as a matrix whose columns are all axes from `axis` on; since then it is one axis. */
function laneAxes(ctx: AxisNode, isFlattened: boolean): readonly number[] {
  const rank = ctx.rank(0);
  // An axis equal to the rank made a matrix of one column.
  if (isFlattened && ctx.attributes.axis === rank) return [];
  const axis = ctx.axis(ctx.attributes.axis, rank);
  return isFlattened ? Array.from({ length: rank - axis }, (_, at) => axis + at) : rank === 0 ? [] : [axis];
}

function inferSame(ctx: InferContext & AxisNode, isFlattened: boolean) {
  laneAxes(ctx, isFlattened);
  return [tensorType(expectFloat(ctx, 0), ctx.shape(0))];
}

function lowerRows(ctx: LowerContext & AxisNode, isFlattened: boolean, normalize: Normalizer): Stage {
  const x = ctx.input(0);
  const wide = computeType(x.dtype);
  const rows = new Rows(ctx, x.shape, laneAxes(ctx, isFlattened));
  return rows.restore(normalize(ctx, rows, x.dtype, (index) => cast(wide, ctx.at(x, index))));
}

/** The two versions of an operator that normalises rows. */
function rowOperator(name: string, normalize: Normalizer) {
  return [
    defineOperator({
      name,
      since: 1,
      attributes: { axis: int(1) },
      infer: (ctx) => inferSame(ctx, true),
      lower: (ctx) => lowerRows(ctx, true, normalize),
    }),
    defineOperator({
      name,
      since: 13,
      attributes: { axis: int(-1) },
      infer: (ctx) => inferSame(ctx, false),
      lower: (ctx) => lowerRows(ctx, false, normalize),
    }),
  ];
}

export const Softmax = rowOperator('Softmax', softmaxStages);

export const LogSoftmax = rowOperator('LogSoftmax', logSoftmaxStages);

/** 1 for the first maximum of each row, 0 elsewhere. */
export const Hardmax = rowOperator('Hardmax', (_ctx, rows, dtype, value) => {
  const winner = rows.argmax(value, 'winner');
  return rows.map(dtype, (index) => {
    const isWinner = eq(cast('index', rows.perRow(winner, index)), rows.lanePosition(index));
    return select(isWinner, constant(dtype, 1), constant(dtype, 0));
  });
});
