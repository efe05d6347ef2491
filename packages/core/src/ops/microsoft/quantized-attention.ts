// com.microsoft QAttention: Attention whose projection multiplies bytes.

import { add, cast, type Expr, mul, productOf, sub } from '@onnx-ts/tensor-ir';
import { computeType } from '../compute-type.ts';
import { defineOperator, type LowerContext } from '../define.ts';
import { expectSameType } from '../expect.ts';
import { stretchedIndex } from '../lowering.ts';
import { inferProjected, lowerProjected, type ProjectedInputs, projectedAttributes } from './attention.ts';

const [input, weights, bias, inputScale, weightScale, inputZero, weightZero] = [0, 1, 2, 3, 4, 6, 7];
const optional: ProjectedInputs = { mask: 5, past: 8, attentionBias: 9 };

/** A quantisation parameter that is one number, or one for each column. */
function parameter(ctx: LowerContext, at: number, column: Expr): Expr {
  const shape = ctx.shape(at);
  return productOf(shape).is(1) ? ctx.scalar(at) : ctx.at(at, [stretchedIndex(shape[0], column)]);
}

/** x − zero point, as int32. */
function centred(ctx: LowerContext, x: Expr, zero: number, column: Expr): Expr {
  const wide = cast('int32', x);
  return ctx.hasInput(zero) ? sub(wide, cast('int32', parameter(ctx, zero, column))) : wide;
}

export const QAttention = defineOperator({
  domain: 'com.microsoft',
  name: 'QAttention',
  since: 1,
  attributes: projectedAttributes,
  infer: (ctx) => inferProjected(ctx, optional, expectSameType(ctx, bias, inputScale, weightScale, optional.past)),
  lower(ctx) {
    const [x, w, b] = [ctx.input(input), ctx.input(weights), ctx.input(bias)];
    const wide = computeType(b.dtype);
    const [batch, length] = x.shape;
    const shape = [batch, length, w.shape[1]];
    const sums = ctx.reduce('sum', 'int32', shape, [w.shape[0]], ([n, s, column], [k]) =>
      mul(
        centred(ctx, ctx.at(x, [n, s, k]), inputZero, column),
        centred(ctx, ctx.at(w, [k, column]), weightZero, column),
      ),
    );
    const projected = ctx.map(
      b.dtype,
      shape,
      (index) => {
        const column = index[2];
        const scales = [inputScale, weightScale].map((at) => cast(wide, parameter(ctx, at, column)));
        const value = mul(cast(wide, ctx.at(sums, index)), mul(scales[0], scales[1]));
        return cast(b.dtype, add(value, cast(wide, ctx.at(b, [column]))));
      },
      'dequantised',
    );
    return lowerProjected(ctx, projected, optional);
  },
});
