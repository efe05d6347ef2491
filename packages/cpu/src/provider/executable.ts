// A compiled partition: where its weights are, and its bindings to concrete sizes.

import {
  type Append,
  type BoundExecutable,
  bytesOf,
  type DeviceBuffer,
  type Executable,
  indexError,
  type KernelInfo,
  OnnxTsError,
  type Partition,
  type RunContext,
  type Tensor,
  type Value,
} from '@onnx-ts/core/provider';
import type { DimBinding, TensorRef } from '@onnx-ts/tensor-ir';
import { readErrorRecord } from '../runtime/kernel-error.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import { Binding } from './binding.ts';
import { BindingPlan } from './binding-plan.ts';
import type { CompiledProgram, LaunchableKernel } from './compiled-program.ts';
import type { CpuProvider, WasmBuffer } from './cpu-provider.ts';

export class CpuExecutable implements Executable {
  readonly provider: CpuProvider;
  readonly partition: Partition;
  readonly program: CompiledProgram;
  readonly inputs: readonly Value[];
  readonly appends: readonly Append[];
  readonly kernels: readonly KernelInfo[];
  readonly #infos = new Map<LaunchableKernel, KernelInfo>();
  readonly module: number;
  /** Kernels that run each time. */
  readonly launches: readonly LaunchableKernel[];
  /** Kernels that depend on weights alone: they ran once, at load. */
  readonly #constantLaunches: readonly LaunchableKernel[];
  /** Addresses of weights and of what was computed from them. */
  readonly #constants = new Map<TensorRef, number>();
  readonly #bindings = new Set<Binding>();
  #plan: BindingPlan | undefined;

