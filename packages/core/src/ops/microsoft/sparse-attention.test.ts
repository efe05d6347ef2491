import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { node } from '../../testing/build-model.ts';
import { open } from '../../testing/open-session.ts';

const [heads, size, room, block] = [1, 8, 4, 2];

const reals = (dims: readonly number[], seed: number): Tensor => {
  const count = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 1.7)),
    dims,
  );
};
const ints = (dims: readonly number[], ...items: number[]): Tensor => new Tensor('int32', Int32Array.from(items), dims);

/** A prompt of two sequences, the second of which may be shorter. Tokens see their own block and nothing else. */
async function prompt(lengths: readonly [number, number]): Promise<Float32Array> {
  const [batch, length] = [2, room];
  const inputs = {
    query: reals([batch, length, heads * size], 1),
    key: reals([batch, length, heads * size], 2),
    value: reals([batch, length, heads * size], 3),
    pastKey: reals([batch, heads, room, size], 4),
    pastValue: reals([batch, heads, room, size], 5),
    rows: ints([1, 3], 0, 1, 2),
    columns: ints([1, 2], 0, 1),
    total: ints([1], length),
    lengths: ints([batch], ...lengths),
  };
  const attributes = { num_heads: heads, kv_num_heads: heads, sparse_block_size: block };
  await using session = await open({
    domains: { 'com.microsoft': 1 },
    initializers: inputs,
    nodes: [node('SparseAttention', Object.keys(inputs), ['y', 'k', 'v'], attributes, { domain: 'com.microsoft' })],
    outputs: ['y'],
  });
  const { y } = await session.run({});
  return (y as Tensor).data as Float32Array;
}

it('places the queries of a prompt from the first position on, also of one that is padded at its end', async () => {
  const [whole, padded] = [await prompt([4, 4]), await prompt([4, 3])];
  const row = heads * size;
  // All that counts: the four tokens of the first sequence and the first three of the second.
  expect(padded.slice(0, 7 * row)).toEqual(whole.slice(0, 7 * row));
  expect(whole.every(Number.isFinite)).toBe(true);
});
