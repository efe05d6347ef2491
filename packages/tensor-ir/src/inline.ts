// Substitution of one stage into another: the heart of fusion.

import { type Axis, and, constant, type Expr, rewrite, select, substituteAxes } from './expr.ts';
import type { MapStage, Source, Stage } from './stage.ts';

/**
 * Rebuilds an expression with every load from a stage that `replacement` knows replaced: by the body of a map stage at
 * that index, or by a load from another source of the same shape.
 */
export function substituteSources(
  root: Expr,
  replacement: (stage: Stage) => { readonly inline: MapStage } | { readonly source: Source } | undefined,
): Expr {
  return rewrite(root, (e) => {
    if (e.kind !== 'load' || e.source.kind === 'tensor') return undefined;
    const found = replacement(e.source);
    if (!found) return undefined;
    if ('source' in found) return { ...e, source: found.source };
    const { axes, body } = found.inline;
    const values = new Map<Axis, Expr>(axes.map((axis, at) => [axis, e.index[at]]));
    const value = substituteAxes(body, values);
    return e.guard ? guarded(value, e.guard, e.fill!) : value;
  });
}

/**
 * The value where the guard holds, `fill` elsewhere. Both branches of a select may be evaluated, so the guard moves into
 * every load inside.
 */
function guarded(value: Expr, guard: Expr, fill: Expr): Expr {
  if (value.kind === 'load') {
    if (!value.guard) return { ...value, guard, fill };
    if (sameConstant(value.fill!, fill)) return { ...value, guard: and(guard, value.guard), fill };
  }
  const inner = guardLoads(value, guard);
  return select(guard, inner, fill);
}

/** The same value where the guard holds; elsewhere no load in it is made and the value means nothing. */
export function guardLoads(root: Expr, guard: Expr): Expr {
  return rewrite(root, (e) => {
    if (e.kind !== 'load') return undefined;
    if (e.guard) return { ...e, guard: and(guard, e.guard) };
    return { ...e, guard, fill: constant(e.type, 0) };
  });
}

function sameConstant(a: Expr, b: Expr): boolean {
  return a.kind === 'const' && b.kind === 'const' && a.type === b.type && Object.is(a.value, b.value);
}
