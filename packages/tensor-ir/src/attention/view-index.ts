// Reads through a reshaped view: where an element of the view is in the tensor below it.

import { add, Dim, dimension, div, type Expr, mod, mul, productOf } from '../index.ts';

/**
 * The index into a row-major tensor of shape `below` that holds the same element as `index` of its view of shape `view`.
 * Axes that both have are kept as they are; only those that were split or merged are computed.
 */
export function throughView(view: readonly Dim[], below: readonly Dim[], index: readonly Expr[]): Expr[] {
  const result: Expr[] = [];
  let [upper, lower] = [0, 0];
  while (upper < view.length || lower < below.length) {
    const [above, under] = matchingGroup(view.slice(upper), below.slice(lower));
    const from = view.slice(upper, upper + above);
    const to = below.slice(lower, lower + under);
    const indices = index.slice(upper, upper + above);
    if (above === 1 && under === 1) result.push(indices[0]);
    else result.push(...unflatten(flat(indices, from), to));
    upper += above;
    lower += under;
  }
  return result;
}

/** The least numbers of leading axes with the same number of elements. */
function matchingGroup(view: readonly Dim[], below: readonly Dim[]): [number, number] {
  for (let total = 1; total <= view.length + below.length; total++) {
    for (let above = Math.min(total, view.length); above >= 0; above--) {
      const under = total - above;
      if (under > below.length) continue;
      if (productOf(view.slice(0, above)).equals(productOf(below.slice(0, under)))) return [above, under];
    }
  }
  return [view.length, below.length];
}

function flat(index: readonly Expr[], shape: readonly Dim[]): Expr {
  let position: Expr = dimension(0);
  for (const [at, e] of index.entries()) position = add(mul(position, dimension(shape[at])), e);
  return position;
}

function unflatten(position: Expr, shape: readonly Dim[]): Expr[] {
  const index: Expr[] = [];
  let inner = Dim.constant(1);
  for (let at = shape.length - 1; at >= 0; at--) {
    const above = div(position, dimension(inner));
    index.unshift(shape[at].is(1) ? dimension(0) : at === 0 ? above : mod(above, dimension(shape[at])));
    inner = inner.mul(shape[at]);
  }
  return index;
}
