// Attention of ai.onnx and com.microsoft, and rotary embeddings.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { decodeTensor, drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';

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

/** Sizes at which templates work in several blocks, now and then. */
function drawLongHeads(b: CaseBuilder): Heads {
  const queries = b.draws.pick([17, 33, 64, 1, 130]);
  return {
    batch: b.draws.pick([1, 2]),
    kvHeads: b.draws.pick([1, 2]),
    heads: 2,
    queries,
    keys: b.draws.coin() ? queries : b.draws.pick([65, 33, 200]),
    past: b.draws.pick([0, 60]),
    size: b.draws.pick([16, 64, 20]),
  };
}

function attention(b: CaseBuilder): void {
  const [dtype, valueType] = drawAttentionTypes(b);
  const drawn = b.draws.oneIn(8) ? drawLongHeads(b) : drawHeads(b);
  const { batch, kvHeads, heads, queries, size } = drawn;
  // Without keys there is nothing to attend to: peers differ on what that means.
  const keys = b.draws.oneIn(40) && !b.isPeer ? 0 : drawn.keys;
  const valueSize = b.draws.pick([size, size, 5]);
  const isPacked = b.draws.coin();
  const cache = b.draws.below(4);
  // 0: none unless drawn; 3: an empty one.
  const past = cache === 3 ? 0 : drawn.past;
  const hasPast = past > 0 || (cache === 3 && keys > 0);
  const total = past + keys;
  b.allow({ ulps: 32, spread: 64 });
  const shaped = (count: number, length: number, width: number): number[] => {
    return isPacked ? [batch, length, count * width] : [batch, count, length, width];
  };
  const hasLengths = b.opset >= 24 && !hasPast && total > 0 && b.draws.oneIn(4);
  const style = total > 0 ? b.draws.below(4) : 0;
  // Since 24, keys that a mask does not reach are left out.
  const covered = b.opset >= 24 && !hasPast && total > 1 && b.draws.oneIn(8) ? b.draws.between(1, total - 1) : total;
  const maskShape = b.draws.pick([
    [queries, covered],
    [1, 1, queries, covered],
    [batch, 1, queries, covered],
    [batch, heads, queries, covered],
    [1, covered],
    [1, queries, covered],
    [heads, 1, covered],
    [1, heads, queries, covered],
  ]);
  const mask =
    style === 1
      ? b.operand(floatMask(b, dtype, maskShape))
      : style === 2
        ? b.operand(boolMask(b, maskShape))
        : undefined;
  const inputs = [
    b.random(dtype, shaped(heads, queries, size), kinds),
    b.random(dtype, shaped(kvHeads, keys, size), kinds),
    b.random(valueType, shaped(kvHeads, keys, valueSize), kinds),
    mask,
    hasPast ? b.random(dtype, [batch, kvHeads, past, size], kinds) : undefined,
    hasPast ? b.random(valueType, [batch, kvHeads, past, valueSize], kinds) : undefined,
    hasLengths ? b.operand(drawIntegers(b.draws, 'int64', [batch], b.isPeer ? 1 : 0, total)) : undefined,
  ];
  // Which keys line up with which queries is where peers differ when there are more of the ones than of the others.
  const mayBeCausal = !b.isPeer || (keys === queries && style !== 2 && !hasLengths);
  const window = (): number | undefined =>
    b.opset >= 25 ? b.draws.pick([undefined, undefined, 0, 1, 3, -1]) : undefined;
  const outputs = [true, hasPast || b.draws.oneIn(6), hasPast || b.draws.oneIn(6), b.draws.oneIn(4)];
  const attributes = {
    q_num_heads: isPacked ? heads : undefined,
    kv_num_heads: isPacked ? kvHeads : undefined,
    is_causal: mayBeCausal ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    left_window_size: window(),
    right_window_size: window(),
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    softcap: b.draws.oneIn(4) ? float(2) : undefined,
    softmax_precision: !b.isPeer && b.draws.oneIn(6) ? b.draws.pick([1, 11, 10]) : undefined,
    qk_matmul_output_mode: outputs[3] ? b.draws.pick([undefined, 0, 1, 2, 3]) : undefined,
  };
  if (attributes.softmax_precision === 10) b.allow({ absolute: 0.05, spread: 2000 });
  const [y, ...more] = b.ops('Attention', inputs, attributes, { outputs });
  b.output(y, valueType === dtype ? dtype : undefined);
  b.outputs(more);
}

