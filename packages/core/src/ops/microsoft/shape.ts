// com.microsoft's own versions of shape operators.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { Range as OnnxRange } from '../constant.ts';
import { defineOperator, derive } from '../define.ts';
import { knownIntegers } from '../small-tensor.ts';

const domain = 'com.microsoft';

/** Delta may be missing. */
export const Range = derive(OnnxRange, { domain, since: 1 });

/** Puts an axis of size 1 in. A negative position counts from the end of the result. */
export const ExpandDims = defineOperator({
  domain,
  name: 'ExpandDims',
  since: 1,
  valueInputs: [1],
  infer(ctx) {
    const [axis] = knownIntegers(ctx, 1) ?? [];
    if (axis === undefined) return [tensorType(ctx.dtype(0))];
    const shape = ctx.shape(0);
    const at = ctx.axis(axis, shape.length + 1);
    return [tensorType(ctx.dtype(0), [...shape.slice(0, at), Dim.constant(1), ...shape.slice(at)])];
  },
  contents: (ctx) => ctx.contents(0),
  lower: (ctx) => ctx.view(ctx.input(0), ctx.outputShape(0)),
});
