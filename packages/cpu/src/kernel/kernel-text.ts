// The instructions of a kernel as text, for tests and for people.

import type { Kernel } from '@onnx-ts/tensor-ir';
import { HelperFunctions } from '../emit/context.ts';
import { defineErrorReport } from '../runtime/kernel-error.ts';
import { scheduleKernel } from '../schedule/schedule-kernel.ts';
import { disassemble } from '../wasm/disassemble.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { ArgumentWords } from './argument-words.ts';
import { errorReporter } from './compile-kernel.ts';
import { emitPhase } from './emit-phase.ts';

/** WebAssembly text of each phase's function. */
export function kernelText(kernel: Kernel): string {
  const module = new ModuleBuilder();
  const reportError = defineErrorReport(module, { threads: false });
  const { analysis, phases } = scheduleKernel(kernel);
  const context = {
    analysis,
    words: new ArgumentWords(),
    errorSites: [],
    reporter: errorReporter(reportError),
    helpers: new HelperFunctions(module),
  };
  return phases.map((phase) => disassemble(emitPhase(phase, context).f.finish())).join('\n');
}