/** Types of queries and keys, and of values: usually the same. */
function drawAttentionTypes(b: CaseBuilder): readonly [DType, DType] {
  const dtype = b.dtype('T1');
  return [dtype, !b.isPeer && b.draws.oneIn(6) ? b.dtype('T2') : dtype];
}

/** Numbers that are added to scores; −∞ masks a key, at times all of a row. */
function floatMask(b: CaseBuilder, dtype: DType, shape: readonly number[]) {
  const style = b.draws.below(3);
  const mask = drawFloats(b.draws, dtype, shape, -2, 2);
  if (style === 0) return mask;
  const generator = b.draws.generator();
  const values = Array.from(decodeTensor(mask) as ArrayLike<number>, (value, at) => {
    const isFirst = at % shape[shape.length - 1] === 0;
    return generator.below(3) === 0 && (style === 2 && !b.isPeer ? true : !isFirst) ? -Infinity : value;
  });
  return encodeTensor(dtype, shape, values);
}

/** For peers true in the first column, so that no row is all false. */
function boolMask(b: CaseBuilder, shape: readonly number[]) {
  const mask = b.values('bool', shape);
  if (!b.isPeer && b.draws.oneIn(3)) return mask;
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
const preview = 'ai.onnx.preview';

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
  const drawn = b.draws.oneIn(10) ? drawLongHeads(b) : drawHeads(b);
  const { batch, heads, queries, keys, past, size } = drawn;
  const hidden = heads * size;
  // Packed all in one; apart; with a cache; keys and values by heads; keys with values in one.
  const style = b.draws.pick(['apart', 'cached', 'by heads', 'all in one', 'pairs'] as const);
  b.allow({ ulps: 32, spread: 64 });
  const attributes = {
    num_heads: heads,
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    mask_filter_value: b.draws.oneIn(4) ? float(-3) : undefined,
    // For as many keys as queries: otherwise it is left open which of them line up.
    unidirectional: (!b.isPeer || keys === queries) && b.draws.oneIn(4) ? 1 : undefined,
  };
  const length = style === 'all in one' ? queries : keys;
  const valueSize = style === 'apart' || style === 'cached' ? b.draws.pick([size, size, 5]) : size;
  const cached = style === 'cached' && past > 0 ? past : 0;
  const total = cached + length;
  const hasBias = style !== 'by heads' && (!b.isPeer || style === 'apart' || style === 'cached') && b.draws.coin();
  const operands = (): (string | undefined)[] => {
    if (style === 'all in one') return [b.random(dtype, [batch, queries, heads, 3, size], kinds), undefined, undefined];
    const query = b.random(dtype, [batch, queries, hidden], kinds);
    if (style === 'pairs') return [query, b.random(dtype, [batch, keys, heads, 2, size], kinds), undefined];
    const isByHeads = style === 'by heads';
    return [
      query,
      b.random(dtype, isByHeads ? [batch, heads, keys, size] : [batch, keys, hidden], kinds),
      b.random(dtype, isByHeads ? [batch, heads, keys, size] : [batch, keys, heads * valueSize], kinds),
    ];
  };
  const inputs = [
    ...operands(),
    hasBias ? b.random(dtype, [2 * hidden + heads * valueSize], kinds) : undefined,
    b.draws.oneIn(3) ? paddingMask(b, batch, queries, total, cached) : undefined,
    b.draws.oneIn(3) ? bias(b, dtype, [b.draws.pick([batch, 1]), b.draws.pick([heads, 1]), queries, total]) : undefined,
    cached > 0 ? b.random(dtype, [batch, heads, cached, size], kinds) : undefined,
    cached > 0 ? b.random(dtype, [batch, heads, cached, valueSize], kinds) : undefined,
  ];
  const wantsPresent = cached > 0 || (style !== 'by heads' && b.draws.oneIn(4));
  const [y, ...more] = b.ops('MultiHeadAttention', inputs, attributes, {
    domain: microsoft,
    outputs: [true, wantsPresent, wantsPresent, !b.isPeer && b.draws.oneIn(6)],
  });
  b.output(y, dtype);
  b.outputs(more);
}

