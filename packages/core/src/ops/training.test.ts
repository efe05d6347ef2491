// What the optimisers refuse.

import { expect, it } from 'vitest';
import { float32, int64, node } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';

const domain = 'ai.onnx.preview.training';

function momentum(gradient: readonly number[], accumulator: readonly number[]) {
  const attributes = { alpha: { float: 0.9 }, beta: { float: 1 }, norm_coefficient: { float: 0 }, mode: 'standard' };
  return open({
    domains: { [domain]: 1 },
    inputs: { rate: float32(), step: int64(), x: float32(2, 3), g: float32(...gradient), v: float32(...accumulator) },
    nodes: [node('Momentum', ['rate', 'step', 'x', 'g', 'v'], ['y', 'w'], attributes, { domain })],
    outputs: ['y', 'w'],
  });
}

it('wants gradients and accumulators of the shape of their tensor', async () => {
  await (await momentum([2, 3], [2, 3])).dispose();
  expect((await errorOf(momentum([2, 4], [2, 3]))).message).toContain(
    'sizes of inputs 3 and 2 along axis 1 must agree',
  );
  expect((await errorOf(momentum([2, 3], [6]))).message).toContain('input 4 must have rank 2');
});
