// Gather and its relatives: elements picked by an index tensor. An index outside its axis fails the run.

import { boundedIndex, Dim, dimension, type Expr, type IndexLike, toIndex } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { NotKnownYet } from './context.ts';
import { defineOperator, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank } from './expect.ts';
import { takeAlong } from './host-elements.ts';
import { requireDType } from './pointwise.ts';
import { plainNumbers, rearrange, smallTensor } from './small-tensor.ts';

/** Element of an index tensor, checked against the axis it points into; negative ones count from the end. */
export function pickedIndex(context: LowerContext, input: number, index: readonly IndexLike[], size: Dim): Expr {
  const known = plainNumbers(context.contents(input));
  if (known?.length === 1) {
    const position = known[0] < 0 ? size.add(known[0]) : Dim.constant(known[0]);
    if (position.lowerBound >= 0 && position.add(1).atMost(size)) return dimension(position);
  }
  return boundedIndex(toIndex(context.at(input, index)), size);
}

/** Index tensors are int32 or int64. */
export function expectIndices(context: NodeContext, input: number): void {
  const dtype = context.dtype(input);
  if (dtype !== 'int32' && dtype !== 'int64') context.fail(`the indices must be int32 or int64, not ${dtype}.`);
}

export const Gather = defineOperator({
  name: 'Gather',
  since: 1,
  attributes: { axis: int(0) },
  infer(context) {
    expectIndices(context, 1);
    const shape = expectRank(context, 0, 1, Infinity);
    const axis = context.axis(context.attributes.axis, shape.length);
    const known = plainNumbers(context.contents(1));
    const size = shape[axis].constant;
    const outside = size === undefined ? undefined : known?.find((index) => index < -size || index >= size);
    if (outside !== undefined)
      context.fail(`the index ${outside} is outside axis ${axis}, which has ${size} elements.`);
    return [tensorType(context.dtype(0), shape.toSpliced(axis, 1, ...context.shape(1)))];
  },
  contents(context) {
    const data = smallTensor(context, 0);
    const indices = plainNumbers(context.contents(1));
    const picked = plainNumbers(context.shape(1));
    if (!data || !indices || !picked) return undefined;
    const axis = context.axis(context.attributes.axis, data.dims.length);
    return rearrange(data, data.dims.toSpliced(axis, 1, ...picked), (index) => {
      const place = index.slice(axis, axis + picked.length);
      const at = indices[place.reduce((sum, i, k) => sum * picked[k] + i, 0)];
      return index.toSpliced(axis, picked.length, at < 0 ? at + data.dims[axis] : at);
    });
  },
  lower(context) {
    const shape = context.shape(0);
    const axis = context.axis(context.attributes.axis, shape.length);
    const rank = context.rank(1);
    return context.map(context.dtype(0), context.outputShape(0), (index) => {
      const picked = pickedIndex(context, 1, index.slice(axis, axis + rank), shape[axis]);
      return context.at(0, index.toSpliced(axis, rank, picked));
    });
  },
});

/** out[i] = data[i with its entry along `axis` replaced by indices[i]] */
export const GatherElements = defineOperator({
  name: 'GatherElements',
  since: 11,
  attributes: { axis: int(0) },
  infer(context) {
    expectIndices(context, 1);
    const shape = expectRank(context, 0, 1, Infinity);
    context.axis(context.attributes.axis, shape.length);
    return [tensorType(context.dtype(0), expectRank(context, 1, shape.length))];
  },
  lower(context) {
    const shape = context.shape(0);
    const axis = context.axis(context.attributes.axis, shape.length);
    return context.map(context.dtype(0), context.outputShape(0), (index) =>
      context.at(0, index.with(axis, pickedIndex(context, 1, index, shape[axis]))),
    );
  },
});

/** Length of the index tuples that the last axis of `indices` holds. */
export function tupleLength(context: NodeContext, input: number, most: number): number {
  const length = context.shape(input).at(-1)?.constant;
  // It says which axes the tuples point into: until it is known, there is nothing to compile.
  if (length === undefined) throw new NotKnownYet('last size of the indices');
  if (length > most)
    context.fail(`the index tuples have ${length} entries, more than the ${most} axes they point into.`);
  return length;
}

/** The last axis of `indices` holds tuples that point into data, after `batch_dims` axes that both share. */
export const GatherND = defineOperator({
  name: 'GatherND',
  since: 11,
  attributes: { batch_dims: int(0) },
  infer(context) {
    const shape = expectRank(context, 0, 1, Infinity);
    const indices = expectRank(context, 1, 1, Infinity);
    const { batch_dims: batch } = context.attributes;
    if (batch < 0 || batch >= Math.min(shape.length, indices.length)) {
      context.fail(`batch_dims ${batch} must be less than the ranks, ${shape.length} and ${indices.length}.`);
    }
    for (let axis = 0; axis < batch; axis++) expectEqual(context, shape[axis], indices[axis], `sizes of axis ${axis}`);
    const length = tupleLength(context, 1, shape.length - batch);
    return [tensorType(context.dtype(0), [...indices.slice(0, -1), ...shape.slice(batch + length)])];
  },
  lower(context) {
    const shape = context.shape(0);
    const { batch_dims: batch } = context.attributes;
    const length = tupleLength(context, 1, shape.length - batch);
    const outer = context.rank(1) - 1;
    return context.map(context.dtype(0), context.outputShape(0), (index) => {
      const tuple = Array.from({ length }, (_, at) =>
        boundedIndex(toIndex(context.at(1, [...index.slice(0, outer), at])), shape[batch + at]),
      );
      return context.at(0, [...index.slice(0, batch), ...tuple, ...index.slice(outer)]);
    });
  },
});

/** The slices along `axis` (without it: the elements of the flattened input) whose condition is true. */
export const Compress = defineOperator({
  name: 'Compress',
  since: 9,
  attributes: { axis: int() },
  infer(context) {
    const { axis } = context.attributes;
    requireDType(context, 1, ['bool']);
    const kept = context.freshDim('compress');
    if (axis === undefined) return [tensorType(context.dtype(0), [kept])];
    const shape = context.shape(0);
    return [tensorType(context.dtype(0), shape.with(context.axis(axis, shape.length), kept))];
  },
  evaluate(context) {
    const { axis: given } = context.attributes;
    const input = context.tensor(0);
    const data = given === undefined ? input.reshape([input.size]) : input;
    const axis = context.axis(given ?? 0, data.dims.length);
    const condition = context.tensor(1);
    if (condition.size > data.dims[axis]) {
      context.fail(`the condition has ${condition.size} entries, but axis ${axis} has ${data.dims[axis]}.`);
    }
    const kept = condition.toNumberArray().flatMap((value, at) => (value ? [at] : []));
    return takeAlong(data, axis, kept);
  },
});
