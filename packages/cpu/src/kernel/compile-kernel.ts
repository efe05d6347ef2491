// Compiles kernels into functions of a module.

import { Dim, type Kernel, type TensorRef } from '@onnx-ts/tensor-ir';
import type { HelperFunctions } from '../emit/context.ts';
import { scheduleKernel } from '../schedule/schedule-kernel.ts';
import type { ScheduledPhase } from '../schedule/scheduled.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { type ArgumentWord, ArgumentWords } from './argument-words.ts';
import { emitPhase } from './emit-phase.ts';
import type { ErrorReporter, ErrorSite } from './plan.ts';

/** One launch of a kernel. */
export interface CompiledPhase {
  /** Type (args, begin, end, scratch) → (); tiles [begin, end). */
  readonly function: FunctionRef;
  /** Number of tiles; 0 for empty tensors, and then the function must not be called. */
  readonly tiles: Dim;
  /**
   * The phase is repeated so many times, in turn with the kernel's other repeated phases: turn t has the tiles from
   * t · tiles to (t + 1) · tiles − 1.
   */
  readonly turns?: Dim;
  /** Rough nanoseconds of one tile on one thread: `tilePoints · pointNanoseconds`. */
  readonly tilePoints: Dim;
  readonly pointNanoseconds: number;
  /** The phase before must be complete. False only for phases that may run beside it. */
  readonly barrier: boolean;
  /** The phase only copies this tensor into the output: leave it out when both are the same memory. */
  readonly copyOf?: TensorRef;
}

export interface CompiledKernel {
  readonly phases: readonly CompiledPhase[];
  /** What `args` points at, one i32 each, for all phases. */
  readonly words: readonly ArgumentWord[];
  /** Scratch memory that each thread needs, 16-byte aligned. */
  readonly scratchBytes: Dim;
  /** What a site reported by the kernel means; see `ArgumentWord`. */
  readonly errorSites: readonly ErrorSite[];
}

/** Code of error reports by kernels: detail 0 is the number of the site. */
export const INDEX_ERROR = 1;

export interface CompileTarget {
  readonly module: ModuleBuilder;
  readonly helpers: HelperFunctions;
  /** See `defineErrorReport`. */
  readonly reportError: FunctionRef;
}

/** @throws TypeError for kernels that `verifyKernel` would reject, and for element types that cannot be stored */
export function compileKernel(kernel: Kernel, target: CompileTarget): CompiledKernel {
  const { analysis, phases, aliases } = scheduleKernel(kernel);
  const original = (tensor: TensorRef): TensorRef => aliases.get(tensor) ?? tensor;
  const words = new ArgumentWords();
  const errorSites: ErrorSite[] = [];
  const context = {
    analysis,
    words,
    errorSites,
    reporter: errorReporter(target.reportError),
    helpers: target.helpers,
  };
  let scratchBytes = Dim.constant(0);
  const compiled = phases.map((phase) => {
    const written = emitPhase(phase, context);
    scratchBytes = scratchBytes.max(written.scratchBytes);
    const described = describePhase(phase, target.module.define(written.f));
    return phase.copyOf ? { ...described, copyOf: original(phase.copyOf) } : described;
  });
  return {
    phases: compiled,
    words: words.words.map((word) => (word.kind === 'tensor' ? { ...word, tensor: original(word.tensor) } : word)),
    scratchBytes,
    errorSites,
  };
}

export function errorReporter(reportError: FunctionRef): ErrorReporter {
  return {
    report: ({ f }) => {
      f.scope(() => {
        const site = f.local('i32', 'site');
        f.set(site);
        f.get(f.params[3]);
        f.i32Const(INDEX_ERROR);
        f.get(site);
        for (let detail = 1; detail < 4; detail++) f.i32Const(0);
        f.call(reportError);
      });
    },
  };
}

function describePhase(phase: ScheduledPhase, ref: FunctionRef): CompiledPhase {
  return {
    function: ref,
    tiles: phase.parallel.reduce((tiles, axis) => tiles.mul(axis.size), Dim.constant(1)),
    tilePoints: phase.cost.points,
    pointNanoseconds: phase.cost.pointCost,
    barrier: !phase.independent,
  };
}
