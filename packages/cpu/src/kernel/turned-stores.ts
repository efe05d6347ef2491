// Four vectors whose lanes go to four places apart, each next to the lane of the vector before: their four by four elements
// are turned in registers, and stored as whole vectors.

import { bitsOf, type Expr, type Statement } from '@onnx-ts/tensor-ir';
import { emitStoreVector } from '../emit/memory-ops.ts';
import type { Plan } from './plan.ts';
import { addressOf, laneStride } from './plan-address.ts';
import { vectorValue } from './plan-vector.ts';

type Store = Statement & { readonly kind: 'store' };

const side = 4;

/** The next four statements of a vector loop, when they are such stores. */
export function turnedStores(plan: Plan, statements: readonly Statement[]): readonly Store[] | undefined {
  const { vector, analysis } = plan;
  if (!vector || vector.partial || vector.lanes !== side || statements.length < side) return undefined;
  const stores = statements.slice(0, side).filter((statement): statement is Store => statement.kind === 'store');
  if (stores.length < side) return undefined;
  const [{ tensor }] = stores;
  if (bitsOf(tensor.dtype) !== 32 || !stores.every((store) => store.tensor === tensor)) return undefined;
  if (plan.buffers.get(tensor)?.isPerLane || !stores.every(({ value }) => plan.varies(plan.resolve(value))))
    return undefined;
  const offsets = stores.map(({ offset }) => plan.resolve(offset));
  const stride = laneStride(plan, tensor, offsets[0]);
  if (!stride || (stride.constant ?? side) < side) return undefined;
  const first = analysis.formOf(offsets[0]);
  const follows = (offset: Expr, at: number): boolean => {
    const { base, terms } = analysis.sum(analysis.formOf(offset), analysis.scale(first, -1));
    return terms.length === 0 && base.is(at);
  };
  return offsets.every(follows) ? stores : undefined;
}

/** @param stores what `turnedStores` gave */
export function planTurnedStores(plan: Plan, stores: readonly Store[]): void {
  const [{ tensor, offset }] = stores;
  const place = plan.resolve(offset);
  for (let copy = 0; copy < plan.vector!.copies; copy++) {
    const values = stores.map(({ value }) => vectorValue(plan, plan.resolve(value), copy));
    const addresses = values.map((_, lane) => addressOf(plan, tensor, place, { copy, lane }, true));
    plan.scope.step((c) =>
      c.f.scope(() => {
        const { f } = c;
        const given = f.locals(side, 'v128', 'given');
        const pairs = f.locals(side, 'v128', 'pair');
        for (const [at, value] of values.entries()) {
          value.push(c);
          f.set(given[at]);
        }
        // Words of two vectors in turn: the lower halves, then the upper ones.
        for (const [at, pair] of pairs.entries()) {
          const from = at < 2 ? 0 : 2;
          f.get(given[from]);
          f.get(given[from + 1]);
          f.shuffle(bytesOfWords(at % 2 === 0 ? [0, 4, 1, 5] : [2, 6, 3, 7]));
          f.set(pair);
        }
        for (const [lane, address] of addresses.entries()) {
          address.push(c);
          const half = lane < 2 ? 0 : 1;
          f.get(pairs[half]);
          f.get(pairs[half + 2]);
          f.shuffle(bytesOfWords(lane % 2 === 0 ? [0, 1, 4, 5] : [2, 3, 6, 7]));
          emitStoreVector(c, tensor.dtype, address.offset);
        }
      }),
    );
  }
  plan.changed(tensor);
}

function bytesOfWords(words: readonly number[]): number[] {
  return words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte));
}
