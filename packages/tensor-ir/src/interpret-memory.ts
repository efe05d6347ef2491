// How the reference interpreter reads and writes elements of each storage type. Every reader is its own function, so
// that each stays fast on one kind of typed array.

import { bitsOf, type DType } from './dtype.ts';
import {
  decodeTable,
  encodeFloat,
  isPacked,
  isSmallFloat,
  type PackedType,
  packedBits,
  setPacked,
  setPackedBits,
} from './number-formats.ts';
import type { ComplexValue, ScalarValue } from './scalar-ops.ts';
import type { TensorBuffer } from './tensor-buffer.ts';

export type Thunk<T = ScalarValue> = () => T;

function packedReader(dtype: PackedType, bytes: Uint8Array): (at: number) => number {
  const bits = bitsOf(dtype);
  if (isSmallFloat(dtype)) {
    const table = decodeTable(dtype);
    return (at) => table[packedBits(bytes, at, bits)];
  }
  if (dtype === 'uint4' || dtype === 'uint2') return (at) => packedBits(bytes, at, bits);
  const unused = 32 - bits;
  return (at) => (packedBits(bytes, at, bits) << unused) >> unused;
}

/** The element at a flat offset that `values[slot]` holds. */
export function readAtSlot(buffer: TensorBuffer, values: Int32Array, slot: number): Thunk {
  switch (buffer.dtype) {
    case 'float32': {
      const data = buffer.data as Float32Array;
      return () => data[values[slot]];
    }
    case 'int32': {
      const data = buffer.data as Int32Array;
      return () => data[values[slot]];
    }
    case 'uint8': {
      const data = buffer.data as Uint8Array;
      return () => data[values[slot]];
    }
    case 'int8': {
      const data = buffer.data as Int8Array;
      return () => data[values[slot]];
    }
    case 'int64': {
      const data = buffer.data as BigInt64Array;
      return () => data[values[slot]];
    }
    case 'bool': {
      const data = buffer.data as Uint8Array;
      return () => data[values[slot]] !== 0;
    }
    default:
      return readAt(buffer, () => values[slot]);
  }
}

/** The element at a computed flat offset. */
export function readAt(buffer: TensorBuffer, offset: Thunk<number>): Thunk {
  const { dtype } = buffer;
  switch (dtype) {
    case 'float32': {
      const data = buffer.data as Float32Array;
      return () => data[offset()];
    }
    case 'float64': {
      const data = buffer.data as Float64Array;
      return () => data[offset()];
    }
    case 'int8': {
      const data = buffer.data as Int8Array;
      return () => data[offset()];
    }
    case 'int16': {
      const data = buffer.data as Int16Array;
      return () => data[offset()];
    }
    case 'int32': {
      const data = buffer.data as Int32Array;
      return () => data[offset()];
    }
    case 'uint8': {
      const data = buffer.data as Uint8Array;
      return () => data[offset()];
    }
    case 'uint16': {
      const data = buffer.data as Uint16Array;
      return () => data[offset()];
    }
    case 'uint32': {
      const data = buffer.data as Uint32Array;
      return () => data[offset()];
    }
    case 'int64': {
      const data = buffer.data as BigInt64Array;
      return () => data[offset()];
    }
    case 'uint64': {
      const data = buffer.data as BigUint64Array;
      return () => data[offset()];
    }
    case 'bool': {
      const data = buffer.data as Uint8Array;
      return () => data[offset()] !== 0;
    }
    case 'string': {
      const data = buffer.data as string[];
      return () => data[offset()];
    }
    case 'complex64':
    case 'complex128': {
      const data = buffer.data as Float32Array | Float64Array;
      return () => {
        const at = 2 * offset();
        return { re: data[at], im: data[at + 1] };
      };
    }
    case 'float16':
    case 'bfloat16': {
      const data = buffer.data as Uint16Array;
      const table = decodeTable(dtype);
      return () => table[data[offset()]];
    }
    default: {
      const data = buffer.data as Uint8Array;
      if (isPacked(dtype)) {
        const read = packedReader(dtype, data);
        return () => read(offset());
      }
      const table = decodeTable(dtype);
      return () => table[data[offset()]];
    }
  }
}

/** An int64 element as a number (exact up to 2^53), without making a bigint. */
export function readInt64AsNumber(buffer: TensorBuffer, offset: Thunk<number>): Thunk<number> {
  const { buffer: bytes, byteOffset, length } = buffer.data as BigInt64Array;
  const words = new Int32Array(bytes, byteOffset, 2 * length);
  const [low, high] = littleEndian ? [0, 1] : [1, 0];
  return () => {
    const at = 2 * offset();
    return words[at + high] * 4294967296 + (words[at + low] >>> 0);
  };
}

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Stores values: small floats are rounded, integers wrap. */
export function writerOf(buffer: TensorBuffer): (at: number, value: ScalarValue) => void {
  const { dtype } = buffer;
  switch (dtype) {
    case 'float32': {
      const data = buffer.data as Float32Array;
      return (at, value) => {
        data[at] = value as number;
      };
    }
    case 'int64':
    case 'uint64': {
      const data = buffer.data as BigInt64Array;
      return (at, value) => {
        data[at] = value as bigint;
      };
    }
    case 'bool': {
      const data = buffer.data as Uint8Array;
      return (at, value) => {
        data[at] = value ? 1 : 0;
      };
    }
    case 'string': {
      const data = buffer.data as string[];
      return (at, value) => {
        data[at] = value as string;
      };
    }
    case 'complex64':
    case 'complex128': {
      const data = buffer.data as Float32Array | Float64Array;
      return (at, value) => {
        data[2 * at] = (value as ComplexValue).re;
        data[2 * at + 1] = (value as ComplexValue).im;
      };
    }
    default:
      return smallWriter(dtype, buffer.data as Uint8Array);
  }
}

function smallWriter(dtype: DType, data: Uint8Array): (at: number, value: ScalarValue) => void {
  if (isPacked(dtype)) {
    if (isSmallFloat(dtype)) return (at, value) => setPacked(dtype, data, at, value as number);
    const bits = bitsOf(dtype);
    return (at, value) => setPackedBits(data, at, bits, value as number);
  }
  if (isSmallFloat(dtype)) {
    // Not saturating, so that what has been rounded, infinities included, is stored as it is.
    const options = { saturate: false };
    return (at, value) => {
      data[at] = encodeFloat(dtype, value as number, options);
    };
  }
  return (at, value) => {
    data[at] = value as number;
  };
}
