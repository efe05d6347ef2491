// The reference provider: interprets the tensor IR stage by stage. Slow and obviously right: the oracle for all others.

import type { DimBinding } from '@onnx-ts/tensor-ir';
import { interpretProgram, type Stage, type TensorBuffer, type TensorRef } from '@onnx-ts/tensor-ir';
import type { GraphNode } from '../graph/graph.ts';
import { computationError, outOfRange } from '../session/host-evaluator.ts';
import { arrayTypeOf } from '../session/tensor.ts';
import type {
  BoundExecutable,
  DeviceBuffer,
  DeviceInfo,
  Executable,
  ExecutionProvider,
  LoweredPartition,
  Partition,
  ProviderFactory,
} from './contract.ts';
import { type HostBuffer, HostMemory } from './host-memory.ts';

const device: DeviceInfo = {
  provider: 'reference',
  name: 'TypeScript interpreter',
  usable: true,
  properties: { threads: 1 },
};

/** Rates of an interpreter: any other provider is preferred where it can. */
const profile = { launch: 1e-6, flops: 2e7, bandwidth: 1e8, transferLatency: 0, transferBandwidth: 1e10 };

/** For tests and for checking other providers. */
export function reference(): ProviderFactory {
  return {
    id: 'reference',
    apiVersion: 1,
    discover: async () => [device],
    open: async (_device, options = {}) => new ReferenceProvider(options.memoryBudget ?? Infinity),
  };
}

class ReferenceProvider implements ExecutionProvider {
  readonly id = 'reference';
  readonly device = device;
  readonly profile = profile;
  readonly memory: HostMemory;

  constructor(budget: number) {
    this.memory = new HostMemory('reference', budget);
  }

  supports(node: GraphNode) {
    if (node.operator?.lower) return { ok: true } as const;
    return { ok: false, reason: 'the operator has no tensor form' } as const;
  }

  async compile(partition: Partition): Promise<Executable> {
    return new InterpretedPartition(partition);
  }

  async dispose(): Promise<void> {}
}

class InterpretedPartition implements Executable {
  readonly #partition: Partition;
  readonly #lowered: LoweredPartition;
  readonly inputs;
  readonly #constants = new Map<TensorRef, TensorBuffer>();
  readonly kernels;

  constructor(partition: Partition) {
    this.#partition = partition;
    this.#lowered = partition.lower();
    this.inputs = this.#lowered.inputs;
    for (const [ref, tensor] of this.#lowered.constants) {
      this.#constants.set(ref, { dtype: tensor.type, dims: tensor.dims, data: tensor.data });
    }
    this.kernels = this.#lowered.program.stages.map((stage) => ({
      name: stage.name,
      kind: stage.kind,
      nodes: [(stage.origin as GraphNode | undefined)?.name ?? ''],
    }));
  }

  bind(dims: DimBinding): BoundExecutable {
    const { inputs, tensors, program } = this.#lowered;
    const { outputs } = this.#partition;
    const view = (tensor: TensorRef, buffer: DeviceBuffer): TensorBuffer => {
      const sizes = tensor.shape.map((dim) => dim.evaluate(dims));
      const Storage = arrayTypeOf(tensor.dtype as 'float32');
      const { bytes } = buffer as HostBuffer;
      return {
        dtype: tensor.dtype,
        dims: sizes,
        data: new Storage(bytes.buffer, 0, bytes.byteLength / Storage.BYTES_PER_ELEMENT),
      };
    };
    return {
      scratchBytes: 0,
      run: (buffers, { signal }) => {
        const given = new Map(this.#constants);
        for (const [at, value] of inputs.entries()) {
          const tensor = tensors.get(value)!;
          given.set(tensor, view(tensor, buffers[at]));
        }
        const results = interpretProgram(program, given, dims, {
          ...(signal && { signal }),
          onOutOfRange: (stage: Stage, index: number, size: number) =>
            outOfRange(stage.origin as GraphNode, index, size),
          onFailure: (stage: Stage, error: unknown): never => {
            throw computationError(stage.origin as GraphNode, error);
          },
        });
        for (const [at, value] of outputs.entries()) {
          const result = results.get(tensors.get(value)!)!;
          const data = result.data as Uint8Array;
          (buffers[inputs.length + at] as HostBuffer).bytes.set(
            new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
          );
        }
      },
      dispose: () => {},
    };
  }

  dispose(): void {
    this.#constants.clear();
  }
}
