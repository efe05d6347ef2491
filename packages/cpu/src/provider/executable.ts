// A compiled partition: where its weights are, and its bindings to concrete sizes.

import {
  type BoundExecutable,
  type DeviceBuffer,
  type Executable,
  type GraphNode,
  type KernelInfo,
  type LoweredPartition,
  OnnxTsError,
  type Partition,
  type RunContext,
  type Tensor,
} from '@onnx-ts/core/provider';
import {
  byteLength,
  type Dim,
  type DimBinding,
  type FusedProgram,
  type Kernel,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import type { ArgumentWord } from '../kernel/argument-words.ts';
import type { CompiledPhase } from '../kernel/compile-kernel.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { readErrorRecord } from '../runtime/kernel-error.ts';
import { Binding } from './binding.ts';
import { BindingPlan } from './binding-plan.ts';
import type { CpuProvider, WasmBuffer } from './cpu-provider.ts';
import { describeKernel } from './describe-kernel.ts';

export interface LaunchableKernel {
  readonly kernel: Kernel;
  /** The name of the template that it was given to, or its class. */
  readonly kind: string;
  readonly words: readonly ArgumentWord[];
  readonly scratchBytes: Dim;
  readonly errorSites: readonly ErrorSite[];
  readonly phases: readonly (CompiledPhase & { readonly tableIndex: number })[];
}

export class CpuExecutable implements Executable {
  readonly provider: CpuProvider;
  readonly partition: Partition;
  readonly lowered: LoweredPartition;
  readonly inputs: LoweredPartition['inputs'];
  readonly fused: FusedProgram;
  readonly kernels: readonly KernelInfo[];
  readonly #infos: ReadonlyMap<LaunchableKernel, KernelInfo>;
  readonly module: number;
  /** Kernels that run each time. */
  readonly launches: readonly LaunchableKernel[];
  /** Kernels that depend on weights alone: they ran once, at load. */
  readonly #constantLaunches: readonly LaunchableKernel[];
  /** Addresses of weights and of what was computed from them. */
  readonly #constants = new Map<TensorRef, number>();
  readonly #bindings = new Set<Binding>();
  #plan: BindingPlan | undefined;

  constructor(
    provider: CpuProvider,
    partition: Partition,
    lowered: LoweredPartition,
    fused: FusedProgram,
    launches: readonly LaunchableKernel[],
    module: number,
  ) {
    this.provider = provider;
    this.partition = partition;
    this.lowered = lowered;
    this.inputs = lowered.inputs;
    this.fused = fused;
    this.module = module;
    const outputs = new Set(fused.kernels.flatMap((kernel) => kernel.outputs).map(({ tensor }) => tensor));
    for (const local of fused.locals) outputs.delete(local);
    const isConstant = ({ kernel }: LaunchableKernel): boolean =>
      kernel.outputs.every(({ tensor }) => tensor.isConstant && !outputs.has(tensor));
    this.launches = launches.filter((launch) => !isConstant(launch));
    this.#constantLaunches = launches.filter(isConstant);
    this.kernels = launches.map((launch) => describeKernel(launch.kernel, launch.kind, isConstant(launch)));
    this.#infos = new Map(launches.map((launch, at) => [launch, this.kernels[at]]));
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
    let storage = tensor;
    for (let next = this.fused.aliases.get(storage); next; next = this.fused.aliases.get(storage)) storage = next;
    return storage;
  }

  constantAddress(storage: TensorRef): number | undefined {
    return this.#constants.get(storage);
  }

  /**
   * Puts the weights in their place and runs what depends on them alone. Each weight comes when it is first needed and goes
   * after its last one-time kernel, so that reordering a model takes little more memory than holding it.
   */
  async load(constants: ReadonlyMap<TensorRef, Tensor>): Promise<void> {
    const kept = new Set<TensorRef>();
    for (const { kernel } of this.launches) for (const param of kernel.params) kept.add(this.storageOf(param));
    const lastUse = new Map<TensorRef, number>();
    for (const [at, { kernel }] of this.#constantLaunches.entries()) {
      for (const param of kernel.params) lastUse.set(this.storageOf(param), at);
    }
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
      scratchBytes: binding.arenaBytes,
      scratchLowerBound: binding.arenaLowerBound,
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
    const node = site?.origin as GraphNode | undefined;
    throw new OnnxTsError('OUT_OF_RANGE', 'an index that was read from data is out of range.', {
      place: {
        provider: 'cpu',
        ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
      },
      hint: 'Check the indices that are fed to the model.',
    });
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

/** @throws OnnxTsError when the size is negative or beyond what memory can address */
export function bytesOf(tensor: TensorRef, dims: DimBinding): number {
  let count = 1;
  for (const dim of tensor.shape) {
    const size = dim.evaluate(dims);
    if (size < 0) {
      throw new OnnxTsError('INVALID_INPUT', `the size ${dim} = ${size} is negative.`, {
        place: { value: tensor.name },
      });
    }
    count *= size;
  }
  return byteLength(tensor.dtype, count);
}
