// From a kernel to loops: the entry point.

import { IndexAnalysis, type Kernel, type Stage, type TensorRef } from '@onnx-ts/tensor-ir';
import { scheduleContraction } from './contraction.ts';
import { scheduleMap, scheduleSegments, viewAsMap } from './map.ts';
import { scheduleRows } from './row.ts';
import { scheduleScan } from './scan.ts';
import { scheduleScatter } from './scatter.ts';
import type { ScheduledKernel, ScheduledPhase } from './scheduled.ts';

/** @throws TypeError for kernels whose stages do not fit their class */
export function scheduleKernel(kernel: Kernel): ScheduledKernel {
  const analysis = new IndexAnalysis();
  return { analysis, phases: phasesOf(analysis, kernel) };
}

function phasesOf(analysis: IndexAnalysis, kernel: Kernel): ScheduledPhase[] {
  if (kernel.class === 'row') return scheduleRows(analysis, kernel);
  const [stage] = kernel.stages;
  if (stage.kind === 'reduce') return scheduleContraction(analysis, kernel);
  return scheduleStage(analysis, stage, outputOf(kernel, stage));
}

function scheduleStage(analysis: IndexAnalysis, stage: Stage, tensor: TensorRef): ScheduledPhase[] {
  switch (stage.kind) {
    case 'map':
      return [scheduleMap(analysis, stage, tensor)];
    case 'view':
      return [scheduleMap(analysis, viewAsMap(stage), tensor)];
    case 'segments':
      return scheduleSegments(analysis, stage, tensor);
    case 'scan':
      return [scheduleScan(analysis, stage, tensor)];
    case 'scatter':
      return scheduleScatter(analysis, stage, tensor);
    case 'reduce':
      throw new TypeError('a reduction is scheduled with its epilogue');
  }
}

export function outputOf(kernel: Kernel, stage: Stage): TensorRef {
  const output = kernel.outputs.find((candidate) => candidate.stage === stage);
  if (!output) throw new TypeError(`stage ${stage.name} of kernel ${kernel.name} has no output`);
  return output.tensor;
}
