// com.microsoft Inverse: inverses of square matrices, on the host by elimination with row exchanges.

import { tensorType } from '../../graph/types.ts';
import { defineOperator } from '../define.ts';
import { expectEqual, expectFloat, expectRank } from '../expect.ts';
import { numbersOf, tensorOfNumbers } from '../host-elements.ts';

/**
 * Gauss and Jordan's elimination of [A | 1] to [1 | A⁻¹].
 * @param rows n rows of 2n numbers; overwritten
 * @returns whether A can be inverted
 */
function eliminate(rows: Float64Array[]): boolean {
  for (let column = 0; column < rows.length; column++) {
    let pivot = column;
    for (let row = column + 1; row < rows.length; row++) {
      if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    const head = rows[column][column];
    if (head === 0) return false;
    for (let k = 0; k < rows[column].length; k++) rows[column][k] /= head;
    for (const [row, line] of rows.entries()) {
      const factor = line[column];
      if (row === column || factor === 0) continue;
      for (let k = 0; k < line.length; k++) line[k] -= factor * rows[column][k];
    }
  }
  return true;
}

export const Inverse = defineOperator({
  domain: 'com.microsoft',
  name: 'Inverse',
  since: 1,
  infer(ctx) {
    const shape = expectRank(ctx, 0, 2, Infinity);
    expectEqual(ctx, shape[shape.length - 2], shape[shape.length - 1], 'the rows and columns of the matrices');
    return [tensorType(expectFloat(ctx, 0), shape)];
  },
  evaluate(ctx) {
    const source = ctx.tensor(0);
    const values = numbersOf(source);
    const n = source.dims[source.dims.length - 1];
    const results = new Float64Array(values.length);
    for (let first = 0; first < values.length; first += n * n) {
      const rows = Array.from({ length: n }, (_, row) =>
        Float64Array.from({ length: 2 * n }, (_, k) => (k < n ? values[first + row * n + k] : Number(k - n === row))),
      );
      if (!eliminate(rows)) ctx.fail('a matrix is singular.');
      rows.forEach((row, at) => {
        results.set(row.subarray(n), first + at * n);
      });
    }
    return tensorOfNumbers(source.type, results, source.dims);
  },
});
