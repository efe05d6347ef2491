// Further operators of com.microsoft: gates and recurrences of language models, rotations, dropouts with bit masks, hashes.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { drawWindow } from './conv.ts';

const domain = 'com.microsoft';
const kinds: readonly ValueKind[] = ['unit', 'normal', 'small'];
type Generator = (b: CaseBuilder) => void;

function gatedAdd(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 2, maxRank: 3, least: 1 });
  b.allow({ ulps: 2, spread: 4 });
  const inputs = [
    b.random(dtype, shape, kinds),
    b.random(dtype, shape, kinds),
    b.random(dtype, shape.with(-1, 1), kinds),
  ];
  b.output(b.op('GatedAdd', inputs, {}, domain), dtype);
}

function gatedNorm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const size = b.draws.pick([8, 4, 16, 33]);
  const shape = [...drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 12, least: 1 }), size * b.draws.pick([1, 2])];
  b.allow({ ulps: 16, spread: 32 });
  const inputs = [
    b.random(dtype, shape, ['normal', 'unit']),
    b.random(dtype, [size], kinds),
    b.random(dtype, shape, ['normal', 'unit']),
  ];
  b.output(b.op('GatedRMSNorm', inputs, { epsilon: b.draws.maybe(() => float(1e-3)) }, domain), dtype);
}

function attentionGate(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = [b.draws.between(1, 2), b.draws.between(1, 5), b.draws.pick([4, 1, 9])];
  b.allow({ ulps: 16, spread: 16 });
  const hasBeta = b.draws.coin();
  const inputs = [
    b.random(dtype, shape, kinds),
    b.random('float32', shape.slice(-1), kinds),
    b.random('float32', shape.slice(-1), kinds),
    hasBeta ? b.random(dtype, shape, kinds) : undefined,
  ];
  b.outputs(b.ops('LinearAttentionGate', inputs, {}, { domain, outputs: [true, hasBeta] }));
}

function engramGate(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [batch, length, connections, hidden] = [
    b.draws.between(1, 2),
    b.draws.between(1, 3),
    b.draws.between(1, 3),
    b.draws.pick([8, 4, 17]),
  ];
  const shape = [batch, length, connections, hidden];
  b.allow({ ulps: 64, spread: 64 });
  const hasNorm = b.draws.coin();
  const scale = (): string => b.random(dtype, [connections, hidden], ['unit']);
  // A dot product near 0 decides a sign: numbers far from it.
  const row = b.operand(drawFloats(b.draws, dtype, shape, 0.5, 2));
  const other = b.operand(drawFloats(b.draws, dtype, shape, 0.5, 2));
  const positive = (): string => b.operand(drawFloats(b.draws, dtype, [connections, hidden], 0.5, 2));
  const inputs = [
    row,
    other,
    b.random(dtype, [batch, length, hidden], kinds),
    positive(),
    positive(),
    hasNorm ? scale() : undefined,
  ];
  b.outputs(b.ops('EngramGate', inputs, {}, { domain, outputs: [true, hasNorm] }));
}

function gemmaRotary(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const [batch, heads, length, size] = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(1, 5), 8];
  const shape = [batch, heads, length, size];
  b.allow({ ulps: 8, spread: 8 });
  const inputs = [
    b.random('float32', [batch, length, size], ['unit', 'normal']),
    ...Array.from({ length: 4 }, () => b.random(dtype, shape, ['unit'])),
  ];
  b.outputs(b.ops('GemmaRotaryEmbedding', inputs, {}, { domain, outputs: 2 }));
}

function rotaryByThree(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [batch, heads, length] = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(1, 5)];
  const sections = b.draws.pick([
    [2, 1, 1],
    [1, 2, 1],
    [4, 2, 2],
    [4, 4, 0],
  ]);
  const pairs = sections[0] + sections[1] + sections[2];
  const size = 2 * pairs;
  const isPacked = b.draws.coin();
  b.allow({ ulps: 4, spread: 4 });
  const inputs = [
    b.random(dtype, isPacked ? [batch, length, heads * size] : [batch, heads, length, size], ['unit']),
    b.operand(drawIntegers(b.draws, 'int64', [3, batch, length], 0, 11)),
    b.random(dtype, [12, pairs], ['unit']),
    b.random(dtype, [12, pairs], ['unit']),
  ];
  const attributes = {
    interleaved: b.draws.maybe(() => b.draws.below(2)),
    mrope_layout: b.draws.maybe(() => b.draws.below(2)),
    mrope_section: sections,
  };
  b.output(b.op('MRotaryEmbedding', inputs, attributes, domain), dtype);
}

