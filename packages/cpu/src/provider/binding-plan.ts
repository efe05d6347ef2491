// What the bindings of an executable have in common: everything about kernels, arguments and memory that does not depend
// on concrete sizes. A text that grows by a token at a time makes a binding for each, so that must cost little.

import { type LifeTime, type MemoryPlan, OnnxTsError, planMemory } from '@onnx-ts/core/provider';
import { byteLength, type DimBinding, DimProgram, type DType, type TensorRef } from '@onnx-ts/tensor-ir';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import type { LaunchableKernel } from './compiled-program.ts';
import type { CpuExecutable } from './executable.ts';

/** A phase of a kernel, with its sizes as positions in the table. */
export interface PlannedPhase {
  readonly launch: LaunchableKernel;
  readonly isFirst: boolean;
  readonly kernel: number;
  /** First word of its arguments. */
  readonly argumentWord: number;
  readonly tiles: number;
  /** Of repeated phases. */
  readonly turns: number | undefined;
  readonly tilePoints: number;
  readonly pointNanoseconds: number;
  readonly barrier: boolean;
}

/** A word of the arguments, and the number of what belongs there. */
export interface WordUse {
  readonly word: number;
  readonly at: number;
}

/** Locals of equal type and sizes. */
interface LocalKind {
  readonly name: string;
  readonly dtype: DType;
  /** Positions in the table. */
  readonly shape: readonly number[];
  count: number;
}

interface Local {
  readonly kind: number;
  readonly first: number;
  readonly last: number;
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
  /** Whether each phase is one step of the program, or none. */
  readonly isPlain: boolean;
  readonly scratch: readonly number[];
  readonly errorSites: readonly ErrorSite[];
  /** Of each position in the table, the words that hold the size, and the phases that depend on it. */
  readonly #wordsOf: number[][] = [];
  readonly #phasesOf: number[][] = [];
  /** Distinct sizes, each evaluated once for a binding. */
  readonly #sizes = new DimProgram();
  readonly #kinds: LocalKind[] = [];
  readonly #locals: readonly Local[];
  /** Planned bytes of each kind. */
  #memory: { readonly bytes: Float64Array; readonly plan: MemoryPlan } | undefined;

  constructor(executable: CpuExecutable, launches: readonly LaunchableKernel[]) {
    const locals = localsOf(executable, launches);
    const kinds = new Map<string, number>();
    this.#locals = [...locals].map(([tensor, life]) => ({ kind: this.#kindOf(tensor, kinds), ...life }));
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
          turns: phase.turns && this.#sizes.position(phase.turns),
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
    this.isPlain = phases.every(({ turns }) => turns === undefined);
    this.scratch = [...scratch];
    this.errorSites = errorSites;
    for (const { word, at } of sizeWords) (this.#wordsOf[at] ??= []).push(word);
    for (const [number, { tiles, turns, tilePoints }] of phases.entries()) {
      for (const at of new Set([tiles, turns ?? tiles, tilePoints])) (this.#phasesOf[at] ??= []).push(number);
    }
  }

  /** Words that hold the size at a position. */
  wordsOf(position: number): readonly number[] {
    return this.#wordsOf[position] ?? [];
  }

  /** Numbers of the phases that depend on the size at a position. */
  phasesOf(position: number): readonly number[] {
    return this.#phasesOf[position] ?? [];
  }

  #kindOf({ name, dtype, shape }: TensorRef, kinds: Map<string, number>): number {
    const positions = shape.map((dim) => this.#sizes.position(dim));
    const key = `${dtype} ${positions}`;
    const number = kinds.get(key) ?? this.#kinds.push({ name, dtype, shape: positions, count: 0 }) - 1;
    kinds.set(key, number);
    this.#kinds[number].count++;
    return number;
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
    const bytes = new Float64Array(this.#kinds.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = bytesOfLocal(this.#kinds[at], sizes);
    const before = this.#memory;
    if (before && this.#fits(bytes, before.bytes)) return before.plan;
    const planned = before ? bytes.map((size, at) => (size === before.bytes[at] ? size : withSlack(size))) : bytes;
    const lives = this.#locals.map(({ kind, first, last }): LifeTime => ({ bytes: planned[kind], first, last }));
    const plan = planMemory(lives, ALIGNMENT);
    this.#memory = { bytes: planned, plan };
    return plan;
  }

  #fits(bytes: Float64Array, planned: Float64Array): boolean {
    let [sum, plannedSum] = [0, 0];
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] > planned[at]) return false;
      const { count } = this.#kinds[at];
      sum += count * bytes[at];
      plannedSum += count * planned[at];
    }
    return sum >= plannedSum * worthKeeping || plannedSum - sum < littleBytes;
  }
}

/** How much of a plan must be in use for it to be kept, and bytes that may lie idle in any case. */
const worthKeeping = 0.8;
const littleBytes = 1 << 20;

/** What a plan leaves for a local that grows: an eighth, but small ones, which grow by large parts, as much again. */
function withSlack(bytes: number): number {
  return bytes + Math.max(Math.ceil(bytes / 8), Math.min(bytes, 1 << 14));
}

function bytesOfLocal({ name, dtype, shape }: LocalKind, sizes: Float64Array): number {
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
  const isLocal = new Set(executable.program.locals);
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
function buffersOf({ partition, program }: CpuExecutable): ReadonlyMap<TensorRef, number> {
  const values = [...program.inputs, ...partition.outputs];
  return new Map(values.map((value, at) => [program.tensors.get(value)!, at]));
}
