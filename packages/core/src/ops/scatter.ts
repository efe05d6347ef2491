// Scatter operators: a copy of the data with updates written to places that an index tensor names. Updates are applied
// in order, so that the last of several to one place wins, or all of them are combined by a reduction.

import {
  add,
  boundedIndex,
  type CombineOp,
  cast,
  type Dim,
  dimension,
  type Expr,
  mod,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, int, type LowerContext, type NodeContext, string } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { expectIndices, pickedIndex, tupleLength } from './gather.ts';

const combines: Readonly<Record<string, CombineOp>> = { none: 'set', add: 'sum', mul: 'prod', max: 'max', min: 'min' };

function combineOf(context: NodeContext, reduction: string): CombineOp {
  return (
    combines[reduction] ?? context.fail(`reduction "${reduction}" is not one of ${Object.keys(combines).join(', ')}.`)
  );
}

function scatterElements(name: string, since: number) {
  return defineOperator({
    name,
    since,
    attributes: { axis: int(0), reduction: string('none') },
    infer(context) {
      const dtype = expectSameType(context, 0, 2);
      expectIndices(context, 1);
      const shape = expectRank(context, 0, 1, Infinity);
      context.axis(context.attributes.axis, shape.length);
      combineOf(context, context.attributes.reduction);
      const indices = expectRank(context, 1, shape.length);
      const updates = expectRank(context, 2, shape.length);
      indices.forEach((size, axis) => {
        expectEqual(context, size, updates[axis], `sizes of indices and updates along axis ${axis}`);
      });
      return [tensorType(dtype, shape)];
    },
    lower(context) {
      const shape = context.shape(0);
      const axis = context.axis(context.attributes.axis, shape.length);
      return context.scatter(
        context.dtype(0),
        shape,
        (index) => context.at(0, index),
        context.shape(1),
        (index) => ({
          destination: index.with(axis, pickedIndex(context, 1, index, shape[axis])),
          value: context.at(2, index),
        }),
        combineOf(context, context.attributes.reduction),
      );
    },
  });
}

/** The old name of ScatterElements, deprecated since opset 11. */
export const Scatter = scatterElements('Scatter', 9);
export const ScatterElements = scatterElements('ScatterElements', 11);

/** The last axis of `indices` holds tuples; each names the place of a slice of `updates`. */
export const ScatterND = defineOperator({
  name: 'ScatterND',
  since: 11,
  attributes: { reduction: string('none') },
  infer(context) {
    const dtype = expectSameType(context, 0, 2);
    expectIndices(context, 1);
    const shape = expectRank(context, 0, 1, Infinity);
    const indices = expectRank(context, 1, 1, Infinity);
    combineOf(context, context.attributes.reduction);
    const length = tupleLength(context, 1, shape.length);
    const expected = [...indices.slice(0, -1), ...shape.slice(length)];
    const updates = expectRank(context, 2, expected.length);
    expected.forEach((size, axis) => {
      expectEqual(context, size, updates[axis], `the size of axis ${axis} of updates and what the indices ask for`);
    });
    return [tensorType(dtype, shape)];
  },
  lower(context) {
    const shape = context.shape(0);
    const length = tupleLength(context, 1, shape.length);
    const outer = context.rank(1) - 1;
    return context.scatter(
      context.dtype(0),
      shape,
      (index) => context.at(0, index),
      context.shape(2),
      (index) => {
        const tuple = Array.from({ length }, (_, at) =>
          boundedIndex(toIndex(context.at(1, [...index.slice(0, outer), at])), shape[at]),
        );
        return { destination: [...tuple, ...index.slice(outer)], value: context.at(2, index) };
      },
      combineOf(context, context.attributes.reduction),
    );
  },
});

/** Writes new entries of a sequence into a cache, from `write_indices[b]` on for each batch entry b. */
export const TensorScatter = defineOperator({
  name: 'TensorScatter',
  since: 24,
  attributes: { axis: int(-2), mode: string('linear') },
  infer(context) {
    const dtype = expectSameType(context, 0, 1);
    const cache = expectRank(context, 0, 2, Infinity);
    const update = expectRank(context, 1, cache.length);
    const axis = sequenceAxis(context, context.attributes.axis, cache.length);
    const { mode } = context.attributes;
    if (mode !== 'linear' && mode !== 'circular') context.fail(`mode "${mode}" is not one of linear, circular.`);
    cache.forEach((size, at) => {
      if (at !== axis) expectEqual(context, size, update[at], `sizes of cache and update along axis ${at}`);
    });
    if (context.hasInput(2)) {
      const [count] = expectRank(context, 2, 1);
      expectEqual(context, count, cache[0], 'the number of write_indices and the batch size');
    }
    return [tensorType(dtype, cache)];
  },
  lower(context) {
    const cache = context.shape(0);
    const axis = sequenceAxis(context, context.attributes.axis, cache.length);
    return context.scatter(
      context.dtype(0),
      cache,
      (index) => context.at(0, index),
      context.shape(1),
      (index) => {
        const place = writePosition(context, index[0], index[axis], cache[axis], context.attributes.mode);
        return { destination: index.with(axis, place), value: context.at(1, index) };
      },
    );
  },
});

function sequenceAxis(context: NodeContext, given: number, rank: number): number {
  const axis = context.axis(given, rank);
  if (axis === 0) context.fail('axis 0 is the batch and cannot be written along.');
  return axis;
}

/** Where step `step` of the update of batch entry `batch` goes. */
function writePosition(context: LowerContext, batch: Expr, step: Expr, length: Dim, mode: string): Expr {
  const given = context.hasInput(2) ? context.at(2, [batch]) : dimension(0);
  if (mode === 'circular') return toIndex(mod(add(given, cast(given.type, step)), cast(given.type, dimension(length))));
  return boundedIndex(add(toIndex(given), step), length, { negative: false });
}
