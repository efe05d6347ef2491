// An executable bound to concrete sizes: argument blocks, arena offsets and the step program, in linear memory.

import { type LifeTime, OnnxTsError, planMemory, type TraceEvent } from '@onnx-ts/core/provider';
import type { DimBinding, TensorRef } from '@onnx-ts/tensor-ir';
import { grainOf } from '../kernel/compile-kernel.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import { MAXIMUM_TILES, programBytes, type Step, writeProgram } from '../runtime/step-program.ts';
import { bytesOf, type CpuExecutable, type LaunchableKernel } from './executable.ts';

/** Nanoseconds of work below which waking other threads costs more than it gains. */
const worthSharing = 10_000;

type Place =
  | { readonly kind: 'fixed'; readonly address: number }
  | { readonly kind: 'arena'; readonly offset: number }
  | { readonly kind: 'buffer'; readonly index: number };

interface Patch {
  /** Index of the word in linear memory. */
  readonly word: number;
  readonly place: Exclude<Place, { kind: 'fixed' }>;
}

/** A part of a kernel that runs as one step. */
interface TracedStep {
  readonly launch: LaunchableKernel;
  readonly isFirst: boolean;
}

export class Binding {
  readonly program: number;
  readonly stepCount: number;
  /** Threads worth waking. */
  readonly threads: number;
  readonly arenaBytes: number;
  readonly arenaLowerBound: number;
  readonly errorSites: ErrorSite[] = [];
  readonly #executable: CpuExecutable;
  readonly #arguments: number;
  readonly #patches: Patch[] = [];
  readonly #traced: TracedStep[] = [];
  readonly #dims: DimBinding;
  /** What is reported about each step, made for the first run that is traced. */
  #events: readonly Omit<TraceEvent, 'start' | 'duration'>[] | undefined;
  #buffers: readonly number[] = [];
  #arenaAddress = -1;
  #isPatched = false;
  #isDisposed = false;

  /** @throws OnnxTsError when sizes do not fit the model, or memory is short */
  constructor(executable: CpuExecutable, launches: readonly LaunchableKernel[], dims: DimBinding) {
    this.#executable = executable;
    this.#dims = dims;
    const { provider } = executable;
    const { memory, pool } = provider;
    const plan = this.#planArena(launches, dims);
    this.arenaBytes = plan.bytes;
    this.arenaLowerBound = plan.lowerBound;
    const places = this.#places(plan.offsets);
    let scratch = 0;
    for (const launch of launches) scratch = Math.max(scratch, launch.scratchBytes.evaluate(dims));
    const wordCount = launches.reduce((sum, launch) => sum + Math.max(1, launch.words.length), 0);
    pool.reserveScratch(scratch);
    this.#arguments = memory.allocateBlock(wordCount * 4);
    let threads = 1;
    const steps: Step[] = [];
    let word = this.#arguments >>> 2;
    for (const launch of launches) {
      const args = word * 4;
      word = this.#writeArguments(launch, word, places, dims);
      for (const phase of launch.phases) {
        const tiles = phase.tiles.evaluate(dims);
        if (tiles === 0) continue;
        if (tiles > MAXIMUM_TILES) {
          throw new OnnxTsError('UNSUPPORTED', `the kernel "${launch.kernel.name}" would have ${tiles} tiles.`, {
            place: { provider: 'cpu' },
          });
        }
        const nanoseconds = tiles * Math.max(1, phase.tilePoints.evaluate(dims)) * phase.pointNanoseconds;
        const isShort = tiles === 1 || nanoseconds < worthSharing || pool.threads === 1;
        if (!isShort) threads = pool.threads;
        steps.push({
          kernel: phase.tableIndex,
          args,
          tiles,
          grain: grainOf(phase, dims, pool.threads),
          leaderOnly: isShort,
          barrier: phase.barrier,
        });
        this.#traced.push({ launch, isFirst: this.#traced.at(-1)?.launch !== launch });
      }
    }
    this.threads = threads;
    this.stepCount = steps.length;
    this.program = memory.allocateBlock(programBytes(steps.length));
    writeProgram(memory.linear.words, this.program, steps);
  }

