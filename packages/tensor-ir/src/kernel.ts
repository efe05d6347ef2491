// What fusion hands to a code generator: stages that are compiled and launched together.

import { walk } from './expr.ts';
import { bodiesOf, type Stage } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

/**
 * - `pointwise`: one map or segments stage (index maps and gathers included);
 * - `reduce`: one reduce stage that no template is meant for;
 * - `row`: map and reduce stages that share their first `rowRank` axes; the others are a lane over the row;
 * - `contraction`: a reduce stage that sums products of two loads, then maps of the same elements (the epilogue);
 * - `scan`, `scatter`, `recurrence`: one stage of that kind.
 */
export type KernelClass = 'pointwise' | 'reduce' | 'row' | 'contraction' | 'scan' | 'scatter' | 'recurrence';

/**
 * A group of stages. Loads inside refer to `params` (memory) or to earlier stages of the same kernel.
 * In a `row` kernel, a stage may be read by another only with the row axes themselves as its first `rowRank` indices; a
 * stage of rank `rowRank` is one number a row. In a `contraction` kernel, an epilogue stage reads the first stage with
 * its own axes in some order, each exactly once (constants of size-1 axes aside).
 */
export interface Kernel {
  readonly name: string;
  readonly class: KernelClass;
  readonly params: readonly TensorRef[];
  readonly stages: readonly Stage[];
  /** Stages whose results must be in memory afterwards; the rest need no memory outside the kernel. */
  readonly outputs: readonly KernelOutput[];
  /** What the stages came from, those that were substituted away included: see `Stage.origin`. Each once. */
  readonly origins: readonly unknown[];
  /** Leading axes that all stages of a `row` kernel share (equal sizes, in order); 0 for other classes. */
  readonly rowRank: number;
}

export interface KernelOutput {
  readonly stage: Stage;
  readonly tensor: TensorRef;
}

/** What errors of the index checks of a kernel are blamed on, in an order that equal kernels share. */
export function checkOrigins(kernel: Kernel): unknown[] {
  return kernel.stages.flatMap((stage) => {
    const found: unknown[] = [stage.origin];
    for (const { body } of bodiesOf(stage)) walk(body, (e) => e.kind === 'bounded' && found.push(e.origin));
    return found;
  });
}

/** As the weights of an attention and its values are multiplied: neither is a weight of the model. */
export function multipliesResults({ class: kind, params }: Kernel): boolean {
  return kind === 'contraction' && params.filter(({ isConstant }) => !isConstant).length >= 2;
}
