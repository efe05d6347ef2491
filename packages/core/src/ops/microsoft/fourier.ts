// com.microsoft Rfft and Irfft: transforms of real signals along the last axis, made of DFT.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, int, type NodeContext, required } from '../define.ts';
import { expectEqual, expectFloat, expectRank } from '../expect.ts';

const domain = 'com.microsoft';

type FourierNode = NodeContext & {
  readonly attributes: { readonly normalized: number; readonly onesided: number; readonly signal_ndim: number };
};

function checkOptions(ctx: FourierNode): void {
  const { normalized, onesided, signal_ndim } = ctx.attributes;
  if (normalized || !onesided || signal_ndim !== 1) {
    ctx.fail('only one-sided transforms along one axis, without normalisation, are supported.');
  }
}

/** Real [… n] to complex [… n / 2 + 1, 2] */
export const Rfft = defineOperator({
  domain,
  name: 'Rfft',
  since: 1,
  attributes: { normalized: int(0), onesided: int(1), signal_ndim: int(1) },
  infer(ctx) {
    checkOptions(ctx);
    const shape = expectRank(ctx, 0, 1, Infinity);
    const half = shape[shape.length - 1].floorDiv(2).add(1);
    return [tensorType(expectFloat(ctx, 0), [...shape.slice(0, -1), half, Dim.constant(2)])];
  },
  expand(ctx) {
    const last = ctx.literal('int64', [ctx.rank(0)]);
    // A batch axis that DFT asks for.
    const batch = ctx.op('Unsqueeze', [ctx.op('Unsqueeze', [ctx.value(0), last]), ctx.literal('int64', [0])]);
    return ctx.op('Squeeze', [ctx.op('DFT', [batch], { onesided: 1 }), ctx.literal('int64', [0])]);
  },
});

/** Complex [… m, 2] to real [… 2 (m − 1)], divided by that number. */
export const Irfft = defineOperator({
  domain,
  name: 'Irfft',
  since: 1,
  attributes: { normalized: int(0), onesided: int(1), signal_ndim: required(int()) },
  infer(ctx) {
    checkOptions(ctx);
    const shape = expectRank(ctx, 0, 2, Infinity);
    expectEqual(ctx, shape[shape.length - 1], Dim.constant(2), 'the last axis and the parts of a complex number');
    const length = shape[shape.length - 2].sub(1).mul(2);
    return [tensorType(expectFloat(ctx, 0), [...shape.slice(0, -2), length])];
  },
  expand(ctx) {
    const batch = ctx.op('Unsqueeze', [ctx.value(0), ctx.literal('int64', [0])]);
    const result = ctx.op('DFT', [batch], { inverse: 1, onesided: 1 });
    return ctx.op('Squeeze', [result, ctx.literal('int64', [0, ctx.rank(0)])]);
  },
});
