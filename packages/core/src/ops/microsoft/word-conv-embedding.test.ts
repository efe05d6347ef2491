import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { node } from '../../testing/build-model.ts';
import { errorOf, open } from '../../testing/open-session.ts';

// Two filters of two rows over characters of one number each: the sum, and the difference, of neighbours.
const filters = new Tensor('float32', Float32Array.of(1, 1, 1, -1), [2, 1, 2, 1]);
const bias = new Tensor('float32', Float32Array.of(0, 0.5), [2]);
const table = new Tensor('float32', Float32Array.of(0, 0.1, 0.2, 0.4), [4, 1]);

function embed(words: readonly number[], characters: number, attributes = {}) {
  const sequence = new Tensor('int32', Int32Array.from(words), [words.length / characters, characters]);
  return open({
    domains: { 'com.microsoft': 1 },
    inputs: {},
    initializers: { sequence, filters, bias, table },
    nodes: [
      node('WordConvEmbedding', ['sequence', 'filters', 'bias', 'table'], 'y', attributes, { domain: 'com.microsoft' }),
    ],
    outputs: ['y'],
  });
}

it('WordConvEmbedding takes the greatest of the windows inside a word', async () => {
  const session = await embed([1, 3, 2, 0, /* short */ 2, 0, 3, 0, /* empty */ 0, 3, 3, 3], 4);
  const { y } = await session.run({});
  const values = [0.4 + 0.2, 0.4 - 0.2 + 0.5, /* two of four characters */ 0.2, 0.2 + 0.5].map(Math.tanh);
  (y as Tensor).toNumberArray().forEach((value, at) => {
    expect(value).toBeCloseTo([...values, 0, 0][at], 6);
  });
});

it('WordConvEmbedding refuses what does not fit', async () => {
  expect((await errorOf(embed([1, 2], 2, { embedding_size: 3 }))).message).toContain('embedding_size and the size in');
  expect((await errorOf(embed([1, 2], 1))).message).toContain('words of 1 characters are shorter than a window of 2');
});
