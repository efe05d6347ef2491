// The first bytes of linear memory: how the host, the workers and the generated code talk to each other.
// All are 32-bit words, named here by byte address; `word` turns an address into an index of an Int32Array.

/** No block is allocated below this address. */
export const RESERVED_BYTES = 1024;

export const MAXIMUM_THREADS = 64;

/** Words that are written while others are read in a loop have a cache line (64 bytes) of their own. */
export const control = {
  /** Changes whenever parked workers should look around. */
  wake: 64,
  /** Number of messages sent to each worker. A worker that has handled fewer returns to its event loop. */
  mail: 68,
  /** Number of the job, changed for each. Only a leader that is a worker reads it. */
  job: 72,
  /** What to run; constant while the gate is open or anyone is inside. */
  module: 76,
  program: 80,
  first: 84,
  last: 88,
  threads: 92,
  /** Iterations that a waiting thread spins before it sleeps. */
  spin: 96,
  /** Address of the table of times, or 0 when not profiling; see `emitDriver`. */
  times: 100,

  /** Number of workers inside the job, plus GATE_OPEN while more may enter. */
  gate: 128,

  /** Tiles completed in this job. */
  completed: 192,
  /** Threads that sleep, or are about to, until `signal` changes. */
  sleepers: 196,
  /** Changes when those who sleep should look again: tiles were completed, or the job is aborted. */
  signal: 200,

  /** One of `abortReason`. Ends the job at the next step or chunk of tiles. */
  abort: 256,
  /** 1 + the thread whose kernel trapped, or 0. */
  trappedThread: 260,
  /** Bytes of the message of the trap, at `trapText`. */
  trapLength: 264,

  /** Number of the last job that is over. Only written by a leader that is a worker. */
  done: 320,

  /** The first error that a kernel found: its code (0: none), the step, and four words of detail. */
  errorCode: 384,
  errorStep: 388,
  errorDetails: 392,

  /** Address of the block of each thread: a header of SCRATCH_HEADER_BYTES, then its scratch memory. */
  threadBlocks: 512,
  /** UTF-8. */
  trapText: 768,
} as const;

export const TRAP_TEXT_BYTES = RESERVED_BYTES - control.trapText;

export const ERROR_DETAILS = 4;

export const GATE_OPEN = 1 << 30;

export const abortReason = { none: 0, cancelled: 1, trapped: 2 } as const;

/** Bytes before a thread's scratch memory that belong to the driver. Their first word is the step being run. */
export const SCRATCH_HEADER_BYTES = 64;

export function word(address: number): number {
  return address >>> 2;
}
