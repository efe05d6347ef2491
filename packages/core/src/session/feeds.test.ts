// Sequences as feeds.

import { expect, it } from 'vitest';
import { anyTensor, node, sequenceOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import { Tensor } from './tensor.ts';

it('names the item of a sequence that has another element type', async () => {
  const session = await open({
    inputs: { list: sequenceOf(anyTensor('float32')) },
    nodes: [node('SequenceLength', 'list', 'n')],
    outputs: ['n'],
  });
  const good = new Tensor('float32', [1, 2], [2]);
  const bad = new Tensor('int64', [1n], [1]);
  const { n } = await session.run({ list: { kind: 'sequence', items: [good, good] } });
  expect((n as Tensor).toNumberArray()).toEqual([2]);
  const error = await errorOf(session.run({ list: { kind: 'sequence', items: [good, bad] } }));
  expect(error.code).toBe('INVALID_INPUT');
  expect(error.message).toContain('item 1 of the sequence is a int64 tensor');
  await session.dispose();
});
