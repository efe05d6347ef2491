// Slice: every element of the result is one element of the input, at `start + position · step` along each axis.

import { add, Dim, dimension, mul } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import {
  type AttributeSpecs,
  defineOperator,
  ints,
  type NodeContext,
  type OperatorDefinition,
  required,
} from './define.ts';
import { expectRank } from './expect.ts';
import { knownIntegers, plainNumbers, rearrange, smallTensor } from './small-tensor.ts';

/** The elements `start`, `start + step`, … of an axis. */
export interface AxisRange {
  readonly start: Dim;
  readonly step: number;
  readonly length: Dim;
}

/** Exporters write INT32_MAX or INT64_MAX for "to the end"; no axis is that long. */
const farAway = 2 ** 31 - 1;

const isFarRight = (position: Dim): boolean => (position.constant ?? 0) >= farAway;
const isFarLeft = (position: Dim): boolean => (position.constant ?? 0) <= -farAway;

/** A position that may count from the end, as one that counts from the start. It may still lie outside the axis. */
function fromStart(position: Dim, size: Dim): Dim {
  if (position.lowerBound >= 0) return position;
  if (position.upperBound < 0) return position.add(size);
  // The last element of an axis: at size 0 this is −1, which stays outside either way.
  if (position.equals(size.sub(1))) return position;
  const isNegative = position.negate().max(0).min(1);
  return position.add(size.mul(isNegative));
}

/** What a slice takes of an axis, by the clamping rules of ONNX Slice-13. */
export function sliceRange(size: Dim, from: Dim, to: Dim, step: number): AxisRange {
  if (step > 0) {
    const start = isFarRight(from) ? size : isFarLeft(from) ? Dim.constant(0) : fromStart(from, size);
    const end = isFarRight(to) ? size : isFarLeft(to) ? Dim.constant(0) : fromStart(to, size).min(size);
    // end − max(start, 0), written so that "the last n elements" come out as min(n, size).
    const span = start.lowerBound >= 0 ? end.sub(start) : end.sub(start).min(end);
    return { start: start.max(0), step, length: span.max(0).ceilDiv(step) };
  }
  const last = size.sub(1);
  const start = isFarRight(from) ? last : isFarLeft(from) ? Dim.constant(0) : fromStart(from, size);
  const end = isFarLeft(to) ? Dim.constant(-1) : isFarRight(to) ? last : fromStart(to, size).max(-1);
  const first = start.equals(last) ? last : start.max(0).min(last);
  return { start: first, step, length: first.sub(end).max(0).ceilDiv(-step) };
}

/** What a Slice node asks for; undefined parts are known only at run time. */
interface SliceRequest {
  readonly starts: readonly Dim[] | undefined;
  readonly ends: readonly Dim[] | undefined;
  readonly axes: readonly number[] | undefined;
  readonly steps: readonly number[] | undefined;
}

/** One range per axis. Undefined for axes that this slice touches but cannot be known yet. */
function sliceRanges(context: NodeContext, request: SliceRequest): readonly (AxisRange | undefined)[] {
  const shape = context.shape(0);
  const whole = (size: Dim): AxisRange => ({ start: Dim.constant(0), step: 1, length: size });
  if (!request.axes) return shape.map(() => undefined);
  const ranges: (AxisRange | undefined)[] = shape.map(whole);
  const seen = new Set<number>();
  for (const [at, given] of request.axes.entries()) {
    const axis = context.axis(given, shape.length);
    if (seen.has(axis)) context.fail(`axis ${given} is sliced twice.`);
    seen.add(axis);
    const [from, to, step] = [request.starts?.[at], request.ends?.[at], request.steps?.[at]];
    if (step === 0) context.fail('a slice cannot have a step of 0.');
    ranges[axis] = from && to && step !== undefined ? sliceRange(shape[axis], from, to, step) : undefined;
  }
  return ranges;
}

