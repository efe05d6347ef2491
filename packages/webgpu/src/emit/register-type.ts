// How values live in WGSL variables, and how elements lie in storage buffers.

import { bitsOf, type DType, type ExprType, isFloat, isUnsigned } from '@onnx-ts/tensor-ir';

/**
 * Type of a WGSL variable. Floats narrower than 32 bits are computed as `f32`, integers narrower than 32 bits as `i32` or
 * `u32` that hold the wrapped value; a 64-bit integer is its low word, then its high word.
 */
export type RegisterType = 'f32' | 'i32' | 'u32' | 'bool' | 'vec2<u32>';

const unsupported = new Set<ExprType>(['float64', 'string', 'complex64', 'complex128', 'float6e2m3', 'float6e3m2']);

/** Whether values of the type can be computed with at all. */
export function hasRegisterType(type: ExprType): boolean {
  return !unsupported.has(type);
}

/** @throws TypeError for types without a WGSL form */
export function registerTypeOf(type: ExprType): RegisterType {
  if (!hasRegisterType(type)) throw new TypeError(`WGSL has no ${type}`);
  if (type === 'bool') return 'bool';
  if (isFloat(type)) return 'f32';
  if (isWide(type)) return 'vec2<u32>';
  return isUnsigned(type) ? 'u32' : 'i32';
}

/** 64-bit integers. */
export function isWide(type: ExprType): type is 'int64' | 'uint64' {
  return type === 'int64' || type === 'uint64';
}

/** Element type of the storage array that holds a tensor. Elements below 32 bits share words. */
export function storageTypeOf(dtype: DType): 'f32' | 'i32' | 'u32' | 'vec2<u32>' {
  if (isShared(dtype)) return 'u32';
  return registerTypeOf(dtype) as 'f32' | 'i32' | 'u32' | 'vec2<u32>';
}

/** Several elements lie in one 32-bit word. */
export function isShared(dtype: DType): boolean {
  return bitsOf(dtype) < 32;
}

/** Elements in one 32-bit word; 1 for wider types. */
export function elementsPerWord(dtype: DType): number {
  return isShared(dtype) ? 32 / bitsOf(dtype) : 1;
}
