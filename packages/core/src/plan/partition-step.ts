// The part of a plan that one provider runs: values go in and out of its memory, sizes are bound, caches grow in place.

import { byteLength, type Dim, type DimBinding, DimProgram, type DType } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import type {
  Append,
  BoundExecutable,
  CompileContext,
  DeviceBuffer,
  Executable,
  ExecutionProvider,
} from '../provider/contract.ts';
import { elementCount } from '../session/tensor.ts';
import { checkReads, type ReadCheck } from './check-reads.ts';
import { SizeChecks } from './check-sizes.ts';
import { DeviceStorage } from './device-storage.ts';
import { LruCache } from './lru.ts';
import { type BuiltPartition, partitionSymbols } from './partition-program.ts';
import type { RunState, Step } from './run-state.ts';
import { RuntimeValue } from './runtime-value.ts';

/** Combinations of sizes whose bindings are kept. */
const keptBindings = 8;

/** Positions that a cache has room for at least, and how much more than it needs when it has to move. */
const leastRoom = 64;
const growth = 2;

/** An output of the partition: its own, or one that continues an input. */
interface OutputPlan {
  readonly value: Value;
  readonly dtype: Exclude<DType, 'string'>;
  /** Positions of its sizes in the step's program. */
  readonly shape: readonly number[];
  readonly append: (Append & { readonly position: number; readonly length: Dim }) | undefined;
}

/** What follows from sizes alone. */
interface Bound {
  readonly executable: BoundExecutable;
  readonly dims: readonly (readonly number[])[];
}

