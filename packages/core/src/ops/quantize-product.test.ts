// Quantised products of vectors: as with numpy.matmul, the axis that a vector lacks is not in the result.

import { expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { node, tensorOf } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';

const bytes = (values: number[], dims: number[]): Tensor => new Tensor('uint8', Uint8Array.from(values), dims);

it.each([
  { a: [3], b: [3, 2], y: [2], result: [44, 56] },
  { a: [2, 3], b: [3], y: [2], result: [14, 32] },
  { a: [3], b: [3], y: [], result: [14] },
])('QLinearMatMul of $a and $b', async ({ a, b, y, result }) => {
  const half = new Tensor('float32', [0.5]);
  const one = new Tensor('float32', [1], []);
  const zero = bytes([0], []);
  await using session = await open({
    inputs: { a: tensorOf('uint8', ...a), b: tensorOf('uint8', ...b) },
    initializers: { half, one, zero },
    nodes: [
      node('QLinearMatMul', ['a', 'half', 'zero', 'b', b.length === 1 ? 'half' : 'one', 'zero', 'one', 'zero'], 'y'),
    ],
    outputs: ['y'],
  });
  const values = (dims: number[]): Tensor => {
    const count = dims.reduce((product, size) => product * size, 1);
    return bytes(
      Array.from({ length: count }, (_, at) => 2 * at + 2),
      dims,
    );
  };
  const results = await session.run({ a: values(a), b: values(b) });
  expect(results.y.dims).toEqual(y);
  // Elements are 2, 4, 6 …; one factor has a scale of one half, a vector B too.
  expect(Array.from(results.y.data as Uint8Array)).toEqual(result);
});
