import { expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { node, tensorOf } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';

it('Shrink keeps all bits of 32-bit integers', async () => {
  await using session = await open({
    inputs: { x: tensorOf('uint32', 3) },
    nodes: [node('Shrink', 'x', 'y', { bias: { float: 1 }, lambd: { float: 0.5 } })],
    outputs: ['y'],
  });
  const { y } = await session.run({ x: new Tensor('uint32', Uint32Array.of(0, 16777218, 4294967294), [3]) });
  expect([...(y.data as Uint32Array)]).toEqual([0, 16777217, 4294967293]);
});
