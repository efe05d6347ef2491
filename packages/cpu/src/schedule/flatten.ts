// From elements by index list (level 2) to elements by linear offset (level 3).

import {
  dimension,
  type Expr,
  elementAtOffset,
  type IndexAnalysis,
  rewrite,
  type Stage,
  type TensorRef,
} from '@onnx-ts/tensor-ir';

export type StageLoad = Extract<Expr, { kind: 'load' }> & { readonly source: Stage };

/** Offset of an element in its tensor's physical order. */
export function offsetIn(analysis: IndexAnalysis, tensor: TensorRef, index: readonly Expr[]): Expr {
  return analysis.expression(analysis.offsetOf(tensor, index));
}

/** The same, with linear offsets in what the index loads too; it may load from memory only. */
export function flatOffsetIn(analysis: IndexAnalysis, tensor: TensorRef, index: readonly Expr[]): Expr {
  return flatten(analysis, offsetIn(analysis, tensor, index), ({ source }) => {
    throw new TypeError(`the index into ${tensor.name} depends on the stage ${source.name}`);
  });
}

/**
 * Loads from memory get linear offsets; loads of stages become what `readStage` says, which must be flat already.
 * The indices handed to it are.
 */
export function flatten(analysis: IndexAnalysis, root: Expr, readStage: (load: StageLoad) => Expr): Expr {
  return rewrite(root, (e) => {
    if (e.kind !== 'load') return undefined;
    if (e.source.kind !== 'tensor') return withGuard(readStage(e as StageLoad), e);
    const guard = e.guard && { when: e.guard, otherwise: e.fill! };
    return elementAtOffset(e.source, offsetIn(analysis, e.source, e.index), guard);
  });
}

/** A guard around a load of a stage stays around what replaces it. */
function withGuard(value: Expr, { guard, fill }: Extract<Expr, { kind: 'load' }>): Expr {
  if (!guard) return value;
  return guardValue(value, guard, fill!);
}

/** `value` where the guard holds, `fill` elsewhere; no load in `value` is made where it does not hold. */
function guardValue(value: Expr, guard: Expr, fill: Expr): Expr {
  const guarded = rewrite(value, (e) => {
    if (e.kind === 'bounded') return undefined;
    if (e.kind !== 'load' || e.index.length === 0) return undefined;
    const when: Expr = e.guard ? { kind: 'binary', type: 'bool', op: 'and', a: guard, b: e.guard } : guard;
    return { ...e, guard: when, fill: e.fill ?? zeroOf(e) };
  });
  return { kind: 'select', type: value.type, condition: guard, whenTrue: guarded, whenFalse: fill };
}

function zeroOf(e: Expr): Expr {
  if (e.type === 'index') return dimension(0);
  return { kind: 'const', type: e.type, value: e.type === 'int64' || e.type === 'uint64' ? 0n : 0 };
}
