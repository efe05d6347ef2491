// Index expressions of the reference interpreter as sums with concrete coefficients.

import type { Axis, Expr } from './expr.ts';
import type { AffineForm } from './interpret-nest.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** constant + Σ coefficient × axis + Σ coefficient × anything else */
export interface IndexForm extends AffineForm {
  readonly others: ReadonlyMap<Expr, number>;
}

export function constantForm(constant: number): IndexForm {
  return { constant, axes: new Map(), others: new Map() };
}

export function isConstantForm(form: IndexForm): boolean {
  return form.axes.size === 0 && form.others.size === 0;
}

function addInto<K>(into: Map<K, number>, from: ReadonlyMap<K, number>, factor: number): Map<K, number> {
  for (const [key, coefficient] of from) {
    const sum = (into.get(key) ?? 0) + factor * coefficient;
    if (sum === 0) into.delete(key);
    else into.set(key, sum);
  }
  return into;
}

/** a + factor × b */
export function combineForms(a: IndexForm, b: IndexForm, factor: number): IndexForm {
  return {
    constant: a.constant + factor * b.constant,
    axes: addInto(new Map<Axis, number>(a.axes), b.axes, factor),
    others: addInto(new Map<Expr, number>(a.others), b.others, factor),
  };
}