/** Which keys count: a mask of them, of them for each query, or how many there are. */
function paddingMask(b: CaseBuilder, batch: number, queries: number, total: number, past: number): string {
  switch (b.isPeer ? 0 : b.draws.below(4)) {
    case 1:
      return b.operand(drawIntegers(b.draws, 'int32', [batch], 1, total));
    case 2:
      return b.operand(drawIntegers(b.draws, 'int32', [batch, queries, total], 0, 1));
    case 3:
      return past === 0 ? b.operand(lengthsAndStarts(b, batch, queries, total)) : b.operand(keyMask(b, batch, total));
    default:
      return b.operand(keyMask(b, batch, total));
  }
}

/** [3 batch + 2]: lengths of the keys, then starts of the queries and of the keys, each with their end. */
function lengthsAndStarts(b: CaseBuilder, batch: number, queries: number, total: number) {
  const starts = (length: number): number[] => Array.from({ length: batch + 1 }, (_, at) => at * length);
  const lengths = Array.from({ length: batch }, () => b.draws.between(1, total));
  return encodeTensor('int32', [3 * batch + 2], [...lengths, ...starts(queries), ...starts(total)]);
}

/** int32 [batch, total], 1 where a key counts; the first always does. */
export function keyMask(b: CaseBuilder, batch: number, total: number) {
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
  // A cache holds keys and values of one size.
  const valueHidden = cached === 0 && b.draws.oneIn(4) ? heads * 5 : hidden;
  const columns = 2 * hidden + valueHidden;
  const hasSizes = valueHidden !== hidden || b.draws.oneIn(4);
  const inputs = [
    b.random(dtype, [batch, queries, inner], ['unit']),
    b.random(dtype, [inner, columns], ['unit']),
    b.isPeer || b.draws.coin() ? b.random(dtype, [columns], ['unit']) : undefined,
    packedMask(b, batch, queries, cached),
    cached > 0 ? b.random(dtype, [2, batch, heads, cached, size], kinds) : undefined,
    b.draws.oneIn(4) ? bias(b, dtype, [b.draws.pick([batch, 1]), b.draws.pick([heads, 1]), queries, total]) : undefined,
  ];
  const attributes = {
    num_heads: heads,
    unidirectional: b.draws.oneIn(3) ? 1 : undefined,
    scale: b.draws.oneIn(3) ? float(b.draws.pick(scales)) : undefined,
    qkv_hidden_sizes: hasSizes ? [hidden, hidden, valueHidden] : undefined,
    mask_filter_value: b.draws.oneIn(4) ? float(-3) : undefined,
  };
  const wantsPresent = cached > 0 || (valueHidden === hidden && b.draws.oneIn(4));
  const [y, present] = b.ops('Attention', inputs, attributes, { domain: microsoft, outputs: [true, wantsPresent] });
  b.output(y, dtype);
  if (wantsPresent) b.output(present);
}

/** All forms of `mask_index`, or nothing. */
function packedMask(b: CaseBuilder, batch: number, queries: number, past: number): string | undefined {
  const total = past + queries;
  switch (b.draws.below(8)) {
    case 1:
      return b.operand(keyMask(b, batch, total));
    case 2:
      return past === 0 ? b.operand(drawIntegers(b.draws, 'int32', [batch], 1, total)) : undefined;
    case 3: {
      if (past > 0) return undefined;
      const starts = Array.from({ length: batch }, () => b.draws.below(total));
      const ends = starts.map((start) => b.draws.between(start + 1, total));
      return b.operand(encodeTensor('int32', [2 * batch], [...ends, ...starts]));
    }
    case 4:
      return b.operand(drawIntegers(b.draws, 'int32', [batch, queries, total], 0, 1));
    case 5: {
      // For all positions that the model can take; the queries of this node come last.
      const most = total + b.draws.pick([0, 2]);
      return b.operand(drawIntegers(b.draws, 'int32', [batch, 1, most, most], 0, 1));
    }
    case 6:
      return past === 0 && !b.isPeer ? b.operand(lengthsAndStarts(b, batch, queries, total)) : undefined;
    default:
      return undefined;
  }
}

