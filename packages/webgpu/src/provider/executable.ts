// A compiled partition: where its weights are, and its bindings to concrete sizes.

import {
  type Append,
  type BoundExecutable,
  bytesOf,
  type DeviceBuffer,
  type Executable,
  indexError,
  type KernelInfo,
  type LoweredPartition,
  OnnxTsError,
  type Partition,
  type RunContext,
  type Tensor,
  type Value,
} from '@onnx-ts/core/provider';
import type { AppendedTensor, DimBinding, FusedProgram, Kernel, TensorRef } from '@onnx-ts/tensor-ir';
import type { Template } from '../kernel/compile-kernel.ts';
import type { Dispatch } from '../kernel/dispatch.ts';
import { Binding } from './binding.ts';
import { describeKernel } from './describe-kernel.ts';
import type { GpuBuffer } from './gpu-buffer.ts';
import type { WebGpuProvider } from './webgpu-provider.ts';

export interface LaunchableDispatch extends Dispatch {
  /** Undefined while it is compiled. */
  pipeline: GPUComputePipeline | undefined;
}

export interface LaunchableKernel {
  readonly kernel: Kernel;
  /** The template that took it. */
  readonly template?: Template;
  readonly dispatches: readonly LaunchableDispatch[];
}

export class WebGpuExecutable implements Executable {
  readonly provider: WebGpuProvider;
  readonly partition: Partition;
  readonly lowered: LoweredPartition;
  readonly inputs: LoweredPartition['inputs'];
  readonly fused: FusedProgram;
  readonly appends: readonly Append[];
  readonly kernels: readonly KernelInfo[];
  readonly #infos: ReadonlyMap<Kernel, KernelInfo>;
  /** Kernels that run each time. */
  readonly launches: readonly LaunchableKernel[];
  /** Kernels that depend on weights alone: they ran once, at load. */
  readonly #constantLaunches: readonly LaunchableKernel[];
  readonly #constants = new Map<TensorRef, GpuBuffer>();
  readonly #bindings = new Set<Binding>();

  constructor(
    provider: WebGpuProvider,
    partition: Partition,
    lowered: LoweredPartition,
    fused: FusedProgram,
    launches: readonly LaunchableKernel[],
    appends: readonly AppendedTensor[],
  ) {
    this.provider = provider;
    this.partition = partition;
    this.lowered = lowered;
    this.inputs = lowered.inputs;
    this.fused = fused;
    const valueBehind = (values: readonly Value[], tensor: TensorRef): Value =>
      values.find((value) => lowered.tensors.get(value) === tensor)!;
    this.appends = appends.map(({ input, output, axis, capacity }) => ({
      input: valueBehind(lowered.inputs, input),
      output: valueBehind(partition.outputs, output),
      axis,
      capacity,
    }));
    const outputs = new Set(fused.kernels.flatMap((kernel) => kernel.outputs).map(({ tensor }) => tensor));
    for (const local of fused.locals) outputs.delete(local);
    const isConstant = ({ kernel }: LaunchableKernel): boolean =>
      kernel.outputs.every(({ tensor }) => tensor.isConstant && !outputs.has(tensor));
    this.launches = launches.filter((launch) => !isConstant(launch));
    this.#constantLaunches = launches.filter(isConstant);
    this.#infos = new Map(launches.map((launch) => [launch.kernel, describeKernel(launch, isConstant(launch))]));
    this.kernels = [...this.#infos.values()];
  }

  infoOf(kernel: Kernel): KernelInfo {
    return this.#infos.get(kernel)!;
  }

  /** Of the kernels that run each time. */
  totalWork(dims: DimBinding): { readonly flops: number; readonly bytes: number } {
    const total = { flops: 0, bytes: 0 };
    for (const { kernel } of this.launches) {
      const { flops, bytes } = this.infoOf(kernel);
      total.flops += flops?.evaluate(dims) ?? 0;
      total.bytes += bytes?.evaluate(dims) ?? 0;
    }
    return total;
  }

  get weightBytes(): number {
    let bytes = 0;
    for (const buffer of this.#constants.values()) bytes += buffer.byteLength;
    return bytes;
  }

  /** What a tensor's bytes belong to: the tensor itself, or the one that it is a view of. */
  storageOf(tensor: TensorRef): TensorRef {
    let storage = tensor;
    for (let next = this.fused.aliases.get(storage); next; next = this.fused.aliases.get(storage)) storage = next;
    return storage;
  }

  constantBuffer(storage: TensorRef): GpuBuffer | undefined {
    return this.#constants.get(storage);
  }

  /** Brings the weights to the device and runs what depends on them alone. */
  async load(constants: ReadonlyMap<TensorRef, Tensor>): Promise<void> {
    const { memory } = this.provider;
    const kept = new Set<TensorRef>();
    for (const { kernel } of this.launches) for (const param of kernel.params) kept.add(this.storageOf(param));
    const place = (storage: TensorRef): void => {
      const tensor = constants.get(storage);
      if (!tensor || this.#constants.has(storage)) return;
      const buffer = memory.allocate(tensor.byteLength);
      this.#constants.set(storage, buffer);
      memory.upload(tensor, buffer);
    };
    if (this.#constantLaunches.length > 0) {
      for (const { kernel } of this.#constantLaunches) {
        for (const param of kernel.params) place(this.storageOf(param));
        for (const { tensor } of kernel.outputs) {
          this.#constants.set(this.storageOf(tensor), memory.allocate(bytesOf(tensor, new Map())));
        }
      }
      const binding = new Binding(this, this.#constantLaunches, new Map());
      try {
        await this.execute(binding, [], {});
      } finally {
        binding.dispose();
      }
      for (const [storage, buffer] of this.#constants) {
        if (kept.has(storage)) continue;
        memory.free(buffer);
        this.#constants.delete(storage);
      }
    }
    for (const storage of kept) place(storage);
  }

  bind(dims: DimBinding): BoundExecutable {
    const binding = new Binding(this, this.launches, new Map(dims));
    this.#bindings.add(binding);
    return {
      scratchBytes: binding.scratchBytes,
      run: (buffers: readonly DeviceBuffer[], context: RunContext) =>
        this.execute(binding, buffers as readonly GpuBuffer[], context),
      dispose: () => {
        if (this.#bindings.delete(binding)) binding.dispose();
      },
    };
  }

  /** @throws OnnxTsError */
  async execute(binding: Binding, buffers: readonly GpuBuffer[], context: RunContext): Promise<void> {
    if (context.signal?.aborted)
      throw new OnnxTsError('ABORTED', 'the run was aborted.', { place: { provider: 'webgpu' } });
    this.provider.checkDevice();
    const failed = await binding.run(buffers, context);
    this.provider.checkDevice();
    if (failed) throw indexError('webgpu', failed.origin);
  }

  dispose(): void {
    for (const binding of this.#bindings) binding.dispose();
    this.#bindings.clear();
    for (const buffer of this.#constants.values()) this.provider.memory.free(buffer);
    this.#constants.clear();
  }
}
