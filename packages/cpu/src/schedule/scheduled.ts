// What scheduling a kernel gives.

import type { Dim, IndexAnalysis, LoopPhase, Stage, TensorRef } from '@onnx-ts/tensor-ir';

export interface ScheduledPhase extends LoopPhase {
  /** Rough nanoseconds of one tile on one thread: `points · pointCost`. */
  readonly cost: TileCost;
  /** The stage that the phase computes (the last one, if several), for errors and profiles. */
  readonly stage: Stage;
  /**
   * The phase only copies this tensor into the output: the host may leave it out when both are the same memory.
   */
  readonly copyOf?: TensorRef;
}

export interface TileCost {
  /** Points of the loops inside a tile. */
  readonly points: Dim;
  readonly pointCost: number;
}

export interface ScheduledKernel {
  readonly analysis: IndexAnalysis;
  readonly phases: readonly ScheduledPhase[];
  /** Tensors that the phases see as another type of the same width → the tensors themselves. */
  readonly aliases: ReadonlyMap<TensorRef, TensorRef>;
}
