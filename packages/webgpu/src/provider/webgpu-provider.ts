// The opened provider: a device, its memory, and the pipelines made for it.

import {
  type CompileContext,
  type DeviceInfo,
  type Executable,
  type ExecutionProvider,
  type GraphNode,
  lowerNode,
  OnnxTsError,
  type Partition,
  type Support,
  type Value,
} from '@onnx-ts/core/provider';
import { bodiesOf, walk } from '@onnx-ts/tensor-ir';
import { hasRegisterType } from '../emit/register-type.ts';
import { compilePartition } from './compile-partition.ts';
import { bufferUsage } from './gpu-flags.ts';
import { GpuBuffer, GpuMemory } from './gpu-memory.ts';
import { Pipelines } from './pipelines.ts';

/** Rates of a small discrete GPU; a probe may replace them. */
const typical = { launch: 1e-5, flops: 1e12, bandwidth: 1e11, transferLatency: 2e-4, transferBandwidth: 5e9 };

export class WebGpuProvider implements ExecutionProvider {
  readonly id = 'webgpu';
  readonly device: DeviceInfo;
  readonly gpu: GPUDevice;
  readonly profile = typical;
  readonly memory: GpuMemory;
  readonly pipelines: Pipelines;
  /** First word: the error site, plus one, of an index out of range. */
  readonly errors: GpuBuffer;
  readonly #ownsDevice: boolean;
  #lost: string | undefined;
  #failure: string | undefined;

  constructor(
    gpu: GPUDevice,
    device: DeviceInfo,
    options: { readonly memoryBudget?: number; readonly ownsDevice: boolean },
  ) {
    this.device = device;
    this.gpu = gpu;
    this.memory = new GpuMemory(gpu, options.memoryBudget);
    this.pipelines = new Pipelines(gpu);
    this.errors = this.memory.allocate(16);
    this.#ownsDevice = options.ownsDevice;
    gpu.lost.then(({ reason, message }) => {
      this.#lost = message || reason;
    });
    gpu.onuncapturederror = ({ error }) => {
      this.#failure ??= error.message;
    };
  }

  /** @throws OnnxTsError PROVIDER when the device is gone or has refused something */
  checkDevice(): void {
    if (this.#lost !== undefined) {
      throw new OnnxTsError('PROVIDER', `the GPU device was lost: ${this.#lost}.`, {
        place: { provider: 'webgpu' },
        hint: 'Create the session again, on a new device or with another provider.',
      });
    }
    if (this.#failure === undefined) return;
    const failure = this.#failure;
    this.#failure = undefined;
    throw new OnnxTsError('PROVIDER', `the GPU device reports: ${failure}.`, { place: { provider: 'webgpu' } });
  }

  supports(node: GraphNode): Support {
    if (!node.operator?.lower) return { ok: false, reason: 'the operator has no tensor form' };
    const types = [...node.inputs, ...node.outputs].map((value: Value | undefined) => value?.type);
    for (const type of types) {
      if (!type) continue;
      if (type.kind !== 'tensor') return { ok: false, reason: `a ${type.kind} stays on the host` };
      if (!hasRegisterType(type.dtype)) return { ok: false, reason: `WebGPU has no ${type.dtype}` };
    }
    const inside = foreignType(node);
    return inside ? { ok: false, reason: `it computes in ${inside}, which WebGPU has not` } : { ok: true };
  }

  compile(partition: Partition, context: CompileContext): Promise<Executable> {
    this.checkDevice();
    return compilePartition(this, partition, context);
  }

  /** A buffer of constant arguments. */
  uniforms(words: Int32Array<ArrayBuffer>): GpuBuffer {
    const buffer = this.gpu.createBuffer({
      size: words.byteLength,
      usage: bufferUsage.uniform | bufferUsage.copyTarget,
    });
    this.gpu.queue.writeBuffer(buffer, 0, words);
    return new GpuBuffer(buffer, words.byteLength, -1);
  }

  async dispose(): Promise<void> {
    this.memory.free(this.errors);
    this.memory.dispose();
    if (this.#ownsDevice) this.gpu.destroy();
  }
}

/** A type that the node's expressions have and WGSL has not: sums of integers in double precision, for instance. */
function foreignType(node: GraphNode): string | undefined {
  let found: string | undefined;
  for (const stage of lowerNode(node).stages) {
    for (const { body } of bodiesOf(stage)) walk(body, (e) => !hasRegisterType(e.type) && (found ??= e.type));
  }
  return found;
}