export class PartitionStep implements Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  readonly results: readonly Value[];
  readonly provider: ExecutionProvider;
  readonly executable: Executable;
  readonly #inputs: readonly Value[];
  readonly #outputs: readonly OutputPlan[];
  /** Of each symbol of capacities, the size that it has to be at least. */
  readonly #capacities: ReadonlyMap<string, Dim>;
  /** Of each symbol of capacities, the first output that has it: the others grow with it. */
  readonly #growing: readonly { readonly value: Value; readonly append: NonNullable<OutputPlan['append']> }[];
  readonly #symbols: readonly string[];
  readonly #reads: readonly ReadCheck[];
  readonly #checks: SizeChecks;
  /** Sizes of outputs. */
  readonly #dims = new DimProgram();
  readonly #bindings = new LruCache<Bound>(keptBindings, (bound) => bound.executable.dispose());

  private constructor(partition: BuiltPartition, provider: ExecutionProvider, executable: Executable) {
    this.nodes = partition.nodes;
    this.#reads = partition.reads;
    this.#checks = new SizeChecks(partition.nodes);
    this.operands = executable.inputs ?? partition.inputs;
    this.provider = provider;
    this.executable = executable;
    this.results = partition.outputs;
    this.#inputs = this.operands;
    this.#outputs = partition.outputs.map((value) => this.#planOutput(value));
    const capacities = new Map<string, Dim>();
    const growing: { value: Value; append: NonNullable<OutputPlan['append']> }[] = [];
    for (const { value, append } of this.#outputs) {
      if (!append) continue;
      if (!capacities.has(append.capacity)) growing.push({ value, append });
      capacities.set(append.capacity, append.length);
    }
    this.#capacities = capacities;
    this.#growing = growing;
    this.#symbols = partitionSymbols(partition.nodes);
  }

  #planOutput(value: Value): OutputPlan {
    const { type } = value;
    if (type?.kind !== 'tensor' || type.dtype === 'string' || !type.shape) {
      throw new OnnxTsError('INTERNAL', 'a provider makes tensors of numbers and known rank only.', {
        place: { value: value.name },
      });
    }
    const append = this.executable.appends?.find(({ output }) => output === value);
    return {
      value,
      dtype: type.dtype,
      shape: type.shape.map((dim) => this.#dims.position(dim)),
      append: append && {
        ...append,
        position: this.#inputs.indexOf(append.input),
        length: type.shape[append.axis],
      },
    };
  }

  static async compile(
    partition: BuiltPartition,
    provider: ExecutionProvider,
    context: CompileContext,
  ): Promise<PartitionStep> {
    return new PartitionStep(partition, provider, await provider.compile(partition, context));
  }

  /** Names of the sizes that it needs. */
  get symbols(): readonly string[] {
    return this.#symbols;
  }

  /**
   * The executable for concrete sizes, made when it is new. It stays the step's.
   * @param dims capacities that are left out are just enough
   * @throws OnnxTsError when the sizes do not fit
   */
  bind(dims: DimBinding): BoundExecutable {
    const binding = new Map(dims);
    for (const [symbol, length] of this.#capacities) {
      if (!binding.has(symbol)) binding.set(symbol, length.evaluate(dims));
    }
    return this.#bind(binding).executable;
  }

  #bind(dims: DimBinding): Bound {
    let key = '';
    for (const name of this.#symbols) key += `${dims.get(name)},`;
    for (const name of this.#capacities.keys()) key += `${dims.get(name)},`;
    let bound = this.#bindings.get(key);
    if (!bound) {
      this.#checks.check(dims);
      checkReads(this.#reads, dims);
      const sizes = this.#dims.evaluate(dims);
      const shapes = this.#outputs.map(({ shape }) => shape.map((at) => sizes[at]));
      bound = { executable: this.#makeBound(dims), dims: shapes };
      this.#bindings.set(key, bound);
    }
    return bound;
  }

  /** Made from the one that has not been used for longest, where there are enough. */
  #makeBound(dims: DimBinding): BoundExecutable {
    const spare = this.#bindings.evict()?.executable;
    if (!spare) return this.executable.bind(dims);
    try {
      if (spare.rebind?.(dims)) return spare;
    } catch (error) {
      spare.dispose();
      throw error;
    }
    spare.dispose();
    return this.executable.bind(dims);
  }

  async run(state: RunState): Promise<void> {
    const sizes = this.#capacities.size === 0 ? state.binding : this.#withCapacities(state);
    const bound = this.#bind(sizes);
    const results: RuntimeValue[] = [];
    try {
      for (const [at, output] of this.#outputs.entries()) {
        const result = this.#makeOutput(output, bound.dims[at], state, sizes);
        results.push(result instanceof Promise ? await result : result);
      }
      const buffers = await this.#buffers(results, state);
      const running = bound.executable.run(buffers, state.context);
      if (running) await running;
    } catch (error) {
      for (const [at, result] of results.entries()) {
        const { append } = this.#outputs[at];
        if (append) result.retract(state.get(append.input), append.axis);
        result.release();
      }
      throw error;
    }
    for (const [at, { value }] of this.#outputs.entries()) state.values.set(value, results[at]);
  }

  #makeOutput(
    { dtype, append }: OutputPlan,
    dims: readonly number[],
    state: RunState,
    sizes: DimBinding,
  ): RuntimeValue | Promise<RuntimeValue> {
    if (append) {
      const room = { axis: append.axis, capacity: sizes.get(append.capacity)! };
      return state.get(append.input).extend(this.provider, dims, room, canContinue(append, state));
    }
    const storage = new DeviceStorage(this.provider, byteLength(dtype, elementCount(dims)));
    return RuntimeValue.onDevice(storage, dtype, dims);
  }

  /** Of the inputs, then of the outputs; those that go on from an input have its buffer. */
  async #buffers(results: readonly RuntimeValue[], state: RunState): Promise<DeviceBuffer[]> {
    const inputCount = this.#inputs.length;
    const buffers = new Array<DeviceBuffer>(inputCount + results.length);
    for (const [at, { append }] of this.#outputs.entries()) {
      const { buffer } = results[at].storage!;
      buffers[inputCount + at] = buffer;
      if (append) buffers[append.position] = buffer;
    }
    for (const [at, value] of this.#inputs.entries()) {
      if (buffers[at]) continue;
      const buffer = state.get(value).device(this.provider);
      buffers[at] = buffer instanceof Promise ? await buffer : buffer;
    }
    return buffers;
  }

  /** The sizes of the run with the room that caches have, or will have when they are moved. */
  #withCapacities(state: RunState): Map<string, number> {
    const sizes = new Map(state.binding);
    for (const { value, append } of this.#growing) {
      const length = append.length.evaluate(state.binding);
      const present = canContinue(append, state) ? state.get(append.input).capacityOn(this.provider, append.axis) : 0;
      const wanted = state.kept?.get(value);
      const room = wanted === undefined ? length : Math.max(leastRoom, wanted, length * growth);
      sizes.set(append.capacity, present >= length ? present : room);
    }
    return sizes;
  }

  /** Intermediate memory of the bindings made so far is freed with them. */
  dispose(): void {
    this.#bindings.clear();
    this.executable.dispose();
  }
}

/** Whether an output may take the place of the input that it goes on from. */
function canContinue({ input, overwrites }: Append, { yielded }: RunState): boolean {
  return !overwrites || yielded?.has(input) === true;
}
