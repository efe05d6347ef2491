// Operators on texts.

import { Tensor } from '@onnx-ts/core';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import type { Attributes } from '../graph-builder.ts';
import { countOf, drawShape, drawStretchable } from '../random.ts';

const words = [
  ...['monday', 'tuesday', 'Wednesday', 'a,b,,c', ' x  y ', '', 'ONNX', '42', 'äöü', 'ÄÖÜ', ',', ',,', '\t\n', 'a'],
  ...['x@gmail.com', 'no-reply@a-b.com', 'two\nlines', '日本語', '😀', 'istanbul', 'ISTANBUL', 'straße', '2024-01-31'],
];

function texts(b: CaseBuilder, shape: readonly number[], from: readonly string[] = words): string {
  const generator = b.draws.generator();
  const data = Array.from({ length: countOf(shape) }, () => generator.pick(from));
  return b.operand(new Tensor('string', data, shape));
}

function stringConcat(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { budget: 60 });
  const operands = [texts(b, shape), texts(b, drawStretchable(b.draws, shape))];
  b.output(b.op('StringConcat', b.draws.coin() ? operands : operands.reverse()));
}

function stringSplit(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 20 });
  const attributes = {
    delimiter: b.draws.pick([undefined, ',', 'day', ' ', '', ',,', 'a']),
    maxsplit: b.draws.maybe(() => b.draws.between(0, 3)),
  };
  const outputs = b.ops('StringSplit', [texts(b, shape)], attributes, {
    outputs: b.draws.pick([
      [true, true],
      [true, false],
      [false, true],
    ]),
  });
  b.outputs(outputs);
}

const patterns = [
  ...['.*day', '[a-z]+', '\\d+', '', '(on|tu).*', '[[:alpha:]]*', '[^[:space:]]+', '\\w+\\@\\w+\\.com', '(?i)istanbul'],
  ...[
    '(?i:onnx)|[0-9]{2,}',
    '[\\w.\\-]+@[a-z-]+\\.com',
    '.{3}',
    '(?s).*',
    '\\pL+',
    '[^a]*',
    '(\\d{4})-(\\d\\d)-(\\d\\d)',
  ],
  ...[
    '\\s*',
    '[\\s,]+',
    '\\Qa,b\\E.*',
    '(?P<name>\\w+)',
    'a|',
    '.*?',
    '\\D*',
    '[^\\d]*',
    '\\x{1F600}',
    '(?m)two$\\n^lines',
  ],
];

function regex(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 4, budget: 40 });
  b.output(b.op('RegexFullMatch', [texts(b, shape)], { pattern: b.draws.pick(patterns) }), 'bool');
}

function normalizer(b: CaseBuilder): void {
  const count = b.draws.between(0, 6);
  const shape = b.draws.coin() ? [count] : [1, count];
  const attributes = {
    case_change_action: b.draws.pick([undefined, 'NONE', 'LOWER', 'UPPER']),
    is_case_sensitive: b.draws.maybe(() => b.draws.below(2)),
    stopwords: b.draws.maybe(() => ['monday', 'onnx', 'ÄÖÜ', '']),
    locale: b.draws.maybe(() => b.draws.pick(['en_US', 'C', 'de_DE.UTF-8'])),
  };
  b.output(b.op('StringNormalizer', [texts(b, shape)], attributes));
}

/** Counts of the n-grams of a pool, in one row of tokens or in several. */
function tfIdf(b: CaseBuilder): void {
  const isText = b.draws.coin();
  const vocabulary = isText ? ['a', 'b', 'c', 'd', 'e'] : [0, 1, 2, 3, 4];
  const generator = b.draws.generator();
  const longest = b.draws.between(1, 3);
  const counts: number[] = [];
  const pool: (string | number)[] = [];
  let grams = 0;
  for (let length = 1; length <= longest; length++) {
    counts.push(pool.length);
    const seen = new Set<string>();
    for (let left = b.draws.between(0, 4); left > 0; left--) {
      const gram = Array.from({ length }, () => generator.pick<string | number>(vocabulary));
      if (seen.has(gram.join())) continue;
      seen.add(gram.join());
      pool.push(...gram);
      grams++;
    }
  }
  if (grams === 0) {
    pool.push(vocabulary[0]);
    for (let at = 1; at < counts.length; at++) counts[at] = 1;
    grams = 1;
  }
  const most = b.draws.between(1, longest);
  const list = { [isText ? 'pool_strings' : 'pool_int64s']: pool } as Attributes;
  const attributes: Attributes = {
    mode: b.draws.pick(['TF', 'IDF', 'TFIDF']),
    min_gram_length: b.draws.between(1, most),
    max_gram_length: most,
    max_skip_count: b.draws.below(4),
    ngram_counts: counts,
    ngram_indexes: b.draws.shuffled(Array.from({ length: grams }, (_, at) => at)),
    weights: b.draws.maybe(() => ({ floats: Array.from({ length: grams }, () => generator.between(1, 8) / 4) })),
    ...list,
  };
  const shape = b.draws.coin() ? [b.draws.between(1, 12)] : [b.draws.between(1, 4), b.draws.between(1, 9)];
  const tokens = Array.from({ length: countOf(shape) }, () => generator.pick<string | number>(vocabulary));
  const numberType = b.draws.pick(['int64', 'int32'] as const);
  const x = isText ? new Tensor('string', tokens as string[], shape) : integers(numberType, tokens as number[], shape);
  b.allow({ ulps: 4 });
  b.output(b.op('TfIdfVectorizer', [b.operand(x)], attributes));
}

function integers(dtype: 'int64' | 'int32', values: readonly number[], dims: readonly number[]): Tensor {
  return dtype === 'int64'
    ? new Tensor('int64', BigInt64Array.from(values, BigInt), dims)
    : new Tensor('int32', Int32Array.from(values), dims);
}

/** Numbers as texts and back. */
function roundTrip(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 40 });
  const x = b.operand(
    new Tensor(
      'string',
      Array.from({ length: countOf(shape) }, () => b.draws.pick(numerals)),
      shape,
    ),
  );
  b.output(b.op('Cast', [x], { to: b.draws.pick([1, 7, 6, 11]) }));
}

const numerals = ['0', '1', '-2', '12345', '7', '-0', '100'];

export const textual: Family = {
  name: 'text',
  cases: {
    StringConcat: stringConcat,
    StringSplit: stringSplit,
    RegexFullMatch: regex,
    StringNormalizer: normalizer,
    TfIdfVectorizer: tfIdf,
    'Cast#numerals': (b) => (b.opset >= 9 ? roundTrip(b) : b.output(b.op('Neg', [b.random('float32', [2])]))),
  },
};
