// What STFT refuses.

import { expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { float32, node } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';

async function refusal(dims: readonly number[], step: number, length: number): Promise<string> {
  const scalar = (value: number): Tensor => new Tensor('int64', [BigInt(value)], []);
  const error = await errorOf(
    open({
      inputs: { signal: float32(...dims) },
      initializers: { step: scalar(step), length: scalar(length) },
      nodes: [node('STFT', ['signal', 'step', '', 'length'], 'y')],
      outputs: ['y'],
    }),
  );
  return error.message;
}

it('names signals and frames that do not fit', async () => {
  expect(await refusal([1, 3, 1], 1, 4)).toContain('the signal has 3 samples, fewer than one frame of 4');
  expect(await refusal([1, 8, 3], 1, 4)).toContain('one part (real) or two (complex), not 3');
  expect(await refusal([1, 8, 1], 0, 4)).toContain('frame_step must be at least 1, not 0');
  expect(await refusal([1, 8, 1], 1, 0)).toContain('at least one sample');
});