function drawCacheType(b: CaseBuilder): DType {
  return b.draws.pick(b.isPeer ? (['int8', 'uint8'] as const) : (['int8', 'uint8', 'float8e4m3fn'] as const));
}

/** Scales of a quantised cache: one for all, or one for each feature of each head. */
function cacheScale(b: CaseBuilder, kvHeads: number, size: number) {
  const isSingle = b.draws.coin();
  const dims = isSingle ? [1] : [1, kvHeads, 1, size];
  const values = Array.from({ length: isSingle ? 1 : kvHeads * size }, () => b.draws.pick([0.25, 0.125, 0.5]));
  const granularity = isSingle ? 'PER_TENSOR' : 'PER_CHANNEL';
  return { tensor: b.operand(encodeTensor('float32', dims, values)), granularity };
}

/** @param areCounted for peers, which read only the first position of a prompt and count on from it */
function drawPositions(b: CaseBuilder, rows: number, length: number, areCounted: boolean): string {
  const drawn = drawIntegers(b.draws, 'int64', [rows, length], 0, 15);
  const counted = Array.from({ length: rows * length }, (_, at) => at % length);
  return b.operand(areCounted ? encodeTensor('int64', [rows, length], counted) : drawn);
}

function groupQuery(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const { batch, kvHeads, heads, queries, past, size } = drawHeads(b, [8, 16, 32]);
  b.allow({ ulps: 32, spread: 64 });
  // A prompt of sequences that may be shorter; one token after a cache of any length; more tokens after one sequence.
  const style = b.draws.pick(['prompt', 'token', 'further'] as const);
  const rows = style === 'further' ? 1 : batch;
  const length = style === 'token' ? 1 : queries;
  const hasCache = style !== 'prompt' || b.draws.coin();
  const cacheType = hasCache && b.draws.oneIn(4) ? drawCacheType(b) : undefined;
  // Of a code, no error is small: what is stored must be exact.
  const rotates = !cacheType && b.draws.coin();
  const window = b.draws.oneIn(4) ? b.draws.between(1, 5) : undefined;
  const slides = hasCache && window !== undefined && b.draws.coin();
  const grown = style === 'prompt' ? b.draws.pick([0, queries, queries + 3]) : past + b.draws.pick([0, 1, 2]);
  const room = slides ? window + b.draws.below(3) : grown;
  const lengths = Array.from({ length: rows }, () => {
    if (style === 'prompt') return b.draws.between(1, length);
    return b.draws.between(0, past) + length;
  });
  const total = style === 'prompt' ? length : Math.max(...lengths);
  const isPacked = b.draws.oneIn(3);
  const cacheDims = [rows, kvHeads, room, cacheType === 'uint8' ? size / 2 : size];
  const scale = cacheType ? cacheScale(b, kvHeads, size) : undefined;
  // Tables may be for a part of the features.
  const pairs = rotates && size > 8 && b.draws.oneIn(4) && !b.isPeer ? size / 4 : size / 2;
  const hasPositions = rotates && b.draws.oneIn(4);
  const normalises = !b.isPeer && !cacheType && b.draws.oneIn(5);
  const present = slides ? room : hasCache ? Math.max(room, total) : total;
  const inputs = [
    b.random(dtype, [rows, length, (heads + (isPacked ? 2 * kvHeads : 0)) * size], kinds),
    isPacked ? undefined : b.random(dtype, [rows, length, kvHeads * size], kinds),
    isPacked ? undefined : b.random(dtype, [rows, length, kvHeads * size], kinds),
    hasCache ? b.random(cacheType ?? dtype, cacheDims, kinds) : undefined,
    hasCache ? b.random(cacheType ?? dtype, cacheDims, kinds) : undefined,
    b.operand(
      encodeTensor(
        'int32',
        b.draws.oneIn(4) ? [rows, 1] : [rows],
        lengths.map((item) => item - 1),
      ),
    ),
    b.draws.oneIn(4) ? b.operand(encodeTensor('int32', [1], [total])) : b.scalar('int32', total),
    rotates ? b.random(dtype, [16, pairs], ['unit']) : undefined,
    rotates ? b.random(dtype, [16, pairs], ['unit']) : undefined,
    hasPositions ? drawPositions(b, rows, length, b.isPeer && length === total) : undefined,
    b.draws.oneIn(5)
      ? bias(b, dtype, [
          b.draws.pick([rows, 1]),
          b.draws.pick([heads, 1]),
          length,
          b.isPeer || slides ? total : present,
        ])
      : undefined,
    b.draws.oneIn(5) ? b.random(dtype, [heads], kinds) : undefined,
    scale?.tensor,
    scale?.tensor,
    normalises ? b.random(dtype, [size], kinds) : undefined,
    normalises ? b.random(dtype, [size], kinds) : undefined,
  ];
  const scores = !b.isPeer && !slides && b.draws.oneIn(6) ? b.draws.between(1, 2) : undefined;
  const attributes = {
    num_heads: heads,
    kv_num_heads: kvHeads,
    do_rotary: rotates ? 1 : undefined,
    rotary_interleaved: rotates ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    scale: b.draws.oneIn(3) ? float(b.draws.pick(scales)) : undefined,
    softcap: b.draws.oneIn(4) ? float(2) : undefined,
    local_window_size: window,
    sliding_window_cache: slides ? 1 : undefined,
    k_quant_type: scale?.granularity,
    v_quant_type: scale?.granularity,
    kv_cache_bit_width: cacheType && (cacheType === 'uint8' ? 4 : 8),
    smooth_softmax: b.draws.oneIn(5) ? 1 : undefined,
    causal: !b.isPeer && window === undefined && b.draws.oneIn(6) ? 0 : undefined,
    qk_output: scores,
  };
  const [y, presentKey, presentValue, qk] = b.ops('GroupQueryAttention', inputs, attributes, {
    domain: microsoft,
    outputs: scores ? 4 : 3,
  });
  // What padded positions hold is left open: only the rest of the prompt counts.
  const isFull = style !== 'prompt' || lengths.every((item) => item === length);
  if (isFull) b.output(y, dtype);
  else b.output(b.op('Slice', [y, b.int64s([0]), b.int64s([Math.min(...lengths)]), b.int64s([1])]), dtype);
  if (scores) b.output(qk);
  const isCacheFull = lengths.every((item) => item === present);
  if (isFull && (isCacheFull || !(b.isPeer || slides))) b.outputs([presentKey, presentValue]);
}

