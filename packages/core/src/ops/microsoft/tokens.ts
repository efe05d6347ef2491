// com.microsoft operators on tokens and strings, evaluated on the host.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { arrayTypeOf, Tensor, type TypedArray } from '../../session/tensor.ts';
import { defineOperator, derive, type EvaluateContext, int, required, string, strings } from '../define.ts';
import { expectRank } from '../expect.ts';
import { int64Tensor, numbersOf, tensorOfNumbers } from '../host-elements.ts';
import { likeInput, requireDType } from '../pointwise.ts';
import { Unique as OnnxUnique } from '../sort.ts';

const domain = 'com.microsoft';

/** Scores of −∞ for tokens that would repeat an n-gram of the tokens before. */
export const NGramRepeatBlock = defineOperator({
  domain,
  name: 'NGramRepeatBlock',
  since: 1,
  attributes: { ngram_size: required(int()) },
  infer(ctx) {
    if (ctx.attributes.ngram_size < 1) ctx.fail(`ngram_size must be at least 1, not ${ctx.attributes.ngram_size}.`);
    requireDType(ctx, 0, ['int64']);
    requireDType(ctx, 1, ['float32']);
    expectRank(ctx, 0, 2);
    expectRank(ctx, 1, 2);
    return [likeInput(ctx, 1)];
  },
  evaluate(ctx) {
    const [ids, scores] = [ctx.tensor(0), ctx.tensor(1)];
    const tokens = numbersOf(ids);
    const results = Array.from(numbersOf(scores));
    const { ngram_size: n } = ctx.attributes;
    const [batch, length] = ids.dims;
    const vocabulary = scores.dims[1];
    for (let b = 0; b < batch; b++) {
      const row = b * length;
      for (let start = 0; start + n <= length; start++) {
        let repeats = true;
        for (let j = 0; j < n - 1; j++) repeats &&= tokens[row + start + j] === tokens[row + length + 1 - n + j];
        const token = tokens[row + start + n - 1];
        if (!repeats) continue;
        if (!(token >= 0 && token < vocabulary)) ctx.fail(`the token ${token} is outside the ${vocabulary} scores.`);
        results[b * vocabulary + token] = -Infinity;
      }
    }
    return tensorOfNumbers(scores.type, results, scores.dims);
  },
});

/** Distinct elements by first occurrence, which of them each element is, and how often each occurs. */
export const Unique = derive(OnnxUnique, {
  domain,
  since: 1,
  infer: (ctx) => {
    const count = ctx.freshDim('unique');
    const [size] = expectRank(ctx, 0, 1);
    return [tensorType(ctx.dtype(0), [count]), tensorType('int64', [size]), tensorType('int64', [count])];
  },
  evaluate(ctx) {
    const { data, type } = ctx.tensor(0);
    const found = new Map<unknown, number>();
    const counts: number[] = [];
    const places = Array.from(data as ArrayLike<number | bigint | string>, (element) => {
      const at = found.get(element) ?? found.size;
      found.set(element, at);
      counts[at] = (counts[at] ?? 0) + 1;
      return at;
    });
    const values = [...found.keys()];
    if (type === 'string') return [new Tensor(type, values as string[]), int64Tensor(places), int64Tensor(counts)];
    const distinct = new (arrayTypeOf(type))(values.length);
    values.forEach((value, at) => {
      distinct[at] = value as never;
    });
    return [new Tensor(type, distinct, [values.length]), int64Tensor(places), int64Tensor(counts)];
  },
});

