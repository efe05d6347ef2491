// An executable bound to concrete sizes: argument blocks, arena offsets and the step program, in linear memory.

import { type MemoryPlan, OnnxTsError, type TraceEvent } from '@onnx-ts/core/provider';
import { byteLength, type DimBinding } from '@onnx-ts/tensor-ir';
import type { ErrorSite } from '../kernel/plan.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import {
  grainOf,
  MAXIMUM_PROGRAM_TILES,
  MAXIMUM_TILES,
  programBytes,
  rewriteStep,
  type Step,
  writeProgram,
} from '../runtime/step-program.ts';
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

function isWorthSharing(phase: PlannedPhase, sizes: Float64Array, threads: number): boolean {
  const tiles = sizes[phase.tiles];
  return threads > 1 && tiles > 1 && tiles * tileNanoseconds(phase, sizes) >= worthSharing;
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
      launches.push({ phase, firstTile: 0, tiles, isShared: isWorthSharing(phase, sizes, threads) });
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
  readonly #executable: CpuExecutable;
  readonly #plan: BindingPlan;
  readonly #arguments: number;
  /** Of the plan's locals in the arena. */
  #memory: MemoryPlan;
  /** Phases that have work to do, in order. */
  readonly #phases: readonly PlannedPhase[];
  /** Steps that are shared between threads. */
  readonly #shared: boolean[];
  #sizes: Float64Array;
  #dims: DimBinding;
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
    this.#sizes = sizes;
    this.#memory = plan.memory(sizes);
    pool.reserveScratch(scratchBytes(plan, sizes));
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
    this.#shared = launches.map(({ isShared }) => isShared);
    const steps = launches.map(({ phase, firstTile, tiles, isShared }): Step => {
      if (tiles > MAXIMUM_TILES) throw tooManyTiles(phase.launch.kernel, tiles, dims);
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
    writeProgram(words, this.program, steps);
  }

  /** Threads worth waking. */
  get threads(): number {
    return this.#shared.includes(true) ? this.#executable.provider.pool.threads : 1;
  }

  get arenaBytes(): number {
    return this.#memory.bytes;
  }

  get arenaLowerBound(): number {
    return this.#memory.lowerBound;
  }

  /**
   * Goes over to other sizes in the memory that it has: what does not depend on them stays as it is, which is almost
   * everything when a text grows by a token.
   * @returns false when other steps would have to run; then nothing has changed
   * @throws OnnxTsError as the constructor does; then nothing has changed
   */
  rebind(dims: DimBinding): boolean {
    const plan = this.#plan;
    const { pool, memory } = this.#executable.provider;
    const before = this.#sizes;
    const sizes = plan.sizes(dims);
    const changed: number[] = [];
    for (let at = 0; at < sizes.length; at++) if (sizes[at] !== before[at]) changed.push(at);
    const phases = new Set<number>();
    for (const at of changed) for (const phase of plan.phasesOf(at)) phases.add(phase);
    if (!plan.isPlain || !this.#hasSameSteps(phases, sizes)) return false;
    const planned = plan.memory(sizes);
    pool.reserveScratch(scratchBytes(plan, sizes));
    if (planned !== this.#memory) this.#isPatched = false;
    this.#memory = planned;
    this.#sizes = sizes;
    this.#dims = dims;
    this.#events = undefined;
    const { words } = memory.linear;
    const base = this.#arguments >>> 2;
    for (const at of changed) for (const word of plan.wordsOf(at)) words[base + word] = sizes[at];
    if (phases.size > 0) this.#rewriteSteps(phases);
    return true;
  }

  /** Whether phases that depend on sizes that are new have work to do just as they had before, and not too much. */
  #hasSameSteps(phases: ReadonlySet<number>, sizes: Float64Array): boolean {
    for (const number of phases) {
      const { tiles } = this.#plan.phases[number];
      if (sizes[tiles] > 0 !== this.#sizes[tiles] > 0 || sizes[tiles] > MAXIMUM_TILES) return false;
    }
    if (phases.size === 0) return true;
    let total = 0;
    for (const { tiles } of this.#plan.phases) total += sizes[tiles];
    return total <= MAXIMUM_PROGRAM_TILES;
  }

  #rewriteSteps(phases: ReadonlySet<number>): void {
    const { pool, memory } = this.#executable.provider;
    const sizes = this.#sizes;
    let step = 0;
    for (const [number, phase] of this.#plan.phases.entries()) {
      const tiles = sizes[phase.tiles];
      if (tiles <= 0) continue;
      if (phases.has(number)) {
        const isShared = isWorthSharing(phase, sizes, pool.threads);
        this.#shared[step] = isShared;
        rewriteStep(memory.linear.words, this.program, step, {
          tiles,
          grain: grainOf(tiles, tileNanoseconds(phase, sizes), pool.threads),
          leaderOnly: !isShared,
        });
      }
      step++;
    }
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
    const { offsets } = this.#memory;
    for (const { word, at } of this.#plan.localWords) words[base + word] = address + offsets[at];
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

/** What a thread needs for any of the kernels. */
function scratchBytes({ scratch }: BindingPlan, sizes: Float64Array): number {
  let most = 0;
  for (const at of scratch) most = Math.max(most, sizes[at]);
  return most;
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
