// Generates `run`, the function with which each thread walks a step program.
//
// Threads help each other rather than wait for each other: a barrier waits for the tiles of earlier steps, not for
// threads to arrive. A worker that wakes late, or is not scheduled at all, thus delays nobody unless it holds tiles.

import { FunctionBuilder, type Label, type Local } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { type FunctionRef, functionType } from '../wasm/types.ts';
import { awaitTiles } from './barrier.ts';
import { control, SCRATCH_HEADER_BYTES } from './control-block.ts';
import { MAXIMUM_PAGES } from './memory.ts';
import { STEP_BYTES, stepFlag, stepWord } from './step-program.ts';

/**
 * The type of a kernel: (args, begin, end, scratch). It processes tiles [begin, end) of the step, and may use the
 * memory at `scratch` of its thread, as large as the pool was told to reserve.
 */
export const kernelType = functionType(['i32', 'i32', 'i32', 'i32']);

/** Names of the parameters of a kernel, for `new FunctionBuilder(name, kernelParams)`. */
export const kernelParams = { args: 'i32', begin: 'i32', end: 'i32', scratch: 'i32' } as const;

export interface DriverOptions {
  /** Whether workers may take part. Without it no atomic instruction is generated, for engines that have none. */
  readonly threads: boolean;
  /** Whether the leader can record times; adds an imported function. */
  readonly profiling?: boolean;
}

/** Imports the memory that all modules of a provider share. Call it once, before or after kernels are defined. */
export function importLinearMemory(module: ModuleBuilder, shared: boolean): void {
  module.importMemory('env', 'memory', { initial: 1, maximum: MAXIMUM_PAGES, shared });
}

/**
 * Adds and exports `run(program, first, last, thread, threads)`, which runs steps [first, last) of the program.
 * Thread 0 returns when all of them are complete, or aborted; the others when nothing is left to start.
 * With `threads` = 1 it executes no atomic instruction and needs no preparation except the thread's block; otherwise the
 * pool prepares the control block and the counters of the steps.
 *
 * With profiling, and when the control block has the address of a table of f64, thread 0 writes for each step the time
 * when it starts (all earlier steps complete, if the step has a barrier) and when its own part is done, at entries
 * 2 * step and 2 * step + 1, and the time when everything is complete at entry 2 * last. Unit: that of `env.now`.
 */
export function emitDriver(module: ModuleBuilder, options: DriverOptions): void {
  const writer = new DriverWriter(module, options);
  module.export('run', module.define(writer.run()));
}

class DriverWriter {
  readonly #f: FunctionBuilder;
  readonly #threads: boolean;
  readonly #now: FunctionRef | undefined;
  readonly #awaitTiles: FunctionRef | undefined;
  readonly #step: Local;
  readonly #index: Local;
  /** This thread's block: the driver's header, then the scratch memory for kernels. */
  readonly #block: Local;
  readonly #scratch: Local;
  readonly #tiles: Local;
  readonly #grain: Local;
  readonly #begin: Local;
  readonly #end: Local;
  /** Tiles of all steps passed so far, and those of them done by this thread but not yet reported. */
  readonly #expected: Local;
  readonly #mine: Local;
  readonly #times: Local;

  constructor(module: ModuleBuilder, { threads, profiling }: DriverOptions) {
    const params = { program: 'i32', first: 'i32', last: 'i32', thread: 'i32', threads: 'i32' } as const;
    const f = new FunctionBuilder('run', params);
    this.#f = f;
    this.#threads = threads;
    this.#now = profiling ? module.importFunction('env', 'now', functionType([], ['f64'])) : undefined;
    this.#awaitTiles = threads ? module.define(awaitTiles()) : undefined;
    this.#step = f.local('i32', 'step');
    this.#index = f.local('i32', 'index');
    this.#block = f.local('i32', 'block');
    this.#scratch = f.local('i32', 'scratch');
    this.#tiles = f.local('i32', 'tiles');
    this.#grain = f.local('i32', 'grain');
    this.#begin = f.local('i32', 'begin');
    this.#end = f.local('i32', 'end');
    this.#expected = f.local('i32', 'expected');
    this.#mine = f.local('i32', 'mine');
    this.#times = f.local('i32', 'times');
  }

