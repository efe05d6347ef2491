// Running sums and products along an axis.

import { tensorType } from '../graph/types.ts';
import { defineOperator, int } from './define.ts';
import { expectRank } from './expect.ts';
import { numbers, requireDType } from './pointwise.ts';
import { knownScalar } from './small-tensor.ts';

function cumulative(name: string, since: number, op: 'sum' | 'prod') {
  return defineOperator({
    name,
    since,
    attributes: { exclusive: int(0), reverse: int(0) },
    valueInputs: [1],
    infer(context) {
      const dtype = requireDType(context, 0, numbers);
      const shape = expectRank(context, 0, 1, Infinity);
      requireDType(context, 1, ['int32', 'int64']);
      const axis = knownScalar(context, 1);
      if (axis !== undefined) context.axis(axis, shape.length);
      return [tensorType(dtype, shape)];
    },
    lower(context) {
      const shape = context.shape(0);
      const axis = context.axis(knownScalar(context, 1) ?? context.fail('the axis is not known.'), shape.length);
      const { exclusive, reverse } = context.attributes;
      const options = { exclusive: exclusive !== 0, reverse: reverse !== 0 };
      return context.scan(op, context.dtype(0), shape, axis, (index) => context.at(0, index), options);
    },
  });
}

export const CumSum = cumulative('CumSum', 11, 'sum');
export const CumProd = cumulative('CumProd', 26, 'prod');
