// The threads of one linear memory, and how a job gets to them.

import { hardwareConcurrency, probeBlocking } from './capabilities.ts';
import {
  abortReason,
  control,
  GATE_OPEN,
  MAXIMUM_THREADS,
  RESERVED_BYTES,
  SCRATCH_HEADER_BYTES,
  word,
} from './control-block.ts';
import { type KernelError, readErrorRecord } from './kernel-error.ts';
import type { LinearMemory } from './memory.ts';
import { resetCounters } from './step-program.ts';
import { startWorker, type WorkerHandle } from './worker-handle.ts';
import type { HostMessage, WorkerMessage } from './worker-source.ts';

/**
 * Who is thread 0. `inline`: the thread that calls `run`, which blocks until the job is over; for Node and for workers.
 * `worker`: a worker like the others, so that the caller never blocks; for browser pages.
 */
export type LeaderMode = 'inline' | 'worker';

export interface ThreadPoolOptions {
  /** Threads of a job, the leader included; at most MAXIMUM_THREADS. More than 1, or a worker as leader, needs shared memory. */
  readonly threads: number;
  readonly leader?: LeaderMode;
  /** Iterations that a waiting thread spins before it sleeps. Default: some when each thread can have a core, else few. */
  readonly spin?: number;
}

/** Steps [first, last) of a program, with the kernels of a module that was added. */
export interface Job {
  readonly module: number;
  /** Address of the steps; see `writeProgram`. The memory stays in use until the job is over. */
  readonly program: number;
  readonly first: number;
  readonly last: number;
  /** Threads to take part; default: all. A job too short to be worth waking anyone for says 1. */
  readonly threads?: number;
}

/** `failed`: all steps ran, and a kernel reported an error; see `errorRecord`. `aborted`: some steps may not have run. */
export type JobStatus = 'done' | 'failed' | 'aborted';

/** A kernel trapped: a bug in generated code, or a wrong program. The pool remains usable. */
export class KernelTrapError extends Error {
  override readonly name = 'KernelTrapError';
  readonly thread: number;

  constructor(thread: number, message: string, cause?: unknown) {
    super(`a kernel trapped on thread ${thread}: ${message}`, { cause });
    this.thread = thread;
  }
}

/** A worker ended or could not be started. The pool cannot be used any more; dispose it. */
export class ThreadPoolLostError extends Error {
  override readonly name = 'ThreadPoolLostError';
}

type RunFunction = (program: number, first: number, last: number, thread: number, threads: number) => void;

