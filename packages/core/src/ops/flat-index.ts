// Row-major positions: several indices as one number, and back.

import { add, type Dim, dimension, div, type Expr, mod, mul, productOf } from '@onnx-ts/tensor-ir';

/** Position of an index in row-major order of the given sizes; 0 for no axes. */
export function flatten(index: readonly Expr[], sizes: readonly Dim[]): Expr {
  return index.reduce((flat, position, axis) => add(mul(flat, dimension(sizes[axis])), position), dimension(0));
}

/** The index that a row-major position stands for. */
export function unflatten(flat: Expr, sizes: readonly Dim[]): readonly Expr[] {
  return sizes.map((size, axis) => {
    const rest = div(flat, dimension(productOf(sizes.slice(axis + 1))));
    return axis === 0 ? rest : mod(rest, dimension(size));
  });
}
