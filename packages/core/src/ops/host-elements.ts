// Elements on the host, for operators that are evaluated there: reading and writing numbers of any type, and moving
// elements of any type without looking at them.

import {
  allocateBuffer,
  bitsOf,
  type DType,
  decodeTable,
  encodeFloat,
  isBigInteger,
  isSmallFloat,
} from '@onnx-ts/tensor-ir';
import { elementCount, Tensor, type TensorData } from '../session/tensor.ts';

/** Elements as JavaScript values: 64-bit integers are bigints, bools 0 or 1, strings strings, all else numbers. */
export type HostElements = ArrayLike<number> | ArrayLike<bigint> | readonly string[];

/** Elements of a tensor; a view where the storage holds the values themselves. Complex and packed types have none. */
export function elementsOf(tensor: Tensor): HostElements {
  const { type, data } = tensor;
  if (!isSmallFloat(type) || bitsOf(type) < 8) return data;
  const table = decodeTable(type);
  return Float32Array.from(data as ArrayLike<number>, (pattern) => table[pattern]);
}

/** Elements of a numeric tensor as numbers. */
export function numbersOf(tensor: Tensor): ArrayLike<number> {
  return isBigInteger(tensor.type) ? tensor.toNumberArray() : (elementsOf(tensor) as ArrayLike<number>);
}

/** A tensor of computed numbers, rounded to the element type. */
export function tensorOfNumbers(dtype: DType, values: ArrayLike<number>, dims: readonly number[]): Tensor {
  const { data } = allocateBuffer(dtype, dims);
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (isSmallFloat(dtype)) data[at] = encodeFloat(dtype, value);
    else if (isBigInteger(dtype)) data[at] = BigInt(Math.trunc(value));
    else data[at] = value;
  }
  return new Tensor(dtype, data, dims);
}

/** An int64 tensor of JavaScript numbers. */
export function int64Tensor(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
  const data = new BigInt64Array(values.length);
  // Words are written in the order of the processor's memory, which is that of WebAssembly: the low one first.
  const words = new Int32Array(data.buffer);
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    const word = value | 0;
    if (word !== value) data[at] = BigInt(Math.trunc(value));
    else {
      words[2 * at] = word;
      words[2 * at + 1] = word >> 31;
    }
  }
  return new Tensor('int64', data, dims);
}

/** Entries that one element takes in a tensor's data. */
const widthOf = (dtype: DType): number => (dtype === 'complex64' || dtype === 'complex128' ? 2 : 1);

/** Copies `count` entries. */
function copyEntries(source: TensorData, from: number, target: TensorData, to: number, count: number): void {
  if (count > 8 && !Array.isArray(source) && !Array.isArray(target)) {
    (target as Uint8Array).set((source as Uint8Array).subarray(from, from + count), to);
    return;
  }
  for (let at = 0; at < count; at++) target[to + at] = source[from + at];
}

/** The tensor made of the slices at `positions` of an axis, in that order. */
export function takeAlong(tensor: Tensor, axis: number, positions: ArrayLike<number>): Tensor {
  const dims = tensor.dims.with(axis, positions.length);
  const { data } = allocateBuffer(tensor.type, dims);
  const block = elementCount(dims.slice(axis + 1)) * widthOf(tensor.type);
  const outer = elementCount(dims.slice(0, axis));
  let to = 0;
  for (let row = 0; row < outer; row++) {
    for (let k = 0; k < positions.length; k++, to += block) {
      copyEntries(tensor.data, (row * tensor.dims[axis] + positions[k]) * block, data, to, block);
    }
  }
  return new Tensor(tensor.type, data, dims);
}

/** The part of a tensor from `start` on along an axis. */
export function sliceAlong(tensor: Tensor, axis: number, start: number, length: number): Tensor {
  return takeAlong(
    tensor,
    axis,
    Array.from({ length }, (_, at) => start + at),
  );
}

/** Tensors of one type that agree on all axes but one, joined along it. */
export function joinAlong(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  const dims = first.dims.with(
    axis,
    tensors.reduce((sum, tensor) => sum + tensor.dims[axis], 0),
  );
  const { data } = allocateBuffer(first.type, dims);
  const inner = elementCount(dims.slice(axis + 1)) * widthOf(first.type);
  const outer = elementCount(dims.slice(0, axis));
  let to = 0;
  for (let row = 0; row < outer; row++) {
    for (const tensor of tensors) {
      const block = tensor.dims[axis] * inner;
      copyEntries(tensor.data, row * block, data, to, block);
      to += block;
    }
  }
  return new Tensor(first.type, data, dims);
}
