// Attention of com.microsoft for decoding, with sparse masks and on packed sequences.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { keyMask } from './attention.ts';

const domain = 'com.microsoft';
const kinds: readonly ValueKind[] = ['unit', 'normal'];
type Generator = (b: CaseBuilder) => void;

const scales = [0.125, 1, 0.5];

function drawSizes(b: CaseBuilder) {
  return {
    batch: b.draws.pick([1, 2, 3]),
    heads: b.draws.pick([1, 2, 3]),
    size: b.draws.pick([8, 4, 16]),
    past: b.draws.pick([3, 1, 6, 17]),
  };
}

function attentionBias(b: CaseBuilder, dtype: DType, batch: number, heads: number, total: number): string {
  const shape = [b.draws.pick([batch, 1]), b.draws.pick([heads, 1]), 1, total];
  return b.operand(drawFloats(b.draws, dtype, shape, -2, 2));
}

/** Where each position of a cache has come from, for beams of one batch entry. */
function indirection(b: CaseBuilder, entries: number, beams: number, room: number): string {
  return b.operand(drawIntegers(b.draws, 'int32', [entries, beams, room], 0, beams - 1));
}

function decoderMasked(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { heads, size, past, ...drawn } = drawSizes(b);
  const style = b.draws.pick(['cached', 'cross', 'shared'] as const);
  const beams = style === 'shared' && b.draws.coin() ? 2 : 1;
  const batch = drawn.batch * beams;
  const hidden = heads * size;
  const isCross = style === 'cross';
  const isShared = style === 'shared';
  const isPacked = !isCross && b.draws.oneIn(3);
  const valueSize = isCross && b.draws.oneIn(3) ? 5 : size;
  const total = isCross ? past : past + 1;
  const room = isShared ? total + b.draws.below(3) : past;
  const hasBeams = isShared && (beams > 1 || b.draws.coin());
  b.allow({ ulps: 32, spread: 64 });
  // With beams, peers read a bias for each batch entry at the wrong place.
  const biased = b.isPeer && hasBeams ? 1 : batch;
  const key = (width: number): string | undefined => {
    if (isCross) return b.random(dtype, [batch, heads, past, width], kinds);
    return isPacked ? undefined : b.random(dtype, [batch, 1, heads * width], kinds);
  };
  const inputs = [
    b.random(dtype, [batch, 1, isPacked ? 3 * hidden : hidden], kinds),
    key(size),
    key(valueSize),
    b.draws.oneIn(3) ? b.operand(keyMask(b, batch, total)) : undefined,
    b.draws.oneIn(3) ? attentionBias(b, dtype, biased, heads, total) : undefined,
    isCross ? undefined : b.random(dtype, [batch, heads, room, size], kinds),
    isCross ? undefined : b.random(dtype, [batch, heads, room, size], kinds),
    isShared ? b.operand(encodeTensor('int32', [1], [past])) : undefined,
    hasBeams ? b.operand(encodeTensor('int32', [1], [beams])) : undefined,
    hasBeams ? indirection(b, drawn.batch, beams, room) : undefined,
    !isCross && b.draws.oneIn(3) ? b.random(dtype, [3 * hidden], kinds) : undefined,
  ];
  const wantsScores = !b.isPeer && b.draws.oneIn(4);
  const attributes = {
    num_heads: heads,
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    mask_filter_value: b.draws.oneIn(4) ? float(-3) : undefined,
    past_present_share_buffer: isShared ? 1 : undefined,
    output_qk: wantsScores ? 1 : undefined,
  };
  const outputs = [true, !isCross, !isCross, wantsScores];
  const [y, ...more] = b.ops('DecoderMaskedMultiHeadAttention', inputs, attributes, { domain, outputs });
  b.output(y, dtype);
  // What a shared buffer holds behind the newest position is left open.
  if (room === total || !isShared) b.outputs(more);
}