  #planArena(launches: readonly LaunchableKernel[], dims: DimBinding) {
    const first = new Map<TensorRef, number>();
    const last = new Map<TensorRef, number>();
    for (const [at, { kernel }] of launches.entries()) {
      for (const tensor of [...kernel.params, ...kernel.outputs.map((output) => output.tensor)]) {
        const storage = this.#executable.storageOf(tensor);
        if (!first.has(storage)) first.set(storage, at);
        last.set(storage, at);
      }
    }
    const locals = this.#executable.fused.locals.filter(
      (tensor) => first.has(tensor) && this.#executable.constantAddress(tensor) === undefined,
    );
    const lives = locals.map((tensor): LifeTime => {
      return { bytes: bytesOf(tensor, dims) + 16, first: first.get(tensor)!, last: last.get(tensor)! };
    });
    const { offsets, bytes, lowerBound } = planMemory(lives, ALIGNMENT);
    return { offsets: new Map(locals.map((tensor, at) => [tensor, offsets[at]])), bytes, lowerBound };
  }

  #places(offsets: ReadonlyMap<TensorRef, number>): (tensor: TensorRef) => Place {
    const { partition, lowered } = this.#executable;
    const buffers = new Map<TensorRef, number>();
    for (const [index, value] of [...lowered.inputs, ...partition.outputs].entries()) {
      buffers.set(lowered.tensors.get(value)!, index);
    }
    return (tensor) => {
      const storage = this.#executable.storageOf(tensor);
      const address = this.#executable.constantAddress(storage);
      if (address !== undefined) return { kind: 'fixed', address };
      const offset = offsets.get(storage);
      if (offset !== undefined) return { kind: 'arena', offset };
      const index = buffers.get(storage);
      if (index !== undefined) return { kind: 'buffer', index };
      throw new OnnxTsError('INTERNAL', 'a tensor has no place in memory.', { place: { value: tensor.name } });
    };
  }

  #writeArguments(
    launch: LaunchableKernel,
    at: number,
    places: (tensor: TensorRef) => Place,
    dims: DimBinding,
  ): number {
    const { words } = this.#executable.provider.memory.linear;
    let index = at;
    for (const item of launch.words) {
      if (item.kind === 'dim') words[index] = item.dim.evaluate(dims);
      else if (item.kind === 'site') words[index] = this.errorSites.length;
      else {
        const place = places(item.tensor);
        if (place.kind === 'fixed') words[index] = place.address;
        else this.#patches.push({ word: index, place });
      }
      index++;
    }
    this.errorSites.push(...launch.errorSites);
    return launch.words.length === 0 ? index + 1 : index;
  }

  /** Addresses of the partition's inputs and outputs for the next run. */
  setBuffers(addresses: readonly number[]): void {
    if (addresses.every((address, at) => address === this.#buffers[at])) return;
    this.#buffers = addresses;
    this.#isPatched = false;
  }

  /** Makes the program ready to run: every address in place. */
  settle(): void {
    const { arena, memory } = this.#executable.provider;
    const address = arena.reserve(this.arenaBytes);
    if (address === this.#arenaAddress && this.#isPatched) return;
    this.#arenaAddress = address;
    const { words } = memory.linear;
    for (const { word, place } of this.#patches) {
      words[word] = place.kind === 'arena' ? address + place.offset : this.#buffers[place.index];
    }
    this.#isPatched = true;
  }

  /**
   * Reports what the driver recorded; see `emitDriver`. A step lasts until the next one starts: waiting for the tiles of
   * other threads is a part of it.
   */
  trace(times: number, report: (event: TraceEvent) => void): void {
    const table = new Float64Array(
      this.#executable.provider.memory.linear.memory.buffer,
      times,
      2 * this.stepCount + 1,
    );
    this.#events ??= this.#traced.map((step) => this.#eventOf(step));
    for (const [at, event] of this.#events.entries()) {
      report({ ...event, start: table[2 * at], duration: table[2 * at + 2] - table[2 * at] });
    }
  }

  #eventOf({ launch, isFirst }: TracedStep): Omit<TraceEvent, 'start' | 'duration'> {
    const { name, kind, nodes, flops, bytes } = this.#executable.infoOf(launch);
    if (!isFirst) return { name, kind, nodes };
    return { name, kind, nodes, flops: flops!.evaluate(this.#dims), bytes: bytes!.evaluate(this.#dims) };
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { linear } = this.#executable.provider.memory;
    linear.free(this.#arguments);
    linear.free(this.program);
  }
}
