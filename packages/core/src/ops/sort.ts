// NonZero and Unique: results whose size only the data can tell.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { elementCount, type Tensor } from '../session/tensor.ts';
import { defineOperator, type HostValue, int, type NodeContext } from './define.ts';
import { elementsOf, type HostElements, int64Tensor, takeAlong } from './host-elements.ts';

/** Complex numbers have no single element to look at, and no order. */
function expectPlain(context: NodeContext): void {
  const dtype = context.dtype(0);
  if (dtype === 'complex64' || dtype === 'complex128') context.fail(`${dtype} tensors are not supported here.`);
}

/** Index of every element that is not zero, false or empty, one column each, in row-major order. */
export const NonZero = defineOperator({
  name: 'NonZero',
  since: 9,
  infer(context) {
    expectPlain(context);
    return [tensorType('int64', [Dim.constant(context.rank(0)), context.freshDim('nonzero')])];
  },
  evaluate(context) {
    const tensor = context.tensor(0);
    const { dims } = tensor;
    const elements = elementsOf(tensor);
    const positions = new Uint32Array(elements.length);
    let count = 0;
    // NaN is not zero; bigint zero and the empty string are falsy.
    for (let at = 0; at < elements.length; at++) {
      const element = elements[at];
      if (element || Number.isNaN(element)) positions[count++] = at;
    }
    const indices = new Float64Array(dims.length * count);
    dims.forEach((size, axis) => {
      const step = elementCount(dims.slice(axis + 1));
      for (let at = 0; at < count; at++) indices[axis * count + at] = Math.floor(positions[at] / step) % size;
    });
    return int64Tensor(indices, [dims.length, count]);
  },
});

type Element = number | bigint | string;

/** Ascending; NaN last. */
function compareElements(a: Element, b: Element): number {
  if (a < b) return -1;
  if (a > b) return 1;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

interface Slices {
  readonly count: number;
  /** Elements of slice k in row-major order. */
  at(k: number): readonly Element[];
  /** Where slices have one element each: those. */
  readonly elements: HostElements | undefined;
}

/** The slices of a tensor along an axis. */
function slicesAlong(tensor: Tensor, axis: number): Slices {
  const elements = comparableElements(tensor);
  const count = tensor.dims[axis];
  const inner = elementCount(tensor.dims.slice(axis + 1));
  const size = elementCount(tensor.dims.slice(0, axis)) * inner;
  const at = (k: number): readonly Element[] =>
    Array.from({ length: size }, (_, i) => elements[(Math.floor(i / inner) * count + k) * inner + (i % inner)]);
  return { count, at, elements: size === 1 ? elements : undefined };
}

/** Elements of a tensor, 64-bit integers as numbers where all are small enough: those compare much faster. */
function comparableElements(tensor: Tensor): HostElements {
  const elements = elementsOf(tensor);
  if (!(elements instanceof BigInt64Array)) return elements;
  const words = new Int32Array(elements.buffer, elements.byteOffset, 2 * elements.length);
  const numbers = new Int32Array(elements.length);
  for (let at = 0; at < numbers.length; at++) {
    numbers[at] = words[2 * at];
    if (numbers[at] >> 31 !== words[2 * at + 1]) return elements;
  }
  return numbers;
}

function compareSlices(a: readonly Element[], b: readonly Element[]): number {
  for (let at = 0; at < a.length; at++) {
    const order = compareElements(a[at], b[at]);
    if (order !== 0) return order;
  }
  return 0;
}

/** Equal slices have equal keys. −0 equals 0 and NaN equals NaN; JSON keeps strings apart from what joins them. */
function keyOf(slice: readonly Element[]): Element {
  if (slice.length === 1) return slice[0];
  return typeof slice[0] === 'string' ? JSON.stringify(slice) : slice.join();
}

/**
 * The distinct elements, or the distinct slices along `axis`, in ascending order or by first occurrence; where each
 * occurs first; which of them each input slice is; how often each occurs.
 */
export const Unique = defineOperator({
  name: 'Unique',
  since: 11,
  attributes: { axis: int(), sorted: int(1) },
  infer(context) {
    expectPlain(context);
    const { axis } = context.attributes;
    const count = context.freshDim('unique');
    const list = tensorType('int64', [count]);
    if (axis === undefined) {
      const size = context.shape(0).reduce((product, dim) => product.mul(dim), Dim.constant(1));
      return [tensorType(context.dtype(0), [count]), list, tensorType('int64', [size]), list];
    }
    const shape = context.shape(0);
    const along = context.axis(axis, shape.length);
    const inverse = tensorType('int64', [shape[along]]);
    return [tensorType(context.dtype(0), shape.with(along, count)), list, inverse, list];
  },
  evaluate(context): readonly HostValue[] {
    const { axis: given, sorted } = context.attributes;
    const input = context.tensor(0);
    const tensor = given === undefined ? input.reshape([input.size]) : input;
    const axis = context.axis(given ?? 0, tensor.dims.length);
    const slices = slicesAlong(tensor, axis);

    const groups = new Map<Element, number>();
    const first: number[] = [];
    const counts: number[] = [];
    const inverse: number[] = [];
    for (let k = 0; k < slices.count; k++) {
      const key = slices.elements ? slices.elements[k] : keyOf(slices.at(k));
      let group = groups.get(key);
      if (group === undefined) {
        group = first.length;
        groups.set(key, group);
        first.push(k);
        counts.push(0);
      }
      counts[group]++;
      inverse.push(group);
    }

    const order = first.map((_, group) => group);
    if (sorted) {
      const contents = first.map((k) => slices.at(k));
      order.sort((a, b) => compareSlices(contents[a], contents[b]));
    }
    const rank: number[] = [];
    order.forEach((group, at) => {
      rank[group] = at;
    });
    const firsts = order.map((group) => first[group]);
    return [
      takeAlong(tensor, axis, firsts),
      int64Tensor(firsts),
      int64Tensor(inverse.map((group) => rank[group])),
      int64Tensor(order.map((group) => counts[group])),
    ];
  },
});
