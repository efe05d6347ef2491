// Types of host values, and tensors made from symbolic contents.

import { Dim, type DimBinding, type DType } from '@onnx-ts/tensor-ir';
import { tensorType, type ValueType } from '../graph/types.ts';
import type { HostValue } from '../ops/define.ts';
import { arrayTypeOf, Tensor } from './tensor.ts';

/** Concrete type of a value; undefined for an empty sequence or optional of unknown element type. */
export function typeOfHostValue(value: HostValue): ValueType | undefined {
  if (Tensor.is(value)) return tensorType(value.type, value.dims.map(Dim.constant));
  switch (value.kind) {
    case 'sparse-tensor':
      return { kind: 'sparse-tensor', dtype: value.values.type, shape: value.dims.map(Dim.constant) };
    case 'sequence': {
      const element = value.element ?? elementType(value.items);
      return element && { kind: 'sequence', element };
    }
    case 'optional': {
      const element = value.value && typeOfHostValue(value.value);
      return element && { kind: 'optional', element };
    }
    case 'map': {
      const [entry] = value.entries;
      if (!entry) return undefined;
      const [key, item] = entry;
      const keyType: DType = typeof key === 'string' ? 'string' : 'int64';
      const itemType: ValueType | undefined =
        typeof item === 'object'
          ? typeOfHostValue(item)
          : tensorType(typeof item === 'string' ? 'string' : typeof item === 'bigint' ? 'int64' : 'float32', []);
      return itemType && { kind: 'map', key: keyType, value: itemType };
    }
  }
}

/** Items of a sequence share an element type, and a shape as far as they agree. */
function elementType(items: readonly HostValue[]): ValueType | undefined {
  const [first, ...rest] = items.map(typeOfHostValue);
  if (first?.kind !== 'tensor') return first;
  const same = rest.every(
    (type) =>
      type?.kind === 'tensor' &&
      type.shape?.length === first.shape?.length &&
      type.shape?.every((dim, axis) => dim.equals(first.shape![axis])),
  );
  return same ? first : tensorType(first.dtype);
}

/** The tensor that symbolic contents stand for once their symbols have values. */
export function tensorOfContents(
  dtype: Exclude<DType, 'string'>,
  dims: readonly number[],
  contents: readonly Dim[],
  binding: DimBinding,
): Tensor {
  const data = new (arrayTypeOf(dtype))(contents.length);
  for (const [at, dim] of contents.entries()) {
    const value = dim.evaluate(binding);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(value);
    else data[at] = value;
  }
  return new Tensor(dtype, data, dims);
}
