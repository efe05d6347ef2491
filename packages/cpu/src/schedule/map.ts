// Loops of stages that say each element of their result by itself: maps, and the parts of a concatenation.

import {
  type Axis,
  add,
  axesFor,
  Dim,
  dimension,
  div,
  type Expr,
  elementAt,
  type IndexAnalysis,
  type MapStage,
  mod,
  mul,
  type SegmentsStage,
  type Stage,
  type TensorRef,
  toIndex,
  type ViewStage,
} from '@onnx-ts/tensor-ir';
import { elementCost, estimate } from './cost.ts';
import { coefficientIn, LoopDomain } from './domain.ts';
import { flatten, offsetIn } from './flatten.ts';
import { cutLoop } from './interior.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { tileBox } from './tiles.ts';
import { crossAxis, turnBlocks } from './transpose.ts';

/** One assignment for each point of a box: tensor[offset] = value. */
export interface BoxStore {
  readonly tensor: TensorRef;
  readonly offset: Expr;
  readonly value: Expr;
}

export function scheduleMap(analysis: IndexAnalysis, stage: MapStage, tensor: TensorRef): ScheduledPhase {
  const value = flatten(analysis, stage.body, noStage);
  return mapPhase(analysis, stage, inOrder(stage.axes, tensor), [
    { tensor, offset: offsetIn(analysis, tensor, stage.axes.map(toIndex)), value },
  ]);
}

/** One phase per segment; they do not wait for each other. */
export function scheduleSegments(analysis: IndexAnalysis, stage: SegmentsStage, tensor: TensorRef): ScheduledPhase[] {
  return stage.segments.map(({ axes, body, offset }, at) => {
    const index = axes.map((axis, dim) =>
      dim === stage.along ? add(toIndex(axis), dimension(offset)) : toIndex(axis),
    );
    const value = flatten(analysis, body, noStage);
    const store = { tensor, offset: offsetIn(analysis, tensor, index), value };
    return { ...mapPhase(analysis, stage, inOrder(axes, tensor), [store]), independent: at > 0 };
  });
}

/** A reshape that has to be written out: the element with the same row-major position. */
export function viewAsMap(stage: ViewStage): MapStage {
  const axes = axesFor(stage.shape);
  let position: Expr = dimension(0);
  for (const axis of axes) position = add(mul(position, dimension(axis.size)), toIndex(axis));
  const index: Expr[] = [];
  let inner = Dim.constant(1);
  for (const size of [...stage.source.shape].reverse()) {
    const above = div(position, dimension(inner));
    index.unshift(index.length === stage.source.shape.length - 1 ? above : mod(above, dimension(size)));
    inner = inner.mul(size);
  }
  const { source: _, kind: __, ...base } = stage;
  return { ...base, kind: 'map', axes, body: elementAt(stage.source, index) };
}

/** @param axes from the slowest to the fastest */
export function mapPhase(
  analysis: IndexAnalysis,
  stage: Stage,
  axes: readonly Axis[],
  stores: readonly BoxStore[],
): ScheduledPhase {
  const domain = new LoopDomain(
    [axes],
    [...stores.map(({ value }) => value), ...stores.map(({ offset }) => offset)],
    analysis,
  );
  domain.arrange();
  const [group] = domain.groups;
  const body = stores.map(({ tensor }, at) => ({
    kind: 'store' as const,
    tensor,
    offset: domain.roots[stores.length + at],
    value: domain.roots[at],
  }));
  const inner = group[group.length - 1];
  const pointCost = 0.1 + elementCost(analysis, domain.roots, inner);
  const base = { name: stage.name || stage.kind, stage, independent: false };
  if (!inner) return { ...base, parallel: [], body, cost: { points: Dim.constant(1), pointCost } };
  const across = crossAxis(analysis, group, inner, domain.roots.slice(0, stores.length));
  if (across) {
    const outer = group.filter((axis) => axis !== across && axis !== inner);
    const { parallel, points, body: turned } = turnBlocks(analysis, outer, across, inner, body);
    return { ...base, parallel, body: turned, cost: { points, pointCost } };
  }
  const outer = inFewStreams(analysis, group.slice(0, -1), inner, domain.roots.slice(0, stores.length));
  const { parallel, loops, points } = tileBox(outer, inner, pointCost);
  const values = body.map(({ value }) => value);
  const withValues = (others: readonly Expr[]) => body.map((store, at) => ({ ...store, value: others[at] }));
  return { ...base, parallel, body: cutLoop(analysis, loops, [], values, withValues), cost: { points, pointCost } };
}

/** Runs of so many elements are streams of their own. */
const longRun = 1024;

/** Streams of memory that processors follow and fetch in advance. */
const mostStreams = 32;

/**
 * The order of the loops around short runs of elements that are moved to other places: that of the memory which is written,
 * or that of the memory which is read. One of the two then goes forward without gaps, and the other does in as many streams
 * as the innermost of these loops has iterations: those should be few.
 */
function inFewStreams(
  analysis: IndexAnalysis,
  outer: readonly Axis[],
  inner: Axis,
  values: readonly Expr[],
): readonly Axis[] {
  const written = outer[outer.length - 1];
  if (outer.length < 2 || values.length > 1 || (inner.size.constant ?? longRun) >= longRun) return outer;
  const [load] = values;
  if (load.kind !== 'load' || load.index.length !== 1 || !coefficientIn(analysis, load.index[0], inner)?.is(1))
    return outer;
  const steps = new Map(outer.map((axis) => [axis, coefficientIn(analysis, load.index[0], axis)?.constant ?? 0]));
  if (![...steps.values()].every((step) => step > 0)) return outer;
  const byReading = [...outer].sort((a, b) => steps.get(b)! - steps.get(a)!);
  const read = byReading[byReading.length - 1];
  const count = read.size.constant ?? Infinity;
  return count <= mostStreams && count < estimate(written.size) ? byReading : outer;
}

/** Axes in the order of the memory they are written to. */
export function inOrder(axes: readonly Axis[], tensor: TensorRef): Axis[] {
  return (tensor.order ?? axes.map((_, at) => at)).map((at) => axes[at]);
}

export function noStage(): never {
  throw new Error('a pointwise kernel has one stage');
}
