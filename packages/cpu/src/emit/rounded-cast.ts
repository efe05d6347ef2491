// Rounding to integers by an addition: engines that join pairs of vectors do not join the instruction that rounds.

import type { EmitContext } from './context.ts';
import { Terms } from './terms.ts';

/** 1.5 · 2^23: floats around it are the integers, and a sum with it is rounded to the nearest, halves to even. */
const rounding = 1.5 * 2 ** 23;

/** Its bits: those of sums are so much more than the integer. */
export const roundingBits = new Int32Array(new Float32Array([rounding]).buffer)[0];

/**
 * x, low, high, bias → int32 lanes: x clamped to integers `low` and `high` of at most 22 bits, rounded, plus `roundingBits`
 * minus bias.
 * @param checksNaN NaN becomes 0; else the least value
 */
export function emitRoundedCast(c: EmitContext, checksNaN: boolean): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const [bias, high, low, x] = [t.pop(), t.pop(), t.pop(), t.pop()];
    // A NaN that comes second is not greater: the bound stays.
    const clamped = t.op('f32x4.pmin', t.op('f32x4.pmax', low, x), high);
    const integer = t.op('i32x4.sub', t.add(clamped, t.const(rounding)), bias);
    if (checksNaN) t.and(integer, t.op('f32x4.eq', x, x))();
    else integer();
  });
}
