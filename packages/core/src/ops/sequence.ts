// Sequences and optionals: containers of tensors, which live on the host.

import { Dim } from '@onnx-ts/tensor-ir';
import { type TensorType, tensorType, typeText, type ValueType } from '../graph/types.ts';
import { dtypeOfCode } from '../onnx/import-tensor.ts';
import { Tensor } from '../session/tensor.ts';
import {
  defineOperator,
  type EvaluateContext,
  type HostSequence,
  type HostValue,
  int,
  type NodeContext,
  required,
  valueType,
} from './define.ts';
import { int64Tensor, joinAlong, sliceAlong } from './host-elements.ts';

/** Element type of a sequence input, which holds tensors. */
function elementType(context: NodeContext, input: number): TensorType {
  const type = context.type(input);
  if (type.kind !== 'sequence') return context.fail(`input ${input} must be a sequence, not a ${typeText(type)}.`);
  const { element } = type;
  return element.kind === 'tensor'
    ? element
    : context.fail(`a sequence of ${typeText(element)} is not supported here.`);
}

/** The type of both, with a shape only if they have the same one. */
function commonType(context: NodeContext, a: TensorType, b: TensorType): TensorType {
  if (a.dtype !== b.dtype) context.fail(`a sequence cannot hold both ${a.dtype} and ${b.dtype} tensors.`);
  const same =
    a.shape && b.shape && a.shape.length === b.shape.length && a.shape.every((dim, axis) => dim.equals(b.shape![axis]));
  return same ? a : tensorType(a.dtype);
}

function tensorTypeOf(context: NodeContext, input: number): TensorType {
  const type = context.type(input);
  return type.kind === 'tensor' ? type : context.fail(`input ${input} must be a tensor, not a ${typeText(type)}.`);
}

const sequenceOf = (element: ValueType): ValueType => ({ kind: 'sequence', element });

/** Empty sequences remember their element type, others have it from their items. */
function hostSequence(items: readonly HostValue[], element: ValueType): HostSequence {
  return items.length === 0 ? { kind: 'sequence', items, element } : { kind: 'sequence', items };
}

function sequenceAt(context: EvaluateContext, input: number): HostSequence {
  const value = context.hostValue(input);
  if (value === undefined || Tensor.is(value) || value.kind !== 'sequence') {
    return context.fail(`input ${input} must be a sequence.`);
  }
  return value;
}

/** A position in a sequence; negative ones count from the end. `most` is the greatest one allowed. */
function positionAt(context: EvaluateContext, input: number, length: number, most: number): number {
  const [given] = context.tensor(input).toNumberArray();
  const position = given < 0 ? given + length : given;
  if (!(position >= 0 && position <= most)) {
    context.fail(`position ${given} is outside a sequence of ${length}.`);
  }
  return position;
}

const allInputs = (context: NodeContext): number[] => Array.from({ length: context.inputCount }, (_, at) => at);

export const SequenceEmpty = defineOperator({
  name: 'SequenceEmpty',
  since: 11,
  attributes: { dtype: int(1) },
  infer: ({ attributes }) => [sequenceOf(tensorType(dtypeOfCode(attributes.dtype, 'the attribute "dtype"')))],
  evaluate: ({ attributes }) => hostSequence([], tensorType(dtypeOfCode(attributes.dtype, 'the attribute "dtype"'))),
});

export const SequenceConstruct = defineOperator({
  name: 'SequenceConstruct',
  since: 11,
  infer(context) {
    const types = allInputs(context).map((input) => tensorTypeOf(context, input));
    if (types.length === 0) context.fail('a sequence needs at least one tensor.', 'Use SequenceEmpty.');
    return [sequenceOf(types.reduce((a, b) => commonType(context, a, b)))];
  },
  evaluate: (context) => ({ kind: 'sequence', items: allInputs(context).map((input) => context.tensor(input)) }),
});

export const SequenceInsert = defineOperator({
  name: 'SequenceInsert',
  since: 11,
  infer: (context) => [sequenceOf(commonType(context, elementType(context, 0), tensorTypeOf(context, 1)))],
  evaluate(context) {
    const { items } = sequenceAt(context, 0);
    const { length } = items;
    const position = context.hasInput(2) ? positionAt(context, 2, length, length) : length;
    return { kind: 'sequence', items: items.toSpliced(position, 0, context.tensor(1)) };
  },
});

export const SequenceErase = defineOperator({
  name: 'SequenceErase',
  since: 11,
  infer: (context) => [sequenceOf(elementType(context, 0))],
  evaluate(context) {
    const sequence = sequenceAt(context, 0);
    const { length } = sequence.items;
    if (length === 0) context.fail('the sequence is empty.');
    const position = context.hasInput(1) ? positionAt(context, 1, length, length - 1) : length - 1;
    return hostSequence(sequence.items.toSpliced(position, 1), elementType(context, 0));
  },
});

export const SequenceAt = defineOperator({
  name: 'SequenceAt',
  since: 11,
  infer: (context) => [elementType(context, 0)],
  evaluate(context) {
    const { items } = sequenceAt(context, 0);
    return items[positionAt(context, 1, items.length, items.length - 1)];
  },
});

export const SequenceLength = defineOperator({
  name: 'SequenceLength',
  since: 11,
  infer: () => [tensorType('int64', [])],
  evaluate: (context) => int64Tensor([sequenceAt(context, 0).items.length], []),
});

