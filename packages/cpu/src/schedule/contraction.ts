// Loops of a contraction whose shape no template claims: a reduction, with the maps that follow it applied to each result
// while it is still in a register.

import {
  type Axis,
  dimension,
  type Expr,
  type IndexAnalysis,
  type Kernel,
  type MapStage,
  type ReduceStage,
  type Stage,
  substituteAxes,
  toIndex,
  walk,
} from '@onnx-ts/tensor-ir';
import { flatten, offsetIn } from './flatten.ts';
import { type BoxStore, noStage } from './map.ts';
import { reducePhase } from './reduce.ts';
import type { ScheduledPhase } from './scheduled.ts';

export function scheduleContraction(analysis: IndexAnalysis, kernel: Kernel): ScheduledPhase[] {
  const { head, indices } = readEpilogue(kernel);
  const last = kernel.stages[kernel.stages.length - 1];
  const kept = physicalAxes(kernel, head, indices);
  const body = flatten(analysis, head.body, noStage);
  const finish = (result: Expr): BoxStore[] => epilogueStores(analysis, kernel, indices, result);
  return [reducePhase(analysis, head, last, kept, body, finish)];
}

interface Epilogue {
  readonly head: ReduceStage;
  /** For each stage, its own axes in terms of those of the head: which of its elements comes from an element of it. */
  readonly indices: ReadonlyMap<Stage, readonly Expr[]>;
}

/** @throws TypeError when the stages are no contraction with an epilogue */
function readEpilogue(kernel: Kernel): Epilogue {
  const [head, ...rest] = kernel.stages;
  if (head.kind !== 'reduce') throw new TypeError(`kernel ${kernel.name} does not begin with a reduction`);
  const indices = new Map<Stage, readonly Expr[]>([[head, head.axes.map(toIndex)]]);
  for (const stage of rest) {
    if (stage.kind !== 'map') throw new TypeError(`a ${stage.kind} stage cannot be an epilogue`);
    indices.set(stage, indexOf(stage, indices));
  }
  return { head, indices };
}

function indexOf(stage: MapStage, indices: ReadonlyMap<Stage, readonly Expr[]>): Expr[] {
  const values = new Map<Axis, Expr>();
  walk(stage.body, (e) => {
    if (e.kind !== 'load' || e.source.kind === 'tensor') return;
    const of = indices.get(e.source);
    e.index.forEach((x, at) => {
      if (of && x.kind === 'axis') values.set(x.axis, of[at]);
    });
  });
  return stage.axes.map((axis) => values.get(axis) ?? dimension(0));
}

/** The stores of all outputs, in terms of the head's axes and its result at one point. */
function epilogueStores(
  analysis: IndexAnalysis,
  kernel: Kernel,
  indices: ReadonlyMap<Stage, readonly Expr[]>,
  result: Expr,
): BoxStore[] {
  const values = new Map<Stage, Expr>();
  for (const stage of kernel.stages) {
    const index = indices.get(stage)!;
    if (stage.kind !== 'map') {
      values.set(stage, result);
      continue;
    }
    const body = flatten(analysis, stage.body, ({ source }) => values.get(source)!);
    values.set(stage, substituteAxes(body, new Map(stage.axes.map((axis, at) => [axis, index[at]]))));
  }
  return kernel.outputs.map(({ stage, tensor }) => ({
    tensor,
    offset: offsetIn(analysis, tensor, indices.get(stage)!),
    value: values.get(stage)!,
  }));
}

/** The head's axes in the order in which the last output lies in memory. */
function physicalAxes(kernel: Kernel, head: ReduceStage, indices: ReadonlyMap<Stage, readonly Expr[]>): Axis[] {
  const { stage, tensor } = kernel.outputs[kernel.outputs.length - 1];
  const index = indices.get(stage)!;
  const order = tensor.order ?? tensor.shape.map((_, at) => at);
  const axes = order.flatMap((at) => {
    const e = index[at];
    return e.kind === 'axis' ? [e.axis] : [];
  });
  return [...head.axes.filter((axis) => !axes.includes(axis)), ...axes];
}
