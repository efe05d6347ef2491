// ArgMax and ArgMin: where the extreme of each row is.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, int } from './define.ts';
import { expectRank } from './expect.ts';
import { numbers, requireDType } from './pointwise.ts';

function argReduction(name: string, op: 'argmax' | 'argmin') {
  return defineOperator({
    name,
    since: 1,
    attributes: { axis: int(0), keepdims: int(1), select_last_index: int(0) },
    infer(context) {
      requireDType(context, 0, numbers);
      const shape = expectRank(context, 0, 1, Infinity);
      const axis = context.axis(context.attributes.axis, shape.length);
      if (shape[axis].is(0)) context.fail(`axis ${axis} has no elements, so none is the greatest or least.`);
      const { keepdims } = context.attributes;
      return [tensorType('int64', keepdims ? shape.with(axis, Dim.constant(1)) : shape.toSpliced(axis, 1))];
    },
    lower(context) {
      const shape = context.shape(0);
      const { axis: given, keepdims, select_last_index } = context.attributes;
      const axis = context.axis(given, shape.length);
      const found = context.reduce(
        op,
        'int64',
        shape.toSpliced(axis, 1),
        [shape[axis]],
        (row, [lane]) => context.at(0, row.toSpliced(axis, 0, lane)),
        { selectLast: select_last_index !== 0 },
      );
      return keepdims ? context.view(found, context.outputShape(0)) : found;
    },
  });
}

export const ArgMax = argReduction('ArgMax', 'argmax');
export const ArgMin = argReduction('ArgMin', 'argmin');
