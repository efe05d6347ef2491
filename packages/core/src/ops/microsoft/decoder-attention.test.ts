import { describe, expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { node, tensorOf } from '../../testing/build-model.ts';
import { errorOf, open } from '../../testing/open-session.ts';

const [batch, heads, size] = [2, 2, 4];
const hidden = heads * size;

const reals = (dims: readonly number[], seed: number): Tensor => {
  const count = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 1.37)),
    dims,
  );
};
const flag = (value: boolean): Tensor => new Tensor('bool', Uint8Array.of(Number(value)), []);
const weights = { qw: reals([hidden, hidden], 1), kvw: reals([hidden, 2 * hidden], 2), bias: reals([3 * hidden], 3) };

interface Options {
  readonly isStatic?: boolean;
  readonly caches?: readonly [Tensor, Tensor];
  readonly padding?: Tensor;
}

async function decode(query: Tensor, key: Tensor, { isStatic = false, caches, padding }: Options = {}) {
  const flags = [isStatic, caches !== undefined, caches !== undefined, padding !== undefined].map(flag);
  const inputs = [query, key, weights.qw, weights.kvw, weights.bias, padding, caches?.[0], caches?.[1], ...flags];
  const session = await open({
    domains: { 'com.microsoft': 1 },
    initializers: Object.fromEntries(inputs.flatMap((tensor, at) => (tensor ? [[`x${at}`, tensor]] : []))),
    nodes: [
      node(
        'DecoderAttention',
        inputs.map((tensor, at) => (tensor ? `x${at}` : '')),
        ['y', 'k', 'v'],
        { num_heads: heads },
        { domain: 'com.microsoft' },
      ),
    ],
    outputs: ['y', 'k', 'v'],
  });
  const { y, k, v } = (await session.run({})) as Record<string, Tensor>;
  return { y, caches: [k, v] as const };
}

const close = (got: Tensor, want: readonly number[]): void => {
  expect(got.size).toBe(want.length);
  for (const [at, value] of got.toNumberArray().entries()) expect(value).toBeCloseTo(want[at], 5);
};
/** Steps of [sequence, batch, hidden]. */
const steps = (x: Tensor, from: number, to: number): Tensor => {
  const row = batch * hidden;
  return new Tensor('float32', (x.data as Float32Array).slice(from * row, to * row), [to - from, batch, hidden]);
};

describe('DecoderAttention', () => {
  const x = reals([3, batch, hidden], 5);
  const other = reals([4, batch, hidden], 6);

  it('goes on from its caches', async () => {
    const all = await decode(x, other);
    expect(all.caches[0].dims).toEqual([batch, heads, 3, size]);
    const first = await decode(steps(x, 0, 2), other);
    const last = await decode(steps(x, 2, 3), other, { caches: first.caches });
    close(last.y, steps(all.y, 2, 3).toNumberArray());
    close(last.caches[1], all.caches[1].toNumberArray());
  });

  it('attends to another sequence, whose caches stay', async () => {
    const all = await decode(x, other, { isStatic: true });
    expect(all.caches[0].dims).toEqual([batch, heads, 4, size]);
    const again = await decode(x, other, { isStatic: true, caches: all.caches });
    close(again.y, all.y.toNumberArray());
    expect(again.caches[0].data).toEqual(all.caches[0].data);
  });

  it('leaves padding out', async () => {
    const padding = new Tensor('bool', Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1), [batch, 4]);
    const padded = await decode(x, other, { isStatic: true, padding });
    const shorter = await decode(x, steps(other, 0, 3), { isStatic: true });
    close(padded.y, shorter.y.toNumberArray());
  });
});

describe('DecoderMaskedMultiHeadAttention with one buffer for past and present', () => {
  const room = 6;
  const attend = async (past: number) => {
    const length = new Tensor('int32', Int32Array.of(past), [1]);
    await using session = await open({
      domains: { 'com.microsoft': 1 },
      inputs: { length: tensorOf('int32', 1) },
      initializers: {
        query: reals([1, 1, 3 * hidden], 1),
        pastKey: reals([1, heads, room, size], 2),
        pastValue: reals([1, heads, room, size], 3),
      },
      nodes: [
        node(
          'DecoderMaskedMultiHeadAttention',
          ['query', '', '', '', '', 'pastKey', 'pastValue', 'length'],
          ['y', 'k', 'v', 'scores'],
          { num_heads: heads, past_present_share_buffer: 1, output_qk: 1 },
          { domain: 'com.microsoft' },
        ),
      ],
      outputs: ['k', 'scores'],
    });
    const { k, scores } = (await session.run({ length })) as Record<string, Tensor>;
    return [k.dims, scores.dims];
  };

  it.each([0, 3, 5])('gives scores of as many keys as there are: %i and a new one', async (past) => {
    expect(await attend(past)).toEqual([
      [1, heads, room, size],
      [1, heads, 1, past + 1],
    ]);
  });

  it.each([6, -1, 1e9])('refuses a past of %i positions', async (past) => {
    expect((await errorOf(attend(past))).message).toContain(`1 positions after ${past} do not fit into a buffer`);
  });
});
