// The short way to a provider: hand-written kernels by operator name. Core does the rest.

import type { DType } from '@onnx-ts/tensor-ir';
import type { GraphNode, Value } from '../graph/graph.ts';
import { readAttributes } from '../ops/context.ts';
import { checkAborted } from '../plan/run-state.ts';
import { concreteDims } from '../plan/runtime-value.ts';
import { arrayTypeOf, dataLength, elementCount, Tensor } from '../session/tensor.ts';
import type {
  BoundExecutable,
  DeviceBuffer,
  DeviceInfo,
  DeviceProfile,
  Executable,
  ExecutionProvider,
  Partition,
  ProviderFactory,
  RunContext,
  Support,
} from './contract.ts';
import { type HostBuffer, HostMemory } from './host-memory.ts';

/** One run of one node. */
export interface KernelCall {
  readonly node: GraphNode;
  /** Attributes by name, defaults filled in. */
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Undefined for omitted optional inputs. Do not write to them, nor keep them. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** To be filled: element types and dims are right already. Undefined for outputs that nobody reads. */
  readonly outputs: readonly (Tensor | undefined)[];
  readonly signal: AbortSignal | undefined;
}

export interface PackedKernel {
  /** Whether it can do a node with these types; absent means all. Name the reason when it cannot. */
  supports?(node: GraphNode): Support;
  run(call: KernelCall): void | Promise<void>;
}

export interface KernelPackOptions {
  /** Id of the provider. */
  readonly id: string;
  /** By operator name, with the domain before a colon when it is not ai.onnx: `MatMul`, `com.example:Fancy`. */
  readonly kernels: Readonly<Record<string, PackedKernel | PackedKernel['run']>>;
  /** Rates of its kernels. With them they are used where they save time; without, wherever they can be. */
  readonly profile?: Partial<DeviceProfile>;
}

const typical: DeviceProfile = {
  launch: 1e-6,
  flops: 1e9,
  bandwidth: 1e9,
  transferLatency: 0,
  transferBandwidth: 1e10,
};

/** A provider that runs the operators it has kernels for on typed arrays of the host. */
export function kernelPack(options: KernelPackOptions): ProviderFactory {
  const device: DeviceInfo = { provider: options.id, name: `kernels of ${options.id}`, usable: true, properties: {} };
  return {
    id: options.id,
    apiVersion: 1,
    discover: async () => [device],
    open: async (_device, open = {}) => new KernelPackProvider(options, device, open.memoryBudget),
  };
}

class KernelPackProvider implements ExecutionProvider {
  readonly id: string;
  readonly device: DeviceInfo;
  readonly profile: DeviceProfile;
  readonly takesAll: boolean;
  readonly memory: HostMemory;
  readonly #kernels: ReadonlyMap<string, PackedKernel>;

  constructor(options: KernelPackOptions, device: DeviceInfo, budget: number | undefined) {
    this.id = options.id;
    this.device = device;
    this.profile = { ...typical, ...options.profile };
    this.takesAll = options.profile === undefined;
    this.memory = new HostMemory(options.id, budget);
    this.#kernels = new Map(
      Object.entries(options.kernels).map(([name, kernel]) => [
        name,
        typeof kernel === 'function' ? { run: kernel } : kernel,
      ]),
    );
  }

  kernelOf(node: GraphNode): PackedKernel | undefined {
    return this.#kernels.get(node.domain ? `${node.domain}:${node.op}` : node.op);
  }

  supports(node: GraphNode): Support {
    const kernel = this.kernelOf(node);
    if (!kernel) return { ok: false, reason: 'no kernel for this operator' };
    const values = [...node.inputs, ...node.outputs].filter((value) => value !== undefined);
    if (!values.every((value) => value.type?.kind === 'tensor' && value.type.dtype !== 'string')) {
      return { ok: false, reason: 'only tensors of numbers are handled' };
    }
    return kernel.supports?.(node) ?? { ok: true };
  }

  async compile(partition: Partition): Promise<Executable> {
    return new PackedPartition(this, partition);
  }

  async dispose(): Promise<void> {}
}

class PackedPartition implements Executable {
  readonly #provider: KernelPackProvider;
  readonly #partition: Partition;
  readonly kernels;
  /** Kept here: core lets go of the data of constants after compile. */
  readonly #constants = new Map<Value, Tensor>();

  constructor(provider: KernelPackProvider, partition: Partition) {
    this.#provider = provider;
    this.#partition = partition;
    this.kernels = partition.nodes.map((node) => ({ name: node.name, kind: node.op, nodes: [node.name] }));
    for (const node of partition.nodes) {
      for (const value of node.inputs) {
        const constant = value?.constant;
        if (value && constant) this.#constants.set(value, new Tensor(constant.type, constant.data, constant.dims));
      }
    }
  }

  bind(binding: ReadonlyMap<string, number>): BoundExecutable {
    const dims = new Map(binding);
    const { inputs, outputs, nodes } = this.#partition;
    return {
      scratchBytes: 0,
      run: async (buffers, context) => {
        const tensors = new Map(this.#constants);
        for (const [at, value] of [...inputs, ...outputs].entries())
          tensors.set(value, viewOf(value, buffers[at], dims));
        for (const node of nodes) await this.#runNode(node, tensors, dims, context);
      },
      dispose: () => {},
    };
  }

  async #runNode(node: GraphNode, tensors: Map<Value, Tensor>, dims: ReadonlyMap<string, number>, context: RunContext) {
    checkAborted(context.signal);
    const outputs = node.outputs.map((value) => {
      if (!value) return undefined;
      const tensor = tensors.get(value) ?? emptyTensor(value, dims);
      tensors.set(value, tensor);
      return tensor;
    });
    const start = performance.now();
    await this.#provider.kernelOf(node)!.run({
      node,
      attributes: readAttributes(node, node.operator!.attributes),
      inputs: node.inputs.map((value) => value && tensors.get(value)),
      outputs,
      signal: context.signal,
    });
    context.trace?.({ name: node.name, kind: node.op, start, duration: performance.now() - start });
  }

  dispose(): void {
    this.#constants.clear();
  }
}

type Stored = Exclude<DType, 'string'>;

function viewOf(value: Value, buffer: DeviceBuffer, dims: ReadonlyMap<string, number>): Tensor {
  const type = dtypeOf(value);
  const sizes = concreteDims(value.type, dims, `"${value.name}"`);
  const { bytes } = buffer as HostBuffer;
  const data = new (arrayTypeOf(type))(bytes.buffer, bytes.byteOffset, dataLength(type, elementCount(sizes)));
  return new Tensor(type, data, sizes);
}

function emptyTensor(value: Value, dims: ReadonlyMap<string, number>): Tensor {
  const type = dtypeOf(value);
  const sizes = concreteDims(value.type, dims, `"${value.name}"`);
  return new Tensor(type, new (arrayTypeOf(type))(dataLength(type, elementCount(sizes))), sizes);
}

function dtypeOf(value: Value): Stored {
  return (value.type as { readonly dtype: Stored }).dtype;
}
