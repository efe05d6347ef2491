// TensorProto and its relatives → host values.

import {
  enumName,
  type MapProto,
  type OptionalProto,
  type SequenceProto,
  type SparseTensorProto,
  TensorDataType,
  type TensorProto,
} from '@onnx-ts/onnx-proto';
import { bitsOf, byteLength, type DType, setPackedBits } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { SparseTensor } from '../graph/graph.ts';
import type { HostValue } from '../ops/define.ts';
import { arrayTypeOf, dataLength, Tensor, type TypedArray } from '../session/tensor.ts';
import { largeWeight, type WeightResolver } from './weights.ts';

const dtypes: Readonly<Record<number, DType>> = {
  [TensorDataType.FLOAT]: 'float32',
  [TensorDataType.UINT8]: 'uint8',
  [TensorDataType.INT8]: 'int8',
  [TensorDataType.UINT16]: 'uint16',
  [TensorDataType.INT16]: 'int16',
  [TensorDataType.INT32]: 'int32',
  [TensorDataType.INT64]: 'int64',
  [TensorDataType.STRING]: 'string',
  [TensorDataType.BOOL]: 'bool',
  [TensorDataType.FLOAT16]: 'float16',
  [TensorDataType.DOUBLE]: 'float64',
  [TensorDataType.UINT32]: 'uint32',
  [TensorDataType.UINT64]: 'uint64',
  [TensorDataType.COMPLEX64]: 'complex64',
  [TensorDataType.COMPLEX128]: 'complex128',
  [TensorDataType.BFLOAT16]: 'bfloat16',
  [TensorDataType.FLOAT8E4M3FN]: 'float8e4m3fn',
  [TensorDataType.FLOAT8E4M3FNUZ]: 'float8e4m3fnuz',
  [TensorDataType.FLOAT8E5M2]: 'float8e5m2',
  [TensorDataType.FLOAT8E5M2FNUZ]: 'float8e5m2fnuz',
  [TensorDataType.UINT4]: 'uint4',
  [TensorDataType.INT4]: 'int4',
  [TensorDataType.FLOAT4E2M1]: 'float4e2m1',
  [TensorDataType.FLOAT6E2M3]: 'float6e2m3',
  [TensorDataType.FLOAT6E3M2]: 'float6e3m2',
  [TensorDataType.FLOAT8E8M0]: 'float8e8m0',
  [TensorDataType.UINT2]: 'uint2',
  [TensorDataType.INT2]: 'int2',
};

const codes = new Map(Object.entries(dtypes).map(([code, dtype]) => [dtype, Number(code)]));

/** @throws OnnxTsError for a type code that is unknown or has no storage here */
export function dtypeOfCode(code: number | undefined, what: string): DType {
  const dtype = code === undefined ? undefined : dtypes[code];
  if (dtype) return dtype;
  throw new OnnxTsError(
    'INVALID_MODEL',
    `${what} has the element type ${enumName(TensorDataType, code ?? 0)}, which is not known.`,
  );
}

/** ONNX's number for an element type. */
export function codeOfDType(dtype: DType): number {
  return codes.get(dtype)!;
}

function checkedDims(proto: TensorProto, what: string): number {
  let count = 1;
  for (const dim of proto.dims) {
    if (!(dim >= 0))
      throw new OnnxTsError('INVALID_MODEL', `${what} has a negative size in [${proto.dims.join(', ')}].`);
    count *= dim;
  }
  if (!Number.isSafeInteger(count)) {
    throw new OnnxTsError('INVALID_MODEL', `${what} of dims [${proto.dims.join(', ')}] has too many elements.`);
  }
  return count;
}

/**
 * A tensor on the bytes of the proto, which are not copied where alignment allows.
 * @throws OnnxTsError when the bytes do not suit type and dims, before anything is allocated for them
 */
export function importTensor(proto: TensorProto, weights?: WeightResolver): Tensor {
  const what = `the tensor "${proto.name ?? ''}"`;
  const dtype = dtypeOfCode(proto.dataType, what);
  const count = checkedDims(proto, what);
  const dims = [...proto.dims];
  if (proto.externalData.length > 0 && proto.dataLocation === 1) {
    if (!weights) throw new OnnxTsError('EXTERNAL_DATA', `${what} has external data where none is allowed.`);
    if (dtype === 'string') throw new OnnxTsError('EXTERNAL_DATA', `${what} holds strings, which cannot be external.`);
    return Tensor.fromBytes(dtype, dims, weights.resolve(proto, byteLength(dtype, count)));
  }
  if (dtype === 'string') {
    expectLength(proto.stringData.length, count, what, dims);
    const decoder = new TextDecoder();
    return new Tensor(
      'string',
      proto.stringData.map((bytes) => decoder.decode(bytes)),
      dims,
    );
  }
  const { rawData } = proto;
  if (rawData && (rawData.length > 0 || count === 0)) {
    const size = byteLength(dtype, count);
    if (rawData.length !== size) {
      throw new OnnxTsError(
        'INVALID_MODEL',
        `${what}, ${dtype} of dims [${dims.join(', ')}], needs ${size} bytes, but has ${rawData.length}.`,
      );
    }
    const inModel = rawData.byteLength >= largeWeight ? weights?.ownBytes(rawData) : undefined;
    return Tensor.fromBytes(
      dtype,
      dims,
      inModel ?? {
        byteLength: size,
        view: rawData,
        read: (target, offset) => target.set(rawData.subarray(offset, offset + target.byteLength)),
      },
    );
  }
  return new Tensor(dtype, typedFields(proto, dtype, count, what, dims), dims);
}

