import { encodeModel } from '@onnx-ts/onnx-proto';
import { expect, it } from 'vitest';
import { reference } from '../../provider/reference.ts';
import { createSession } from '../../session/session.ts';
import { Tensor } from '../../session/tensor.ts';
import { modelProto, node, tensorOf, tensorProto } from '../../testing/build-model.ts';

const int64 = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);

// [[0, 2, 0], [3, 0, 4]]
const a = {
  values: new Tensor('float32', Float32Array.of(2, 3, 4), [3]),
  indices: int64([0, 1, 1, 0, 1, 2], [3, 2]),
  dims: [2, 3],
};
const b = new Tensor('float32', Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]);

const spec = (attributes: Parameters<typeof node>[3], columns: number) =>
  modelProto({
    domains: { 'com.microsoft': 1 },
    inputs: { b: tensorOf('float32', 3, columns) },
    nodes: [node('SparseToDenseMatMul', ['a', 'b'], 'y', attributes, { domain: 'com.microsoft' })],
    outputs: ['y'],
  });

it('multiplies a sparse input', async () => {
  const model = spec({ alpha: { float: 2 } }, 2);
  const input = [
    ...model.graph!.input!,
    { name: 'a', type: { sparseTensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }, { dimValue: 3 }] } } } },
  ];
  await using session = await createSession(encodeModel({ ...model, graph: { ...model.graph!, input } }), {
    providers: [reference()],
  });
  const { y } = await session.run({ a: { kind: 'sparse-tensor', ...a }, b });
  expect((y as Tensor).toNumberArray()).toEqual([12, 16, 46, 60]);
});

it('multiplies a sparse initializer, transposed', async () => {
  const model = spec({ transA: 1, transB: 1 }, 2);
  const sparseInitializer = [{ values: tensorProto('a', a.values), indices: tensorProto('', a.indices), dims: a.dims }];
  const bytes = encodeModel({ ...model, graph: { ...model.graph!, sparseInitializer } });
  await using session = await createSession(bytes, { providers: [reference()] });
  const { y } = await session.run({ b });
  // [[0, 3], [2, 0], [0, 4]] · [[1, 3, 5], [2, 4, 6]]
  expect((y as Tensor).toNumberArray()).toEqual([6, 12, 18, 2, 6, 10, 8, 16, 24]);
});
