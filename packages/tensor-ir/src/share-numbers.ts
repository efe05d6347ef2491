// Kernels that differ only in numbers, such as the scales of quantised layers, read them from memory: then one code serves
// them all.

import { Dim } from './dim.ts';
import { dimension, type Expr, elementAt, rewrite, walk } from './expr.ts';
import type { Kernel } from './kernel.ts';
import { kernelPattern } from './print.ts';
import type { MapStage, Source, Stage } from './stage.ts';
import { rebuildStage } from './substitute-stages.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';

export interface SharedNumbers {
  /** As many as before, in the same order. */
  readonly kernels: readonly Kernel[];
  /** What the constant tensors that were added hold. */
  readonly numbers: ReadonlyMap<TensorRef, Float32Array>;
}

/**
 * Takes the float32 numbers that equal kernels have different values of out of their maps. Small integers and halves stay:
 * code may be better when it knows them.
 */
export function shareNumbers(kernels: readonly Kernel[]): SharedNumbers {
  const groups = new Map<string, { readonly at: number; readonly numbers: readonly number[] }[]>();
  for (const [at, kernel] of kernels.entries()) {
    if (!hasNumbers(kernel)) continue;
    const { key, numbers } = kernelPattern(kernel, isFree);
    const group = groups.get(key);
    if (group) group.push({ at, numbers });
    else groups.set(key, [{ at, numbers }]);
  }
  const shared = [...kernels];
  const tensors = new Map<TensorRef, Float32Array>();
  for (const group of groups.values()) {
    const [first] = group;
    const differing = [...first.numbers.keys()].filter((place) =>
      group.some(({ numbers }) => numbers[place] !== first.numbers[place]),
    );
    if (differing.length === 0) continue;
    for (const { at, numbers } of group) {
      const values = differing.map((place) => numbers[place]);
      const shape = [Dim.constant(values.length)];
      const tensor = newTensorRef(`${kernels[at].name}.numbers`, 'float32', shape, { isConstant: true });
      tensors.set(tensor, Float32Array.from(values));
      shared[at] = readingNumbers(kernels[at], tensor, values);
    }
  }
  return { kernels: shared, numbers: tensors };
}

function isFree(value: number): boolean {
  return Number.isFinite(value) && !Number.isInteger(2 * value);
}

/** Whether a map has a number that may be taken out, and no other stage has: those may be read for what they are. */
function hasNumbers({ class: kind, stages }: Kernel): boolean {
  if (kind === 'recurrence' || kind === 'scatter' || kind === 'scan') return false;
  let found = false;
  for (const stage of stages) {
    if (stage.kind === 'map') found ||= hasNumber(stage.body);
    else if (stage.kind !== 'reduce' || hasNumber(stage.body)) return false;
  }
  return found;
}

function hasNumber(root: Expr): boolean {
  let found = false;
  walk(root, (e) => {
    found ||= e.kind === 'const' && e.type === 'float32' && isFree(Number(e.value));
  });
  return found;
}

function readingNumbers(kernel: Kernel, tensor: TensorRef, values: readonly number[]): Kernel {
  const places = new Map(values.map((value, place) => [value, place]));
  const rebuilt = new Map<Stage, Stage>();
  const stages = kernel.stages.map((stage) => {
    const moved = rebuildStage(stage, (source) => {
      const own = rebuilt.get(source);
      return own && { source: own as Source };
    });
    const next =
      moved.kind === 'map' ? ({ ...moved, body: withLoads(moved, tensor, places) } satisfies MapStage) : moved;
    rebuilt.set(stage, next);
    return next;
  });
  const outputs = kernel.outputs.map((output) => ({ ...output, stage: rebuilt.get(output.stage)! }));
  return { ...kernel, params: [...kernel.params, tensor], stages, outputs };
}

function withLoads({ body }: MapStage, tensor: TensorRef, places: ReadonlyMap<number, number>): Expr {
  return rewrite(body, (e) => {
    if (e.kind !== 'const' || e.type !== 'float32') return undefined;
    const place = places.get(Number(e.value));
    return place === undefined ? undefined : elementAt(tensor, [dimension(place)]);
  });
}