/** A graph that a score or a probability passes through. */
function modification(b: CaseBuilder, precise: DType) {
  const body = b.graph.subgraph();
  const x = body.input(precise, undefined);
  const number = body.constant(encodeTensor(precise, [], [b.draws.pick([0.5, 2])]));
  body.output(body.op(b.draws.pick(['Mul', 'Min']), [x, number]), precise);
  return { graph: body.message() };
}

function flexAttention(b: CaseBuilder): void {
  const dtype = b.dtype(['float32', 'float16', 'bfloat16', 'float64']);
  const { batch, kvHeads, heads, queries, keys, size } = drawHeads(b);
  const valueSize = b.draws.pick([size, size, 5]);
  const precise = dtype === 'float64' ? 'float64' : 'float32';
  b.allow({ ulps: 32, spread: 64 });
  const inputs = [
    b.random(dtype, [batch, heads, queries, size], kinds),
    b.random(dtype, [batch, kvHeads, keys, size], kinds),
    b.random(dtype, [batch, kvHeads, keys, valueSize], kinds),
  ];
  const attributes = {
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    score_mod: b.draws.oneIn(3) ? modification(b, precise) : undefined,
    prob_mod: b.draws.oneIn(3) ? modification(b, precise) : undefined,
  };
  b.output(b.op('FlexAttention', inputs, attributes, preview), dtype);
}

export const attentions: Family = {
  name: 'attention',
  cases: {
    Attention: attention,
    [`${preview}:FlexAttention`]: flexAttention,
    RotaryEmbedding: rotary,
    [`${microsoft}:RotaryEmbedding`]: microsoftRotary,
    [`${microsoft}:MultiHeadAttention`]: multiHead,
    [`${microsoft}:Attention`]: packedAttention,
    [`${microsoft}:GroupQueryAttention`]: groupQuery,
  },
};