interface PendingMail {
  remaining: number;
  error: string | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface RunningJob {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

type WaitAsync = (
  words: Int32Array,
  index: number,
  value: number,
) => { readonly async: false } | { readonly async: true; readonly value: Promise<string> };

const SPIN_WITH_CORES = 4000;
const SPIN_WITHOUT_CORES = 50;

/** One per LinearMemory. Workers start at once and help as soon as they are there; with an inline leader nothing waits for them. */
export class ThreadPool {
  readonly threads: number;
  readonly leader: LeaderMode;
  readonly #memory: LinearMemory;
  readonly #workers: WorkerHandle[] = [];
  /** Instances of the calling thread; empty unless it leads. */
  readonly #runs = new Map<number, RunFunction>();
  readonly #modules = new Set<number>();
  readonly #mails = new Map<number, PendingMail>();
  readonly #ready: Promise<void>;
  /** Undefined where the host lacks it; then the leader tells the end of a job by a message. */
  readonly #waitAsync = (Atomics as typeof Atomics & { waitAsync?: WaitAsync }).waitAsync;
  #mailCount = 0;
  #nextModule = 1;
  #holds = 0;
  #lost: Error | undefined;
  #job = 0;
  #running: RunningJob | undefined;
  /** Settled when all jobs so far are over; never rejects. */
  #tail: Promise<void> = Promise.resolve();
  #threadBlocks = 0;
  #scratchBytes = -1;

  constructor(memory: LinearMemory, options: ThreadPoolOptions) {
    const { threads, leader = 'inline' } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MAXIMUM_THREADS) {
      throw new RangeError(`a pool has 1 to ${MAXIMUM_THREADS} threads, not ${threads}`);
    }
    const workers = leader === 'inline' ? threads - 1 : threads;
    if (workers > 0 && !memory.shared) throw new Error('workers need shared memory');
    if (leader === 'inline' && workers > 0 && !probeBlocking()) {
      throw new Error("this thread must not block: use the leader mode 'worker', or a single thread");
    }
    this.#memory = memory;
    this.threads = threads;
    this.leader = leader;
    memory.bytes.fill(0, 0, RESERVED_BYTES);
    memory.words[word(control.spin)] =
      options.spin ?? (threads <= hardwareConcurrency() ? SPIN_WITH_CORES : SPIN_WITHOUT_CORES);
    this.reserveScratch(0);
    try {
      this.#ready = this.#startWorkers(workers);
    } catch (error) {
      void this.dispose();
      throw error;
    }
    // Whoever wants to know awaits `ready`; for the others it is no unhandled rejection.
    this.#ready.catch(() => {});
  }

  /** Resolves when all workers have started; rejects with ThreadPoolLostError if one cannot. Jobs need not wait for it. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /**
   * Makes the kernels of a module (with a driver; see `emitDriver`) available to jobs under the number returned.
   * Resolves when every thread has it.
   */
  async addModule(module: WebAssembly.Module): Promise<number> {
    this.#check();
    const id = this.#nextModule++;
    if (this.leader === 'inline') {
      const imports = { env: { memory: this.#memory.memory, now: () => performance.now() } };
      const instance = await WebAssembly.instantiate(module, imports);
      this.#check();
      this.#runs.set(id, instance.exports.run as RunFunction);
    }
    await this.#send(() => ({ kind: 'add', id, module }));
    this.#modules.add(id);
    return id;
  }

  /** No job of the module may be running. */
  async removeModule(id: number): Promise<void> {
    this.#check();
    if (!this.#modules.delete(id)) throw new Error(`no module ${id}`);
    this.#runs.delete(id);
    await this.#send(() => ({ kind: 'remove', id }));
  }

  /** Gives each thread at least `bytes` of scratch memory, kept for as long as the pool lives. No job may be running. */
  reserveScratch(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    this.#checkIdle('reserveScratch');
    const stride = SCRATCH_HEADER_BYTES + Math.ceil(bytes / 64) * 64;
    const address = this.#memory.allocate(stride * this.threads);
    if (this.#threadBlocks !== 0) this.#memory.free(this.#threadBlocks);
    this.#threadBlocks = address;
    this.#scratchBytes = stride - SCRATCH_HEADER_BYTES;
    const { words } = this.#memory;
    for (let thread = 0; thread < this.threads; thread++) {
      words[word(control.threadBlocks) + thread] = address + thread * stride;
    }
  }

  /** Has times written to the table at this address (see `emitDriver`), or to none if it is 0. No job may be running. */
  recordTimes(address: number): void {
    this.#checkIdle('recordTimes');
    this.#memory.words[word(control.times)] = address;
  }

  /**
   * Runs a job. An inline leader blocks and returns the status; otherwise a promise of it, and jobs queue up.
   * Throws, or rejects with, KernelTrapError or ThreadPoolLostError.
   */
  run(job: Job): JobStatus | Promise<JobStatus> {
    if (this.leader === 'inline') return this.#lead(job);
    const result = this.#tail.then(() => this.#delegate(job));
    this.#tail = result.then(ignore, ignore);
    return result;
  }

  /** Ends the running job soon; nothing if there is none. For the job of an inline leader see `abortJob`. */
  abort(): void {
    if (this.#running !== undefined) abortJob(this.#memory.words);
  }

  /** What a kernel reported in the last job; undefined if nothing. */
  errorRecord(): KernelError | undefined {
    return readErrorRecord(this.#memory.words);
  }

  /** Ends the workers and frees the scratch memory. A running job is rejected. */
  async dispose(): Promise<void> {
    if (this.#threadBlocks === 0) return;
    this.#fail(new ThreadPoolLostError('the thread pool was disposed'));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    this.#memory.free(this.#threadBlocks);
    this.#threadBlocks = 0;
  }

  /** The workers are the last threads: all, or all but the first. */
  #startWorkers(count: number): Promise<void> {
    const first = this.threads - count;
    for (let thread = first; thread < this.threads; thread++) {
      this.#workers.push(
        startWorker(`onnx-ts cpu ${thread}`, {
          message: (message) => this.#receive(message),
          lost: (reason) => this.#lose(reason),
        }),
      );
    }
    return this.#send((index) => ({
      kind: 'start',
      memory: this.#memory.memory,
      thread: first + index,
      doneByMessage: this.#waitAsync === undefined,
    }));
  }

  #lead(job: Job): JobStatus {
    this.#check();
    const { program, first, last } = job;
    const run = this.#runs.get(job.module);
    if (run === undefined) throw new Error(`no module ${job.module}`);
    const threads = this.#open(job);
    let failure: unknown;
    let failed = false;
    try {
      run(program, first, last, 0, threads);
    } catch (error) {
      failed = true;
      failure = error;
      if (threads > 1) abortJob(this.#memory.words, abortReason.trapped);
    }
    if (threads > 1) this.#close();
    if (failed) throw new KernelTrapError(0, String(failure), failure);
    return this.#status();
  }

  async #delegate(job: Job): Promise<JobStatus> {
    this.#check();
    if (!this.#modules.has(job.module)) throw new Error(`no module ${job.module}`);
    this.#hold();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#running = { resolve, reject };
        this.#job = (this.#job + 1) | 0;
        this.#memory.words[word(control.job)] = this.#job;
        this.#open(job);
        this.#watch();
      });
    } finally {
      this.#running = undefined;
      this.#release();
    }
    return this.#status();
  }

