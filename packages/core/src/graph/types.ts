import { type Dim, type DType, shapeText } from '@onnx-ts/tensor-ir';

/** Shape is undefined when even the rank is unknown until the model runs. */
export interface TensorType {
  readonly kind: 'tensor';
  readonly dtype: DType;
  readonly shape?: readonly Dim[];
}

export type ValueType =
  | TensorType
  | { readonly kind: 'sparse-tensor'; readonly dtype: DType; readonly shape?: readonly Dim[] }
  | { readonly kind: 'sequence'; readonly element: ValueType }
  | { readonly kind: 'optional'; readonly element: ValueType }
  | { readonly kind: 'map'; readonly key: DType; readonly value: ValueType };

export function tensorType(dtype: DType, shape?: readonly Dim[]): TensorType {
  return shape ? { kind: 'tensor', dtype, shape } : { kind: 'tensor', dtype };
}

/** Whether values of the type are tensors of real numbers or truth values, which every provider may hold. */
export function isNumberTensor(type: ValueType | undefined): type is TensorType {
  if (type?.kind !== 'tensor') return false;
  return type.dtype !== 'string' && type.dtype !== 'complex64' && type.dtype !== 'complex128';
}

export function typeText(type: ValueType | undefined): string {
  if (!type) return 'unknown';
  switch (type.kind) {
    case 'tensor':
    case 'sparse-tensor':
      return `${type.kind === 'tensor' ? '' : 'sparse '}${type.dtype}${type.shape ? shapeText(type.shape) : '[…]'}`;
    case 'sequence':
      return `sequence(${typeText(type.element)})`;
    case 'optional':
      return `optional(${typeText(type.element)})`;
    case 'map':
      return `map(${type.key}, ${typeText(type.value)})`;
  }
}
