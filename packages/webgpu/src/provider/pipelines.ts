// Compute pipelines by their code: equal kernels share one, and so do sessions on the same device.

import { type GraphNode, OnnxTsError } from '@onnx-ts/core/provider';
import type { Kernel } from '@onnx-ts/tensor-ir';
import type { Dispatch } from '../kernel/dispatch.ts';
import { shaderStage } from './gpu-flags.ts';

const ofDevice = new WeakMap<GPUDevice, Pipelines>();

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  /** By the types of their bindings. */
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  private constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Those of a device, for as long as it is referred to. */
  static of(device: GPUDevice): Pipelines {
    let pipelines = ofDevice.get(device);
    if (!pipelines) {
      pipelines = new Pipelines(device);
      ofDevice.set(device, pipelines);
    }
    return pipelines;
  }

  /** @throws OnnxTsError INTERNAL, with the shader, when the device refuses it */
  get(dispatch: Dispatch, kernel: Kernel): Promise<GPUComputePipeline> {
    const { code } = dispatch;
    let pipeline = this.#pipelines.get(code);
    if (!pipeline) {
      pipeline = this.#create(code, this.layoutOf(dispatch), kernel);
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  /** What a launch is bound to: the one buffer after the other that its shader declares. */
  layoutOf(dispatch: Dispatch): GPUBindGroupLayout {
    const types = bindingTypes(dispatch);
    const key = types.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const entries = types.map((type, binding) => ({ binding, visibility: shaderStage.compute, buffer: { type } }));
      layout = this.#device.createBindGroupLayout({ entries });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  async #create(code: string, layout: GPUBindGroupLayout, kernel: Kernel): Promise<GPUComputePipeline> {
    this.#device.pushErrorScope('validation');
    const module = this.#device.createShaderModule({ code, label: kernel.name });
    const moduleError = this.#device.popErrorScope();
    try {
      const made = this.#device.createComputePipelineAsync({
        label: kernel.name,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
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

/** In the order of `Shader.text`. */
function bindingTypes({ bindings, mergedParts, sites, words }: Dispatch): GPUBufferBindingType[] {
  const types: GPUBufferBindingType[] = [];
  for (const { access, parts } of bindings) {
    const type = access === 'read' ? 'read-only-storage' : 'storage';
    for (let part = 0; part < parts; part++) types.push(type);
  }
  for (let part = 0; part < mergedParts; part++) types.push('read-only-storage');
  if (sites.length > 0) types.push('storage');
  if (words.length > 0) types.push('uniform');
  return types;
}
