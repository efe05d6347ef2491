// The type in which operators with internal steps (norms, softmax, interpolation) keep their intermediate stages.

import { cast, constant, Dim, type DimLike, type DType, dimension, type Expr, isFloat } from '@onnx-ts/tensor-ir';

/** float64 stays; every narrower float is computed in float32, so that intermediate stages are not rounded to it. */
export function computeType(dtype: DType): DType {
  return isFloat(dtype) && dtype !== 'float64' ? 'float32' : dtype;
}

/** A size as a number of the given type. */
export function sizeAs(dtype: DType, size: DimLike): Expr {
  const known = Dim.from(size).constant;
  return known === undefined ? cast(dtype, dimension(size)) : constant(dtype, known);
}
