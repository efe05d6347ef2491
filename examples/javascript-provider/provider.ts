// A provider on the code-generator kit whose target is plain JavaScript: every operator that has a tensor form runs on it.
//
// compile: lower the partition, fuse it, take the weights. bind: plan memory for concrete sizes and make the functions.
// run: copy the inputs in, call the functions, copy the outputs out.

import {
  type BoundExecutable,
  bytesOf,
  type DeviceBuffer,
  type DeviceInfo,
  type Executable,
  type ExecutionProvider,
  type GraphNode,
  type HostBuffer,
  HostMemory,
  indexError,
  type LoweredPartition,
  OnnxTsError,
  type Partition,
  type ProviderFactory,
  planMemory,
  type RunContext,
  type Support,
  workOfKernel,
} from '@onnx-ts/core/provider';
import { type DimBinding, type FusedProgram, fuseProgram, type TensorRef } from '@onnx-ts/tensor-ir';
import { compileKernel, viewOf } from './kernel.ts';

const id = 'javascript';
const device: DeviceInfo = { provider: id, name: 'JavaScript functions', usable: true, properties: {} };

/** Rates of such functions: any provider that compiles is preferred where it can. */
const profile = { launch: 1e-5, flops: 2e7, bandwidth: 1e8, transferLatency: 0, transferBandwidth: 1e10 };

/** Where arrays may begin: what the widest elements need. */
const alignment = 16;

export function javascript(): ProviderFactory {
  return {
    id,
    apiVersion: 1,
    discover: async () => [device],
    open: async (_device, options = {}) => new JavaScriptProvider(options.memoryBudget),
  };
}

class JavaScriptProvider implements ExecutionProvider {
  readonly id = id;
  readonly device = device;
  readonly profile = profile;
  readonly memory: HostMemory;

  constructor(budget: number | undefined) {
    this.memory = new HostMemory(id, budget);
  }

  supports(node: GraphNode): Support {
    if (!node.operator?.lower) return { ok: false, reason: 'the operator has no tensor form' };
    const values = [...node.inputs, ...node.outputs].filter((value) => value !== undefined);
    const stranger = values.find(({ type }) => type?.kind !== 'tensor' || /string|complex/.test(type.dtype));
    return stranger ? { ok: false, reason: `"${stranger.name}" is no tensor of real numbers` } : { ok: true };
  }

  async compile(partition: Partition): Promise<Executable> {
    return new FunctionPartition(partition, this.memory);
  }

  async dispose(): Promise<void> {}
}

class FunctionPartition implements Executable {
  readonly inputs;
  readonly kernels;
  readonly weightBytes: number;
  readonly #lowered: LoweredPartition;
  readonly #outputs: readonly TensorRef[];
  readonly #fused: FusedProgram;
  readonly #memory: HostMemory;
  readonly #weights = new Map<TensorRef, HostBuffer>();

  constructor(partition: Partition, memory: HostMemory) {
    this.#memory = memory;
    this.#lowered = partition.lower();
    this.inputs = this.#lowered.inputs;
    this.#outputs = partition.outputs.map((value) => this.#lowered.tensors.get(value)!);
    this.#fused = fuseProgram(this.#lowered.program);
    this.kernels = this.#fused.kernels.map((kernel) => {
      const { reads, writes, arithmetic } = workOfKernel(kernel);
      const nodes = kernel.origins.flatMap((origin) => (origin as GraphNode | undefined)?.name ?? []);
      return { name: kernel.name, kind: kernel.class, nodes, flops: arithmetic, bytes: reads.add(writes) };
    });
    try {
      for (const [ref, tensor] of this.#lowered.constants) {
        const buffer = memory.allocate(tensor.byteLength);
        this.#weights.set(ref, buffer);
        memory.upload(tensor, buffer);
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.weightBytes = [...this.#weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  bind(dims: DimBinding): BoundExecutable {
    const { aliases, kernels, locals } = this.#fused;
    const inputs = this.inputs.map((value) => this.#lowered.tensors.get(value)!);
    const rootOf = (tensor: TensorRef): TensorRef => (aliases.has(tensor) ? rootOf(aliases.get(tensor)!) : tensor);
    // Everything that is not a weight lies in one block: inputs from the start, outputs to the end.
    const owned = [...new Set([...inputs, ...locals, ...this.#outputs])].filter((ref) => rootOf(ref) === ref);
    const lives = owned.map((ref) => {
      const uses = kernels.flatMap((kernel, at) => {
        const touched = [...kernel.params, ...kernel.outputs.map(({ tensor }) => tensor)];
        return touched.some((tensor) => rootOf(tensor) === ref) ? [at] : [];
      });
      return {
        bytes: bytesOf(ref, dims),
        first: inputs.includes(ref) ? 0 : (uses[0] ?? 0),
        last: this.#outputs.includes(ref) ? kernels.length : (uses.at(-1) ?? 0),
      };
    });
    const plan = planMemory(lives, alignment);
    const block = this.#memory.allocate(plan.bytes);
    const offsets = new Map(owned.map((ref, at) => [ref, plan.offsets[at]]));
    const bufferOf = (tensor: TensorRef) => {
      const root = rootOf(tensor);
      const weight = this.#weights.get(root);
      return weight ? viewOf(tensor, weight.bytes, 0, dims) : viewOf(tensor, block.bytes, offsets.get(root)!, dims);
    };
    const bytes = (ref: TensorRef): Uint8Array =>
      block.bytes.subarray(offsets.get(rootOf(ref))!, offsets.get(rootOf(ref))! + bytesOf(ref, dims));
    try {
      const steps = kernels.map((kernel) =>
        compileKernel(kernel, { dims, bufferOf, outOfRange: (origin) => fail(indexError(id, origin)) }),
      );
      const [given, results] = [inputs.map(bytes), this.#outputs.map(bytes)];
      return {
        scratchBytes: plan.bytes,
        scratchLowerBound: plan.lowerBound,
        run: (buffers, context) => {
          for (const [at, target] of given.entries()) target.set(bytesIn(buffers[at], target.length));
          this.#runSteps(steps, context);
          for (const [at, result] of results.entries()) bytesIn(buffers[given.length + at], result.length).set(result);
        },
        dispose: () => this.#memory.free(block),
      };
    } catch (error) {
      this.#memory.free(block);
      throw error;
    }
  }

  #runSteps(steps: readonly (() => void)[], { signal, trace }: RunContext): void {
    for (const [at, step] of steps.entries()) {
      if (signal?.aborted) throw new OnnxTsError('ABORTED', 'the run was aborted.', { cause: signal.reason });
      const start = performance.now();
      step();
      const { name, kind, nodes } = this.kernels[at];
      trace?.({ name, kind, nodes, start, duration: performance.now() - start });
    }
  }

  dispose(): void {
    for (const buffer of this.#weights.values()) this.#memory.free(buffer);
    this.#weights.clear();
  }
}

function bytesIn(buffer: DeviceBuffer, count: number): Uint8Array {
  return (buffer as HostBuffer).bytes.subarray(0, count);
}

function fail(error: Error): never {
  throw error;
}
