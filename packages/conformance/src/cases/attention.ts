// Attention of ai.onnx and com.microsoft, and rotary embeddings.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';

const kinds: readonly ValueKind[] = ['unit', 'normal'];

interface Heads {
  readonly batch: number;
  readonly kvHeads: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly past: number;
  readonly size: number;
}

function drawHeads(b: CaseBuilder, sizes = [4, 8, 2, 16, 3]): Heads {
  const kvHeads = b.draws.pick([1, 2, 3]);
  const queries = b.draws.pick([3, 1, 2, 5, 9]);
  return {
    batch: b.draws.pick([1, 2, 3]),
    kvHeads,
    heads: kvHeads * b.draws.pick([1, 2, 3]),
    queries,
    keys: b.draws.coin() ? queries : b.draws.pick([4, 1, 7]),
    past: b.draws.pick([0, 3, 1, 6]),
    size: b.draws.pick(sizes),
  };
}

const scales = [0.125, 1, 0.5];

function attention(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const { batch, kvHeads, heads, queries, keys, past, size } = drawHeads(b);
  const valueSize = b.draws.pick([size, size, 5]);
  const isPacked = b.draws.coin();
  const total = past + keys;
  b.allow({ ulps: 32, spread: 64 });
  const shaped = (count: number, length: number, width: number): number[] => {
    return isPacked ? [batch, length, count * width] : [batch, count, length, width];
  };
  const style = b.draws.below(4);
  const maskShape = b.draws.pick([
    [queries, total],
    [1, 1, queries, total],
    [batch, 1, queries, total],
    [batch, heads, queries, total],
    [1, total],
  ]);
  const mask =
    style === 1 ? b.random(dtype, maskShape, kinds) : style === 2 ? b.operand(boolMask(b, maskShape)) : undefined;
  const hasPast = past > 0;
  const inputs = [
    b.random(dtype, shaped(heads, queries, size), kinds),
    b.random(dtype, shaped(kvHeads, keys, size), kinds),
    b.random(dtype, shaped(kvHeads, keys, valueSize), kinds),
    mask,
    hasPast ? b.random(dtype, [batch, kvHeads, past, size], kinds) : undefined,
    hasPast ? b.random(dtype, [batch, kvHeads, past, valueSize], kinds) : undefined,
  ];
  const attributes = {
    q_num_heads: isPacked ? heads : undefined,
    kv_num_heads: isPacked ? kvHeads : undefined,
    // Which keys line up with which queries is open where there are more of the ones than of the others.
    is_causal: style === 2 || keys !== queries ? undefined : b.draws.maybe(() => b.draws.below(2)),
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    softcap: b.draws.oneIn(4) ? float(2) : undefined,
  };
  const [y, ...present] = b.ops('Attention', inputs, attributes, { outputs: hasPast ? 3 : 1 });
  b.output(y, dtype);
  b.outputs(present);
}

/** True in the first column, so that no row is all false. */
function boolMask(b: CaseBuilder, shape: readonly number[]) {
  const mask = b.values('bool', shape);
  const columns = shape[shape.length - 1];
  const data = mask.data as Uint8Array;
  for (let at = 0; at < data.length; at += columns) data[at] = 1;
  return mask;
}

function rotary(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, queries, size } = drawHeads(b, [4, 8, 2, 16]);
  const part = b.draws.oneIn(3) && size > 2 ? size / 2 : 0;
  const half = (part || size) / 2;
  const isPacked = b.draws.coin();
  b.allow({ ulps: 4, spread: 4 });
  const positions = b.draws.maybe(() => b.operand(drawIntegers(b.draws, 'int64', [batch, queries], 0, 11)));
  const table = positions ? [12, half] : [batch, queries, half];
  const inputs = [
    b.random(dtype, isPacked ? [batch, queries, heads * size] : [batch, heads, queries, size], kinds),
    b.random(dtype, table, ['unit']),
    b.random(dtype, table, ['unit']),
    positions,
  ];
  const attributes = {
    interleaved: b.draws.maybe(() => b.draws.below(2)),
    num_heads: isPacked ? heads : undefined,
    rotary_embedding_dim: part || undefined,
  };
  b.output(b.op('RotaryEmbedding', inputs, attributes), dtype);
}

