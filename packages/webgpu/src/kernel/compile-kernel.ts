// From a kernel of the tensor IR to shaders: the entry point.

import { elementAt, type Kernel, type MapStage, newAxis, type Stage, type TensorRef } from '@onnx-ts/tensor-ir';
import { TooManyBuffers } from '../emit/shader.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { dispatchContraction } from './contraction.ts';
import type { Dispatch } from './dispatch.ts';
import { dispatchMap, dispatchSegments } from './pointwise.ts';
import { dispatchRecurrence } from './recurrence.ts';
import { dispatchReduce, dispatchRows } from './rows.ts';
import { dispatchScan } from './scan.ts';
import { dispatchScatter } from './scatter.ts';

/** Compiles a kernel that a template has taken. */
export type Template = (target: ShaderTarget) => Dispatch[];

/** In launch order. @throws TypeError for what WGSL cannot express, and what needs more buffers than the device allows */
export function compileKernel(kernel: Kernel, target: ShaderTarget, template?: Template): Dispatch[] {
  for (let reserved = 0; ; ) {
    try {
      const left = { ...target, reserved };
      return template?.(left) ?? compileWithin(kernel, left);
    } catch (error) {
      // Tensors of several parts leave less to others, which are merged then.
      if (!(error instanceof TooManyBuffers) || reserved + error.excess > target.storageBuffers - 4) throw error;
      reserved += error.excess;
    }
  }
}

function compileWithin(kernel: Kernel, target: ShaderTarget): Dispatch[] {
  switch (kernel.class) {
    case 'row':
      return dispatchRows(kernel, target);
    case 'contraction':
      return dispatchContraction(kernel, target);
    case 'reduce':
      return dispatchReduce(kernel, target);
  }
  const [stage] = kernel.stages;
  const tensor = outputOf(kernel, stage);
  switch (stage.kind) {
    case 'map':
      return [dispatchMap(target, tensor, stage.axes, stage.body, stage.origin)];
    case 'segments':
      return dispatchSegments(target, tensor, stage);
    case 'scan':
      return [dispatchScan(target, tensor, stage)];
    case 'scatter':
      return dispatchScatter(target, tensor, stage);
    case 'recurrence':
      return dispatchRecurrence(target, tensor, stage);
    case 'view': {
      const copy = copyOf(stage.source, stage);
      return [dispatchMap(target, tensor, copy.axes, copy.body, stage.origin)];
    }
    default:
      throw new TypeError(`a ${kernel.class} kernel starts with a ${stage.kind}`);
  }
}

function outputOf(kernel: Kernel, stage: Stage): TensorRef {
  const output = kernel.outputs.find((candidate) => candidate.stage === stage);
  if (!output) throw new TypeError(`stage ${stage.name} of kernel ${kernel.name} has no output`);
  return output.tensor;
}

/** A view in memory of its own has the elements of its source in the same order. */
function copyOf(source: TensorRef | Stage, view: Stage): MapStage {
  const axes = source.shape.map((size, at) => newAxis(`i${at}`, size));
  const { id, name, dtype } = view;
  return { kind: 'map', id, name, dtype, shape: source.shape, axes, body: elementAt(source, axes) };
}