  constructor(provider: CpuProvider, partition: Partition, program: CompiledProgram, module: number) {
    this.provider = provider;
    this.partition = partition;
    this.program = program;
    this.inputs = program.inputs;
    this.appends = appendedValues(program, partition);
    this.module = module;
    const { kernels, locals } = program;
    const outputs = new Set(kernels.flatMap(({ kernel }) => kernel.outputs).map(({ tensor }) => tensor));
    for (const local of locals) outputs.delete(local);
    const isConstant = ({ kernel }: LaunchableKernel): boolean =>
      kernel.outputs.every(({ tensor }) => tensor.isConstant && !outputs.has(tensor));
    this.launches = kernels.filter((launch) => !isConstant(launch));
    this.#constantLaunches = kernels.filter(isConstant);
    for (const launch of kernels) this.#infos.set(launch, launch.describe(isConstant(launch)));
    this.kernels = [...this.#infos.values()];
  }

  infoOf(launch: LaunchableKernel): KernelInfo {
    return this.#infos.get(launch)!;
  }

  get weightBytes(): number {
    let bytes = 0;
    for (const storage of this.#constants.keys()) bytes += bytesOf(storage, new Map());
    return bytes;
  }

  /** What a tensor's bytes belong to: the tensor itself, or the one that it is a view of. */
  storageOf(tensor: TensorRef): TensorRef {
    const { aliases } = this.program;
    let storage = tensor;
    for (let next = aliases.get(storage); next; next = aliases.get(storage)) storage = next;
    return storage;
  }

  constantAddress(storage: TensorRef): number | undefined {
    return this.#constants.get(storage);
  }

  /**
   * Puts the weights in their place and runs what depends on them alone. Each weight comes when it is first needed and goes
   * after its last one-time kernel, so that reordering a model takes little more memory than holding it.
   */
  async load(): Promise<void> {
    const { constants } = this.program;
    const kept = new Set<TensorRef>();
    for (const { kernel } of this.launches) for (const param of kernel.params) kept.add(this.storageOf(param));
    const lastUse = new Map<TensorRef, number>();
    for (const [at, { kernel }] of this.#constantLaunches.entries()) {
      for (const param of kernel.params) lastUse.set(this.storageOf(param), at);
    }
    this.provider.memory.linear.reserve(this.#mostWhileLoading(kept, lastUse));
    for (const [at, launch] of this.#constantLaunches.entries()) {
      const { kernel } = launch;
      const storages = new Set(kernel.params.map((param) => this.storageOf(param)));
      for (const storage of storages) this.#place(storage, constants);
      for (const { tensor } of kernel.outputs) {
        this.#constants.set(this.storageOf(tensor), this.provider.memory.allocateBlock(bytesOf(tensor, new Map())));
      }
      const binding = new Binding(this, new BindingPlan(this, [launch]), new Map());
      try {
        await this.execute(binding, {});
      } finally {
        binding.dispose();
      }
      for (const storage of storages) if (lastUse.get(storage) === at && !kept.has(storage)) this.#release(storage);
    }
    for (const storage of kept) this.#place(storage, constants);
  }

  /** The most bytes that `load` will have in use, but for gaps. */
  #mostWhileLoading(kept: ReadonlySet<TensorRef>, lastUse: ReadonlyMap<TensorRef, number>): number {
    const { constants } = this.program;
    const sizes = new Map<TensorRef, number>();
    let [now, most] = [0, 0];
    const add = (storage: TensorRef, bytes: number | undefined): void => {
      if (bytes === undefined || sizes.has(storage)) return;
      const size = Math.ceil((bytes + 16) / ALIGNMENT) * ALIGNMENT;
      sizes.set(storage, size);
      now += size;
      most = Math.max(most, now);
    };
    for (const [at, { kernel }] of this.#constantLaunches.entries()) {
      const storages = new Set(kernel.params.map((param) => this.storageOf(param)));
      for (const storage of storages) add(storage, constants.get(storage)?.byteLength);
      for (const { tensor } of kernel.outputs) add(this.storageOf(tensor), bytesOf(tensor, new Map()));
      for (const storage of storages) {
        if (lastUse.get(storage) !== at || kept.has(storage)) continue;
        now -= sizes.get(storage) ?? 0;
        sizes.delete(storage);
      }
    }
    for (const storage of kept) add(storage, constants.get(storage)?.byteLength);
    return most;
  }

  /** Brings a weight into memory, unless it is there, or is no weight. */
  #place(storage: TensorRef, constants: ReadonlyMap<TensorRef, Tensor>): void {
    const tensor = constants.get(storage);
    if (!tensor || this.#constants.has(storage)) return;
    const address = this.provider.memory.allocateBlock(tensor.byteLength);
    this.#constants.set(storage, address);
    this.provider.memory.write(tensor, address);
  }

  #release(storage: TensorRef): void {
    const address = this.#constants.get(storage);
    if (address === undefined) return;
    this.provider.memory.linear.free(address);
    this.#constants.delete(storage);
  }

  bind(dims: DimBinding): BoundExecutable {
    // Weights have their places by now.
    this.#plan ??= new BindingPlan(this, this.launches);
    const binding = new Binding(this, this.#plan, new Map(dims));
    this.#bindings.add(binding);
    return {
      get scratchBytes() {
        return binding.arenaBytes;
      },
      get scratchLowerBound() {
        return binding.arenaLowerBound;
      },
      rebind: (sizes: DimBinding) => binding.rebind(new Map(sizes)),
      run: (buffers: readonly DeviceBuffer[], context: RunContext) => {
        binding.setBuffers((buffers as readonly WasmBuffer[]).map((buffer) => buffer.address));
        return this.execute(binding, context);
      },
      dispose: () => {
        if (this.#bindings.delete(binding)) binding.dispose();
      },
    };
  }

  /** @throws OnnxTsError */
  async execute(binding: Binding, context: RunContext): Promise<void> {
    const { pool, memory } = this.provider;
    if (binding.stepCount === 0) return;
    binding.settle();
    const times = context.trace ? memory.allocateBlock((2 * binding.stepCount + 1) * 8) : 0;
    try {
      if (times !== 0) pool.recordTimes(times);
      const status = await pool.run({
        module: this.module,
        program: binding.program,
        first: 0,
        last: binding.stepCount,
        threads: binding.threads,
      });
      if (status === 'failed') this.#reportError(binding);
      if (status === 'aborted')
        throw new OnnxTsError('ABORTED', 'the run was aborted.', { place: { provider: 'cpu' } });
      if (context.trace) binding.trace(times, context.trace);
    } finally {
      if (times !== 0) {
        pool.recordTimes(0);
        memory.linear.free(times);
      }
    }
  }

  #reportError(binding: Binding): never {
    const record = readErrorRecord(this.provider.memory.linear.words);
    const site = record && binding.errorSites[record.details[0]];
    throw indexError('cpu', site?.origin);
  }

  dispose(): void {
    for (const binding of this.#bindings) binding.dispose();
    this.#bindings.clear();
    for (const address of this.#constants.values()) this.provider.memory.linear.free(address);
    this.#constants.clear();
    // A pool that is gone has no modules.
    this.provider.pool.removeModule(this.module).catch(() => {});
  }
}

function appendedValues({ inputs, tensors, appends }: CompiledProgram, { outputs }: Partition): Append[] {
  const valueBehind = (values: readonly Value[], tensor: TensorRef): Value =>
    values.find((value) => tensors.get(value) === tensor)!;
  return appends.map(({ input, output, axis, capacity, overwrites }) => ({
    input: valueBehind(inputs, input),
    output: valueBehind(outputs, output),
    axis,
    capacity,
    overwrites,
  }));
}
