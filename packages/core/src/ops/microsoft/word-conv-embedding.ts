// com.microsoft WordConvEmbedding: vectors for words from their characters.

import {
  add,
  and,
  boundedIndex,
  constant,
  Dim,
  dimension,
  type Expr,
  gt,
  type IndexLike,
  lt,
  max,
  mul,
  select,
  sub,
  tanh,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, int } from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';
import { requireDType } from '../pointwise.ts';

const [words, filters, bias, table] = [0, 1, 2, 3];

/**
 * For each word [characters] the maximum over all windows of tanh(filter · window + bias), a window being so many rows of the
 * table [alphabet, size] as a filter [1, window, size] is high. The first character that is not above 0 makes a word empty,
 * others are padding; a word shorter than a window has one window. Empty words give 0.
 */
export const WordConvEmbedding = defineOperator({
  domain: 'com.microsoft',
  name: 'WordConvEmbedding',
  since: 1,
  attributes: { char_embedding_size: int(-1), conv_window_size: int(-1), embedding_size: int(-1) },
  infer(ctx) {
    requireDType(ctx, words, ['int32']);
    for (const input of [filters, bias, table]) requireDType(ctx, input, ['float32']);
    const [count, characters] = expectRank(ctx, words, 2);
    const [vector, depth, window, size] = expectRank(ctx, filters, 4);
    const { char_embedding_size, conv_window_size, embedding_size } = ctx.attributes;
    const given = { char_embedding_size, conv_window_size, embedding_size };
    for (const [at, [name, wanted]] of Object.entries(given).entries()) {
      const actual = [size, window, vector][at];
      if (wanted >= 0) expectEqual(ctx, actual, Dim.constant(wanted), `${name} and the size in the filters`);
    }
    expectEqual(ctx, depth, Dim.constant(1), 'the second axis of the filters and 1');
    expectEqual(ctx, expectRank(ctx, bias, 1)[0], vector, 'the numbers of biases and filters');
    expectEqual(ctx, expectRank(ctx, table, 2)[1], size, 'the widths of the table and of the filters');
    const [most, height] = [characters.constant, window.constant];
    if (most !== undefined && height !== undefined && most < height) {
      ctx.fail(`words of ${most} characters are shorter than a window of ${height}.`);
    }
    return [tensorType('float32', [count, vector])];
  },
  lower(ctx) {
    const [count, characters] = ctx.shape(words);
    const [vector, , window, size] = ctx.shape(filters);
    const alphabet = ctx.shape(table)[0];
    const isCharacter = (word: Expr, at: IndexLike): Expr => gt(ctx.at(words, [word, at]), 0);
    const lengths = ctx.reduce('sum', 'int32', [count], [characters], ([word], [at]) => {
      const counts = and(isCharacter(word, 0), isCharacter(word, at));
      return select(counts, constant('int32', 1), constant('int32', 0));
    });
    const windows = characters.sub(window).add(1);
    const products = ctx.reduce(
      'sum',
      'float32',
      [count, windows, vector],
      [window, size],
      ([word, start, v], [row, d]) => {
        const character = toIndex(ctx.at(words, [word, add(start, row)]));
        const embedded = ctx.at(table, [boundedIndex(character, alphabet, { negative: false }), d]);
        return mul(embedded, ctx.at(filters, [v, 0, row, d]));
      },
    );
    const greatest = ctx.reduce('max', 'float32', [count, vector], [windows], ([word, v], [start]) => {
      const used = sub(max(toIndex(ctx.at(lengths, [word])), dimension(window)), dimension(window));
      const value = tanh(add(ctx.at(products, [word, start, v]), ctx.at(bias, [v])));
      return select(lt(start, add(used, 1)), value, constant('float32', -Infinity));
    });
    return ctx.map('float32', [count, vector], (index) =>
      select(gt(ctx.at(lengths, [index[0]]), 0), ctx.at(greatest, index), constant('float32', 0)),
    );
  },
});