function checkLengths(context: NodeContext, request: SliceRequest): void {
  const { starts, ends, axes, steps } = request;
  const lengths = [starts, ends, axes, steps].flatMap((list) => (list ? [list.length] : []));
  if (lengths.some((length) => length !== lengths[0])) {
    context.fail(`starts, ends, axes and steps must have equal lengths, not ${lengths.join(', ')}.`);
  }
}

const firstAxes = (count: number): number[] => Array.from({ length: count }, (_, axis) => axis);

function requestOfAttributes(
  context: NodeContext,
  given: { readonly starts: readonly number[]; readonly ends: readonly number[]; readonly axes?: readonly number[] },
): SliceRequest {
  const farDim = (value: number): Dim => Dim.constant(Math.max(-farAway, Math.min(farAway, value)));
  const request = {
    starts: given.starts.map(farDim),
    ends: given.ends.map(farDim),
    axes: given.axes ?? firstAxes(given.starts.length),
    steps: given.starts.map(() => 1),
  };
  checkLengths(context, request);
  return request;
}

/** The rank of a list may be open as long as nobody needs its length. */
function expectVector(context: NodeContext, input: number): void {
  const type = context.type(input);
  if (type.kind === 'tensor' && type.shape) expectRank(context, input, 1);
}

function requestOfInputs(context: NodeContext): SliceRequest {
  const listed = (input: number): number | undefined => {
    const type = context.type(input);
    return type.kind === 'tensor' ? type.shape?.[0]?.constant : undefined;
  };
  for (const input of [1, 2, 3, 4]) if (context.hasInput(input)) expectVector(context, input);
  const starts = context.contents(1);
  const ends = context.contents(2);
  const count = starts?.length ?? ends?.length ?? listed(1) ?? listed(2);
  const request = {
    starts,
    ends,
    axes: context.hasInput(3) ? knownIntegers(context, 3) : count === undefined ? undefined : firstAxes(count),
    steps: context.hasInput(4) ? knownIntegers(context, 4) : count === undefined ? undefined : Array(count).fill(1),
  };
  checkLengths(context, request);
  return request;
}

function slice<const S extends AttributeSpecs>(version: {
  readonly since: number;
  readonly attributes: S;
  readonly valueInputs?: readonly number[];
  requestOf(context: NodeContext<S>): SliceRequest;
}): OperatorDefinition {
  const { since, attributes, valueInputs = [], requestOf } = version;
  return defineOperator<S>({
    name: 'Slice',
    since,
    attributes,
    valueInputs,
    infer(context) {
      const ranges = sliceRanges(context, requestOf(context));
      const shape = ranges.map((range) => range?.length ?? context.freshDim('slice'));
      return [tensorType(context.dtype(0), shape)];
    },
    contents(context) {
      const data = smallTensor(context, 0);
      if (!data) return undefined;
      const ranges = sliceRanges(context, requestOf(context));
      const starts = plainNumbers(ranges.flatMap((range) => (range ? [range.start] : [])));
      const dims = plainNumbers(ranges.flatMap((range) => (range ? [range.length] : [])));
      if (!starts || !dims || dims.length !== ranges.length) return undefined;
      return rearrange(data, dims, (index) => index.map((i, axis) => starts[axis] + i * ranges[axis]!.step));
    },
    lower(context) {
      const ranges = sliceRanges(context, requestOf(context));
      return context.map(context.dtype(0), context.outputShape(0), (index) => {
        const from = index.map((i, axis) => {
          const range = ranges[axis] ?? context.fail('starts, ends, axes and steps are not known.');
          return add(dimension(range.start), mul(i, range.step));
        });
        return context.at(0, from);
      });
    },
  });
}

export const Slice1 = slice({
  since: 1,
  attributes: { starts: required(ints()), ends: required(ints()), axes: ints() },
  requestOf: (context) => requestOfAttributes(context, context.attributes),
});

export const Slice10 = slice({ since: 10, attributes: {}, valueInputs: [1, 2, 3, 4], requestOf: requestOfInputs });
