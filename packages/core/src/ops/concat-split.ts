// Concat joins tensors along an axis; Split cuts one into parts.

import { add, Dim, dimension } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import {
  type AttributeSpec,
  type AttributeSpecs,
  defineOperator,
  int,
  ints,
  type NodeContext,
  type OperatorDefinition,
  required,
} from './define.ts';
import { itemAt, plainNumbers, rearrange, smallTensor, tabulate, unifySizes } from './small-tensor.ts';

/** Size of each axis but `axis` on which all inputs agree, and the sum of sizes along `axis`. */
export function concatShape(context: NodeContext, shapes: readonly (readonly Dim[])[], axis: number): readonly Dim[] {
  const [first, ...others] = shapes;
  return others.reduce((joined, shape) => {
    if (shape.length !== joined.length) {
      context.fail(
        `all inputs must have the same rank, but one has ${joined.length} axes and another ${shape.length}.`,
      );
    }
    return joined.map((size, at) =>
      at === axis ? size.add(shape[at]) : unifySizes(context, size, shape[at], `sizes of axis ${at}`),
    );
  }, first);
}

const inputShapes = (context: NodeContext): readonly (readonly Dim[])[] =>
  Array.from({ length: context.inputCount }, (_, input) => context.shape(input));

function concat(since: number, axisSpec: AttributeSpec<number>): OperatorDefinition {
  return defineOperator({
    name: 'Concat',
    since,
    attributes: { axis: axisSpec },
    infer(context) {
      const shapes = inputShapes(context);
      if (shapes.length === 0) context.fail('there is nothing to concatenate.');
      for (let input = 1; input < shapes.length; input++) {
        const [first, dtype] = [context.dtype(0), context.dtype(input)];
        if (dtype !== first) context.fail(`all inputs must have the same element type, not ${first} and ${dtype}.`);
      }
      if (shapes[0].length === 0) context.fail('scalars cannot be concatenated.', 'Unsqueeze them first.');
      const axis = context.axis(context.attributes.axis, shapes[0].length);
      return [tensorType(context.dtype(0), concatShape(context, shapes, axis))];
    },
    contents(context) {
      const parts = inputShapes(context).map((_, input) => smallTensor(context, input));
      if (!parts.every((part) => part !== undefined)) return undefined;
      const axis = context.axis(context.attributes.axis, parts[0].dims.length);
      const dims = parts[0].dims.map((size, at) =>
        at === axis ? parts.reduce((sum, part) => sum + part.dims[axis], 0) : size,
      );
      return tabulate(dims, (index) => {
        let position = index[axis];
        const part = parts.find(({ dims }) => {
          if (position < dims[axis]) return true;
          position -= dims[axis];
          return false;
        });
        return part && itemAt(part, index.with(axis, position));
      });
    },
    lower(context) {
      const shapes = inputShapes(context);
      const axis = context.axis(context.attributes.axis, shapes[0].length);
      const parts = shapes
        .map((shape, input) => ({ input, length: shape[axis] }))
        .filter(({ length }) => !length.is(0));
      if (parts.length === 1) return context.input(parts[0].input);
      return context.segments(
        context.dtype(0),
        context.outputShape(0),
        axis,
        parts.map(({ input, length }) => ({ length, body: (index) => context.at(input, index) })),
      );
    },
  });
}

export const Concat1 = concat(1, int(1));
export const Concat4 = concat(4, required(int()));

/** Sizes of the parts along the axis. */
type SplitSizes = readonly Dim[];

/** Parts of equal size; the last ones may be smaller (Split-18). */
export function chunkSizes(size: Dim, parts: number): SplitSizes {
  const exact = size.divideExactly(parts);
  if (exact) return Array(parts).fill(exact);
  const chunk = size.ceilDiv(parts);
  // The first part, and both of two, never need clamping, which keeps symbolic sizes simple.
  if (parts === 2) return [chunk, size.floorDiv(2)];
  return Array.from({ length: parts }, (_, part) => (part === 0 ? chunk : size.sub(chunk.mul(part)).max(0).min(chunk)));
}

function checkedSizes(context: NodeContext, sizes: SplitSizes, size: Dim): SplitSizes {
  if (sizes.length !== context.outputCount) {
    context.fail(`the node has ${context.outputCount} outputs, but ${sizes.length} sizes are given.`);
  }
  const total = sizes.reduce((sum, part) => sum.add(part), Dim.constant(0));
  context.requireEqual(total, size, `the sum of the sizes [${sizes.join(', ')}] and the size of the axis`);
  return sizes;
}

