// Det: determinants of square matrices, on the host by elimination with row exchanges.

import { tensorType } from '../graph/types.ts';
import { defineOperator } from './define.ts';
import { expectEqual, expectFloat, expectRank } from './expect.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';

/** @param matrix rows of an n × n matrix; overwritten */
function determinant(matrix: Float64Array, n: number): number {
  let result = 1;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(matrix[row * n + column]) > Math.abs(matrix[pivot * n + column])) pivot = row;
    }
    const head = matrix[pivot * n + column];
    if (head === 0) return 0;
    if (pivot !== column) {
      result = -result;
      for (let k = 0; k < n; k++) {
        [matrix[pivot * n + k], matrix[column * n + k]] = [matrix[column * n + k], matrix[pivot * n + k]];
      }
    }
    result *= head;
    for (let row = column + 1; row < n; row++) {
      const factor = matrix[row * n + column] / head;
      for (let k = column; k < n; k++) matrix[row * n + k] -= factor * matrix[column * n + k];
    }
  }
  return result;
}

export const Det = defineOperator({
  name: 'Det',
  since: 11,
  infer(ctx) {
    const shape = expectRank(ctx, 0, 2, Infinity);
    expectEqual(ctx, shape[shape.length - 2], shape[shape.length - 1], 'the rows and columns of the matrices');
    return [tensorType(expectFloat(ctx, 0), shape.slice(0, -2))];
  },
  evaluate(ctx) {
    const source = ctx.tensor(0);
    const values = numbersOf(source);
    const n = source.dims[source.dims.length - 1];
    const batch = source.dims.slice(0, -2);
    const count = batch.reduce((product, size) => product * size, 1);
    const results = Array.from({ length: count }, (_, at) =>
      determinant(
        Float64Array.from({ length: n * n }, (_, k) => values[at * n * n + k]),
        n,
      ),
    );
    return tensorOfNumbers(source.type, results, batch);
  },
});
