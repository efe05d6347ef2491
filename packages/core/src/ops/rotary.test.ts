// Inputs that RotaryEmbedding must refuse, with sizes that are known to the model or only when it runs.

import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { float32, type ModelSpec, node } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';

const zeros = (...dims: number[]): Tensor =>
  new Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);

function rotary(size: number | string, width: number, attributes: Record<string, number> = {}): ModelSpec {
  return {
    opset: 23,
    inputs: { x: float32(1, 2, 3, size), cos: float32(1, 3, width), sin: float32(1, 3, width) },
    nodes: [node('RotaryEmbedding', ['x', 'cos', 'sin'], 'y', attributes)],
    outputs: ['y'],
  };
}

describe('RotaryEmbedding', () => {
  it('refuses caches that do not fit the heads', async () => {
    const { message } = await errorOf(open(rotary(8, 3)));
    expect(message).toContain('twice the width of the caches and the head size must agree, but they are 6 and 8');
  });

  it('refuses them when the head size is known', async () => {
    await using session = await open(rotary('size', 4));
    const feeds = (size: number) => ({ x: zeros(1, 2, 3, size), cos: zeros(1, 3, 4), sin: zeros(1, 3, 4) });
    expect((await session.run(feeds(8))).y.dims).toEqual([1, 2, 3, 8]);
    const { message } = await errorOf(session.run(feeds(7)));
    expect(message).toContain('twice the width of the caches and the head size');
  });

  it('refuses to turn more features than there are, and an odd number of them', async () => {
    for (const turned of [10, 3]) {
      const { message } = await errorOf(open(rotary(8, 4, { rotary_embedding_dim: turned })));
      expect(message).toContain(`at most the head size 8, not ${turned}`);
    }
    const { message } = await errorOf(open(rotary(8, 1, { rotary_embedding_dim: 4 })));
    expect(message).toContain('too narrow');
  });
});
