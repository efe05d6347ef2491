// Loops of a reduction, alone or followed by maps of its result.

import {
  type Axis,
  cast,
  type Dim,
  type DType,
  dimension,
  type Expr,
  type ForStatement,
  type IndexAnalysis,
  identityOf,
  isBigInteger,
  isFloat,
  isInteger,
  isUnsigned,
  type LoopHeader,
  newRegister,
  type ReduceOp,
  type ReduceStage,
  type Reduction,
  type Stage,
  type Statement,
  toIndex,
  variableValue,
  walk,
} from '@onnx-ts/tensor-ir';
import { columnSums } from './column-sums.ts';
import { elementCost, estimate, laneWaste, loadWeights } from './cost.ts';
import { coefficientIn, LoopDomain } from './domain.ts';
import { cutLoop } from './interior.ts';
import type { BoxStore } from './map.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { serialLoops, sizeOfLoops, tileBox } from './tiles.ts';

/** Variables of a reduction, and its result as an expression of the stage's type. */
export interface ReduceVariables {
  readonly reduction: Reduction;
  /** Declares the variables with what an empty reduction gives. */
  readonly declare: readonly Statement[];
  readonly result: Expr;
}

/** @param body value of the stage, flat; replaced in `reduction.value` later if the domain is arranged */
export function reduceVariables(stage: ReduceStage, body: Expr): ReduceVariables {
  const { op, name } = stage;
  const label = name || op;
  if (op === 'argmax' || op === 'argmin') {
    const type = accumulatorType('max', body.type as DType);
    const best = newRegister(`${label} best`, type);
    // Memory has fewer elements than 32 bits can tell apart.
    const variable = newRegister(label, 'int32');
    const position = cast('int32', toIndex(stage.over[0]));
    return {
      reduction: {
        variable,
        op,
        value: cast(type, body),
        arg: { best, position, selectLast: stage.selectLast ?? false },
      },
      declare: [
        { kind: 'alloc', tensor: variable, scope: 'register', initial: { kind: 'const', type: 'int32', value: 0 } },
        { kind: 'alloc', tensor: best, scope: 'register', initial: identityOf(op, type) },
      ],
      result: cast(stage.dtype, variableValue(variable)),
    };
  }
  const type = accumulatorType(op, stage.dtype);
  const variable = newRegister(label, type);
  return {
    reduction: { variable, op, value: cast(type, body) },
    declare: [{ kind: 'alloc', tensor: variable, scope: 'register', initial: identityOf(op, type) }],
    result: cast(stage.dtype, variableValue(variable)),
  };
}

/** Narrow floats add up in float32, narrow integers in 32 bits: sums and products wrap to the same result at the end. */
export function accumulatorType(op: ReduceOp, type: DType): DType {
  if (isFloat(type)) return type === 'float64' ? type : 'float32';
  if ((op === 'sum' || op === 'prod') && isInteger(type) && !isBigInteger(type)) {
    return isUnsigned(type) ? 'uint32' : 'int32';
  }
  return type;
}

/**
 * Loops over `kept` axes (from the slowest to the fastest) around the reduction.
 * @param finish what to write for each point of the kept axes, given the result there
 */
export function reducePhase(
  analysis: IndexAnalysis,
  stage: ReduceStage,
  last: Stage,
  kept: readonly Axis[],
  body: Expr,
  finish: (result: Expr) => readonly BoxStore[],
): ScheduledPhase {
  const { reduction, declare, result } = reduceVariables(stage, body);
  const stores = finish(result);
  const position = reduction.arg?.position ?? dimension(0);
  const roots = [reduction.value, position, ...stores.map(({ value }) => value), ...stores.map(({ offset }) => offset)];
  const over = byStride(analysis, stage.over, body);
  const domain = new LoopDomain([kept, over], roots, analysis);
  domain.arrange();
  const [value, where, ...rest] = domain.roots;
  const [outer, inner] = domain.groups;
  const finished: Statement[] = stores.map(({ tensor }, at) => ({
    kind: 'store',
    tensor,
    value: rest[at],
    offset: rest[stores.length + at],
  }));
  const reductions: Reduction[] = [
    { ...reduction, value, ...(reduction.arg && { arg: { ...reduction.arg, position: where } }) },
  ];
  const base = { name: last.name || stage.op, stage: last, independent: false };
  const lane = chooseLane(analysis, outer, inner, value);
  const pointCost = 0.05 + elementCost(analysis, [value], lane);
  const overSize = sizeOfLoops(inner);
  if (lane === undefined || inner.includes(lane)) {
    const nest: ForStatement = { kind: 'for', loops: laneLoops(inner, lane), reductions, body: [] };
    const tile = [...declare, nest, ...finished];
    return { ...base, ...tileRows(outer, tile, overSize, pointCost) };
  }
  const loops = unrolled(inner, value) ?? serialLoops(inner);
  if (loops[0]?.mode === 'serial' && isStream(analysis, value, inner, lane)) {
    const sums = columnSums({ outer: outer.slice(0, -1), lane, over: inner, reduction: reductions[0], finished });
    return { ...base, ...sums, cost: { points: sums.points.mul(overSize), pointCost } };
  }
  const tiling = tileBox(outer.slice(0, -1), lane, pointCost * Math.max(1, estimate(overSize)));
  const each = ([other]: readonly Expr[]): Statement[] => [
    ...declare,
    { kind: 'for', loops, reductions: reductions.map((old) => ({ ...old, value: other })), body: [] },
    ...finished,
  ];
  return {
    ...base,
    parallel: tiling.parallel,
    body: cutLoop(analysis, tiling.loops, inner, [value], each),
    cost: { points: tiling.points.mul(overSize), pointCost },
  };
}

