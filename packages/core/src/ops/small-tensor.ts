// Small integer tensors whose elements are dims: how `contents` callbacks of data movement compute with them.

import type { Dim } from '@onnx-ts/tensor-ir';
import type { NodeContext } from './define.ts';
import { numbersOf } from './host-elements.ts';

/** Longer lists are not shapes, and tracking them would only cost time. */
const largestList = 256;

export interface SmallTensor {
  readonly dims: readonly number[];
  /** Row-major. */
  readonly items: readonly Dim[];
}

/** Plain numbers; undefined when one of the dims depends on a symbol. */
export function plainNumbers(dims: readonly Dim[] | undefined): readonly number[] | undefined {
  const numbers = dims?.map((dim) => dim.constant);
  return numbers?.every((value) => value !== undefined) ? (numbers as number[]) : undefined;
}

/** Elements of a small integer input that are known as plain numbers: axes, steps, pads. */
export function knownIntegers(context: NodeContext, input: number): readonly number[] | undefined {
  const shape = context.type(input);
  // An empty list has no unknown elements, wherever it comes from.
  if (shape.kind === 'tensor' && shape.shape?.some((dim) => dim.is(0))) return [];
  return plainNumbers(context.contents(input));
}

/** A one-element input as a number, integer or float, when known before the model runs. */
export function knownScalar(context: NodeContext, input: number): number | undefined {
  const contents = context.contents(input);
  if (contents?.length === 1 && contents[0].constant !== undefined) return contents[0].constant;
  const tensor = context.constant(input);
  return tensor?.size === 1 ? numbersOf(tensor)[0] : undefined;
}

/** An input's contents with its shape, when both are known. */
export function smallTensor(context: NodeContext, input: number): SmallTensor | undefined {
  const items = context.contents(input);
  const dims = items && plainNumbers(context.shape(input));
  return items && dims && { dims, items };
}

/** Elements of a tensor of size `dims` made by an index map over a small one: what Transpose, Slice and Gather do. */
export function rearrange(
  from: SmallTensor,
  dims: readonly number[],
  sourceIndex: (index: readonly number[]) => readonly number[],
): readonly Dim[] | undefined {
  return tabulate(dims, (index) => itemAt(from, sourceIndex(index)));
}

export function itemAt(from: SmallTensor, index: readonly number[]): Dim | undefined {
  const position = index.reduce((sum, i, axis) => sum * from.dims[axis] + i, 0);
  return from.items[position];
}

/** Row-major elements of a small tensor; undefined when one of them is, or when there are too many. */
export function tabulate(
  dims: readonly number[],
  element: (index: readonly number[]) => Dim | undefined,
): readonly Dim[] | undefined {
  const count = dims.reduce((product, size) => product * size, 1);
  if (count > largestList) return undefined;
  const items: Dim[] = [];
  for (let at = 0; at < count; at++) {
    const index: number[] = [];
    let rest = at;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis] = rest % dims[axis];
      rest = Math.floor(rest / dims[axis]);
    }
    const item = element(index);
    if (!item) return undefined;
    items.push(item);
  }
  return items;
}

/** The size on which two tensors must agree. A number says more than a symbol. */
export function unifySizes(context: NodeContext, a: Dim, b: Dim, what: string): Dim {
  context.requireEqual(a, b, what);
  return a.constant === undefined ? (b.constant === undefined ? a : b) : a;
}

/** No sensible tensor has more. */
const mostAxes = 256;

/** `count` sizes that only a run can tell. */
export function freshShape(context: { freshDim(hint: string): Dim }, count: number, hint: string): readonly Dim[] {
  if (!(count >= 0 && count <= mostAxes)) throw new RangeError(`a tensor cannot have ${count} axes`);
  return Array.from({ length: count }, () => context.freshDim(hint));
}