/** Running counts of packed sequences that have so many tokens altogether. */
function drawEnds(b: CaseBuilder, sequences: number) {
  const ends = [0];
  for (let at = 0; at < sequences; at++) ends.push(ends[at] + b.draws.between(1, 4));
  return { tokens: ends[sequences], ends: b.operand(encodeTensor('int32', [sequences + 1], ends)) };
}

function deltaNet(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const [batch, keyHeads, keySize, valueSize] = [
    b.draws.between(1, 2),
    b.draws.between(1, 2),
    b.draws.pick([4, 8]),
    b.draws.pick([4, 3]),
  ];
  const heads = keyHeads * b.draws.pick([1, 2]);
  const { tokens, ends } = drawEnds(b, batch);
  const rule = b.draws.pick([undefined, 'linear', 'gated', 'delta', 'gated_delta']);
  b.allow({ ulps: 64, spread: 64 });
  const inputs = [
    b.random(dtype, [tokens, keyHeads, keySize], ['unit']),
    b.random(dtype, [tokens, keyHeads, keySize], ['unit']),
    b.random(dtype, [tokens, heads, valueSize], ['unit']),
    ends,
    b.operand(drawFloats(b.draws, 'float32', [tokens, heads], -1, 0)),
    b.operand(drawFloats(b.draws, dtype, [tokens, heads], 0, 1)),
    b.draws.maybe(() => b.random('float32', [batch, heads, valueSize, keySize], ['unit'])),
  ];
  const attributes = {
    update_rule: rule,
    scale: b.draws.maybe(() => float(0.5)),
    qk_l2_norm: b.draws.maybe(() => b.draws.below(2)),
  };
  b.outputs(b.ops('GatedDeltaNet', inputs, attributes, { domain, outputs: 2 }));
}

function packedConvolution(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const [batch, channels, taps] = [b.draws.between(1, 2), b.draws.pick([3, 1, 8]), b.draws.pick([4, 2, 1])];
  const dilation = b.draws.pick([1, 2]);
  const { tokens, ends } = drawEnds(b, batch);
  b.allow({ ulps: 16, spread: 32 });
  const inputs = [
    b.random(dtype, [tokens, channels], kinds),
    b.random(dtype, [channels, 1, taps], kinds),
    ends,
    b.draws.maybe(() => b.random(dtype, [channels], kinds)),
    b.random(dtype, [batch, channels, (taps - 1) * dilation], kinds),
  ];
  const attributes = { activation: b.draws.pick([undefined, 'none', 'silu']), dilation };
  b.outputs(b.ops('VarlenCausalConvWithState', inputs, attributes, { domain, outputs: 2 }));
}

function hashes(b: CaseBuilder): void {
  const dtype = b.dtype('M');
  const [batch, length, longest, heads] = [
    b.draws.between(1, 2),
    b.draws.between(1, 6),
    b.draws.between(2, 4),
    b.draws.between(1, 3),
  ];
  const columns = (longest - 1) * heads;
  const inputs = [
    b.operand(drawIntegers(b.draws, dtype, [batch, length], 0, 1000)),
    b.random(dtype, [longest], ['wide', 'small']),
    b.operand(drawIntegers(b.draws, dtype, [columns], 1, 97)),
    b.draws.maybe(() => b.operand(drawIntegers(b.draws, dtype, [batch, longest - 1], 0, 1000))),
  ];
  const attributes = { max_ngram_size: longest, n_head_per_ngram: heads, pad_id: b.draws.between(0, 3) };
  b.outputs(b.ops('NGramHashMapping', inputs, attributes, { domain, outputs: 2 }));
}

