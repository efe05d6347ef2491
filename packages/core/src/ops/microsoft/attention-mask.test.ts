// Masks of rank 1 mean what their length says, also where only the run tells the batch size.

import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { float32, node, tensorOf } from '../../testing/build-model.ts';
import { open } from '../../testing/open-session.ts';

const [keys, hidden] = [3, 4];

/** Attention over one head whose queries are 0: the result is the mean of the values that count. */
async function meanOf(mask: readonly number[], sizes: readonly (number | string)[]): Promise<number[]> {
  const weights = new Tensor('float32', new Float32Array(hidden * 3 * hidden), [hidden, 3 * hidden]);
  for (let at = 0; at < hidden; at++) (weights.data as Float32Array)[at * 3 * hidden + 2 * hidden + at] = 1;
  await using session = await open({
    inputs: { x: float32(sizes[0], keys, hidden), mask: tensorOf('int32', sizes[1]) },
    initializers: { weights },
    nodes: [node('Attention', ['x', 'weights', '', 'mask'], 'y', { num_heads: 1 }, { domain: 'com.microsoft' })],
    outputs: ['y'],
    domains: { 'com.microsoft': 1 },
  });
  // Token t is all t.
  const x = Float32Array.from({ length: keys * hidden }, (_, at) => Math.floor(at / hidden));
  const { y } = await session.run({
    x: new Tensor('float32', x, [1, keys, hidden]),
    mask: new Tensor('int32', Int32Array.from(mask), [mask.length]),
  });
  return [...(y.data as Float32Array)].filter((_, at) => at % hidden === 0);
}

it.each([
  { mask: [2], mean: 0.5 },
  { mask: [3, 1], mean: 1.5 },
  { mask: [2, 1], mean: 1 },
  { mask: [2, 0, 3, 0, 3], mean: 0.5 },
])('keys that $mask leaves', async ({ mask, mean }) => {
  for (const sizes of [
    [1, mask.length],
    ['batch', mask.length],
    ['batch', 'entries'],
  ]) {
    for (const value of await meanOf(mask, sizes)) expect(value).toBeCloseTo(mean, 5);
  }
});
