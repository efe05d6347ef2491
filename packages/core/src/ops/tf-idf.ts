// TfIdfVectorizer: how often each n-gram of a pool occurs in a row of tokens.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { Tensor } from '../session/tensor.ts';
import { defineOperator, floats, int, ints, type NodeContext, required, string, strings } from './define.ts';
import { expectRank } from './expect.ts';

type Token = string | number;

/** A tree of tokens: the path to a node spells an n-gram, `column` is where it is counted. */
interface GramNode {
  column: number | undefined;
  readonly next: Map<Token, GramNode>;
}

const newNode = (): GramNode => ({ column: undefined, next: new Map() });

interface GramAttributes {
  readonly ngram_counts: readonly number[];
  readonly ngram_indexes: readonly number[];
  readonly min_gram_length: number;
  readonly max_gram_length: number;
}

/** `ngram_counts[n − 1]` is where the n-grams start in the pool; `ngram_indexes` gives a column to each, in order. */
function growTree(context: NodeContext, pool: readonly Token[], attributes: GramAttributes): GramNode {
  const { ngram_counts: starts, ngram_indexes: columns } = attributes;
  const root = newNode();
  let gram = 0;
  starts.forEach((start, at) => {
    const length = at + 1;
    const end = starts[at + 1] ?? pool.length;
    if (start < 0 || end < start || end > pool.length || (end - start) % length !== 0) {
      context.fail(`ngram_counts [${starts.join(', ')}] do not cut the pool of ${pool.length} tokens into n-grams.`);
    }
    for (let from = start; from < end; from += length, gram++) {
      if (length < attributes.min_gram_length || length > attributes.max_gram_length) continue;
      let node = root;
      for (const token of pool.slice(from, from + length)) {
        if (!node.next.has(token)) node.next.set(token, newNode());
        node = node.next.get(token)!;
      }
      node.column = columns[gram] ?? context.fail(`ngram_indexes has no entry for n-gram ${gram}.`);
    }
  });
  return root;
}

/** Counts the n-grams of one row. With skips, the tokens of an n-gram are `skip + 1` apart. */
function countGrams(tokens: readonly Token[], root: GramNode, attributes: GramAttributes, skips: number): number[] {
  const counts: number[] = [];
  for (let distance = 1; distance <= skips + 1; distance++) {
    // Single tokens are the same at every distance, so they are counted once.
    const shortest = distance === 1 ? attributes.min_gram_length : Math.max(attributes.min_gram_length, 2);
    for (let start = 0; start < tokens.length; start++) {
      let node: GramNode | undefined = root;
      for (let length = 1; length <= attributes.max_gram_length; length++) {
        const at = start + (length - 1) * distance;
        node = at < tokens.length ? node.next.get(tokens[at]) : undefined;
        if (!node) break;
        if (length >= shortest && node.column !== undefined) counts[node.column] = (counts[node.column] ?? 0) + 1;
      }
    }
  }
  return counts;
}

/** Vocabularies are longer than what fits into the arguments of one call. */
const columnCount = (columns: readonly number[]): number =>
  columns.reduce((most, column) => Math.max(most, column), -1) + 1;

const weightings: Readonly<Record<string, (count: number, weight: number) => number>> = {
  TF: (count) => count,
  IDF: (count, weight) => (count > 0 ? weight : 0),
  TFIDF: (count, weight) => count * weight,
};

export const TfIdfVectorizer = defineOperator({
  name: 'TfIdfVectorizer',
  since: 9,
  attributes: {
    max_gram_length: required(int()),
    max_skip_count: required(int()),
    min_gram_length: required(int()),
    mode: required(string()),
    ngram_counts: required(ints()),
    ngram_indexes: required(ints()),
    pool_int64s: ints(),
    pool_strings: strings(),
    weights: floats(),
  },
  infer(context) {
    const { mode, ngram_indexes: columns, pool_int64s, pool_strings } = context.attributes;
    if (!weightings[mode]) context.fail(`mode "${mode}" is not one of ${Object.keys(weightings).join(', ')}.`);
    if (!(context.dtype(0) === 'string' ? pool_strings : pool_int64s)) {
      context.fail(`there is no pool of n-grams for ${context.dtype(0)} tokens.`);
    }
    const width = Dim.constant(columnCount(columns));
    const shape = expectRank(context, 0, 0, 2);
    return [tensorType('float32', shape.length === 2 ? [shape[0], width] : [width])];
  },
  evaluate(context) {
    const { attributes } = context;
    const input = context.tensor(0);
    const isText = input.type === 'string';
    const tokens: readonly Token[] = isText ? (input.data as string[]) : input.toNumberArray();
    const root = growTree(context, (isText ? attributes.pool_strings : attributes.pool_int64s) ?? [], attributes);
    const width = columnCount(attributes.ngram_indexes);
    const rows = input.dims.length === 2 ? input.dims[0] : 1;
    const length = tokens.length / Math.max(rows, 1);
    const result = new Float32Array(rows * width);
    // Weights belong to the n-grams of the pool, in its order, not to columns.
    const weights = new Float64Array(width).fill(1);
    if (attributes.weights?.length) {
      for (const [gram, column] of attributes.ngram_indexes.entries()) weights[column] = attributes.weights[gram];
    }
    for (let row = 0; row < rows; row++) {
      const words = tokens.slice(row * length, (row + 1) * length);
      countGrams(words, root, attributes, attributes.max_skip_count).forEach((count, column) => {
        result[row * width + column] = weightings[attributes.mode](count, weights[column]);
      });
    }
    return new Tensor('float32', result, input.dims.length === 2 ? [rows, width] : [width]);
  },
});
