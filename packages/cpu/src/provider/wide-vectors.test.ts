import { createSession, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { expect, test } from 'vitest';
import { cpu } from '../index.ts';

test('sums do not depend on the width of vectors', async () => {
  const [m, k, n] = [13, 700, 37];
  const type = (dims: readonly number[]) => ({
    tensorType: { elemType: 1, shape: { dim: dims.map((dimValue) => ({ dimValue })) } },
  });
  const model = encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'product',
      input: [
        { name: 'a', type: type([m, k]) },
        { name: 'b', type: type([k, n]) },
      ],
      node: [{ opType: 'MatMul', input: ['a', 'b'], output: ['y'] }],
      output: [{ name: 'y', type: type([m, n]) }],
    },
  });
  // Small integers have exact sums, however they are grouped.
  const values = (count: number) => Float32Array.from({ length: count }, (_, at) => ((at * 7) % 23) - 11);
  const feeds = { a: new Tensor('float32', values(m * k), [m, k]), b: new Tensor('float32', values(k * n), [k, n]) };
  const results: unknown[] = [];
  for (const wideVectors of [false, true]) {
    await using session = await createSession(model, { providers: [cpu({ threads: 1, wideVectors })] });
    results.push((await session.run(feeds)).y.data);
  }
  expect(results[1]).toEqual(results[0]);
});
