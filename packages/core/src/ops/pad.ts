// Pad and CenterCropPad: the input laid into a larger or smaller frame.

import { add, Dim, dimension, type Expr, ge, lt, max, min, mod, neg, type Operand, sub } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import {
  defineOperator,
  float,
  type InferContext,
  ints,
  type LowerContext,
  type NodeContext,
  required,
  string,
} from './define.ts';
import { freshShape, knownIntegers } from './small-tensor.ts';
import { both } from './window.ts';

/** Elements added before and after an axis; negative ones are cut off. */
interface Padding {
  readonly before: Dim;
  readonly after: Dim;
}

const modes = ['constant', 'edge', 'reflect', 'wrap'];

/** The attribute or input `pads` holds all begins, then all ends. */
function paddings(context: NodeContext, pads: readonly Dim[], axes?: readonly number[]): readonly Padding[] {
  const rank = context.rank(0);
  const padded = axes?.map((axis) => context.axis(axis, rank)) ?? Array.from({ length: rank }, (_, axis) => axis);
  if (pads.length !== 2 * padded.length) {
    context.fail(`pads must have ${2 * padded.length} entries, a begin and an end for each axis, not ${pads.length}.`);
  }
  if (new Set(padded).size !== padded.length) context.fail(`axes [${axes?.join(', ')}] name an axis twice.`);
  const none = { before: Dim.constant(0), after: Dim.constant(0) };
  const result: Padding[] = Array(rank).fill(none);
  padded.forEach((axis, at) => {
    result[axis] = { before: pads[at], after: pads[at + padded.length] };
  });
  return result;
}

function paddedShape(context: NodeContext, mode: string, pads: readonly Padding[]): readonly Dim[] {
  if (!modes.includes(mode)) context.fail(`mode "${mode}" is not one of ${modes.join(', ')}.`);
  return context.shape(0).map((size, axis) => {
    const { before, after } = pads[axis];
    const padded = size.add(before).add(after);
    if (padded.constant !== undefined && padded.constant < 0) {
      context.fail(`pads ${before} and ${after} cut off more than the ${size} elements of axis ${axis}.`);
    }
    if (mode !== 'constant' && size.is(0) && !padded.is(0)) {
      context.fail(`axis ${axis} has no elements to repeat.`, 'Use the mode "constant".');
    }
    return padded;
  });
}

/** Position inside an axis of `size` elements for one that may lie before or after it. */
function repeatedPosition(mode: string, position: Expr, size: Dim, { before, after }: Padding): Expr {
  const last = size.sub(1);
  switch (mode) {
    case 'edge': {
      const atLeast = before.atMost(0) ? position : max(position, 0);
      return after.atMost(0) ? atLeast : min(atLeast, dimension(last));
    }
    case 'wrap':
      return mod(position, dimension(size));
    default: {
      // Reflection without repeating the edge: a wave that runs up and down between 0 and `last`.
      if (!before.atMost(last) || !after.atMost(last)) {
        // An axis of one element repeats it.
        const period = last.mul(2).max(1);
        const phase = mod(position, dimension(period));
        return min(phase, sub(dimension(period), phase));
      }
      const folded = before.atMost(0) ? position : max(position, neg(position));
      return after.atMost(0) ? folded : min(folded, sub(dimension(last.mul(2)), folded));
    }
  }
}

function lowerPad(context: LowerContext, mode: string, pads: readonly Padding[], fill: Operand) {
  const shape = context.shape(0);
  return context.map(context.dtype(0), context.outputShape(0), (index) => {
    let inside: Expr | undefined;
    const from = index.map((i, axis) => {
      const { before, after } = pads[axis];
      // Negative pads cut first; the rest is laid around what is left.
      const cut = before.negate().max(0);
      const size = shape[axis].sub(cut).sub(after.negate().max(0));
      const position = sub(i, dimension(before.max(0)));
      if (mode !== 'constant') return add(repeatedPosition(mode, position, size, pads[axis]), dimension(cut));
      if (!before.atMost(0)) inside = both(inside, ge(position, 0));
      if (!after.atMost(0)) inside = both(inside, lt(position, dimension(size)));
      return add(position, dimension(cut));
    });
    return context.at(0, from, inside && { when: inside, otherwise: fill });
  });
}

