// Texts: locales, vocabularies and patterns.

import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { type AttributeSpec, node, tensorOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';

type Attributes = Readonly<Record<string, AttributeSpec>>;

async function run(op: string, input: Tensor, attributes: Attributes): Promise<Tensor> {
  const session = await open({
    inputs: { x: tensorOf(input.type, ...input.dims) },
    nodes: [node(op, 'x', 'y', attributes)],
    outputs: ['y'],
  });
  const { y } = await session.run({ x: input });
  await session.dispose();
  return y as Tensor;
}

const texts = (...items: string[]): Tensor => new Tensor('string', items, [items.length]);

describe('StringNormalizer', () => {
  const upper = async (locale: string | undefined, ...words: string[]) =>
    (await run('StringNormalizer', texts(...words), { case_change_action: 'UPPER', ...(locale && { locale }) })).data;

  it('changes all letters, those of A to Z alone in the plain locale', async () => {
    expect(await upper(undefined, 'aé', 'i')).toEqual(['AÉ', 'I']);
    expect(await upper('C', 'aé', 'i')).toEqual(['Aé', 'I']);
    expect(await upper('tr_TR.UTF-8', 'i')).toEqual(['İ']);
  });

  it('compares stop words as the locale does', async () => {
    const normalized = await run('StringNormalizer', texts('É', 'a', 'A'), { stopwords: ['é', 'a'], locale: 'POSIX' });
    expect(normalized.data).toEqual(['É']);
  });
});

describe('TfIdfVectorizer', () => {
  it('takes vocabularies of any length', async () => {
    const count = 300_000;
    const all = Array.from({ length: count }, (_, at) => at);
    const tokens = new Tensor('int64', [1n, 299_999n, 1n], [3]);
    const counts = await run('TfIdfVectorizer', tokens, {
      mode: 'TF',
      min_gram_length: 1,
      max_gram_length: 1,
      max_skip_count: 0,
      ngram_counts: [0],
      ngram_indexes: all,
      pool_int64s: all,
    });
    const found = counts.toNumberArray();
    expect([counts.dims, found[1], found[299_999], found[2]]).toEqual([[count], 2, 1, 0]);
  });
});

describe('RegexFullMatch', () => {
  it('says which pattern cannot be used, and why', async () => {
    const error = await errorOf(run('RegexFullMatch', texts('a'), { pattern: '(?=a)' }));
    expect(error.message).toContain('the pattern "(?=a)" cannot be used: the group (?=a is not supported');
  });
});