  run(): FunctionBuilder {
    const f = this.#f;
    const [program, first, last, thread] = f.params;
    f.get(thread);
    f.i32Const(2);
    f.op('i32.shl');
    f.load('i32.load', control.threadBlocks);
    f.tee(this.#block);
    f.i32Const(SCRATCH_HEADER_BYTES);
    f.op('i32.add');
    f.set(this.#scratch);
    f.get(program);
    f.get(first);
    f.i32Const(STEP_BYTES);
    f.op('i32.mul');
    f.op('i32.add');
    f.set(this.#step);
    this.#startTimes();
    f.block((aborted) => {
      f.forRange({ begin: first, end: last, counter: this.#index }, () => {
        this.#breakIfAborted(aborted);
        this.#barrier(aborted);
        f.get(this.#block);
        f.get(this.#index);
        f.store('i32.store');
        this.#walkStep(aborted);
        f.get(this.#step);
        f.i32Const(STEP_BYTES);
        f.op('i32.add');
        f.set(this.#step);
      });
      this.#finish();
    });
    return f;
  }

  #walkStep(aborted: Label): void {
    const f = this.#f;
    const [, , , thread, threads] = f.params;
    this.#loadWord('tiles', this.#tiles);
    this.#loadWord('grain', this.#grain);
    f.get(this.#expected);
    f.get(this.#tiles);
    f.op('i32.add');
    f.set(this.#expected);
    this.#recordTime(0);
    if (this.#threads) {
      f.get(threads);
      f.i32Const(1);
      f.op('i32.eq');
      this.#flag('leaderOnly');
      f.op('i32.or');
      f.if(
        () => {
          f.get(thread);
          f.op('i32.eqz');
          f.if(() => this.#takeAll(aborted));
        },
        () => this.#share(aborted),
      );
    } else this.#takeAll(aborted);
    this.#recordTime(8);
  }

  /**
   * All tiles in order. By chunks even so: engines replace slow first code by optimised code between calls, and an
   * abort is noticed between chunks.
   */
  #takeAll(aborted: Label): void {
    const f = this.#f;
    f.forRange({ begin: 0, end: this.#tiles, step: this.#grain, counter: this.#begin }, () => {
      this.#callKernel(aborted);
    });
  }

  /** Takes chunks from the step's counter until there are none left. */
  #share(aborted: Label): void {
    const f = this.#f;
    const counter = stepWord.counter * 4;
    f.block((exhausted) => {
      // A latecomer passes finished steps without writing to lines that others read.
      f.get(this.#step);
      f.atomic('i32.atomic.load', counter);
      f.get(this.#tiles);
      f.op('i32.ge_u');
      f.brIf(exhausted);
      f.loop((again) => {
        f.get(this.#step);
        f.get(this.#grain);
        f.atomic('i32.atomic.rmw.add', counter);
        f.tee(this.#begin);
        f.get(this.#tiles);
        f.op('i32.ge_u');
        f.brIf(exhausted);
        this.#callKernel(aborted);
        f.br(again);
      });
    });
  }

  /** Processes [begin, begin + grain), cut off at `tiles`. */
  #callKernel(aborted: Label): void {
    const f = this.#f;
    f.get(this.#begin);
    f.get(this.#grain);
    f.op('i32.add');
    f.tee(this.#end);
    f.get(this.#tiles);
    f.get(this.#end);
    f.get(this.#tiles);
    f.op('i32.lt_u');
    f.select();
    f.set(this.#end);
    f.get(this.#step);
    f.load('i32.load', stepWord.args * 4);
    for (const edge of [this.#begin, this.#end]) {
      f.get(edge);
      f.get(this.#step);
      f.load('i32.load', stepWord.firstTile * 4);
      f.op('i32.add');
    }
    f.get(this.#scratch);
    f.get(this.#step);
    f.load('i32.load', stepWord.kernel * 4);
    f.callIndirect(kernelType);
    f.get(this.#mine);
    f.get(this.#end);
    f.get(this.#begin);
    f.op('i32.sub');
    f.op('i32.add');
    f.set(this.#mine);
    this.#breakIfAborted(aborted);
  }

  #barrier(aborted: Label): void {
    if (!this.#threads) return;
    const f = this.#f;
    f.get(f.params[4]);
    f.i32Const(1);
    f.op('i32.gt_u');
    this.#flag('barrier');
    f.op('i32.and');
    f.if(() => {
      this.#report();
      this.#await();
      this.#breakIfAborted(aborted);
    });
  }

  #finish(): void {
    const f = this.#f;
    if (this.#threads) {
      f.get(f.params[4]);
      f.i32Const(1);
      f.op('i32.gt_u');
      f.if(() => {
        this.#report();
        f.get(f.params[3]);
        f.op('i32.eqz');
        f.if(() => this.#await());
      });
    }
    this.#recordTime(0);
  }

  /** Adds this thread's tiles to those completed. Whoever completes the expected number wakes those who sleep. */
  #report(): void {
    const f = this.#f;
    f.get(this.#mine);
    f.if((done) => {
      f.i32Const(0);
      f.get(this.#mine);
      f.atomic('i32.atomic.rmw.add', control.completed);
      f.get(this.#mine);
      f.op('i32.add');
      f.i32Const(0);
      f.set(this.#mine);
      f.get(this.#expected);
      f.op('i32.ne');
      f.brIf(done);
      f.i32Const(0);
      f.atomic('i32.atomic.load', control.sleepers);
      f.op('i32.eqz');
      f.brIf(done);
      f.i32Const(0);
      f.i32Const(1);
      f.atomic('i32.atomic.rmw.add', control.signal);
      f.drop();
      f.i32Const(0);
      f.i32Const(-1);
      f.atomic('memory.atomic.notify', control.signal);
      f.drop();
    });
  }

  #await(): void {
    const f = this.#f;
    f.get(this.#expected);
    f.call(this.#awaitTiles!);
  }

  /** A plain load: it comes after a call, or after an atomic load that orders it, so it cannot be moved ahead. */
  #breakIfAborted(aborted: Label): void {
    const f = this.#f;
    f.i32Const(0);
    f.load('i32.load', control.abort);
    f.brIf(aborted);
  }

  /** Pushes 1 if the step has the flag. */
  #flag(name: keyof typeof stepFlag): void {
    const f = this.#f;
    f.get(this.#step);
    f.load('i32.load', stepWord.flags * 4);
    f.i32Const(Math.log2(stepFlag[name]));
    f.op('i32.shr_u');
    f.i32Const(1);
    f.op('i32.and');
  }

  #loadWord(name: keyof typeof stepWord, into: Local): void {
    this.#f.get(this.#step);
    this.#f.load('i32.load', stepWord[name] * 4);
    this.#f.set(into);
  }

  /** Points `times` at the first step's entry, or leaves it 0 when this thread records nothing. */
  #startTimes(): void {
    if (this.#now === undefined) return;
    const f = this.#f;
    const [, first, , thread] = f.params;
    f.get(thread);
    f.op('i32.eqz');
    f.if(() => {
      f.i32Const(0);
      f.load('i32.load', control.times);
      f.tee(this.#times);
      f.if(() => {
        f.get(this.#times);
        f.get(first);
        f.i32Const(16);
        f.op('i32.mul');
        f.op('i32.add');
        f.set(this.#times);
      });
    });
  }

  /** At offset 8, the last time of a step, moves on to the next step. */
  #recordTime(offset: 0 | 8): void {
    if (this.#now === undefined) return;
    const f = this.#f;
    f.get(this.#times);
    f.if(() => {
      f.get(this.#times);
      f.call(this.#now!);
      f.store('f64.store', offset);
      if (offset === 0) return;
      f.get(this.#times);
      f.i32Const(16);
      f.op('i32.add');
      f.set(this.#times);
    });
  }
}