/** One row per iteration; short rows are taken together. */
export function tileRows(
  rows: readonly Axis[],
  body: readonly Statement[],
  rowPoints: Dim,
  pointCost: number,
): Pick<ScheduledPhase, 'parallel' | 'body' | 'cost'> {
  const inner = rows[rows.length - 1];
  const points = rowPoints.add(8);
  if (!inner || estimate(rowPoints) >= 512) return { parallel: rows, body, cost: { points, pointCost } };
  const rowCost = (estimate(rowPoints) + 8) * pointCost;
  const tiling = tileBox(rows.slice(0, -1), inner, rowCost, 'serial');
  return {
    parallel: tiling.parallel,
    body: [{ kind: 'for', loops: tiling.loops, reductions: [], body }],
    cost: { points: tiling.points.mul(points), pointCost },
  };
}

export function laneLoops(axes: readonly Axis[], lane: Axis | undefined): LoopHeader[] {
  return axes.map((axis) => ({ axis, mode: axis === lane ? ('vector' as const) : ('serial' as const) }));
}

/** Loops small enough to be written out. */
function unrolled(axes: readonly Axis[], value: Expr): LoopHeader[] | undefined {
  const count = sizeOfLoops(axes).constant;
  if (axes.length === 0 || count === undefined || count > 25) return undefined;
  if (axes.some(({ size }) => size.constant === undefined)) return undefined;
  let nodes = 0;
  walk(value, () => nodes++);
  return nodes * count > 1500 ? undefined : axes.map((axis) => ({ axis, mode: 'unroll' }));
}

/** Axes from the one with the longest steps through memory to the one with the shortest. */
export function byStride(analysis: IndexAnalysis, axes: readonly Axis[], body: Expr): Axis[] {
  const steps = new Map(axes.map((axis) => [axis, longestStep(analysis, axis, body)]));
  return [...axes].sort((a, b) => steps.get(b)! - steps.get(a)!);
}

function longestStep(analysis: IndexAnalysis, axis: Axis, body: Expr): number {
  let longest = 0;
  walk(body, (e) => {
    if (e.kind !== 'load' || e.index.length !== 1) return;
    const stride = coefficientIn(analysis, e.index[0], axis);
    if (stride) longest = Math.max(longest, Math.abs(estimate(stride)));
  });
  return longest;
}

/** The axis whose iterations become lanes: where most loads are of consecutive elements. */
export function chooseLane(
  analysis: IndexAnalysis,
  kept: readonly Axis[],
  over: readonly Axis[],
  value: Expr,
): Axis | undefined {
  const keptLane = kept[kept.length - 1];
  const overLane = over[over.length - 1];
  const overCost = overLane && laneCost(analysis, value, overLane) + 12 / Math.max(1, estimate(sizeOfLoops(over)));
  const keptCost = keptLane && laneCost(analysis, value, keptLane);
  if (keptCost === undefined) return overLane;
  if (overCost === undefined) return keptLane;
  return keptCost <= overCost ? keptLane : overLane;
}

function laneCost(analysis: IndexAnalysis, value: Expr, lane: Axis): number {
  return (0.5 + loadWeights(analysis, [value], lane)) * laneWaste(lane);
}

/** True when a reduction is long and reads everything once: then the order of memory matters more than registers. */
function isStream(analysis: IndexAnalysis, value: Expr, over: readonly Axis[], lane: Axis): boolean {
  if (estimate(sizeOfLoops(over)) < 64 || estimate(lane.size) < 32) return false;
  let [loads, streams] = [0, 0];
  walk(value, (e) => {
    if (e.kind !== 'load' || e.index.length !== 1) return;
    loads++;
    const isAlong = over.every((axis) => !coefficientIn(analysis, e.index[0], axis)?.is(0));
    if (isAlong && coefficientIn(analysis, e.index[0], lane)?.is(1)) streams++;
  });
  return loads > 0 && loads === streams;
}
