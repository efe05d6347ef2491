// Signals, texts, and the operators for long sequences that came last.

import { Tensor } from '@onnx-ts/core';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape, drawStretchable } from '../random.ts';
import { drawFloats, type ValueKind } from '../values.ts';

const kinds: readonly ValueKind[] = ['unit', 'small'];

function window(op: string): (b: CaseBuilder) => void {
  return (b) => {
    // A symmetric window of one element is left open.
    const size = b.draws.pick([8, 2, 3, 16, 33]);
    b.allow({ ulps: 16, spread: 8, absolute: 1e-7 });
    const attributes = { periodic: b.draws.maybe(() => b.draws.below(2)) };
    b.output(b.op(op, [b.scalar(b.draws.pick(['int64', 'int32']), size)], attributes));
  };
}

function dft(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const isReal = b.draws.coin();
  const length = b.draws.pick([4, 8, 1, 2, 3, 5, 7, 16, 12]);
  const outer = drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 6, least: 1 });
  const rank = outer.length + 2;
  const axis = b.draws.between(1, rank - 2);
  const shape = [...outer.toSpliced(axis, 0, length), isReal ? 1 : 2];
  b.allow({ ulps: 64, spread: 64 });
  const inverse = b.draws.maybe(() => b.draws.below(2));
  const onesided = inverse === 1 || !isReal ? undefined : b.draws.maybe(() => b.draws.below(2));
  const count = b.draws.oneIn(3) ? b.draws.between(1, 12) : undefined;
  const x = b.random(dtype, shape, kinds);
  const size = count === undefined ? undefined : b.scalar('int64', count);
  const signed = b.draws.coin() ? axis : axis - rank;
  const y =
    b.opset >= 20
      ? b.op('DFT', [x, size, b.scalar('int64', signed)], { inverse, onesided })
      : b.op('DFT', [x, size], { inverse, onesided, axis: signed });
  b.output(y);
}

function stft(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const frame = b.draws.pick([4, 8, 5]);
  const length = frame * b.draws.between(1, 4) + b.draws.below(3);
  const hasWindow = b.draws.coin();
  b.allow({ ulps: 64, spread: 64 });
  const inputs = [
    b.random(dtype, [b.draws.between(1, 2), length, 1], kinds),
    b.scalar('int64', b.draws.between(1, frame)),
    hasWindow ? b.random(dtype, [frame], ['positive']) : undefined,
    !hasWindow || b.draws.coin() ? b.scalar('int64', frame) : undefined,
  ];
  b.output(b.op('STFT', inputs, { onesided: b.draws.maybe(() => b.draws.below(2)) }));
}

function mel(b: CaseBuilder): void {
  b.allow({ ulps: 64, spread: 64, absolute: 1e-5 });
  const inputs = [
    b.scalar('int64', b.draws.pick([8, 4, 16])),
    b.scalar('int64', b.draws.pick([16, 64, 256])),
    b.scalar('int64', 8192),
    b.scalar('float32', b.draws.pick([0, 100])),
    b.scalar('float32', b.draws.pick([4096, 3000])),
  ];
  b.output(b.op('MelWeightMatrix', inputs));
}

const words = ['monday', 'tuesday', 'Wednesday', 'a,b,,c', ' x  y ', '', 'ONNX', '42', 'äöü'];

function texts(b: CaseBuilder, shape: readonly number[]): string {
  const generator = b.draws.generator();
  return b.operand(
    new Tensor(
      'string',
      Array.from({ length: countOf(shape) }, () => generator.pick(words)),
      shape,
    ),
  );
}

function stringConcat(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 30 });
  b.output(b.op('StringConcat', [texts(b, shape), texts(b, drawStretchable(b.draws, shape))]));
}

function stringSplit(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 2, budget: 10, least: 1 });
  const attributes = {
    delimiter: b.draws.pick([undefined, ',', 'day', ' ']),
    maxsplit: b.draws.maybe(() => b.draws.between(0, 2)),
  };
  b.outputs(b.ops('StringSplit', [texts(b, shape)], attributes, { outputs: 2 }));
}

function regex(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 30 });
  const pattern = b.draws.pick(['.*day', '[a-z]+', '\\d+', '', '(on|tu).*', '[[:alpha:]]*']);
  b.output(b.op('RegexFullMatch', [texts(b, shape)], { pattern }), 'bool');
}

