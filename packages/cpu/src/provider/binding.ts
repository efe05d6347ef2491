// An executable bound to concrete sizes: argument blocks, arena offsets and the step program, in linear memory.

import { OnnxTsError, type TraceEvent } from '@onnx-ts/core/provider';
import { byteLength, type DimBinding } from '@onnx-ts/tensor-ir';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import { grainOf, MAXIMUM_TILES, programBytes, type Step, writeProgram } from '../runtime/step-program.ts';
import type { BindingPlan, PlannedPhase } from './binding-plan.ts';
import type { LaunchableKernel } from './compiled-program.ts';
import type { CpuExecutable } from './executable.ts';

/** Nanoseconds of work below which waking other threads costs more than it gains. */
const worthSharing = 10_000;

/** The same for a step that follows others on threads that are awake. */
const worthJoining = 5_000;

/** A phase with some of its tiles. */
interface PhaseLaunch {
  readonly phase: PlannedPhase;
  readonly firstTile: number;
  readonly tiles: number;
  readonly isShared: boolean;
}

function tileNanoseconds({ tilePoints, pointNanoseconds }: PlannedPhase, sizes: Float64Array): number {
  return Math.max(1, sizes[tilePoints]) * pointNanoseconds;
}

/** What is to run, in order: phases that have work to do, repeated ones turn by turn. */
function unrollTurns(phases: readonly PlannedPhase[], sizes: Float64Array, threads: number): PhaseLaunch[] {
  const launches: PhaseLaunch[] = [];
  for (let at = 0; at < phases.length; ) {
    const phase = phases[at];
    if (phase.turns === undefined) {
      at++;
      const tiles = sizes[phase.tiles];
      if (tiles <= 0) continue;
      const isShared = threads > 1 && tiles > 1 && tiles * tileNanoseconds(phase, sizes) >= worthSharing;
      launches.push({ phase, firstTile: 0, tiles, isShared });
      continue;
    }
    let end = at + 1;
    while (end < phases.length && phases[end].launch === phase.launch && phases[end].turns === phase.turns) end++;
    const group = phases.slice(at, end).filter(({ tiles }) => sizes[tiles] > 0);
    const turns = sizes[phase.turns];
    at = end;
    const enough = turns > 1 ? worthJoining : worthSharing;
    const isShared = group.map((member) => {
      const tiles = sizes[member.tiles];
      return threads > 1 && tiles > 1 && tiles * tileNanoseconds(member, sizes) >= enough;
    });
    if (group.length === 1 && !isShared[0] && turns * sizes[group[0].tiles] <= MAXIMUM_TILES) {
      // One thread needs no turns.
      if (turns > 0)
        launches.push({ phase: group[0], firstTile: 0, tiles: turns * sizes[group[0].tiles], isShared: false });
      continue;
    }
    for (let turn = 0; turn < turns; turn++) {
      for (const [which, member] of group.entries()) {
        const tiles = sizes[member.tiles];
        launches.push({ phase: member, firstTile: turn * tiles, tiles, isShared: isShared[which] });
      }
    }
  }
  return launches;
}

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
    const launches = unrollTurns(plan.phases, sizes, pool.threads);
    this.#phases = launches.map(({ phase }) => phase);
    this.stepCount = launches.length;
    const argumentBytes = Math.ceil(plan.words.byteLength / ALIGNMENT) * ALIGNMENT;
    this.#arguments = memory.allocateBlock(argumentBytes + programBytes(this.stepCount));
    this.program = this.#arguments + argumentBytes;
    const { words } = memory.linear;
    const base = this.#arguments >>> 2;
    words.set(plan.words, base);
    for (const { word, at } of plan.sizeWords) words[base + word] = sizes[at];
    let threads = 1;
    const steps = launches.map(({ phase, firstTile, tiles, isShared }): Step => {
      if (tiles > MAXIMUM_TILES) throw tooManyTiles(phase.launch.kernel, tiles, dims);
      if (isShared) threads = pool.threads;
      return {
        kernel: phase.kernel,
        args: this.#arguments + phase.argumentWord * 4,
        tiles,
        firstTile,
        grain: grainOf(tiles, tileNanoseconds(phase, sizes), pool.threads),
        leaderOnly: !isShared,
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

/** More work than a program counts: almost always because the result is larger than any memory. */
function tooManyTiles({ name, outputs }: LaunchableKernel['kernel'], tiles: number, dims: DimBinding): OnnxTsError {
  const place = { node: name, provider: 'cpu' };
  for (const { tensor } of outputs) {
    const shape = tensor.shape.map((size) => size.evaluate(dims));
    const bytes = byteLength(
      tensor.dtype,
      shape.reduce((product, size) => product * size, 1),
    );
    if (bytes < 2 ** 32) continue;
    return new OnnxTsError('OUT_OF_MEMORY', `its result ${tensor.dtype}[${shape.join(', ')}] takes ${bytes} bytes.`, {
      place,
      hint: 'Check the sizes of the inputs.',
    });
  }
  return new OnnxTsError('UNSUPPORTED', `it would be cut into ${tiles} tiles.`, { place });
}
