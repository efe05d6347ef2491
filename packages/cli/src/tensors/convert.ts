import { type HostValue, Tensor } from '@onnx-ts/core';
import { type DType, isFloat, isInteger, isPacked, isSmallFloat } from '@onnx-ts/tensor-ir';
import { decodeElements, encodeElements } from './elements.ts';

/**
 * Types that files of other tools cannot hold are made from the nearest wider one: small floats from float32, packed
 * integers from 8 bits. Everything else is returned as it is, for the session to judge.
 */
export function convertTensor(value: HostValue, dtype: DType): HostValue {
  if (!Tensor.is(value) || value.type === dtype) return value;
  const isNarrowed =
    (isSmallFloat(dtype) && dtype !== 'float16' && (isFloat(value.type) || value.type === 'float32')) ||
    (isPacked(dtype) && isInteger(value.type));
  return isNarrowed ? encodeElements(dtype, decodeElements(value) as ArrayLike<unknown>, value.dims) : value;
}