function normalizer(b: CaseBuilder): void {
  const shape = b.draws.coin() ? [b.draws.between(1, 6)] : [1, b.draws.between(1, 6)];
  const attributes = {
    case_change_action: b.draws.pick([undefined, 'NONE', 'LOWER', 'UPPER']),
    is_case_sensitive: b.draws.maybe(() => b.draws.below(2)),
    stopwords: b.draws.maybe(() => ['monday', 'onnx']),
  };
  b.output(b.op('StringNormalizer', [texts(b, shape)], attributes));
}

const domain = 'com.microsoft';

function causalConv(prefix: string | undefined): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const [batch, channels, length, kernel] = [
      b.draws.between(1, 2),
      b.draws.pick([4, 1, 3]),
      b.draws.pick([5, 1, 3]),
      b.draws.pick([3, 1, 2, 4]),
    ];
    b.allowSums(kernel + 1, 16);
    const inputs = [
      b.random(dtype, [batch, channels, length], kinds),
      b.random(dtype, [channels, 1, kernel], kinds),
      b.draws.maybe(() => b.random(dtype, [channels], kinds)),
      kernel > 1 ? b.draws.maybe(() => b.random(dtype, [batch, channels, kernel - 1], kinds)) : undefined,
    ];
    const attributes = { activation: b.draws.pick([undefined, 'none', 'silu', 'swish']) };
    b.outputs(b.ops('CausalConvWithState', inputs, attributes, { ...(prefix && { domain: prefix }), outputs: 2 }));
  };
}

function linearAttention(prefix: string | undefined): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype('T');
    const [batch, length, heads, size, width] = [
      b.draws.between(1, 2),
      b.draws.pick([3, 1, 5]),
      b.draws.pick([1, 2]),
      b.draws.pick([4, 2]),
      b.draws.pick([4, 3]),
    ];
    const rule = b.draws.pick([undefined, 'linear', 'gated', 'delta', 'gated_delta']);
    const decays = rule === undefined || rule.startsWith('gated');
    const learns = rule === undefined || rule.endsWith('delta');
    b.allow({ ulps: 64, spread: 64 });
    const inputs = [
      b.random(dtype, [batch, length, heads * size], ['unit']),
      b.random(dtype, [batch, length, heads * size], ['unit']),
      b.random(dtype, [batch, length, heads * width], ['unit']),
      b.draws.maybe(() => b.random(b.isPeer ? dtype : b.dtype('S'), [batch, heads, size, width], ['unit'])),
      decays ? b.operand(drawFloats(b.draws, dtype, [batch, length, heads], -1, 0)) : undefined,
      learns ? b.operand(drawFloats(b.draws, dtype, [batch, length, heads], 0, 1)) : undefined,
    ];
    const attributes = { q_num_heads: heads, kv_num_heads: heads, update_rule: rule };
    b.outputs(b.ops('LinearAttention', inputs, attributes, { ...(prefix && { domain: prefix }), outputs: 2 }));
  };
}

function tfIdf(b: CaseBuilder): void {
  // Word counts of a pool of n-grams.
  const length = b.draws.between(1, 8);
  const attributes = {
    mode: b.draws.pick(['TF', 'IDF', 'TFIDF']),
    min_gram_length: 1,
    max_gram_length: b.draws.between(1, 2),
    max_skip_count: b.draws.below(3),
    ngram_counts: [0, 3],
    ngram_indexes: [0, 1, 2, 3, 4],
    pool_int64s: [1, 2, 3, 1, 2, 2, 3],
    weights: b.draws.maybe(() => ({ floats: [1, 0.5, 2, 1, 3] })),
  };
  const generator = b.draws.generator();
  const values = BigInt64Array.from({ length }, () => BigInt(generator.between(0, 4)));
  b.allow({ ulps: 4 });
  b.output(b.op('TfIdfVectorizer', [b.operand(new Tensor('int64', values, [length]))], attributes));
}

export const signals: Family = {
  name: 'signal',
  cases: {
    HannWindow: window('HannWindow'),
    HammingWindow: window('HammingWindow'),
    BlackmanWindow: window('BlackmanWindow'),
    DFT: dft,
    STFT: stft,
    MelWeightMatrix: mel,
    StringConcat: stringConcat,
    StringSplit: stringSplit,
    RegexFullMatch: regex,
    StringNormalizer: normalizer,
    TfIdfVectorizer: tfIdf,
    CausalConvWithState: causalConv(undefined),
    LinearAttention: linearAttention(undefined),
    [`${domain}:CausalConvWithState`]: causalConv(domain),
    [`${domain}:LinearAttention`]: linearAttention(domain),
  },
};
