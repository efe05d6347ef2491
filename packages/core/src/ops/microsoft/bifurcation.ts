// com.microsoft BifurcationDetector: one step of aggressive decoding, which copies from a source text as long as the model
// agrees with it.

import { tensorType } from '../../graph/types.ts';
import { defineOperator, int } from '../define.ts';
import { expectRank } from '../expect.ts';
import { int64Tensor, numbersOf } from '../host-elements.ts';
import { likeInput, requireDType } from '../pointwise.ts';

const [source, current, previousMatch, predicted] = [0, 1, 2, 3];

/** Where `part` first occurs in `list` at or after `from`; −1 when it does not. */
function indexOfPart(list: ArrayLike<number>, part: readonly number[], from: number): number {
  for (let at = from; at + part.length <= list.length; at++) {
    if (part.every((token, offset) => list[at + offset] === token)) return at;
  }
  return -1;
}

/**
 * Tokens: the current ones, then the predictions up to and with the first that differs from the source, read from
 * the previous match on. Match: where in the source to go on, behind the only occurrence of the last n tokens in
 * it, n growing from `min_ngram_size` to `max_ngram_size`; −1 without one.
 */
export const BifurcationDetector = defineOperator({
  domain: 'com.microsoft',
  name: 'BifurcationDetector',
  since: 1,
  attributes: { max_ngram_size: int(3), min_ngram_size: int(1) },
  infer(ctx) {
    const { max_ngram_size: most, min_ngram_size: least } = ctx.attributes;
    if (least < 1 || most < least) ctx.fail(`n-grams cannot have ${least} to ${most} tokens.`);
    for (const input of [source, current, predicted]) {
      if (!ctx.hasInput(input)) continue;
      requireDType(ctx, input, ['int64']);
      expectRank(ctx, input, 1);
    }
    requireDType(ctx, previousMatch, ['int64']);
    const [length] = ctx.shape(current);
    const tokens = tensorType('int64', [ctx.hasInput(predicted) ? ctx.freshDim('tokens') : length]);
    return [tokens, likeInput(ctx, previousMatch)];
  },
  evaluate(ctx) {
    const text = numbersOf(ctx.tensor(source));
    const tokens = Array.from(numbersOf(ctx.tensor(current)));
    const guesses = ctx.optionalTensor(predicted);
    if (guesses) {
      const list = Array.from(numbersOf(guesses));
      const [start] = Array.from(numbersOf(ctx.tensor(previousMatch)));
      if (!(start >= 0 && list.length === text.length + 1 - start)) {
        ctx.fail(
          `there must be a prediction for each of the ${text.length} source tokens from ${start} on, and one more.`,
        );
      }
      const differs = list.findIndex((token, at) => token !== text[start + at]);
      tokens.push(...list.slice(0, differs + 1));
    }
    const { max_ngram_size: most, min_ngram_size: least } = ctx.attributes;
    let match = -1;
    for (let size = least; size <= Math.min(most, tokens.length); size++) {
      const suffix = tokens.slice(-size);
      const at = indexOfPart(text, suffix, 0);
      if (at < 0) break;
      match = at + size;
      if (match >= text.length) break;
      if (indexOfPart(text, suffix, at + 1) >= 0) match = -1;
    }
    return [int64Tensor(tokens, [tokens.length]), int64Tensor([match], ctx.tensor(previousMatch).dims)];
  },
});
