// The opened provider: a device, its memory, and the pipelines made for it.

import {
  type CompileContext,
  type DeviceInfo,
  type DeviceProfile,
  type Executable,
  type ExecutionProvider,
  type GraphNode,
  lowerNode,
  OnnxTsError,
  type Partition,
  type Support,
  type Value,
} from '@onnx-ts/core/provider';
import { bodiesOf, byteLength, productOf, walk } from '@onnx-ts/tensor-ir';
import { hasRegisterType } from '../emit/register-type.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { GpuBuffer } from './gpu-buffer.ts';
import { bufferUsage } from './gpu-flags.ts';
import { type GpuLimits, type UsedLimits, usedLimits } from './gpu-limits.ts';
import { GpuMemory } from './gpu-memory.ts';
import { measureProfile, softwareProfile, usualProfile } from './measure-profile.ts';
import { Pipelines } from './pipelines.ts';

export class WebGpuProvider implements ExecutionProvider {
  readonly id = 'webgpu';
  readonly device: DeviceInfo;
  readonly gpu: GPUDevice;
  readonly profile: DeviceProfile;
  readonly memory: GpuMemory;
  readonly pipelines: Pipelines;
  readonly limits: UsedLimits;
  /** What its shaders are generated for. */
  readonly target: ShaderTarget;
  /** First word: the error site, plus one, of an index out of range. */
  readonly errors: GpuBuffer;
  readonly #ownsDevice: boolean;
  #lost: string | undefined;
  #failure: GPUError | undefined;

  constructor(
    gpu: GPUDevice,
    device: DeviceInfo,
    options: {
      readonly memoryBudget?: number;
      readonly ownsDevice: boolean;
      readonly limits?: Partial<GpuLimits>;
      readonly shaders?: 'hardware' | 'software';
      /** What the implementation of WGSL has besides the features of the device. */
      readonly languageFeatures?: ReadonlySet<string>;
    },
  ) {
    this.device = device;
    this.profile = device.properties.isSoftware ? softwareProfile : usualProfile;
    this.gpu = gpu;
    this.limits = usedLimits(gpu.limits, options.limits);
    const { storageBuffers, partBytes } = this.limits;
    const kind = options.shaders ?? (device.properties.isSoftware ? 'software' : 'hardware');
    const subgroups = gpu.features.has('subgroups') && (options.languageFeatures?.has('subgroup_id') ?? false);
    this.target = { storageBuffers, partBytes, isSoftware: kind === 'software', subgroups };
    this.memory = new GpuMemory(gpu, this.limits, options.memoryBudget);
    this.pipelines = Pipelines.of(gpu);
    this.errors = this.memory.allocate(16);
    this.#ownsDevice = options.ownsDevice;
    gpu.lost.then(({ reason, message }) => {
      this.#lost = message || reason;
    });
    // On a device of the caller's most errors may be the caller's own.
    if (this.#ownsDevice) gpu.onuncapturederror = ({ error }) => this.#note(error);
  }

  #note(error: GPUError): void {
    this.#failure ??= error;
  }

  /** Gives the device work, and learns what it refuses of it. */
  submit(work: () => void): void {
    if (this.#ownsDevice) return work();
    for (const filter of ['validation', 'out-of-memory'] as const) this.gpu.pushErrorScope(filter);
    try {
      work();
    } finally {
      for (let scope = 0; scope < 2; scope++) {
        this.gpu.popErrorScope().then(
          (error) => error && this.#note(error),
          () => {},
        );
      }
    }
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** @throws OnnxTsError PROVIDER when the device is gone or has refused something, OUT_OF_MEMORY */
  checkDevice(): void {
    if (this.#lost !== undefined) {
      throw new OnnxTsError('PROVIDER', `the GPU device was lost: ${this.#lost}.`, {
        place: { provider: 'webgpu' },
        hint: 'A new run moves the session to another device or provider, if there is one.',
      });
    }
    if (this.#failure === undefined) return;
    const failure = this.#failure;
    this.#failure = undefined;
    const place = { provider: 'webgpu' };
    // Not every host has the class of the error as a global.
    if (failure.constructor.name === 'GPUOutOfMemoryError') {
      throw new OnnxTsError('OUT_OF_MEMORY', `the GPU has too little memory: ${failure.message}.`, {
        place,
        hint: 'Use smaller inputs or a smaller model, or set memoryBudget so that core knows the limit.',
      });
    }
    throw new OnnxTsError('PROVIDER', `the GPU device reports: ${failure.message}.`, { place });
  }

  supports(node: GraphNode): Support {
    if (!node.operator?.lower) return { ok: false, reason: 'the operator has no tensor form' };
    const types = [...node.inputs, ...node.outputs].map((value: Value | undefined) => value?.type);
    for (const type of types) {
      if (!type) continue;
      if (type.kind !== 'tensor') return { ok: false, reason: `a ${type.kind} stays on the host` };
      if (!hasRegisterType(type.dtype)) return { ok: false, reason: `WebGPU has no ${type.dtype}` };
    }
    const needed = this.#buffersFor(node);
    if (needed > this.limits.storageBuffers) {
      const reason = `its tensors need ${needed} storage buffers, and the device allows ${this.limits.storageBuffers}`;
      return { ok: false, reason };
    }
    try {
      const inside = foreignType(node);
      return inside ? { ok: false, reason: `it computes in ${inside}, which WebGPU has not` } : { ok: true };
    } catch (error) {
      // Some nodes have a tensor form only once a run has told what they depend on.
      if (!OnnxTsError.is(error)) throw error;
      return { ok: false, reason: `it has no tensor form yet: ${error.message}` };
    }
  }

  /** Bindings that its tensors take, as far as their sizes are known; small ones can share some. */
  #buffersFor(node: GraphNode): number {
    const { partBytes } = this.limits;
    let parts = 0;
    for (const value of new Set([...node.inputs, ...node.outputs])) {
      if (value?.type?.kind !== 'tensor' || !value.type.shape) continue;
      const count = productOf(value.type.shape).constant ?? 0;
      const bytes = byteLength(value.type.dtype, count);
      if (bytes > partBytes) parts += Math.ceil(bytes / partBytes);
    }
    return parts === 0 ? 0 : parts + 3;
  }

  async compile(partition: Partition, context: CompileContext): Promise<Executable> {
    this.checkDevice();
    // A page that has not chosen a model need not load the generator.
    const { compilePartition } = await import('./compile-partition.ts');
    return compilePartition(this, partition, context);
  }

  async probe(): Promise<DeviceProfile> {
    return this.device.properties.isSoftware ? softwareProfile : measureProfile(this.gpu);
  }

  /** A buffer of constant arguments. */
  uniforms(words: Int32Array<ArrayBuffer>): GpuBuffer {
    const buffer = this.gpu.createBuffer({
      size: words.byteLength,
      usage: bufferUsage.uniform | bufferUsage.copyTarget,
    });
    this.gpu.queue.writeBuffer(buffer, 0, words);
    return new GpuBuffer([buffer], words.byteLength, words.byteLength, -1);
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
