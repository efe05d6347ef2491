// What the bindings of an executable have in common: everything about kernels, arguments and memory that does not depend
// on concrete sizes. A text that grows by a token at a time makes a binding for each, so that must cost little.

import { type LifeTime, type MemoryPlan, OnnxTsError, planMemory } from '@onnx-ts/core/provider';
import { byteLength, type Dim, type DimBinding, type DType, type TensorRef } from '@onnx-ts/tensor-ir';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import type { CpuExecutable, LaunchableKernel } from './executable.ts';

/** A phase of a kernel, with its sizes as positions in the table. */
export interface PlannedPhase {
  readonly launch: LaunchableKernel;
  readonly isFirst: boolean;
  readonly kernel: number;
  /** First word of its arguments. */
  readonly argumentWord: number;
  readonly tiles: number;
  readonly tilePoints: number;
  readonly pointNanoseconds: number;
  readonly barrier: boolean;
}

/** A word of the arguments, and the number of what belongs there. */
export interface WordUse {
  readonly word: number;
  readonly at: number;
}

interface Local {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly first: number;
  readonly last: number;
}

/** Distinct sizes, each evaluated once for a binding. */
class SizeTable {
  readonly #dims: Dim[] = [];
  readonly #positions = new Map<string, number>();

  position(dim: Dim): number {
    const known = this.#positions.get(dim.key);
    if (known !== undefined) return known;
    this.#positions.set(dim.key, this.#dims.length);
    return this.#dims.push(dim) - 1;
  }

  evaluate(dims: DimBinding): Float64Array {
    const sizes = new Float64Array(this.#dims.length);
    for (let at = 0; at < sizes.length; at++) sizes[at] = this.#dims[at].evaluate(dims);
    return sizes;
  }
}

export class BindingPlan {
  /** Arguments of all kernels; words that depend on sizes or places are 0. */
  readonly words: Int32Array;
  /** Words that hold a size, by its position in the table. */
  readonly sizeWords: readonly WordUse[];
  /** Words that hold an address: of a local by its number, of an input or output of the partition by its number. */
  readonly localWords: readonly WordUse[];
  readonly bufferWords: readonly WordUse[];
  readonly phases: readonly PlannedPhase[];
  readonly scratch: readonly number[];
  readonly errorSites: readonly ErrorSite[];
  readonly #sizes = new SizeTable();
  readonly #locals: readonly Local[];
  #memory: { readonly bytes: Float64Array; readonly plan: MemoryPlan } | undefined;

