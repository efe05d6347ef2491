// A binding that goes over to other sizes gives what a new one gives.

import { createSession, type InferenceSession, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it, vi } from 'vitest';
import { cpu } from '../index.ts';
import { Binding } from './binding.ts';

const shape = (...sizes: (string | number)[]) => ({
  tensorType: {
    elemType: 1,
    shape: { dim: sizes.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
  },
});

/** Softmax(x · xᵀ) · x with something behind it: products, rows and maps of sizes that are free. */
const model = encodeModel({
  irVersion: 10,
  opsetImport: [{ version: 21 }],
  graph: {
    name: 'sizes',
    input: [{ name: 'x', type: shape('rows', 'columns') }],
    node: [
      { opType: 'Transpose', input: ['x'], output: ['t'] },
      { opType: 'MatMul', input: ['x', 't'], output: ['scores'] },
      { opType: 'Softmax', input: ['scores'], output: ['weights'] },
      { opType: 'CumSum', input: ['weights', 'axis'], output: ['sums'] },
      { opType: 'MatMul', input: ['sums', 'x'], output: ['z'] },
      { opType: 'Concat', input: ['z', 'x'], output: ['y'], attribute: [{ name: 'axis', type: 2, i: 0n }] },
    ],
    initializer: [{ name: 'axis', dataType: 7, dims: [], int64Data: [0n] }],
    output: [{ name: 'y', type: shape('twice', 'columns') }],
  },
});

const sizes = [
  ...Array.from({ length: 40 }, (_, at) => [at + 1, 17]),
  ...[0, 3, 700, 5, 1, 260, 0, 9, 41, 300].flatMap((rows, at) => [
    [rows, 1 + 30 * at],
    [rows, 0],
  ]),
];

describe.each([1, 2])('with %i threads', (threads) => {
  const open = (): Promise<InferenceSession> => createSession(model, { providers: [cpu()], threads });

  it('any sizes after any others', async () => {
    using rebind = vi.spyOn(Binding.prototype, 'rebind');
    await using session = await open();
    let fresh = await open();
    for (const [at, [rows, columns]] of sizes.entries()) {
      // Not enough sizes for it to use a binding again.
      if (at % 6 === 0) {
        await fresh.dispose();
        fresh = await open();
      }
      const data = Float32Array.from({ length: rows * columns }, (_, index) => Math.sin(index * 1.3));
      const x = new Tensor('float32', data, [rows, columns]);
      const [got, expected] = [await session.run({ x }), await fresh.run({ x })];
      expect(got.y.dims).toEqual(expected.y.dims);
      expect(got.y.data).toEqual(expected.y.data);
    }
    await fresh.dispose();
    const results = rebind.mock.results.map(({ value }) => value);
    expect(results.filter((value) => value === true).length).toBeGreaterThan(20);
    expect(results).toContain(false);
  });
});
