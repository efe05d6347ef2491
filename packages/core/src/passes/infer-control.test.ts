// Types through bodies.

import { expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { anyTensor, float32, int64, node, tensorOf } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';

it('keeps the sizes of a carried value that go through constants of the body', async () => {
  const ints = (items: readonly bigint[], dims = [items.length]): Tensor => new Tensor('int64', items, dims);
  const body = {
    inputs: { round: int64(), going: tensorOf('bool'), state: anyTensor('float32') },
    nodes: [
      node('Constant', [], 'axis', { value: ints([0n]) }),
      node('Unsqueeze', ['state', 'axis'], 'stacked'),
      node('ReduceSum', ['stacked', 'axis'], 'next', { keepdims: 0 }),
      node('Identity', 'going', 'on'),
      node('Neg', 'next', 'negated'),
    ],
    outputs: { on: tensorOf('bool'), next: anyTensor('float32'), negated: anyTensor('float32') },
  };
  const session = await open({
    inputs: { trips: int64(), x: float32(2, 3) },
    nodes: [
      node('Loop', ['trips', '', 'x'], ['last', 'all'], {
        body: { body },
      }),
    ],
    outputs: ['last', 'all'],
  });
  const x = new Tensor('float32', [1, 2, 3, 4, 5, 6], [2, 3]);
  const none = await session.run({ trips: ints([0n], []), x });
  expect([none.last, none.all].map((value) => (value as Tensor).dims)).toEqual([
    [2, 3],
    [0, 2, 3],
  ]);
  const two = await session.run({ trips: ints([2n], []), x });
  expect((two.all as Tensor).dims).toEqual([2, 2, 3]);
  await session.dispose();
});

it('keeps the rank of a scan output whose sizes grow from round to round, also without any round', async () => {
  const body = {
    inputs: { round: int64(), going: tensorOf('bool'), state: anyTensor('float32') },
    nodes: [
      node('Identity', 'going', 'on'),
      node('Concat', ['state', 'state'], 'next', { axis: 0 }),
      node('Neg', 'state', 'negated'),
    ],
    outputs: { on: tensorOf('bool'), next: anyTensor('float32'), negated: anyTensor('float32') },
  };
  await using session = await open({
    inputs: { trips: int64(), x: float32('rows', 3) },
    nodes: [node('Loop', ['trips', '', 'x'], ['last', 'all'], { body: { body } })],
    outputs: ['last', 'all'],
  });
  const x = new Tensor('float32', [1, 2, 3, 4, 5, 6], [2, 3]);
  const { last, all } = (await session.run({ trips: new Tensor('int64', [0n], []), x })) as Record<string, Tensor>;
  expect([last.dims, all.dims]).toEqual([
    [2, 3],
    [0, 0, 3],
  ]);
});