const microsoft = 'com.microsoft';

function microsoftRotary(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, queries, size } = drawHeads(b, [8, 16, 4, 2]);
  const isPacked = b.draws.coin();
  b.allow({ ulps: 4, spread: 4 });
  const positions = b.draws.coin()
    ? b.operand(drawIntegers(b.draws, 'int64', [batch, queries], 0, 11))
    : b.int64s([b.draws.between(0, 12 - queries)]);
  const inputs = [
    b.random(dtype, isPacked ? [batch, queries, heads * size] : [batch, heads, queries, size], kinds),
    positions,
    b.random(dtype, [12, size / 2], ['unit']),
    b.random(dtype, [12, size / 2], ['unit']),
  ];
  const attributes = { interleaved: b.draws.maybe(() => b.draws.below(2)) };
  b.output(b.op('RotaryEmbedding', inputs, attributes, microsoft), dtype);
}

/** Floats for masks that are added to scores. */
function bias(b: CaseBuilder, dtype: DType, shape: readonly number[]): string {
  return b.operand(drawFloats(b.draws, dtype, shape, -2, 2));
}

function multiHead(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, queries, keys, past, size } = drawHeads(b);
  const hidden = heads * size;
  const style = b.draws.below(4);
  b.allow({ ulps: 32, spread: 64 });
  const attributes = {
    num_heads: heads,
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    // For as many keys as queries: otherwise it is left open which of them line up.
    unidirectional: keys === queries && b.draws.oneIn(4) ? 1 : undefined,
  };
  if (style === 3) {
    const x = b.random(dtype, [batch, queries, heads, 3, size], kinds);
    return b.output(b.op('MultiHeadAttention', [x], attributes, microsoft), dtype);
  }
  const isCross = style === 2;
  const valueSize = isCross ? size : b.draws.pick([size, size, 5]);
  const cached = style === 1 && past > 0 ? past : 0;
  const total = cached + keys;
  const hasBias = !isCross && b.draws.coin();
  const inputs = [
    b.random(dtype, [batch, queries, hidden], kinds),
    b.random(dtype, isCross ? [batch, heads, keys, size] : [batch, keys, hidden], kinds),
    b.random(dtype, isCross ? [batch, heads, keys, valueSize] : [batch, keys, heads * valueSize], kinds),
    hasBias ? b.random(dtype, [2 * hidden + heads * valueSize], kinds) : undefined,
    b.draws.oneIn(3) ? b.operand(keyMask(b, batch, total)) : undefined,
    b.draws.oneIn(3) ? bias(b, dtype, [b.draws.pick([batch, 1]), b.draws.pick([heads, 1]), queries, total]) : undefined,
    cached > 0 ? b.random(dtype, [batch, heads, cached, size], kinds) : undefined,
    cached > 0 ? b.random(dtype, [batch, heads, cached, valueSize], kinds) : undefined,
  ];
  const wantsPresent = cached > 0 || b.draws.oneIn(4);
  const [y, ...present] = b.ops('MultiHeadAttention', inputs, attributes, {
    domain: microsoft,
    outputs: [true, wantsPresent && !isCross, wantsPresent && !isCross],
  });
  b.output(y, dtype);
  b.outputs(present);
}

/** 1 where a key counts; the first always does. */
function keyMask(b: CaseBuilder, batch: number, total: number) {
  const mask = drawIntegers(b.draws, 'int32', [batch, total], 0, 1);
  for (let row = 0; row < batch; row++) (mask.data as Int32Array)[row * total] = 1;
  return mask;
}

