// float32 lanes computed in float64, two at a time.

import type { EmitContext } from './context.ts';
import { type Term, Terms } from './terms.ts';
import { upper } from './vector-integer.ts';

/** Low 8 bytes of both operands side by side. */
export const lowHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];

export type F64 = Terms<'f64x2'>;

/** The operands of one pair of lanes, promoted to float64 and kept. */
export type Pair = readonly Term[];

/** Promotes the low pair of lanes of each operand and, with 4 lanes, the high pair. Operands are kept terms. */
export function pairsOf(
  c: EmitContext,
  operands: readonly Term[],
): readonly { readonly d: F64; readonly values: Pair }[] {
  const d = new Terms(c, 'f64x2');
  const promote = (x: Term): Term => d.keep(d.op('f64x2.promote_low_f32x4', x));
  const low = { d, values: operands.map(promote) };
  if (c.lanes === 2) return [low];
  return [low, { d, values: operands.map((x) => promote(upper(d, x))) }];
}

/** One float64 result per pair → float32 lanes. */
export function joinDemoted(t: Terms, results: readonly Term[]): Term {
  return joinLow(
    t,
    results.map((result) => t.op('f32x4.demote_f64x2_zero', result)),
  );
}

/** The low 8 bytes of one or two vectors side by side. */
export function joinLow(t: Terms, results: readonly Term[]): Term {
  if (results.length === 1) return results[0];
  return t.once(() => {
    for (const result of results) result();
    t.c.f.shuffle(lowHalves);
  });
}
