// Tensors with concrete sizes in plain typed arrays: what the reference interpreter reads and makes.

import { byteLength, type DType } from './dtype.ts';

export type NumberArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array;

export type BigIntArray = BigInt64Array | BigUint64Array;

/** Row-major elements. Small floats are bit patterns, bool is 0 or 1, packed types are bytes, complex are pairs. */
export interface TensorBuffer {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: NumberArray | BigIntArray | string[];
}

const storage = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
  float8e4m3fn: Uint8Array,
  float8e4m3fnuz: Uint8Array,
  float8e5m2: Uint8Array,
  float8e5m2fnuz: Uint8Array,
  float8e8m0: Uint8Array,
  float6e2m3: Uint8Array,
  float6e3m2: Uint8Array,
  float4e2m1: Uint8Array,
  int4: Uint8Array,
  uint4: Uint8Array,
  int2: Uint8Array,
  uint2: Uint8Array,
} as const;

/** Number of elements of a shape. */
export function countOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Entries of the data array for `count` elements. */
export function entriesOf(dtype: DType, count: number): number {
  if (dtype === 'string') return count;
  return byteLength(dtype, count) / storage[dtype].BYTES_PER_ELEMENT;
}

/** Thrown for tensors that no host holds and for work that no interpreter finishes, before anything is allocated. */
export class SizeError extends RangeError {
  override readonly name = 'SizeError';
}

/** Elements that a buffer may have, which the interpreter counts in 32 bits, and entries for them. */
const mostElements = 2 ** 31 - 1;
const mostBytes = 2 ** 33;

/**
 * A buffer of zeros, false or empty strings.
 * @throws SizeError
 */
export function allocateBuffer(dtype: DType, dims: readonly number[]): TensorBuffer {
  const count = countOf(dims);
  if (!(count >= 0 && count <= mostElements && byteLength(dtype, count) <= mostBytes)) {
    throw new SizeError(`a tensor of dims [${dims.join(', ')}] cannot be held on the host`);
  }
  const entries = entriesOf(dtype, count);
  const data = dtype === 'string' ? new Array<string>(entries).fill('') : new storage[dtype](entries);
  return { dtype, dims, data };
}
