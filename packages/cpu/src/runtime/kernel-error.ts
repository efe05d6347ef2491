// How a kernel reports what is wrong with its data, such as an index out of range: into the one error record of a job.

import { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { control, ERROR_DETAILS, SCRATCH_HEADER_BYTES, word } from './control-block.ts';

/** The first error of a job. What codes and details mean is between the kernels and the provider. */
export interface KernelError {
  /** Not 0. */
  readonly code: number;
  /** Index in the step program. */
  readonly step: number;
  readonly details: readonly number[];
}

/**
 * Function (scratch, code, detail0 … detail3) -> () for kernels to call, with the scratch address they were given.
 * It keeps the first report of a job and ignores the others; the kernel goes on, and must not touch memory that is not
 * its own. Each call defines the same function, so kernels need not share the reference.
 */
export function defineErrorReport(module: ModuleBuilder, options: { readonly threads: boolean }): FunctionRef {
  const details = { detail0: 'i32', detail1: 'i32', detail2: 'i32', detail3: 'i32' } as const;
  const f = new FunctionBuilder('report_error', { scratch: 'i32', code: 'i32', ...details });
  const [scratch, code, ...values] = f.params;
  f.i32Const(0);
  if (options.threads) {
    f.i32Const(0);
    f.get(code);
    f.atomic('i32.atomic.rmw.cmpxchg', control.errorCode);
  } else f.load('i32.load', control.errorCode);
  f.op('i32.eqz');
  f.if(() => {
    if (!options.threads) {
      f.i32Const(0);
      f.get(code);
      f.store('i32.store', control.errorCode);
    }
    f.i32Const(0);
    f.get(scratch);
    f.i32Const(SCRATCH_HEADER_BYTES);
    f.op('i32.sub');
    f.load('i32.load');
    f.store('i32.store', control.errorStep);
    for (const [index, value] of values.entries()) {
      f.i32Const(0);
      f.get(value);
      f.store('i32.store', control.errorDetails + index * 4);
    }
  });
  return module.define(f);
}

/** The record after a job; undefined if no kernel reported anything. */
export function readErrorRecord(words: Int32Array): KernelError | undefined {
  const code = words[word(control.errorCode)];
  if (code === 0) return undefined;
  const details = word(control.errorDetails);
  return {
    code,
    step: words[word(control.errorStep)],
    details: Array.from(words.subarray(details, details + ERROR_DETAILS)),
  };
}