/** Parts along an axis: of given sizes, of a given common size (the last may be smaller), or of size 1. */
export const SplitToSequence = defineOperator({
  name: 'SplitToSequence',
  since: 11,
  attributes: { axis: int(0), keepdims: int(1) },
  infer(context) {
    const { dtype, shape } = tensorTypeOf(context, 0);
    const { axis, keepdims } = context.attributes;
    if (!shape) return [sequenceOf(tensorType(dtype))];
    const along = context.axis(axis, shape.length);
    if (context.hasInput(1)) {
      // Parts of different sizes share no shape.
      const size = context.type(1).kind === 'tensor' && context.rank(1) === 0 ? context.contents(1)?.[0] : undefined;
      const divides = size?.constant !== undefined && size.constant > 0 && shape[along].isMultipleOf(size.constant);
      return [sequenceOf(divides ? tensorType(dtype, shape.with(along, size)) : tensorType(dtype))];
    }
    const part = keepdims ? shape.with(along, Dim.constant(1)) : shape.toSpliced(along, 1);
    return [sequenceOf(tensorType(dtype, part))];
  },
  evaluate(context) {
    const input = context.tensor(0);
    const axis = context.axis(context.attributes.axis, input.dims.length);
    const size = input.dims[axis];
    const split = context.optionalTensor(1);
    const lengths = !split
      ? Array<number>(size).fill(1)
      : split.dims.length === 0
        ? chunksOf(context, size, split.toNumberArray()[0])
        : split.toNumberArray();
    const total = lengths.reduce((sum, length) => sum + length, 0);
    if (total !== size || lengths.some((length) => length < 0)) {
      context.fail(`the sizes [${lengths.join(', ')}] do not add up to the ${size} elements of axis ${axis}.`);
    }
    let start = 0;
    const items = lengths.map((length) => {
      const part = sliceAlong(input, axis, start, length);
      start += length;
      return split || context.attributes.keepdims ? part : part.reshape(part.dims.toSpliced(axis, 1));
    });
    return hostSequence(items, tensorType(input.type));
  },
});

/** Lengths of chunks of one size, of which the last may be smaller. */
function chunksOf(context: NodeContext, total: number, size: number): number[] {
  if (!(size > 0)) context.fail(`parts must have at least one element, not ${size}.`);
  return Array.from({ length: Math.ceil(total / size) }, (_, at) => Math.min(size, total - at * size));
}

/** All tensors of a sequence joined along an axis, or stacked along a new one. */
export const ConcatFromSequence = defineOperator({
  name: 'ConcatFromSequence',
  since: 11,
  attributes: { axis: required(int()), new_axis: int(0) },
  infer(context) {
    const { dtype, shape } = elementType(context, 0);
    if (!shape) return [tensorType(dtype)];
    const { axis, new_axis: isNew } = context.attributes;
    const joined = context.freshDim('sequence');
    if (isNew) return [tensorType(dtype, shape.toSpliced(context.axis(axis, shape.length + 1), 0, joined))];
    return [tensorType(dtype, shape.with(context.axis(axis, shape.length), joined))];
  },
  evaluate(context) {
    const items = sequenceAt(context, 0).items as readonly Tensor[];
    const { axis: given, new_axis: isNew } = context.attributes;
    if (items.length === 0) context.fail('an empty sequence cannot be joined.');
    const rank = items[0].dims.length + (isNew ? 1 : 0);
    const axis = context.axis(given, rank);
    const parts = isNew ? items.map((item) => item.reshape(item.dims.toSpliced(axis, 0, 1))) : items;
    for (const part of parts) {
      const fits =
        part.dims.length === rank && part.dims.every((size, at) => at === axis || size === parts[0].dims[at]);
      if (!fits)
        context.fail(`tensors of dims [${parts[0].dims.join(', ')}] and [${part.dims.join(', ')}] do not fit.`);
    }
    return joinAlong(parts, axis);
  },
});

/** Wraps a value, or makes an empty optional of the type in the attribute. */
export const Optional = defineOperator({
  name: 'Optional',
  since: 15,
  attributes: { type: valueType() },
  infer(context) {
    const element = context.hasInput(0) ? context.type(0) : context.attributes.type;
    if (!element) return context.fail('an empty optional needs the attribute "type".');
    return [{ kind: 'optional', element }];
  },
  evaluate: (context) => ({ kind: 'optional', value: context.hostValue(0) }),
});

/** The content of an optional; other values stand for themselves. */
function contentOf(value: HostValue | undefined): HostValue | undefined {
  return value && !Tensor.is(value) && value.kind === 'optional' ? value.value : value;
}

export const OptionalGetElement = defineOperator({
  name: 'OptionalGetElement',
  since: 15,
  infer(context) {
    const type = context.type(0);
    return [type.kind === 'optional' ? type.element : type];
  },
  evaluate: (context) => contentOf(context.hostValue(0)) ?? context.fail('the optional is empty.'),
});

export const OptionalHasElement = defineOperator({
  name: 'OptionalHasElement',
  since: 15,
  infer: () => [tensorType('bool', [])],
  evaluate: (context) => new Tensor('bool', [contentOf(context.hostValue(0)) !== undefined], []),
});
