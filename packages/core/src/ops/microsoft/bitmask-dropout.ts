// com.microsoft BitmaskDropout and BitmaskBiasDropout: dropouts whose mask is one bit for each element.

import { add, cast, constant, dimension, lt, mul, productOf, select, shl } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, type ExpandContext, type InferContext, int } from '../define.ts';
import { expandDropout } from '../dropout.ts';
import { floats, likeInput, requireDType, requireSameDType } from '../pointwise.ts';

const domain = 'com.microsoft';
const ownDomain = 'onnx-ts';
const wordBits = 32;

function maskType(ctx: InferContext) {
  return tensorType('uint32', [productOf(ctx.shape(0)).ceilDiv(wordBits)]);
}

/** The elements of a bool tensor as bits of words, the first one lowest; the last word ends with zeros. */
export const PackBits = defineOperator({
  domain: ownDomain,
  name: 'PackBits',
  since: 1,
  infer(ctx) {
    requireDType(ctx, 0, ['bool']);
    return [maskType(ctx)];
  },
  lower(ctx) {
    const count = productOf(ctx.shape(0));
    const flat = ctx.view(ctx.input(0), [count]);
    return ctx.reduce('sum', 'uint32', ctx.outputShape(0), [wordBits], ([word], [bit]) => {
      const at = add(mul(word, wordBits), bit);
      const isSet = ctx.at(flat, [at], { when: lt(at, dimension(count)), otherwise: false });
      return select(isSet, shl(constant('uint32', 1), cast('uint32', bit)), constant('uint32', 0));
    });
  },
});

/** @param roles input indices of ratio and training_mode */
function dropout(
  ctx: ExpandContext & { readonly attributes: { readonly seed: number | undefined } },
  x: Value,
  roles: { readonly ratio: number; readonly training: number },
): readonly [Value, Value | undefined] {
  const [result, mask] = expandDropout(ctx, x, { ...roles, seed: ctx.attributes.seed });
  return [result!, mask && ctx.op('PackBits', [mask], {}, { domain: ownDomain })];
}

export const BitmaskDropout = defineOperator({
  domain,
  name: 'BitmaskDropout',
  since: 1,
  attributes: { seed: int() },
  infer: (ctx) => [likeInput(ctx, 0, requireDType(ctx, 0, floats)), ctx.hasOutput(1) ? maskType(ctx) : undefined],
  expand: (ctx) => dropout(ctx, ctx.value(0)!, { ratio: 1, training: 2 }),
});

/** dropout(data + bias) + residual */
export const BitmaskBiasDropout = defineOperator({
  domain,
  name: 'BitmaskBiasDropout',
  since: 1,
  attributes: { seed: int() },
  infer(ctx) {
    const dtype = requireSameDType(ctx, ctx.hasInput(2) ? [0, 1, 2] : [0, 1], floats);
    return [likeInput(ctx, 0, dtype), ctx.hasOutput(1) ? maskType(ctx) : undefined];
  },
  expand(ctx) {
    const [data, bias, residual] = ctx.node.inputs;
    const [kept, mask] = dropout(ctx, ctx.op('Add', [data, bias]), { ratio: 3, training: 4 });
    return [residual ? ctx.op('Add', [kept, residual]) : kept, mask];
  },
});