  /** Resolves the running job when the leader says that it is over. Without waitAsync a message does it. */
  #watch(): void {
    if (this.#waitAsync === undefined) return;
    const { words } = this.#memory;
    const done = Atomics.load(words, word(control.done));
    if (done === this.#job) {
      this.#running?.resolve();
      return;
    }
    const waiting = this.#waitAsync(words, word(control.done), done);
    if (waiting.async) waiting.value.then(() => this.#watch());
    else this.#watch();
  }

  /** Writes the job into the control block and lets workers in; returns the number of threads. */
  #open({ module, program, first, last, threads: wanted = this.threads }: Job): number {
    const { words } = this.#memory;
    const threads = Math.max(1, Math.min(wanted, this.threads));
    words[word(control.abort)] = abortReason.none;
    words[word(control.errorCode)] = 0;
    words[word(control.trappedThread)] = 0;
    if (threads === 1 && this.leader === 'inline') return threads;
    words[word(control.module)] = module;
    words[word(control.program)] = program;
    words[word(control.first)] = first;
    words[word(control.last)] = last;
    words[word(control.threads)] = threads;
    words[word(control.completed)] = 0;
    if (threads > 1) {
      resetCounters(words, program, first, last);
      Atomics.or(words, word(control.gate), GATE_OPEN);
    }
    this.#wake();
    return threads;
  }

  /** Lets nobody in any more and waits until the workers inside have left. */
  #close(): void {
    const { words } = this.#memory;
    const gate = word(control.gate);
    Atomics.and(words, gate, ~GATE_OPEN);
    for (let spin = words[word(control.spin)]; spin > 0 && Atomics.load(words, gate) !== 0; spin--);
    for (let inside = Atomics.load(words, gate); inside !== 0; inside = Atomics.load(words, gate)) {
      Atomics.wait(words, gate, inside);
    }
  }

  #status(): JobStatus {
    const { words, bytes } = this.#memory;
    const trapped = words[word(control.trappedThread)];
    if (trapped !== 0) {
      const length = words[word(control.trapLength)];
      // A copy, since browsers do not decode from shared memory.
      const text = new TextDecoder().decode(bytes.slice(control.trapText, control.trapText + length));
      throw new KernelTrapError(trapped - 1, text);
    }
    if (words[word(control.abort)] !== abortReason.none) return 'aborted';
    return words[word(control.errorCode)] === 0 ? 'done' : 'failed';
  }

  #wake(): void {
    const { words } = this.#memory;
    Atomics.add(words, word(control.wake), 1);
    Atomics.notify(words, word(control.wake));
  }

  /** Sends a message to every worker; resolves when all have handled it. */
  #send(messageFor: (index: number) => HostMessage): Promise<void> {
    if (this.#workers.length === 0) return Promise.resolve();
    const mail = ++this.#mailCount;
    const handled = new Promise<void>((resolve, reject) => {
      this.#mails.set(mail, { remaining: this.#workers.length, error: undefined, resolve, reject });
    });
    this.#hold();
    // Counted before it is sent: a worker that has handled more than was counted would never park.
    Atomics.add(this.#memory.words, word(control.mail), 1);
    for (const [index, worker] of this.#workers.entries()) worker.post(messageFor(index));
    this.#wake();
    return handled.finally(() => this.#release());
  }

  #receive(message: WorkerMessage): void {
    if (message.kind === 'done') {
      this.#running?.resolve();
      return;
    }
    const mail = this.#mails.get(message.mail);
    if (mail === undefined) return;
    mail.error ??= message.error;
    if (--mail.remaining > 0) return;
    this.#mails.delete(message.mail);
    if (mail.error === undefined) mail.resolve();
    else mail.reject(new Error(`a worker could not use what it was sent: ${mail.error}`));
  }

  #lose(reason: unknown): void {
    const message = reason instanceof Error ? reason.message : String(reason);
    this.#fail(new ThreadPoolLostError(`a worker of the thread pool was lost: ${message}`, { cause: reason }));
    for (const worker of this.#workers) void worker.terminate();
  }

  /** Rejects everything that is under way, now and later. */
  #fail(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.#running?.reject(error);
    for (const mail of this.#mails.values()) mail.reject(error);
    this.#mails.clear();
  }

  #check(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  #checkIdle(what: string): void {
    if (this.#running !== undefined) throw new Error(`${what} while a job is running`);
  }

  /** Keeps the process alive while something is awaited from the workers. */
  #hold(): void {
    if (this.#holds++ === 0) this.#workers[0].hold();
  }

  #release(): void {
    if (--this.#holds === 0) this.#workers[0].release();
  }
}

/**
 * Ends the job that runs on this memory soon, from any thread that shares it. `words` covers at least the control block.
 * Only of effect while a job is running.
 */
export function abortJob(words: Int32Array, reason: number = abortReason.cancelled): void {
  Atomics.store(words, word(control.abort), reason);
  Atomics.add(words, word(control.signal), 1);
  Atomics.notify(words, word(control.signal));
}

function ignore(): void {}
