// Feature vectors taken apart and put together.

import { boundedIndex, cast, Dim, dimension, lt, productOf, toIndex } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, ints, type NodeContext } from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';
import { requireDType } from '../pointwise.ts';
import { domain, featureTypes } from './feature-rows.ts';

/** The features at given positions of the last axis. A vector counts as a matrix of one row. */
export const ArrayFeatureExtractor = defineOperator({
  domain,
  name: 'ArrayFeatureExtractor',
  since: 1,
  infer(context) {
    const dtype = requireDType(context, 0, [...featureTypes, 'string']);
    requireDType(context, 1, ['int64']);
    const shape = expectRank(context, 0, 1, Infinity);
    const leading = shape.length === 1 ? [Dim.constant(1)] : shape.slice(0, -1);
    return [tensorType(dtype, [...leading, productOf(context.shape(1))])];
  },
  lower(context) {
    const shape = context.shape(0);
    const features = shape[shape.length - 1];
    const positions = context.view(context.input(1), [productOf(context.shape(1))]);
    return context.map(context.dtype(0), context.outputShape(0), (index) => {
      const at = boundedIndex(toIndex(context.at(positions, index.slice(-1))), features, { negative: false });
      return context.at(0, shape.length === 1 ? [at] : [...index.slice(0, -1), at]);
    });
  },
});

/** Rows and features of an input of FeatureVectorizer: all axes but the first are one vector. */
function matrixOf(context: NodeContext, input: number): readonly [Dim, Dim] {
  const shape = expectRank(context, input, 1, Infinity);
  return shape.length === 1 ? [Dim.constant(1), shape[0]] : [shape[0], productOf(shape.slice(1))];
}

function widthsOf(context: NodeContext, given: readonly number[] | undefined): readonly Dim[] {
  const sizes = Array.from({ length: context.inputCount }, (_, input) => matrixOf(context, input)[1]);
  if (!given?.length) return sizes;
  if (given.length !== sizes.length) {
    context.fail(`inputdimensions has ${given.length} entries for ${sizes.length} inputs.`);
  }
  return given.map(Dim.constant);
}

/** Joins the features of several inputs. Each is cut or filled up with zeros to its entry in `inputdimensions`. */
export const FeatureVectorizer = defineOperator({
  domain,
  name: 'FeatureVectorizer',
  since: 1,
  attributes: { inputdimensions: ints() },
  infer(context) {
    if (context.inputCount === 0) context.fail('it needs at least one input.');
    const [rows] = matrixOf(context, 0);
    for (let input = 0; input < context.inputCount; input++) {
      requireDType(context, input, featureTypes);
      expectEqual(context, rows, matrixOf(context, input)[0], `the rows of inputs 0 and ${input}`);
    }
    const widths = widthsOf(context, context.attributes.inputdimensions);
    const total = widths.reduce((sum, width) => sum.add(width), Dim.constant(0));
    return [tensorType('float32', [rows, total])];
  },
  lower(context) {
    const parts = widthsOf(context, context.attributes.inputdimensions).map((length, input) => {
      const [rows, size] = matrixOf(context, input);
      return { length, size, source: context.view(context.input(input), [rows, size]) };
    });
    const used = parts.filter(({ length }) => !length.is(0));
    return context.segments(
      'float32',
      context.outputShape(0),
      1,
      used.map(({ length, size, source }) => ({
        length,
        body: ([row, lane]) => {
          if (length.atMost(size)) return cast('float32', context.at(source, [row, lane]));
          const when = lt(lane, dimension(size));
          return cast('float32', context.at(source, [row, lane], { when, otherwise: 0 }));
        },
      })),
    );
  },
});
