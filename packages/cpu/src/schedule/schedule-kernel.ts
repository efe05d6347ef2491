// From a kernel to loops: the entry point.

import { bitsOf, IndexAnalysis, type Kernel, type Stage, type TensorRef } from '@onnx-ts/tensor-ir';
import { scheduleContraction } from './contraction.ts';
import { scheduleMap, scheduleSegments, viewAsMap } from './map.ts';
import { asRawCopy } from './raw-copy.ts';
import { scheduleRecurrence } from './recurrence.ts';
import { scheduleRows } from './row.ts';
import { scheduleScan } from './scan.ts';
import { scheduleScatter } from './scatter.ts';
import type { ScheduledKernel, ScheduledPhase } from './scheduled.ts';
import { serialLoops, sizeOfLoops } from './tiles.ts';

/** @throws TypeError for kernels whose stages do not fit their class */
export function scheduleKernel(kernel: Kernel): ScheduledKernel {
  const analysis = new IndexAnalysis();
  const hasPacked = kernel.outputs.some(({ tensor }) => bitsOf(tensor.dtype) < 8);
  if (kernel.class === 'row') return finish(analysis, scheduleRows(analysis, kernel), hasPacked);
  const [stage] = kernel.stages;
  if (stage.kind === 'reduce') return finish(analysis, scheduleContraction(analysis, kernel), hasPacked);
  const given = stage.kind === 'view' ? viewAsMap(stage) : stage;
  const raw = asRawCopy(given, outputOf(kernel, stage));
  const phases = raw
    ? scheduleStage(analysis, raw.stage, raw.tensor)
    : scheduleStage(analysis, given, outputOf(kernel, stage));
  const named = phases.map((phase) => ({ ...phase, stage }));
  return finish(analysis, named, hasPacked, raw?.aliases);
}

function finish(
  analysis: IndexAnalysis,
  phases: readonly ScheduledPhase[],
  hasPacked: boolean,
  aliases: ReadonlyMap<TensorRef, TensorRef> = new Map(),
): ScheduledKernel {
  return { analysis, phases: hasPacked ? phases.map(onOneThread) : phases, aliases };
}

/** Elements that share a byte must not be written by several threads. */
function onOneThread(phase: ScheduledPhase): ScheduledPhase {
  if (phase.parallel.length === 0) return phase;
  return {
    ...phase,
    parallel: [],
    body: [{ kind: 'for', loops: serialLoops(phase.parallel), reductions: [], body: phase.body }],
    cost: { points: phase.cost.points.mul(sizeOfLoops(phase.parallel)), pointCost: phase.cost.pointCost },
  };
}

function scheduleStage(analysis: IndexAnalysis, stage: Stage, tensor: TensorRef): ScheduledPhase[] {
  switch (stage.kind) {
    case 'map':
      return [scheduleMap(analysis, stage, tensor)];
    case 'view':
      throw new TypeError('a view is scheduled as a map');
    case 'segments':
      return scheduleSegments(analysis, stage, tensor);
    case 'scan':
      return [scheduleScan(analysis, stage, tensor)];
    case 'scatter':
      return scheduleScatter(analysis, stage, tensor);
    case 'recurrence':
      return scheduleRecurrence(analysis, stage, tensor);
    case 'reduce':
      throw new TypeError('a reduction is scheduled with its epilogue');
  }
}

export function outputOf(kernel: Kernel, stage: Stage): TensorRef {
  const output = kernel.outputs.find((candidate) => candidate.stage === stage);
  if (!output) throw new TypeError(`stage ${stage.name} of kernel ${kernel.name} has no output`);
  return output.tensor;
}
