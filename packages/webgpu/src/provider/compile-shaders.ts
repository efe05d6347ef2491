// The shaders of a kernel, with errors that name the node.

import { type GraphNode, OnnxTsError } from '@onnx-ts/core/provider';
import { type Kernel, printKernel } from '@onnx-ts/tensor-ir';
import { TooManyBuffers } from '../emit/shader.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { compileKernel, type Template } from '../kernel/compile-kernel.ts';
import type { Dispatch } from '../kernel/dispatch.ts';

/** @throws OnnxTsError UNSUPPORTED for tensors too large for the device, INTERNAL for a fault of the generator */
export function compileShaders(kernel: Kernel, target: ShaderTarget, template?: Template): Dispatch[] {
  try {
    return compileKernel(kernel, target, template);
  } catch (cause) {
    const [node] = kernel.origins as readonly (GraphNode | undefined)[];
    const place = {
      provider: 'webgpu',
      ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
    };
    if (cause instanceof TooManyBuffers) {
      const what = `its tensors are too large for this device: with ${target.partBytes} bytes a binding ${cause.message}.`;
      throw new OnnxTsError('UNSUPPORTED', what, { place, hint: 'Use smaller inputs, or the CPU provider.', cause });
    }
    const what = `no shader could be generated: ${(cause as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { place, hint: `The kernel is:\n${printKernel(kernel)}`, cause });
  }
}
