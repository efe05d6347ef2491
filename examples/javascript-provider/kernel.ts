// A fused kernel as one function: its stages one after the other, those that stay inside in arrays of their own.

import { arrayTypeOf, dataLength } from '@onnx-ts/core/provider';
import {
  allocateBuffer,
  type DimBinding,
  type Kernel,
  type Source,
  type TensorBuffer,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { compileStage } from './stages.ts';

export interface KernelScope {
  readonly dims: DimBinding;
  bufferOf(tensor: TensorRef): TensorBuffer;
  /** @param origin the node to blame */
  outOfRange(origin: unknown): never;
}

export function compileKernel(kernel: Kernel, { dims, bufferOf, outOfRange }: KernelScope): () => void {
  const buffers = new Map<Source, TensorBuffer>();
  for (const tensor of kernel.params) buffers.set(tensor, bufferOf(tensor));
  for (const { stage, tensor } of kernel.outputs) buffers.set(stage, bufferOf(tensor));
  const find = (source: Source): TensorBuffer => {
    const found = buffers.get(source);
    if (!found) throw new Error(`the kernel ${kernel.name} reads ${source.name}, which it does not have`);
    return found;
  };
  const functions = kernel.stages.flatMap((stage) => {
    const sizes = stage.shape.map((dim) => dim.evaluate(dims));
    if (stage.kind === 'view') {
      buffers.set(stage, { ...find(stage.source), dims: sizes });
      return [];
    }
    const out = buffers.get(stage) ?? allocateBuffer(stage.dtype, sizes);
    buffers.set(stage, out);
    return [compileStage(stage, out, { dims, bufferOf: find, outOfRange })];
  });
  return () => {
    for (const run of functions) run();
  };
}

/** The elements of a tensor that begin at a byte. */
export function viewOf(tensor: TensorRef, bytes: Uint8Array, offset: number, dims: DimBinding): TensorBuffer {
  const sizes = tensor.shape.map((dim) => dim.evaluate(dims));
  const count = sizes.reduce((product, size) => product * size, 1);
  const Elements = arrayTypeOf(tensor.dtype as 'float32');
  const data = new Elements(bytes.buffer as ArrayBuffer, bytes.byteOffset + offset, dataLength(tensor.dtype, count));
  return { dtype: tensor.dtype, dims: sizes, data };
}
