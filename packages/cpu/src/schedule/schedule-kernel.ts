// From a kernel to loops: the entry point.

import { IndexAnalysis, type Kernel, type Stage, type TensorRef } from '@onnx-ts/tensor-ir';
import { scheduleMap, scheduleSegments, viewAsMap } from './map.ts';
import { scheduleReduce } from './reduce.ts';
import { scheduleRows } from './row.ts';
import type { ScheduledKernel, ScheduledPhase } from './scheduled.ts';

/** @throws TypeError for kernels whose stages do not fit their class */
export function scheduleKernel(kernel: Kernel): ScheduledKernel {
  const analysis = new IndexAnalysis();
  const phases = kernel.class === 'row' ? scheduleRows(analysis, kernel) : scheduleStages(analysis, kernel);
  return { analysis, phases };
}

function scheduleStages(analysis: IndexAnalysis, kernel: Kernel): ScheduledPhase[] {
  const [stage] = kernel.stages;
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
    case 'reduce':
      return [scheduleReduce(analysis, stage, tensor)];
    default:
      throw new TypeError(`no schedule for ${stage.kind}`);
  }
}

export function outputOf(kernel: Kernel, stage: Stage): TensorRef {
  const output = kernel.outputs.find((candidate) => candidate.stage === stage);
  if (!output) throw new TypeError(`stage ${stage.name} of kernel ${kernel.name} has no output`);
  return output.tensor;
}