export const Pad1 = defineOperator({
  name: 'Pad',
  since: 1,
  attributes: { mode: string('constant'), paddings: required(ints()), value: float(0) },
  infer(context) {
    const pads = paddings(context, context.attributes.paddings.map(Dim.constant));
    return [tensorType(context.dtype(0), paddedShape(context, context.attributes.mode, pads))];
  },
  lower(context) {
    const { mode, paddings: given, value } = context.attributes;
    return lowerPad(context, mode, paddings(context, given.map(Dim.constant)), value);
  },
});

export const Pad2 = defineOperator({
  name: 'Pad',
  since: 2,
  attributes: { mode: string('constant'), pads: required(ints()), value: float(0) },
  infer(context) {
    const pads = paddings(context, context.attributes.pads.map(Dim.constant));
    return [tensorType(context.dtype(0), paddedShape(context, context.attributes.mode, pads))];
  },
  lower(context) {
    const { mode, pads, value } = context.attributes;
    return lowerPad(context, mode, paddings(context, pads.map(Dim.constant)), value);
  },
});

/** Undefined when pads or axes are known only at run time. */
function paddingsOfInputs(context: NodeContext): readonly Padding[] | undefined {
  const pads = context.contents(1);
  const axes = context.hasInput(3) ? knownIntegers(context, 3) : undefined;
  if (!pads || (context.hasInput(3) && !axes)) return undefined;
  return paddings(context, pads, axes);
}

export const Pad11 = defineOperator({
  name: 'Pad',
  since: 11,
  attributes: { mode: string('constant') },
  valueInputs: [1, 3],
  infer(context) {
    const pads = paddingsOfInputs(context);
    const shape = pads
      ? paddedShape(context, context.attributes.mode, pads)
      : freshShape(context, context.rank(0), 'pad');
    return [tensorType(context.dtype(0), shape)];
  },
  lower(context) {
    const pads = paddingsOfInputs(context) ?? context.fail('pads and axes are not known.');
    return lowerPad(context, context.attributes.mode, pads, context.hasInput(2) ? context.scalar(2) : 0);
  },
});

/** Target sizes of all axes, which start as those of the input. */
function croppedShape(context: NodeContext, axes: readonly number[] | undefined): readonly Dim[] | undefined {
  const shape = context.shape(0);
  const target = context.contents(1);
  if (!target) return undefined;
  const changed = axes?.map((axis) => context.axis(axis, shape.length)) ?? shape.map((_, axis) => axis);
  if (target.length !== changed.length) {
    context.fail(`the target shape must have ${changed.length} entries, not ${target.length}.`);
  }
  const result = [...shape];
  changed.forEach((axis, at) => {
    result[axis] = target[at];
  });
  return result;
}

function inferCrop(context: InferContext, axes: readonly number[] | undefined) {
  const shape = croppedShape(context, axes) ?? freshShape(context, context.rank(0), 'crop');
  return [tensorType(context.dtype(0), shape)];
}

/** Cuts or pads with zeros on both sides, so that the centre stays; what cannot be halved goes to the end. */
export const CenterCropPad = defineOperator({
  name: 'CenterCropPad',
  since: 18,
  attributes: { axes: ints() },
  valueInputs: [1],
  infer: (context) => inferCrop(context, context.attributes.axes),
  lower(context) {
    const shape = context.shape(0);
    const target = croppedShape(context, context.attributes.axes) ?? context.fail('the target shape is not known.');
    const pads = shape.map((size, axis) => {
      const grown = target[axis].sub(size);
      const before = grown.max(0).floorDiv(2).sub(grown.negate().max(0).floorDiv(2));
      return { before, after: grown.sub(before) };
    });
    return lowerPad(context, 'constant', pads, 0);
  },
});