function decoderMaskedSelf(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, size, past } = drawSizes(b);
  const hidden = heads * size;
  const inner = b.draws.pick([hidden, 5]);
  const isShared = b.draws.coin();
  const total = past + 1;
  const room = isShared ? total : past;
  b.allow({ ulps: 32, spread: 128 });
  const inputs = [
    b.random(dtype, [batch, 1, inner], ['unit']),
    b.random(dtype, [inner, 3 * hidden], ['unit'], 'initializer'),
    b.random(dtype, [3 * hidden], ['unit'], 'initializer'),
    b.draws.oneIn(3) ? b.operand(keyMask(b, batch, total)) : undefined,
    b.random(dtype, [2, batch, heads, room, size], kinds),
    b.draws.oneIn(3) ? attentionBias(b, dtype, batch, heads, total) : undefined,
    isShared ? b.operand(encodeTensor('int32', [1], [past])) : undefined,
  ];
  const attributes = {
    num_heads: heads,
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
    past_present_share_buffer: isShared ? 1 : undefined,
  };
  const results = b.ops('DecoderMaskedSelfAttention', inputs, attributes, { domain, outputs: 2 });
  b.outputs(results);
}

function decoderAttention(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, heads, size, past } = drawSizes(b);
  const hidden = heads * size;
  const length = b.draws.pick([1, 2, 5]);
  const [isStatic, hasCache, hasMask] = [b.draws.coin(), b.draws.coin(), b.draws.oneIn(3)];
  const keyLength = isStatic ? b.draws.pick([4, 1, 7]) : length;
  const own = isStatic ? (hasCache ? 0 : keyLength) : length;
  const keys = (hasCache ? past : 0) + own;
  b.allow({ ulps: 32, spread: 256 });
  const padding = (): string => {
    const mask = b.values('bool', [batch, keys]);
    for (let row = 0; row < batch; row++) (mask.data as Uint8Array)[row * keys] = 0;
    return b.operand(mask);
  };
  const cache = (): string | undefined => (hasCache ? b.random(dtype, [batch, heads, past, size], kinds) : undefined);
  const flag = (value: boolean): string => b.scalar('bool', Number(value), 'initializer');
  const inputs = [
    b.random(dtype, [length, batch, hidden], ['unit']),
    b.random(dtype, [keyLength, batch, hidden], ['unit']),
    b.random(dtype, [hidden, hidden], ['unit'], 'initializer'),
    b.random(dtype, [hidden, 2 * hidden], ['unit'], 'initializer'),
    b.random(dtype, [3 * hidden], ['unit'], 'initializer'),
    hasMask ? padding() : undefined,
    cache(),
    cache(),
    flag(isStatic),
    flag(hasCache),
    flag(hasCache),
    flag(hasMask),
  ];
  b.outputs(b.ops('DecoderAttention', inputs, { num_heads: heads }, { domain, outputs: 3 }));
}

/** Rows and columns of masks of blocks, each of them lower triangular with all of the diagonal. */
function blockMasks(b: CaseBuilder, layouts: number, blocks: number) {
  const masks = Array.from({ length: layouts }, () => {
    const ends = [0];
    const columns: number[] = [];
    for (let row = 0; row < blocks; row++) {
      for (let column = 0; column <= row; column++) if (column === row || b.draws.coin()) columns.push(column);
      ends.push(columns.length);
    }
    return { ends, columns };
  });
  const most = Math.max(...masks.map(({ columns }) => columns.length));
  const padded = masks.flatMap(({ columns }) => [...columns, ...Array<number>(most - columns.length).fill(-1)]);
  return [
    b.operand(
      encodeTensor(
        'int32',
        [layouts, blocks + 1],
        masks.flatMap(({ ends }) => ends),
      ),
    ),
    b.operand(encodeTensor('int32', [layouts, most], padded)),
  ];
}

