// Operators that read a shape or give the same elements another one.

import { cast, constant, Dim, dimension, eq, productOf, select, shapeText } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import {
  defineOperator,
  type InferContext,
  int,
  ints,
  type LowerContext,
  type NodeContext,
  required,
} from './define.ts';
import { freshShape, itemAt, knownIntegers, plainNumbers, smallTensor, tabulate } from './small-tensor.ts';
import { broadcastSizes, sourceIndex } from './symbolic.ts';

/** Sizes of the input from `start` to `end`, both clamped to the rank. */
export const Shape = defineOperator({
  name: 'Shape',
  since: 1,
  attributes: { start: int(0), end: int() },
  infer: (ctx) => [tensorType('int64', [Dim.constant(partOfShape(ctx).length)])],
  contents: partOfShape,
  lower(ctx) {
    const sizes = partOfShape(ctx);
    return ctx.map('int64', [sizes.length], ([position]) =>
      sizes.reduceRight(
        (rest, size, at) => select(eq(position, at), cast('int64', dimension(size)), rest),
        constant('int64', 0),
      ),
    );
  },
});

type ShapeNode = NodeContext & { readonly attributes: { readonly start: number; readonly end: number | undefined } };

function partOfShape(ctx: ShapeNode): readonly Dim[] {
  // Array.slice has the rules of the operator: negative counts from the end, and both are clamped.
  return ctx.shape(0).slice(ctx.attributes.start, ctx.attributes.end);
}

/** Number of elements. */
export const Size = defineOperator({
  name: 'Size',
  since: 1,
  infer: () => [tensorType('int64', [])],
  contents: (ctx) => [productOf(ctx.shape(0))],
  lower: (ctx) => ctx.map('int64', [], () => cast('int64', dimension(productOf(ctx.shape(0))))),
});

/** The same elements in the shape that was inferred. */
function viewAsOutput(ctx: LowerContext) {
  return ctx.view(ctx.input(0), ctx.outputShape(0));
}