  constructor(executable: CpuExecutable, launches: readonly LaunchableKernel[]) {
    const locals = localsOf(executable, launches);
    this.#locals = [...locals].map(([tensor, { first, last }]) => {
      const shape = tensor.shape.map((dim) => this.#sizes.position(dim));
      return { name: tensor.name, dtype: tensor.dtype, shape, first, last };
    });
    const numbers = new Map([...locals.keys()].map((tensor, at) => [tensor, at]));
    const buffers = buffersOf(executable);
    const words: number[] = [];
    const sizeWords: WordUse[] = [];
    const localWords: WordUse[] = [];
    const bufferWords: WordUse[] = [];
    const errorSites: ErrorSite[] = [];
    const phases: PlannedPhase[] = [];
    const scratch = new Set<number>();
    for (const launch of launches) {
      const argumentWord = words.length;
      for (const item of launch.words) {
        const word = words.push(0) - 1;
        if (item.kind === 'site') words[word] = errorSites.length;
        else if (item.kind === 'dim') {
          if (item.dim.constant !== undefined) words[word] = item.dim.constant;
          else sizeWords.push({ word, at: this.#sizes.position(item.dim) });
        } else {
          const storage = executable.storageOf(item.tensor);
          const address = executable.constantAddress(storage);
          const local = numbers.get(storage);
          const buffer = buffers.get(storage);
          if (address !== undefined) words[word] = address;
          else if (local !== undefined) localWords.push({ word, at: local });
          else if (buffer !== undefined) bufferWords.push({ word, at: buffer });
          else {
            const place = { value: item.tensor.name };
            throw new OnnxTsError('INTERNAL', 'a tensor has no place in memory.', { place });
          }
        }
      }
      // Arguments of different kernels have different addresses.
      if (words.length === argumentWord) words.push(0);
      errorSites.push(...launch.errorSites);
      scratch.add(this.#sizes.position(launch.scratchBytes));
      for (const [at, phase] of launch.phases.entries()) {
        phases.push({
          launch,
          isFirst: at === 0,
          kernel: phase.tableIndex,
          argumentWord,
          tiles: this.#sizes.position(phase.tiles),
          tilePoints: this.#sizes.position(phase.tilePoints),
          pointNanoseconds: phase.pointNanoseconds,
          barrier: phase.barrier,
        });
      }
    }
    this.words = Int32Array.from(words);
    this.sizeWords = sizeWords;
    this.localWords = localWords;
    this.bufferWords = bufferWords;
    this.phases = phases;
    this.scratch = [...scratch];
    this.errorSites = errorSites;
  }

  /** The values of all positions. */
  sizes(dims: DimBinding): Float64Array {
    return this.#sizes.evaluate(dims);
  }

  /**
   * Where locals are in the arena. The plan before is used again while it fits; one that follows another leaves room to
   * grow.
   * @throws OnnxTsError when a size is negative
   */
  memory(sizes: Float64Array): MemoryPlan {
    const bytes = new Float64Array(this.#locals.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = bytesOfLocal(this.#locals[at], sizes);
    const before = this.#memory;
    if (before && fits(bytes, before.bytes)) return before.plan;
    const planned = before
      ? bytes.map((size, at) => (size === before.bytes[at] ? size : Math.ceil(size * slack)))
      : bytes;
    const lives = this.#locals.map(({ first, last }, at): LifeTime => ({ bytes: planned[at], first, last }));
    const plan = planMemory(lives, ALIGNMENT);
    this.#memory = { bytes: planned, plan };
    return plan;
  }
}

/** What a plan leaves for locals that grow, and how much of a plan must be in use for it to be kept. */
const slack = 1.125;
const worthKeeping = 0.8;

function fits(bytes: Float64Array, planned: Float64Array): boolean {
  let [sum, plannedSum] = [0, 0];
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] > planned[at]) return false;
    sum += bytes[at];
    plannedSum += planned[at];
  }
  return sum >= plannedSum * worthKeeping;
}

function bytesOfLocal({ name, dtype, shape }: Local, sizes: Float64Array): number {
  let count = 1;
  for (const at of shape) {
    if (sizes[at] < 0) {
      throw new OnnxTsError('INVALID_INPUT', `the size ${sizes[at]} is negative.`, { place: { value: name } });
    }
    count *= sizes[at];
  }
  // Vector code may read up to a vector past the end of what it was given.
  return byteLength(dtype, count) + 16;
}

/** Tensors of the arena, with the first and the last kernel that has to do with each. */
function localsOf(executable: CpuExecutable, launches: readonly LaunchableKernel[]) {
  const locals = new Map<TensorRef, { first: number; last: number }>();
  const isLocal = new Set(executable.fused.locals);
  for (const [at, { kernel }] of launches.entries()) {
    for (const tensor of [...kernel.params, ...kernel.outputs.map((output) => output.tensor)]) {
      const storage = executable.storageOf(tensor);
      if (!isLocal.has(storage) || executable.constantAddress(storage) !== undefined) continue;
      const life = locals.get(storage);
      if (life) life.last = at;
      else locals.set(storage, { first: at, last: at });
    }
  }
  return locals;
}

/** Inputs, then outputs, of the partition. */
function buffersOf({ partition, lowered }: CpuExecutable): ReadonlyMap<TensorRef, number> {
  const values = [...lowered.inputs, ...partition.outputs];
  return new Map(values.map((value, at) => [lowered.tensors.get(value)!, at]));
}