function sparseAttention(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, past, size: drawnSize, heads: kvHeads } = drawSizes(b);
  const size = b.isPeer ? 16 : Math.max(8, drawnSize);
  const heads = kvHeads * b.draws.pick([1, 2]);
  const isPrompt = b.draws.coin();
  const queries = isPrompt ? b.draws.pick([4, 1, 9]) : 1;
  const lengths = Array.from({ length: batch }, () =>
    isPrompt ? b.draws.between(1, queries) : b.draws.between(1, past) + 1,
  );
  const total = isPrompt ? queries : Math.max(...lengths);
  const block = b.draws.pick([2, 1, 4]);
  const blocks = Math.ceil(total / block) + b.draws.below(2);
  const room = blocks * block;
  const layouts = b.draws.pick([1, 2].filter((count) => heads % count === 0));
  const rotates = b.draws.coin();
  const isPacked = b.draws.oneIn(3);
  b.allow({ ulps: 32, spread: 64 });
  const cache = (): string => b.random(dtype, [batch, kvHeads, room, size], kinds);
  const table = (): string | undefined => (rotates ? b.random(dtype, [room, size / 2], ['unit']) : undefined);
  const key = (): string | undefined =>
    isPacked ? undefined : b.random(dtype, [batch, queries, kvHeads * size], kinds);
  const inputs = [
    b.random(dtype, [batch, queries, (heads + (isPacked ? 2 * kvHeads : 0)) * size], kinds),
    key(),
    key(),
    cache(),
    cache(),
    ...blockMasks(b, layouts, blocks),
    b.operand(encodeTensor('int32', [1], [total])),
    b.operand(encodeTensor('int32', [batch], lengths)),
    table(),
    table(),
  ];
  const attributes = {
    num_heads: heads,
    kv_num_heads: kvHeads,
    sparse_block_size: block,
    do_rotary: rotates ? 1 : undefined,
    rotary_interleaved: rotates ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
  };
  const [y] = b.ops('SparseAttention', inputs, attributes, { domain, outputs: 3 });
  // What padded positions and the rest of the caches hold is left open.
  const least = isPrompt ? Math.min(...lengths) : 1;
  if (least === queries) b.output(y, dtype);
  else b.output(b.op('Slice', [y, b.int64s([0]), b.int64s([least]), b.int64s([1])]), dtype);
}

interface PackedBatch {
  readonly batch: number;
  readonly length: number;
  readonly tokens: number;
  /** Positions of real tokens, then of padding [batch, length], and running counts [batch + 1], as operands. */
  readonly offsets: string;
  readonly ends: string;
}

function drawPackedBatch(b: CaseBuilder): PackedBatch {
  const [batch, length] = [b.draws.pick([1, 2, 3]), b.draws.pick([3, 1, 5, 9])];
  const counts = Array.from({ length: batch }, () => b.draws.between(1, length));
  const places = counts.flatMap((_, row) => Array.from({ length }, (_, at) => row * length + at));
  const isReal = (place: number): boolean => place % length < counts[Math.floor(place / length)];
  const sorted = [...places.filter(isReal), ...places.filter((place) => !isReal(place))];
  const ends = [0];
  for (const count of counts) ends.push(ends[ends.length - 1] + count);
  return {
    batch,
    length,
    tokens: ends[batch],
    offsets: b.operand(encodeTensor('int32', [batch, length], sorted)),
    ends: b.operand(encodeTensor('int32', [batch + 1], ends)),
  };
}

function packedBias(b: CaseBuilder, dtype: DType, { batch, length }: PackedBatch, heads: number): string | undefined {
  if (!b.draws.oneIn(3)) return undefined;
  const shape = [b.draws.pick([batch, 1]), heads, length, length];
  return b.operand(drawFloats(b.draws, dtype, shape, -2, 2));
}

function packedAttention(b: CaseBuilder): void {
  const dtype = b.dtype();
  const packed = drawPackedBatch(b);
  const { heads, size } = drawSizes(b);
  const hidden = heads * size;
  const inner = b.draws.pick([hidden, 5]);
  const valueHidden = b.draws.oneIn(3) ? heads * 5 : hidden;
  const columns = 2 * hidden + valueHidden;
  b.allow({ ulps: 32, spread: 128 });
  const inputs = [
    b.random(dtype, [packed.tokens, inner], ['unit']),
    b.random(dtype, [inner, columns], ['unit'], 'initializer'),
    b.random(dtype, [columns], ['unit'], 'initializer'),
    packed.offsets,
    packed.ends,
    packedBias(b, dtype, packed, heads),
  ];
  const attributes = {
    num_heads: heads,
    qkv_hidden_sizes: valueHidden === hidden ? undefined : [hidden, hidden, valueHidden],
    scale: b.draws.maybe(() => float(b.draws.pick(scales))),
  };
  b.output(b.op('PackedAttention', inputs, attributes, domain), dtype);
}

