// An executable bound to concrete sizes: argument blocks, arena offsets and the step program, in linear memory.

import { OnnxTsError, type TraceEvent } from '@onnx-ts/core/provider';
import type { DimBinding } from '@onnx-ts/tensor-ir';
import { grainOf } from '../kernel/compile-kernel.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import { MAXIMUM_TILES, programBytes, type Step, writeProgram } from '../runtime/step-program.ts';
import type { BindingPlan, PlannedPhase } from './binding-plan.ts';
import type { CpuExecutable } from './executable.ts';

/** Nanoseconds of work below which waking other threads costs more than it gains. */
const worthSharing = 10_000;

export class Binding {
  readonly program: number;
  readonly stepCount: number;
  /** Threads worth waking. */
  readonly threads: number;
  readonly arenaBytes: number;
  readonly arenaLowerBound: number;
  readonly #executable: CpuExecutable;
  readonly #plan: BindingPlan;
  readonly #arguments: number;
  /** Of the plan's locals in the arena. */
  readonly #offsets: readonly number[];
  /** Phases that have work to do, in order. */
  readonly #phases: readonly PlannedPhase[];
  readonly #dims: DimBinding;
  /** What is reported about each step, made for the first run that is traced. */
  #events: readonly Omit<TraceEvent, 'start' | 'duration'>[] | undefined;
  #buffers: readonly number[] = [];
  #arenaAddress = -1;
  #isPatched = false;
  #isDisposed = false;

  /** @throws OnnxTsError when sizes do not fit the model, or memory is short */
  constructor(executable: CpuExecutable, plan: BindingPlan, dims: DimBinding) {
    this.#executable = executable;
    this.#plan = plan;
    this.#dims = dims;
    const { memory, pool } = executable.provider;
    const sizes = plan.sizes(dims);
    const { offsets, bytes, lowerBound } = plan.memory(sizes);
    this.#offsets = offsets;
    this.arenaBytes = bytes;
    this.arenaLowerBound = lowerBound;
    pool.reserveScratch(plan.scratch.reduce((most, at) => Math.max(most, sizes[at]), 0));
    this.#phases = plan.phases.filter(({ tiles }) => sizes[tiles] > 0);
    this.stepCount = this.#phases.length;
    const argumentBytes = Math.ceil(plan.words.byteLength / ALIGNMENT) * ALIGNMENT;
    this.#arguments = memory.allocateBlock(argumentBytes + programBytes(this.stepCount));
    this.program = this.#arguments + argumentBytes;
    const { words } = memory.linear;
    const base = this.#arguments >>> 2;
    words.set(plan.words, base);
    for (const { word, at } of plan.sizeWords) words[base + word] = sizes[at];
    let threads = 1;
    const steps = this.#phases.map((phase): Step => {
      const tiles = sizes[phase.tiles];
      if (tiles > MAXIMUM_TILES) {
        throw new OnnxTsError('UNSUPPORTED', `the kernel "${phase.launch.kernel.name}" would have ${tiles} tiles.`, {
          place: { provider: 'cpu' },
        });
      }
      const tileNanoseconds = Math.max(1, sizes[phase.tilePoints]) * phase.pointNanoseconds;
      const isShort = tiles === 1 || tiles * tileNanoseconds < worthSharing || pool.threads === 1;
      if (!isShort) threads = pool.threads;
      return {
        kernel: phase.kernel,
        args: this.#arguments + phase.argumentWord * 4,
        tiles,
        grain: grainOf(tiles, tileNanoseconds, pool.threads),
        leaderOnly: isShort,
        barrier: phase.barrier,
      };
    });
    this.threads = threads;
    writeProgram(words, this.program, steps);
  }

  get errorSites(): readonly ErrorSite[] {
    return this.#plan.errorSites;
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
    const base = this.#arguments >>> 2;
    for (const { word, at } of this.#plan.localWords) words[base + word] = address + this.#offsets[at];
    for (const { word, at } of this.#plan.bufferWords) words[base + word] = this.#buffers[at];
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
    this.#events ??= this.#phases.map((phase) => this.#eventOf(phase));
    for (const [at, event] of this.#events.entries()) {
      report({ ...event, start: table[2 * at], duration: table[2 * at + 2] - table[2 * at] });
    }
  }

  #eventOf({ launch, isFirst }: PlannedPhase): Omit<TraceEvent, 'start' | 'duration'> {
    const { name, kind, nodes, flops, bytes } = this.#executable.infoOf(launch);
    if (!isFirst) return { name, kind, nodes };
    return { name, kind, nodes, flops: flops!.evaluate(this.#dims), bytes: bytes!.evaluate(this.#dims) };
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { linear } = this.#executable.provider.memory;
    linear.free(this.#arguments);
  }
}
