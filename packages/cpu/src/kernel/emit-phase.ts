// One phase of a loop program as one WebAssembly function.

import {
  type Dim,
  type IndexAnalysis,
  type LoopPhase,
  type Stage,
  type TensorRef,
  walkStatements,
} from '@onnx-ts/tensor-ir';
import { type HelperFunctions, HoistedConstants } from '../emit/context.ts';
import { kernelParams } from '../runtime/driver.ts';
import { FunctionBuilder } from '../wasm/function.ts';
import type { ArgumentWords } from './argument-words.ts';
import { type ErrorReporter, type ErrorSite, Plan } from './plan.ts';
import { planBlock, planTiles } from './plan-loops.ts';
import { UseTracker, type WriteContext } from './scope.ts';

/** What the functions of one kernel have in common. */
export interface PhaseContext {
  readonly analysis: IndexAnalysis;
  readonly words: ArgumentWords;
  readonly errorSites: ErrorSite[];
  readonly reporter: ErrorReporter;
  readonly helpers: HelperFunctions;
}

export interface EmittedPhase {
  readonly f: FunctionBuilder;
  /** Scratch memory that each thread needs. */
  readonly scratchBytes: Dim;
}

/** Writes the function (args, begin, end, scratch) that runs tiles [begin, end) of a phase. */
export function emitPhase(phase: LoopPhase & { readonly stage?: Stage }, context: PhaseContext): EmittedPhase {
  const written = new Set<TensorRef>();
  walkStatements(phase.body, (statement) => {
    if (statement.kind === 'store') written.add(statement.tensor);
  });
  const plan = new Plan({ ...context, stage: phase.stage, written });
  planTiles(plan, phase.parallel, () => planBlock(plan, phase.body));
  // The draft also finds out which constants are worth a local.
  const constants = new HoistedConstants(24);
  const draft = new FunctionBuilder(phase.name, kernelParams);
  plan.root.emit(contextFor(draft, context, constants, true));
  const f = new FunctionBuilder(phase.name, kernelParams);
  constants.emit(f);
  plan.root.emit(contextFor(f, context, constants, false));
  return { f, scratchBytes: plan.scratchBytes };
}

function contextFor(
  f: FunctionBuilder,
  { helpers }: PhaseContext,
  constants: HoistedConstants,
  isDraft: boolean,
): WriteContext {
  return { f, lanes: 4, helpers, constantLocal: constants.constantLocal, uses: new UseTracker(isDraft) };
}
