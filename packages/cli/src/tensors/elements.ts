// Elements of tensors as JavaScript values, and back. Small floats are decoded, packed integers unpacked.

import { Tensor, type TypedArray } from '@onnx-ts/core';
import { arrayTypeOf, dataLength, elementCount } from '@onnx-ts/core/internal';
import { type DType, decodeTable, encodeFloat, getPacked, isPacked, isSmallFloat, setPacked } from '@onnx-ts/tensor-ir';

/** One entry per element; complex tensors have two, real part first. */
export type Elements = ArrayLike<number> | ArrayLike<bigint> | readonly string[];

export function decodeElements(tensor: Tensor): Elements {
  const { type, data } = tensor;
  if (type === 'string') return data as string[];
  if (isPacked(type)) {
    return Float32Array.from({ length: tensor.size }, (_, at) => getPacked(type, data as Uint8Array, at));
  }
  if (isSmallFloat(type)) {
    const table = decodeTable(type);
    return Float32Array.from(data as Uint16Array, (pattern) => table[pattern]);
  }
  return data as TypedArray;
}

/**
 * A tensor of any type from plain values. Numbers are rounded to small floats; text is read as a number, which is how JSON
 * writes large integers, NaN and infinities.
 * @throws Error naming the first entry that does not suit the type
 */
export function encodeElements(dtype: DType, values: ArrayLike<unknown>, dims: readonly number[]): Tensor {
  if (dtype === 'string') {
    return new Tensor(
      'string',
      Array.from(values, (value, at) => (typeof value === 'string' ? value : bad(value, at, dtype))),
      dims,
    );
  }
  const count = elementCount(dims);
  const data = new (arrayTypeOf(dtype))(dataLength(dtype, count));
  for (let at = 0; at < values.length; at++) storeElement(dtype, data, at, values[at]);
  return new Tensor(dtype, data, dims);
}

function storeElement(dtype: Exclude<DType, 'string'>, data: TypedArray, at: number, value: unknown): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    data[at] = toBigInt(value, at, dtype);
    return;
  }
  const number = toNumber(value, at, dtype);
  if (isPacked(dtype)) setPacked(dtype, data as Uint8Array, at, number);
  else if (isSmallFloat(dtype)) data[at] = encodeFloat(dtype, number);
  else data[at] = dtype === 'bool' ? Number(number !== 0) : number;
}

function toNumber(value: unknown, at: number, dtype: DType): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean' || typeof value === 'bigint') return Number(value);
  if (typeof value === 'string') {
    const number = Number(value);
    if (value.trim() !== '' && (!Number.isNaN(number) || /^nan$/i.test(value.trim()))) return number;
  }
  return bad(value, at, dtype);
}

function toBigInt(value: unknown, at: number, dtype: DType): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isInteger(value))) return BigInt(value);
  if (typeof value === 'string' && /^\s*[-+]?\d+\s*$/.test(value)) return BigInt(value.trim().replace(/^\+/, ''));
  return bad(value, at, dtype);
}

function bad(value: unknown, at: number, dtype: DType): never {
  throw new Error(`entry ${at}, ${JSON.stringify(value) ?? String(value)}, is no ${dtype}`);
}
