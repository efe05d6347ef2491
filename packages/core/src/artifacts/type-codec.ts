// Sizes, types, numbers and tensors as JSON, each distinct one once.

import { type Dim, type DType, decodeDim, type EncodedDim, encodeDim } from '@onnx-ts/tensor-ir';
import { typeText, type ValueType } from '../graph/types.ts';
import { Tensor, type TensorBytes, type WeightPlace } from '../session/tensor.ts';

/** JSON has no numbers for these. */
export type EncodedNumber = number | '-0' | 'NaN' | 'Infinity' | '-Infinity';

export function encodeNumber(value: number): EncodedNumber {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : (String(value) as EncodedNumber);
}

export function decodeNumber(value: EncodedNumber): number {
  return Number(value);
}

/** Integers beyond those that numbers hold are texts. */
export type EncodedInteger = number | string;

export function encodeInteger(value: number | bigint): EncodedInteger {
  return typeof value === 'bigint' ? String(value) : value;
}

export function decodeInteger(value: EncodedInteger): number | bigint {
  return typeof value === 'string' ? BigInt(value) : value;
}

export class DimWriter {
  readonly list: EncodedDim[] = [];
  readonly #positions = new Map<string, number>();

  of(dim: Dim): number {
    const known = this.#positions.get(dim.key);
    if (known !== undefined) return known;
    const position = this.list.push(encodeDim(dim)) - 1;
    this.#positions.set(dim.key, position);
    return position;
  }

  all(dims: readonly Dim[]): number[] {
    return dims.map((dim) => this.of(dim));
  }
}

export class DimReader {
  readonly #dims: readonly Dim[];

  constructor(list: readonly EncodedDim[]) {
    this.#dims = list.map(decodeDim);
  }

  at(position: number): Dim {
    const dim = this.#dims[position];
    if (!dim) throw new RangeError(`there is no dim ${position}`);
    return dim;
  }

  all(positions: readonly number[]): Dim[] {
    return positions.map((position) => this.at(position));
  }
}

/** Sizes are positions in the table of dims. */
export type EncodedType =
  | { readonly kind: 'tensor' | 'sparse-tensor'; readonly dtype: DType; readonly shape?: readonly number[] }
  | { readonly kind: 'sequence' | 'optional'; readonly element: EncodedType }
  | { readonly kind: 'map'; readonly key: DType; readonly value: EncodedType };

export class TypeWriter {
  readonly list: EncodedType[] = [];
  readonly #dims: DimWriter;
  readonly #positions = new Map<string, number>();

  constructor(dims: DimWriter) {
    this.#dims = dims;
  }

  of(type: ValueType): number {
    const text = typeText(type);
    const known = this.#positions.get(text);
    if (known !== undefined) return known;
    const position = this.list.push(this.#encode(type)) - 1;
    this.#positions.set(text, position);
    return position;
  }

  #encode(type: ValueType): EncodedType {
    switch (type.kind) {
      case 'tensor':
      case 'sparse-tensor':
        return { kind: type.kind, dtype: type.dtype, ...(type.shape && { shape: this.#dims.all(type.shape) }) };
      case 'map':
        return { kind: 'map', key: type.key, value: this.#encode(type.value) };
      default:
        return { kind: type.kind, element: this.#encode(type.element) };
    }
  }
}

export function decodeType(encoded: EncodedType, dims: DimReader): ValueType {
  switch (encoded.kind) {
    case 'tensor':
    case 'sparse-tensor': {
      const { kind, dtype, shape } = encoded;
      return { kind, dtype, ...(shape && { shape: dims.all(shape) }) };
    }
    case 'map':
      return { kind: 'map', key: encoded.key, value: decodeType(encoded.value, dims) };
    default:
      return { kind: encoded.kind, element: decodeType(encoded.element, dims) };
  }
}

/** A weight of the model, elements in the blob, or texts. */
export interface EncodedTensor {
  readonly type: DType;
  readonly dims: readonly number[];
  readonly weight?: WeightPlace;
  readonly offset?: number;
  readonly strings?: readonly string[];
}

/** Any element may be read in place. */
const alignment = 16;

export class TensorWriter {
  readonly list: EncodedTensor[] = [];
  readonly #positions = new Map<Tensor, number>();
  readonly #parts: { readonly offset: number; readonly tensor: Tensor }[] = [];
  #bytes = 0;

  of(tensor: Tensor): number {
    const known = this.#positions.get(tensor);
    if (known !== undefined) return known;
    const position = this.list.push(this.#encode(tensor)) - 1;
    this.#positions.set(tensor, position);
    return position;
  }

  #encode(tensor: Tensor): EncodedTensor {
    const { type, dims, weight } = tensor;
    if (type === 'string') return { type, dims, strings: tensor.data as string[] };
    if (weight) return { type, dims, weight };
    const offset = this.#bytes;
    this.#parts.push({ offset, tensor });
    this.#bytes = Math.ceil((offset + tensor.byteLength) / alignment) * alignment;
    return { type, dims, offset };
  }

  /** Bytes that the blob has so far. */
  get byteLength(): number {
    return this.#bytes;
  }

  toBlob(): Uint8Array {
    const blob = new Uint8Array(this.#bytes);
    for (const { offset, tensor } of this.#parts) tensor.copyBytesTo(blob.subarray(offset));
    return blob;
  }
}

/** @param bytesAt the bytes of a weight */
export function decodeTensor(
  { type, dims, weight, offset = 0, strings }: EncodedTensor,
  blob: Uint8Array,
  byteLengthOf: (type: DType, dims: readonly number[]) => number,
  bytesAt: (place: WeightPlace, byteLength: number) => TensorBytes,
): Tensor {
  if (type === 'string') return new Tensor('string', [...(strings ?? [])], dims);
  const byteLength = byteLengthOf(type, dims);
  if (weight) return Tensor.fromBytes(type, dims, bytesAt(weight, byteLength));
  const view = blob.subarray(offset, offset + byteLength);
  if (view.byteLength !== byteLength) throw new RangeError('a constant is not whole');
  return Tensor.fromBytes(type, dims, {
    byteLength,
    view,
    read: (target, start) => target.set(view.subarray(start, start + target.byteLength)),
  });
}
