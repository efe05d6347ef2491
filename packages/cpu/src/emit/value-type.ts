// How values of each element type are held while a kernel computes: as lanes of a vector, and as one scalar.
//
// A kernel has 4 lanes, or 2 when one of its values is 64 bits wide. The low `lanes` lanes of a v128 count; what the
// others hold is unspecified.
// - float32 and all narrower floats are f32 lanes: narrow floats are rounded by a store or a cast to their type;
// - integers of up to 32 bits are i32 lanes, always sign- or zero-extended from their width;
// - float64, int64, uint64 are 64-bit lanes;
// - bool is a mask, 0 or −1 in a 32-bit lane;
// - `index` is only ever a scalar.
// Scalars are the same in i32, i64, f32 and f64, except that bool is 0 or 1.

import { bitsOf, type ExprType, isFloat, isUnsigned } from '@onnx-ts/tensor-ir';

export type Lanes = 2 | 4;
export type NumberShape = 'f32x4' | 'f64x2' | 'i32x4' | 'i64x2';
export type ScalarType = 'f32' | 'f64' | 'i32' | 'i64';

/** What a vector of a type is made of. */
export function shapeOf(type: ExprType): NumberShape {
  if (type === 'index') throw new TypeError('index values are never vectors');
  return `${scalarOf(type)}${isWide(type) ? 'x2' : 'x4'}` as NumberShape;
}

export function scalarOf(type: ExprType): ScalarType {
  if (type === 'string' || type === 'complex64' || type === 'complex128')
    throw new TypeError(`kernels do not compute ${type}`);
  if (isFloat(type)) return type === 'float64' ? 'f64' : 'f32';
  return isWide(type) ? 'i64' : 'i32';
}

/** True for types that take a 64-bit lane. */
export function isWide(type: ExprType): boolean {
  return type === 'float64' || type === 'int64' || type === 'uint64';
}

/** Lanes of a kernel in which values of these types occur. */
export function lanesFor(types: Iterable<ExprType>): Lanes {
  for (const type of types) if (isWide(type)) return 2;
  return 4;
}

/** Width of an integer that is narrower than the 32-bit lane that holds it, otherwise undefined. */
export function narrowBits(type: ExprType): number | undefined {
  if (type === 'index' || type === 'bool' || isFloat(type)) return undefined;
  return bitsOf(type) < 32 ? bitsOf(type) : undefined;
}

/** True for floats that are computed in float32 but stored in fewer bits. */
export function isNarrowFloat(type: ExprType): boolean {
  return isFloat(type) && type !== 'float32' && type !== 'float64';
}

/** `_u` or `_s`, as instructions spell the signedness of an integer type. */
export function signOf(type: ExprType): 's' | 'u' {
  return isUnsigned(type) ? 'u' : 's';
}

/** Numbers of the widest integer range a type holds, for clamping. Only for integers of up to 32 bits. */
export function smallRange(type: ExprType): { readonly min: number; readonly max: number } {
  const bits = type === 'index' ? 32 : bitsOf(type);
  return isUnsigned(type) ? { min: 0, max: 2 ** bits - 1 } : { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 };
}

/** For code that must not be reached with a type: the message names operation and type. */
export function unsupported(operation: string, type: ExprType): never {
  throw new TypeError(`no code for ${operation} of ${type}`);
}