function packedAttention(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, queries, past, size } = drawHeads(b);
  const hidden = heads * size;
  const inner = b.draws.pick([hidden, 6, 16]);
  b.allow({ ulps: 32, spread: 128 });
  const cached = b.draws.coin() ? past : 0;
  const total = cached + queries;
  const maskStyle = b.draws.below(5);
  const mask =
    maskStyle === 1
      ? b.operand(keyMask(b, batch, total))
      : maskStyle === 2 && cached === 0
        ? b.operand(drawIntegers(b.draws, 'int32', [batch], 1, total))
        : undefined;
  const inputs = [
    b.random(dtype, [batch, queries, inner], ['unit']),
    b.random(dtype, [inner, 3 * hidden], ['unit']),
    b.random(dtype, [3 * hidden], ['unit']),
    mask,
    cached > 0 ? b.random(dtype, [2, batch, heads, cached, size], kinds) : undefined,
    b.draws.oneIn(4) ? bias(b, dtype, [b.draws.pick([batch, 1]), b.draws.pick([heads, 1]), queries, total]) : undefined,
  ];
  const attributes = {
    num_heads: heads,
    unidirectional: b.draws.oneIn(3) ? 1 : undefined,
    scale: b.draws.oneIn(3) ? float(b.draws.pick(scales)) : undefined,
  };
  const wantsPresent = cached > 0 || b.draws.oneIn(4);
  const [y, present] = b.ops('Attention', inputs, attributes, { domain: microsoft, outputs: [true, wantsPresent] });
  b.output(y, dtype);
  if (wantsPresent) b.output(present);
}

function groupQuery(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const { batch, kvHeads, heads, queries, past, size: drawn } = drawHeads(b, [8, 16, 32]);
  const size = drawn;
  const rotates = b.draws.coin();
  b.allow({ ulps: 32, spread: 64 });
  // Either a prompt of sequences that may be shorter, or one token after a cache of any length.
  const isPrompt = b.draws.coin();
  const length = isPrompt ? queries : 1;
  const room = isPrompt ? b.draws.pick([0, queries, queries + 3]) : past + b.draws.pick([0, 1, 2]);
  const lengths = Array.from({ length: batch }, () =>
    isPrompt ? b.draws.between(1, length) : b.draws.between(0, past) + 1,
  );
  const total = isPrompt ? length : Math.max(...lengths);
  const isPacked = b.draws.oneIn(3);
  const cacheDims = [batch, kvHeads, room, size];
  const inputs = [
    b.random(dtype, [batch, length, (heads + (isPacked ? 2 * kvHeads : 0)) * size], kinds),
    isPacked ? undefined : b.random(dtype, [batch, length, kvHeads * size], kinds),
    isPacked ? undefined : b.random(dtype, [batch, length, kvHeads * size], kinds),
    b.random(dtype, cacheDims, kinds),
    b.random(dtype, cacheDims, kinds),
    b.operand(
      encodeTensor(
        'int32',
        [batch],
        lengths.map((item) => item - 1),
      ),
    ),
    b.scalar('int32', total),
    rotates ? b.random(dtype, [16, size / 2], ['unit']) : undefined,
    rotates ? b.random(dtype, [16, size / 2], ['unit']) : undefined,
  ];
  const attributes = {
    num_heads: heads,
    kv_num_heads: kvHeads,
    do_rotary: rotates ? 1 : undefined,
    rotary_interleaved: rotates ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    scale: b.draws.oneIn(3) ? float(b.draws.pick(scales)) : undefined,
    softcap: b.draws.oneIn(4) ? float(2) : undefined,
    local_window_size: b.draws.oneIn(4) ? b.draws.between(1, 5) : undefined,
    smooth_softmax: b.draws.oneIn(5) ? 1 : undefined,
  };
  const [y, presentKey, presentValue] = b.ops('GroupQueryAttention', inputs, attributes, {
    domain: microsoft,
    outputs: 3,
  });
  // What padded positions hold is left open: only the rest of the prompt counts.
  const isFull = !isPrompt || lengths.every((item) => item === length);
  if (isFull) b.output(y, dtype);
  else b.output(b.op('Slice', [y, b.int64s([0]), b.int64s([Math.min(...lengths)]), b.int64s([1])]), dtype);
  if (isFull && lengths.every((item) => item === Math.max(room, total))) b.outputs([presentKey, presentValue]);
}

export const attentions: Family = {
  name: 'attention',
  cases: {
    Attention: attention,
    RotaryEmbedding: rotary,
    [`${microsoft}:RotaryEmbedding`]: microsoftRotary,
    [`${microsoft}:MultiHeadAttention`]: multiHead,
    [`${microsoft}:Attention`]: packedAttention,
    [`${microsoft}:GroupQueryAttention`]: groupQuery,
  },
};