export const Reshape = [
  defineOperator({
    name: 'Reshape',
    since: 1,
    attributes: { shape: required(ints()) },
    infer(ctx) {
      const target = ctx.attributes.shape.map((size) => Dim.constant(size));
      return [tensorType(ctx.dtype(0), reshaped(ctx, target, false))];
    },
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
  defineOperator({
    name: 'Reshape',
    since: 5,
    attributes: { allowzero: int(0) },
    valueInputs: [1],
    infer(ctx) {
      const target = ctx.contents(1);
      const dtype = ctx.dtype(0);
      if (target) return [tensorType(dtype, reshaped(ctx, target, ctx.attributes.allowzero !== 0))];
      return [tensorType(dtype, shapeOfRank(ctx, lengthOf(ctx, 1)))];
    },
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
];

/** Number of elements of a vector input; undefined when unknown. */
function lengthOf(ctx: NodeContext, input: number): number | undefined {
  const type = ctx.type(input);
  return type.kind === 'tensor' && type.shape?.length === 1 ? type.shape[0].constant : undefined;
}

function shapeOfRank(ctx: InferContext, rank: number | undefined): readonly Dim[] | undefined {
  return rank === undefined ? undefined : freshShape(ctx, rank, ctx.node.op.toLowerCase());
}

/** The shape that a Reshape target means: 0 copies the input's size there (unless `allowZero`), −1 takes what is left. */
function reshaped(ctx: InferContext, target: readonly Dim[], allowZero: boolean): readonly Dim[] {
  const from = ctx.shape(0);
  const sizes = target.map((size, axis) => {
    if (!size.is(0) || allowZero) return size;
    return (
      from[axis] ??
      ctx.fail(`entry ${axis} of the target ${shapeText(target)} copies an axis that ${shapeText(from)} has not.`)
    );
  });
  const free = sizes.flatMap((size, axis) => (size.is(-1) ? [axis] : []));
  if (free.length > 1) ctx.fail(`the target ${shapeText(target)} has more than one −1.`);
  if (sizes.some((size) => size.constant !== undefined && size.constant < -1)) {
    ctx.fail(`the target ${shapeText(target)} has a negative size.`);
  }
  const total = productOf(from);
  const rest = productOf(sizes.filter((size) => !size.is(-1)));
  const quotient = total.divideExactly(rest);
  const bothKnown = total.constant !== undefined && rest.constant !== undefined;
  const isEmpty = total.is(0) && rest.is(0);
  if (bothKnown && !isEmpty && (!quotient || (free.length === 0 && !quotient.is(1)))) {
    ctx.fail(`${shapeText(from)} has ${total} elements, which do not fill ${shapeText(target)}.`);
  }
  const shape = sizes.map((size) => (size.is(-1) ? (quotient ?? total.floorDiv(rest)) : size));
  const what = `the numbers of elements of ${shapeText(from)} and of the target ${shapeText(target)}`;
  if (!bothKnown) ctx.requireEqual(total, productOf(shape), what);
  return shape;
}

/** A matrix whose rows are the axes before `axis`, its columns the others. */
export const Flatten = defineOperator({
  name: 'Flatten',
  since: 1,
  attributes: { axis: int(1) },
  infer(ctx) {
    const shape = ctx.shape(0);
    const { axis } = ctx.attributes;
    const rank = shape.length;
    if (axis < -rank || axis > rank) ctx.fail(`axis ${axis} is outside [${-rank}, ${rank}].`);
    const at = axis < 0 ? axis + rank : axis;
    return [tensorType(ctx.dtype(0), [productOf(shape.slice(0, at)), productOf(shape.slice(at))])];
  },
  contents: (ctx) => ctx.contents(0),
  lower: (ctx) => viewAsOutput(ctx),
});

// Squeeze and Unsqueeze take their axes from an attribute up to opset 12, and from an input since.

export const Squeeze = [
  defineOperator({
    name: 'Squeeze',
    since: 1,
    attributes: { axes: ints() },
    infer: (ctx) => [tensorType(ctx.dtype(0), squeezed(ctx, ctx.attributes.axes))],
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
  defineOperator({
    name: 'Squeeze',
    since: 13,
    valueInputs: [1],
    infer(ctx) {
      const axes = ctx.hasInput(1) ? knownIntegers(ctx, 1) : undefined;
      if (ctx.hasInput(1) && !axes) {
        const count = lengthOf(ctx, 1);
        return [tensorType(ctx.dtype(0), shapeOfRank(ctx, count === undefined ? undefined : ctx.rank(0) - count))];
      }
      return [tensorType(ctx.dtype(0), squeezed(ctx, axes))];
    },
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
];

/** Without axes, those of size 1 go: which they are may be known only at run time. */
function squeezed(ctx: NodeContext, axes: readonly number[] | undefined): readonly Dim[] | undefined {
  const shape = ctx.shape(0);
  if (!axes) {
    return shape.every((size) => size.constant !== undefined) ? shape.filter((size) => !size.is(1)) : undefined;
  }
  const gone = new Set(axes.map((axis) => ctx.axis(axis, shape.length)));
  for (const axis of gone) {
    const size = shape[axis].constant;
    if (size !== undefined && size !== 1) ctx.fail(`axis ${axis} of ${shapeText(shape)} has not the size 1.`);
    ctx.requireEqual(shape[axis], Dim.constant(1), `the size of axis ${axis}, which is squeezed, and 1`);
  }
  return shape.filter((_, axis) => !gone.has(axis));
}

export const Unsqueeze = [
  defineOperator({
    name: 'Unsqueeze',
    since: 1,
    attributes: { axes: required(ints()) },
    infer: (ctx) => [tensorType(ctx.dtype(0), unsqueezed(ctx, ctx.attributes.axes))],
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
  defineOperator({
    name: 'Unsqueeze',
    since: 13,
    valueInputs: [1],
    infer(ctx) {
      const axes = knownIntegers(ctx, 1);
      if (axes) return [tensorType(ctx.dtype(0), unsqueezed(ctx, axes))];
      const count = lengthOf(ctx, 1);
      return [tensorType(ctx.dtype(0), shapeOfRank(ctx, count === undefined ? undefined : ctx.rank(0) + count))];
    },
    contents: (ctx) => ctx.contents(0),
    lower: (ctx) => viewAsOutput(ctx),
  }),
];

/** `axes` are positions in the result. */
function unsqueezed(ctx: NodeContext, axes: readonly number[]): readonly Dim[] {
  const rest = [...ctx.shape(0)];
  const rank = rest.length + axes.length;
  const added = new Set(axes.map((axis) => ctx.axis(axis, rank)));
  if (added.size < axes.length) ctx.fail(`the axes [${axes.join(', ')}] name one axis twice.`);
  return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? Dim.constant(1) : rest.shift()!));
}

/** Broadcasts to a shape, which may have smaller sizes than the input where the input's win. */
export const Expand = defineOperator({
  name: 'Expand',
  since: 8,
  valueInputs: [1],
  infer(ctx) {
    const target = ctx.contents(1);
    const dtype = ctx.dtype(0);
    if (target?.some((size) => size.constant !== undefined && size.constant < 0)) {
      ctx.fail(`the target ${shapeText(target)} has a negative size.`);
    }
    if (target) return [tensorType(dtype, ctx.broadcast(ctx.shape(0), target))];
    const length = lengthOf(ctx, 1);
    return [tensorType(dtype, shapeOfRank(ctx, length === undefined ? undefined : Math.max(length, ctx.rank(0))))];
  },
  contents(ctx) {
    const from = smallTensor(ctx, 0);
    const target = plainNumbers(ctx.contents(1));
    if (!from || !target) return undefined;
    return tabulate(broadcastSizes([from.dims, target]), (index) => itemAt(from, sourceIndex(index, from.dims)));
  },
  lower(ctx) {
    const shape = ctx.outputShape(0);
    return ctx.map(ctx.outputDType(0), shape, (index) => ctx.broadcastAt(0, index, shape));
  },
});