function packedMultiHead(b: CaseBuilder): void {
  const dtype = b.dtype();
  const packed = drawPackedBatch(b);
  const { heads, size } = drawSizes(b);
  const hidden = heads * size;
  const isAllInOne = b.draws.coin();
  const valueHidden = !isAllInOne && b.draws.oneIn(3) ? heads * 5 : hidden;
  b.allow({ ulps: 32, spread: 64 });
  const rows = (width: number): string => b.random(dtype, [packed.tokens, width], kinds);
  const inputs = [
    ...(isAllInOne
      ? [b.random(dtype, [packed.tokens, heads, 3, size], kinds), undefined, undefined]
      : [rows(hidden), rows(hidden), rows(valueHidden)]),
    b.draws.maybe(() => b.random(dtype, [2 * hidden + valueHidden], kinds)),
    packed.offsets,
    packed.ends,
    packedBias(b, dtype, packed, heads),
  ];
  const attributes = { num_heads: heads, scale: b.draws.maybe(() => float(b.draws.pick(scales))) };
  b.output(b.op('PackedMultiHeadAttention', inputs, attributes, domain), dtype);
}

function removePadding(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [batch, length] = [b.draws.between(1, 3), b.draws.between(1, 5)];
  const counts = drawIntegers(b.draws, 'int32', [batch], 0, length);
  const inputs = [b.random(dtype, [batch, length, b.draws.pick([3, 1, 8])], kinds), b.operand(counts)];
  b.outputs(b.ops('RemovePadding', inputs, {}, { domain, outputs: 4 }));
}

function restorePadding(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { tokens, offsets } = drawPackedBatch(b);
  const x = b.random(dtype, [tokens, b.draws.pick([3, 1, 8])], kinds);
  b.output(b.op('RestorePadding', [x, offsets], {}, domain), dtype);
}

function gatedRelativeBias(b: CaseBuilder): void {
  const dtype = b.dtype();
  const packed = drawPackedBatch(b);
  const { batch, length } = packed;
  const { heads, size } = drawSizes(b);
  const hidden = heads * size;
  const isPacked = !b.isPeer && b.draws.coin();
  const columns = b.draws.pick([8, 2, 4]);
  b.allow({ ulps: 32, spread: 128 });
  const inputs = [
    b.random(dtype, isPacked ? [packed.tokens, hidden] : [batch, length, hidden], ['unit']),
    b.random(dtype, [hidden], ['unit']),
    b.random(dtype, [1, heads, length, length], kinds),
    b.random(dtype, [size, columns], ['unit']),
    b.random(dtype, [columns], ['unit']),
    b.random(dtype, [1, heads, 1, 1], ['unit']),
    isPacked ? packed.offsets : undefined,
  ];
  b.output(b.op('GatedRelativePositionBias', inputs, { num_heads: heads }, domain), dtype);
}

export const decoding: Family = {
  name: 'decoding',
  cases: Object.fromEntries(
    Object.entries({
      DecoderMaskedMultiHeadAttention: decoderMasked,
      DecoderMaskedSelfAttention: decoderMaskedSelf,
      DecoderAttention: decoderAttention,
      SparseAttention: sparseAttention,
      PackedAttention: packedAttention,
      PackedMultiHeadAttention: packedMultiHead,
      RemovePadding: removePadding,
      RestorePadding: restorePadding,
      GatedRelativePositionBias: gatedRelativeBias,
    } satisfies Record<string, Generator>).map(([name, generator]) => [`${domain}:${name}`, generator]),
  ),
};