function transposedConv(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b);
  const spatial = window.image.length;
  const [batch, from, to] = [b.draws.between(1, 2), b.draws.pick([1, 2, 4]), b.draws.pick([1, 3])];
  const strides = window.image.map(() => b.draws.between(1, 2));
  const pads = Array.from({ length: 2 * spatial }, (_, at) => b.draws.below(Math.min(2, window.kernel[at % spatial])));
  // At least one element is left of every axis.
  const image = window.image.map((size) => Math.max(size, 3));
  b.allowSums(from * countOf(window.kernel) + 1, 8);
  const inputs = [
    b.random(dtype, [batch, from, ...image], kinds),
    b.random(dtype, [from, to, ...window.kernel], kinds),
    !b.isPeer && b.draws.oneIn(4) ? undefined : b.int64s(pads, 'initializer'),
    b.draws.maybe(() => b.random(dtype, [to], kinds)),
  ];
  b.output(b.op('ConvTransposeWithDynamicPads', inputs, { strides }, domain), dtype);
}

function sample(b: CaseBuilder): void {
  const dtype = b.dtype();
  b.output(b.op('SampleOp', [b.random(dtype, drawShape(b.draws), kinds)], {}, domain), dtype);
}

function embedding(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [rows, width] = [b.draws.pick([5, 1, 17]), b.draws.pick([4, 1, 33])];
  const picked = drawIntegers(b.draws, 'int64', drawShape(b.draws, { maxRank: 3, budget: 20 }), 0, rows - 1);
  b.output(b.op('TorchEmbedding', [b.random(dtype, [rows, width], kinds), b.operand(picked)], {}, domain), dtype);
}

function bitmaskDropout(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, least: 1 });
    b.allow({ ulps: 2, spread: 2 });
    const hasBias = op === 'BitmaskBiasDropout';
    const inputs = [
      b.random(dtype, shape, kinds),
      ...(hasBias ? [b.random(dtype, shape.slice(-1), kinds), b.draws.maybe(() => b.random(dtype, shape, kinds))] : []),
      b.draws.maybe(() => b.scalar('float32', 0.25)),
    ];
    b.outputs(b.ops(op, inputs, {}, { domain, outputs: [true, b.draws.coin()] }));
  };
}

function bifurcation(b: CaseBuilder): void {
  const tokens = (count: number): string => b.operand(drawIntegers(b.draws, 'int64', [count], 0, 3));
  const length = b.draws.between(1, 8);
  const match = b.draws.below(length + 1);
  const inputs = [
    tokens(length),
    tokens(b.draws.between(1, 6)),
    b.scalar('int64', match),
    b.draws.maybe(() => tokens(length + 1 - match)),
  ];
  const attributes = { min_ngram_size: b.draws.maybe(() => b.draws.between(1, 2)), max_ngram_size: 3 };
  b.outputs(b.ops('BifurcationDetector', inputs, attributes, { domain, outputs: 2 }));
}

function simplifiedNorm(b: CaseBuilder): void {
  const dtype = b.dtype(['float32', 'float16']);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, least: 1 });
  b.allow({ ulps: 16, spread: 16 });
  const inputs = [b.random(dtype, shape, ['normal', 'unit']), b.random(dtype, shape.slice(-1), kinds)];
  b.output(b.op('SimplifiedLayerNormalization', inputs, { epsilon: float(1e-5) }, domain), dtype);
}

export const gates: Family = {
  name: 'gates',
  cases: Object.fromEntries(
    Object.entries({
      GatedAdd: gatedAdd,
      GatedRMSNorm: gatedNorm,
      LinearAttentionGate: attentionGate,
      EngramGate: engramGate,
      GemmaRotaryEmbedding: gemmaRotary,
      MRotaryEmbedding: rotaryByThree,
      GatedDeltaNet: deltaNet,
      VarlenCausalConvWithState: packedConvolution,
      NGramHashMapping: hashes,
      ConvTransposeWithDynamicPads: transposedConv,
      SampleOp: sample,
      TorchEmbedding: embedding,
      BitmaskDropout: bitmaskDropout('BitmaskDropout'),
      BitmaskBiasDropout: bitmaskDropout('BitmaskBiasDropout'),
      BifurcationDetector: bifurcation,
      SimplifiedLayerNormalization: simplifiedNorm,
    } satisfies Record<string, Generator>).map(([name, generator]) => [`${domain}:${name}`, generator]),
  ),
};