function equalSizes(context: NodeContext, size: Dim): SplitSizes {
  const parts = context.outputCount;
  if (size.constant !== undefined && size.constant % parts !== 0) {
    context.fail(`an axis of ${size} cannot be split into ${parts} equal parts.`, 'Give the sizes.');
  }
  const part = size.floorDiv(parts);
  context.requireEqual(part.mul(parts), size, `${parts} equal parts and the size of the axis`);
  return Array(parts).fill(part);
}

function split<const S extends AttributeSpecs>(version: {
  readonly since: number;
  readonly attributes: S;
  readonly valueInputs?: readonly number[];
  axis(context: NodeContext<S>): number | undefined;
  /** Undefined when they are known only at run time. */
  sizes(context: NodeContext<S>, size: Dim): SplitSizes | undefined;
}): OperatorDefinition {
  const { since, attributes, valueInputs = [] } = version;
  const axisOf = (context: NodeContext<S>): number => context.axis(version.axis(context) ?? 0, context.rank(0));
  return defineOperator<S>({
    name: 'Split',
    since,
    attributes,
    valueInputs,
    infer(context) {
      const shape = context.shape(0);
      if (shape.length === 0) context.fail('a scalar cannot be split.');
      const axis = axisOf(context);
      const sizes = version.sizes(context, shape[axis]);
      return Array.from({ length: context.outputCount }, (_, part) =>
        tensorType(context.dtype(0), shape.with(axis, sizes?.[part] ?? context.freshDim('split'))),
      );
    },
    contents(context, output) {
      const data = smallTensor(context, 0);
      if (!data) return undefined;
      const axis = axisOf(context);
      const sizes = plainNumbers(version.sizes(context, Dim.constant(data.dims[axis])));
      if (!sizes) return undefined;
      const start = sizes.slice(0, output).reduce((sum, size) => sum + size, 0);
      return rearrange(data, data.dims.with(axis, sizes[output]), (index) => index.with(axis, start + index[axis]));
    },
    lower(context) {
      const axis = axisOf(context);
      const sizes = version.sizes(context, context.shape(0)[axis]) ?? context.fail('the sizes are not known.');
      let start = Dim.constant(0);
      return sizes.map((size, output) => {
        const offset = dimension(start);
        start = start.add(size);
        if (!context.hasOutput(output)) return undefined;
        return context.map(context.dtype(0), context.outputShape(output), (index) =>
          context.at(0, index.with(axis, add(offset, index[axis]))),
        );
      });
    },
  });
}

const sizesOfAttribute = (context: NodeContext, sizes: readonly number[] | undefined, size: Dim): SplitSizes =>
  sizes ? checkedSizes(context, sizes.map(Dim.constant), size) : equalSizes(context, size);

function sizesOfInput(context: NodeContext, size: Dim): SplitSizes | undefined {
  const sizes = context.contents(1);
  return sizes && checkedSizes(context, sizes, size);
}

export const Split1 = split({
  since: 1,
  attributes: { axis: int(), split: ints() },
  valueInputs: [1],
  axis: (context) => context.attributes.axis,
  sizes: (context, size) =>
    context.hasInput(1) ? sizesOfInput(context, size) : sizesOfAttribute(context, context.attributes.split, size),
});

export const Split2 = split({
  since: 2,
  attributes: { axis: int(0), split: ints() },
  axis: (context) => context.attributes.axis,
  sizes: (context, size) => sizesOfAttribute(context, context.attributes.split, size),
});

export const Split13 = split({
  since: 13,
  attributes: { axis: int(0) },
  valueInputs: [1],
  axis: (context) => context.attributes.axis,
  sizes: (context, size) => (context.hasInput(1) ? sizesOfInput(context, size) : equalSizes(context, size)),
});

export const Split18 = split({
  since: 18,
  attributes: { axis: int(0), num_outputs: int() },
  valueInputs: [1],
  axis: (context) => context.attributes.axis,
  sizes(context, size) {
    if (context.hasInput(1)) return sizesOfInput(context, size);
    const { num_outputs: parts = context.outputCount } = context.attributes;
    if (parts !== context.outputCount) {
      context.fail(`num_outputs is ${parts}, but the node has ${context.outputCount} outputs.`);
    }
    return chunkSizes(size, parts);
  },
});
