import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { node } from '../../testing/build-model.ts';
import { errorOf, open } from '../../testing/open-session.ts';

const list = (...values: number[]): Tensor => new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);

async function detect(source: Tensor, current: Tensor, match: Tensor, predicted?: Tensor): Promise<number[][]> {
  const names = ['source', 'current', 'match', ...(predicted ? ['predicted'] : [])];
  const session = await open({
    domains: { 'com.microsoft': 1 },
    initializers: { source, current, match, ...(predicted && { predicted }) },
    nodes: [node('BifurcationDetector', names, ['tokens', 'next'], {}, { domain: 'com.microsoft' })],
    outputs: ['tokens', 'next'],
  });
  const { tokens, next } = (await session.run({})) as Record<string, Tensor>;
  return [tokens.toNumberArray(), next.toNumberArray()];
}

it.each([
  ['no prediction, the last token once in the source', [5, 6, 7], [1, 6], 0, undefined, [1, 6], 2],
  ['the source up to where the model differs', [1, 2, 3, 4], [9], 0, [1, 2, 8, 4, 5], [9, 1, 2, 8], -1],
  ['all of the source and one more', [1, 2, 3], [9], 1, [2, 3, 4], [9, 2, 3, 4], -1],
  ['a longer n-gram where a shorter one is twice there', [1, 2, 3, 5, 2, 4], [1, 2], 0, undefined, [1, 2], 2],
  ['no match for n-grams that stay ambiguous', [1, 2, 1, 2, 3], [1, 2], 0, undefined, [1, 2], -1],
])('BifurcationDetector: %s', async (_, source, current, match, predicted, tokens, next) => {
  const got = await detect(list(...source), list(...current), list(match), predicted && list(...predicted));
  expect(got).toEqual([tokens, [next]]);
});

it('BifurcationDetector wants as many predictions as there are source tokens left, and one', async () => {
  const error = await errorOf(detect(list(1, 2), list(1), list(0), list(1)));
  expect(error.message).toContain('a prediction for each of the 2 source tokens from 0 on, and one more');
});