const multiply = Math.imul;
const rotateLeft = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/** MurmurHash3_x86_32 of A. Appleby (public domain). */
function murmurHash(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const mixed = (k: number): number => multiply(rotateLeft(multiply(k, 0xcc9e2d51), 15), 0x1b873593);
  let hash = seed | 0;
  const whole = bytes.length & ~3;
  for (let at = 0; at < whole; at += 4) {
    hash = (multiply(rotateLeft(hash ^ mixed(view.getUint32(at, true)), 13), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8) | bytes[at];
  if (bytes.length > whole) hash ^= mixed(rest);
  hash ^= bytes.length;
  hash = multiply(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = multiply(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** A 32-bit hash of the bytes of each element; strings as UTF-8. */
export const MurmurHash3 = defineOperator({
  domain,
  name: 'MurmurHash3',
  since: 1,
  attributes: { positive: int(1), seed: int(0) },
  infer(ctx) {
    requireDType(ctx, 0, ['uint32', 'int32', 'uint64', 'int64', 'float32', 'float64', 'string']);
    return [likeInput(ctx, 0, ctx.attributes.positive ? 'uint32' : 'int32')];
  },
  evaluate(ctx) {
    const { positive, seed } = ctx.attributes;
    const { data, type, dims, size } = ctx.tensor(0);
    const encoder = new TextEncoder();
    const bytesOf = (at: number): Uint8Array => {
      if (type === 'string') return encoder.encode((data as string[])[at]);
      const { buffer, byteOffset, BYTES_PER_ELEMENT: width } = data as TypedArray;
      return new Uint8Array(buffer, byteOffset + at * width, width);
    };
    const hashes = Array.from({ length: size }, (_, at) => murmurHash(bytesOf(at), seed));
    return positive
      ? new Tensor(
          'uint32',
          Uint32Array.from(hashes, (hash) => hash >>> 0),
          dims,
        )
      : new Tensor('int32', Int32Array.from(hashes), dims);
  },
});

/** Tokens of one text: what separators leave, or what matches `tokenexp`. */
function tokensOf(
  ctx: EvaluateContext,
  text: string,
  separators: readonly string[],
  expression: string | undefined,
): string[] {
  const pattern = (source: string): RegExp => {
    try {
      return new RegExp(source, 'gu');
    } catch (cause) {
      return ctx.fail(`"${source}" is no regular expression here: ${(cause as Error).message}.`);
    }
  };
  if (expression !== undefined) return [...text.matchAll(pattern(expression))].map(([match]) => match).filter(Boolean);
  if (separators.length === 1 && separators[0] === '') return [...text];
  return separators.reduce<string[]>(
    (parts, separator) => parts.flatMap((part) => part.split(pattern(separator))),
    [text],
  );
}

const [startMark, endMark] = ['\u0002', '\u0003'];

/** Texts of [C] or [N, C] cut into tokens along a new last axis, shorter lists padded. */
export const Tokenizer = defineOperator({
  domain,
  name: 'Tokenizer',
  since: 1,
  attributes: {
    mark: required(int()),
    mincharnum: required(int()),
    pad_value: required(string()),
    separators: strings(),
    tokenexp: string(),
  },
  infer(ctx) {
    requireDType(ctx, 0, ['string']);
    const { separators, tokenexp } = ctx.attributes;
    if ((separators === undefined) === (tokenexp === undefined)) ctx.fail('give one of separators and tokenexp.');
    return [tensorType('string', [...expectRank(ctx, 0, 1, 2), ctx.freshDim('tokens')])];
  },
  evaluate(ctx) {
    const { mark, mincharnum, pad_value, separators, tokenexp } = ctx.attributes;
    const { data, dims, size } = ctx.tensor(0);
    if (size === 0) return new Tensor('string', [], [...dims, 0]);
    const lists = (data as string[]).map((text) => {
      const tokens = tokensOf(ctx, text, separators ?? [], tokenexp);
      return tokens.filter((token) => [...token].length >= Math.max(1, mincharnum));
    });
    // Without a single token there are no marks either.
    if (lists.every((list) => list.length === 0)) return new Tensor('string', [], [...dims, 0]);
    const marked = lists.map((list) => (mark ? [startMark, ...list, endMark] : list));
    const most = Math.max(...marked.map((list) => list.length));
    const padded = marked.flatMap((list) => [...list, ...Array<string>(most - list.length).fill(pad_value)]);
    return new Tensor('string', padded, [...dims, most]);
  },
});

/** The cheapest path through a matrix of costs from its first to its last element, as rows and columns. */
export const DynamicTimeWarping = defineOperator({
  domain,
  name: 'DynamicTimeWarping',
  since: 1,
  infer(ctx) {
    requireDType(ctx, 0, ['float32']);
    expectRank(ctx, 0, 2, 3);
    return [tensorType('int32', [Dim.constant(2), ctx.freshDim('path')])];
  },
  evaluate(ctx) {
    const costs = ctx.tensor(0);
    const [rows, columns] = costs.dims.slice(-2);
    const values = numbersOf(costs);
    const width = columns + 1;
    const total = new Float64Array((rows + 1) * width).fill(Infinity);
    const steps = new Uint8Array((rows + 1) * width).fill(3);
    total[0] = 0;
    for (let c = 1; c <= columns; c++) {
      for (let r = 1; r <= rows; r++) {
        const from = [total[(r - 1) * width + c - 1], total[(r - 1) * width + c], total[r * width + c - 1]];
        const best = from[0] <= from[1] && from[0] <= from[2] ? 0 : from[1] <= from[2] ? 1 : 2;
        total[r * width + c] = Math.fround(values[(r - 1) * columns + c - 1] + from[best]);
        steps[r * width + c] = best;
      }
    }
    const path: [number, number][] = [];
    for (let r = rows, c = columns; r > 0 && c > 0; ) {
      path.push([r - 1, c - 1]);
      const step = steps[r * width + c];
      if (step !== 2) r--;
      if (step !== 1) c--;
    }
    path.reverse();
    return tensorOfNumbers('int32', [...path.map(([r]) => r), ...path.map(([, c]) => c)], [2, path.length]);
  },
});

/**
 * Hash of every n-gram of 2 to `max_ngram_size` tokens that ends at a position: Σ⊕ of token · multiplier, modulo the size of
 * the vocabulary of each head. Positions before the first are those of `past_ids`, or `pad_id`.
 */
export const NGramHashMapping = defineOperator({
  domain,
  name: 'NGramHashMapping',
  since: 1,
  attributes: { max_ngram_size: required(int()), n_head_per_ngram: required(int()), pad_id: required(int()) },
  infer(ctx) {
    const [batch, length] = expectRank(ctx, 0, 2);
    const { max_ngram_size: longest, n_head_per_ngram: heads } = ctx.attributes;
    if (longest < 2) ctx.fail(`max_ngram_size must be at least 2, not ${longest}.`);
    const dtype = requireDType(ctx, 0, ['int32', 'int64']);
    const columns = Dim.constant((longest - 1) * heads);
    return [tensorType(dtype, [batch, length, columns]), tensorType(dtype, [batch, Dim.constant(longest - 1)])];
  },
  evaluate(ctx) {
    const { max_ngram_size: longest, n_head_per_ngram: heads, pad_id } = ctx.attributes;
    const ids = ctx.tensor(0);
    const bigs = (input: number): bigint[] => Array.from(ctx.tensor(input).data as ArrayLike<number | bigint>, BigInt);
    const [tokens, multipliers, sizes] = [0, 1, 2].map(bigs);
    const past = ctx.optionalTensor(3) ? bigs(3) : undefined;
    const wrap = (x: bigint): bigint => BigInt.asIntN(ids.type === 'int32' ? 32 : 64, x);
    const [batch, length] = ids.dims;
    const before = longest - 1;
    const hashes: bigint[] = [];
    const present: bigint[] = [];
    for (let b = 0; b < batch; b++) {
      const own = tokens.slice(b * length, (b + 1) * length);
      const history = past ? past.slice(b * before, (b + 1) * before) : Array<bigint>(before).fill(BigInt(pad_id));
      const all = [...history, ...own];
      for (let t = 0; t < length; t++) {
        let mix = wrap(all[before + t] * multipliers[0]);
        for (let n = 2; n <= longest; n++) {
          mix ^= wrap(all[before + t - n + 1] * multipliers[n - 1]);
          for (let head = 0; head < heads; head++) {
            const size = sizes[(n - 2) * heads + head];
            if (size <= 0n) ctx.fail('the sizes of the vocabularies must be positive.');
            hashes.push(((mix % size) + size) % size);
          }
        }
      }
      present.push(...all.slice(all.length - before));
    }
    const tensor = (items: readonly bigint[], dims: readonly number[]): Tensor =>
      ids.type === 'int64'
        ? new Tensor('int64', BigInt64Array.from(items), dims)
        : new Tensor('int32', Int32Array.from(items, Number), dims);
    return [tensor(hashes, [batch, length, before * heads]), tensor(present, [batch, before])];
  },
});
