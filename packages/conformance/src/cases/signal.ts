// Signals, and the operators for long sequences that came last.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { drawShape } from '../random.ts';
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

export const signals: Family = {
  name: 'signal',
  cases: {
    HannWindow: window('HannWindow'),
    HammingWindow: window('HammingWindow'),
    BlackmanWindow: window('BlackmanWindow'),
    DFT: dft,
    STFT: stft,
    MelWeightMatrix: mel,
    CausalConvWithState: causalConv(undefined),
    LinearAttention: linearAttention(undefined),
    [`${domain}:CausalConvWithState`]: causalConv(domain),
    [`${domain}:LinearAttention`]: linearAttention(domain),
  },
};