function expectLength(got: number, expected: number, what: string, dims: readonly number[]): void {
  if (got === expected) return;
  throw new OnnxTsError(
    'INVALID_MODEL',
    `${what} of dims [${dims.join(', ')}] needs ${expected} entries, but has ${got}.`,
  );
}

/** The typed fields of TensorProto: each of them serves several element types. */
function typedFields(
  proto: TensorProto,
  dtype: Exclude<DType, 'string'>,
  count: number,
  what: string,
  dims: readonly number[],
): TypedArray {
  const length = dataLength(dtype, count);
  const take = (field: ArrayLike<number>): TypedArray => {
    expectLength(field.length, length, what, dims);
    return new (arrayTypeOf(dtype) as unknown as { new (items: ArrayLike<number>): TypedArray })(field);
  };
  switch (dtype) {
    case 'float32':
    case 'complex64':
      return take(proto.floatData);
    case 'float64':
    case 'complex128':
      return take(proto.doubleData);
    case 'int64':
      expectLength(proto.int64Data.length, length, what, dims);
      return proto.int64Data;
    case 'uint64':
      expectLength(proto.uint64Data.length, length, what, dims);
      return proto.uint64Data;
    case 'uint32':
      return take(Array.from(proto.uint64Data, Number));
    case 'float6e2m3':
    case 'float6e3m2':
      expectLength(proto.int32Data.length, count, what, dims);
      return packCodes(dtype, proto.int32Data, what);
    default: {
      // Packed types: some writers put one byte into each entry, others four.
      const field = proto.int32Data;
      if (bitsOf(dtype) < 8 && field.length !== length && field.length * 4 >= length) {
        return new Uint8Array(field.buffer, field.byteOffset, field.byteLength).slice(0, length);
      }
      return take(field);
    }
  }
}

/** Elements of 6 bits are packed in raw bytes only: as integers, each takes one. */
function packCodes(dtype: DType, codes: ArrayLike<number>, what: string): Uint8Array {
  const bits = bitsOf(dtype);
  const bytes = new Uint8Array(dataLength(dtype, codes.length));
  for (let at = 0; at < codes.length; at++) {
    if (codes[at] < 0 || codes[at] >= 2 ** bits) {
      throw new OnnxTsError(
        'INVALID_MODEL',
        `${what} has the entry ${codes[at]}, which is no ${dtype} of ${bits} bits.`,
      );
    }
    setPackedBits(bytes, at, bits, codes[at]);
  }
  return bytes;
}

export function importSparseTensor(proto: SparseTensorProto): SparseTensor {
  if (!proto.values || !proto.indices) {
    throw new OnnxTsError('INVALID_MODEL', 'a sparse tensor needs values and indices.');
  }
  return { values: importTensor(proto.values), indices: importTensor(proto.indices), dims: [...proto.dims] };
}

export function importSequence(proto: SequenceProto): HostValue {
  const items: HostValue[] = [
    ...proto.tensorValues.map((item) => importTensor(item)),
    ...proto.sparseTensorValues.map((item): HostValue => ({ kind: 'sparse-tensor', ...importSparseTensor(item) })),
    ...proto.sequenceValues.map(importSequence),
    ...proto.mapValues.map(importMap),
    ...proto.optionalValues.map(importOptional),
  ];
  return { kind: 'sequence', items };
}

export function importOptional(proto: OptionalProto): HostValue {
  const { tensorValue, sparseTensorValue, sequenceValue, mapValue, optionalValue } = proto;
  const value: HostValue | undefined =
    (tensorValue && importTensor(tensorValue)) ??
    (sparseTensorValue && { kind: 'sparse-tensor' as const, ...importSparseTensor(sparseTensorValue) }) ??
    (sequenceValue && importSequence(sequenceValue)) ??
    (mapValue && importMap(mapValue)) ??
    (optionalValue && importOptional(optionalValue));
  return { kind: 'optional', value };
}

export function importMap(proto: MapProto): HostValue {
  const decoder = new TextDecoder();
  const keys = proto.stringKeys.length > 0 ? proto.stringKeys.map((key) => decoder.decode(key)) : proto.keys;
  const values = proto.values ? (importSequence(proto.values) as { readonly items: readonly HostValue[] }).items : [];
  if (keys.length !== values.length) {
    throw new OnnxTsError('INVALID_MODEL', `a map has ${keys.length} keys, but ${values.length} values.`);
  }
  return { kind: 'map', entries: new Map(keys.map((key, at) => [key, values[at]])) };
}
