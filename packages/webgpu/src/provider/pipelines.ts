// Compute pipelines by their code: equal kernels share one.

import { type GraphNode, OnnxTsError } from '@onnx-ts/core/provider';
import type { Kernel } from '@onnx-ts/tensor-ir';

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** @throws OnnxTsError INTERNAL, with the shader, when the device refuses it */
  get(code: string, kernel: Kernel): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(code);
    if (!pipeline) {
      pipeline = this.#create(code, kernel);
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  async #create(code: string, kernel: Kernel): Promise<GPUComputePipeline> {
    this.#device.pushErrorScope('validation');
    const module = this.#device.createShaderModule({ code, label: kernel.name });
    const moduleError = this.#device.popErrorScope();
    try {
      const made = this.#device.createComputePipelineAsync({
        label: kernel.name,
        layout: 'auto',
        compute: { module, entryPoint: 'main' },
      });
      // Both fail together: the first says why.
      const [pipeline] = await Promise.all([made, moduleError]);
      return pipeline;
    } catch (cause) {
      const { messages } = await module.getCompilationInfo();
      const problem = messages.map(({ lineNum, message }) => `line ${lineNum}: ${message}`).join('; ');
      const [node] = kernel.origins as readonly (GraphNode | undefined)[];
      const place = {
        provider: 'webgpu',
        ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
      };
      const what = `the device refuses a shader: ${problem || (cause as Error).message}.`;
      throw new OnnxTsError('INTERNAL', what, { place, hint: `The shader is:\n${code}`, cause });
    }
  }
}
