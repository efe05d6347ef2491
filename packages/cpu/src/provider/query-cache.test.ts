// Caches of GroupQueryAttention: a state writes new positions into them in place, and nobody else sees a value change.

import { createSession, type InferenceSession, type SessionOptions, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it, vi } from 'vitest';
import { cpu } from '../index.ts';
import { WasmMemory } from './cpu-provider.ts';

const [heads, width] = [2, 8];

const typed = (elemType: number, ...sizes: (string | number)[]) => ({
  tensorType: {
    elemType,
    shape: { dim: sizes.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
  },
});

const node = (opType: string, input: string[], output: string[], attribute: object[] = [], domain = '') => ({
  opType,
  name: output[0],
  domain,
  input,
  output,
  attribute,
});

const integer = (name: string, i: number) => ({ name, type: 2, i: BigInt(i) });

/** Attention of x [batch, new, heads · width], whose sequences have the lengths that a mask [batch, total] tells. */
const decoder = encodeModel({
  irVersion: 10,
  opsetImport: [{ version: 21 }, { domain: 'com.microsoft', version: 1 }],
  graph: {
    name: 'decoder',
    input: [
      { name: 'x', type: typed(1, 'batch', 'new', heads * width) },
      { name: 'mask', type: typed(7, 'batch', 'total') },
      { name: 'past.key', type: typed(1, 'batch', heads, 'past', width) },
      { name: 'past.value', type: typed(1, 'batch', heads, 'past', width) },
    ],
    initializer: [
      { name: 'one', dataType: 7, dims: [1], int64Data: [1n] },
      { name: 'axis', dataType: 7, dims: [1], int64Data: [1n] },
    ],
    node: [
      node('Sin', ['x'], ['v']),
      node('ReduceSum', ['mask', 'axis'], ['count'], [integer('keepdims', 0)]),
      node('Sub', ['count', 'one'], ['last']),
      node('Cast', ['last'], ['lengths'], [integer('to', 6)]),
      node('Shape', ['mask'], ['total'], [integer('start', 1)]),
      node('Cast', ['total'], ['total32'], [integer('to', 6)]),
      node(
        'GroupQueryAttention',
        ['x', 'x', 'v', 'past.key', 'past.value', 'lengths', 'total32'],
        ['y', 'present.key', 'present.value'],
        [integer('num_heads', heads), integer('kv_num_heads', heads)],
        'com.microsoft',
      ),
    ],
    output: [
      { name: 'y', type: typed(1, 'batch', 'new', heads * width) },
      ...['key', 'value'].map((name) => ({ name: `present.${name}`, type: typed(1, 'batch', heads, 'n', width) })),
    ],
  },
});

const open = (options: SessionOptions = {}): Promise<InferenceSession> =>
  createSession(decoder, { providers: [cpu()], threads: 1, ...options });

const float = (dims: readonly number[], seed: number): Tensor => {
  const count = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 1.7)),
    dims,
  );
};

/** Sequences of which each ends some positions before the longest one. */
const maskOf = (total: number, missing: readonly number[]): Tensor => {
  const rows = missing.map((less) => Array.from({ length: total }, (_, at) => (at < total - less ? 1n : 0n)));
  return new Tensor('int64', rows.flat(), [missing.length, total]);
};

const feedsOf = (total: number, positions: number, missing: readonly number[]) => ({
  x: float([missing.length, positions, heads * width], total),
  mask: maskOf(total, missing),
});

const empty = (batch: number): Record<string, Tensor> => ({
  'past.key': float([batch, heads, 0, width], 0),
  'past.value': float([batch, heads, 0, width], 0),
});

const data = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.getData()) as Float32Array);

describe('a state with GroupQueryAttention', () => {
  it.each([[[0]], [[0, 0]], [[0, 2]]])(
    'gives what feeding the past gives, with sequences shorter by %j',
    async (missing) => {
      await using session = await open();
      using state = session.createState();
      let past = empty(missing.length);
      let total = 0;
      for (const positions of [5, 1, 1, 60, 1, 2, 70, 1]) {
        total += positions;
        const feeds = feedsOf(total, positions, missing);
        const expected = await session.run({ ...feeds, ...past });
        const { y } = await session.run(feeds, { state });
        expect(await data(y)).toEqual(await data(expected.y));
        past = { 'past.key': expected['present.key'], 'past.value': expected['present.value'] };
      }
      expect(state.length).toBe(total);
      for (const name of state.inputNames) expect((await state.read(name))!.data).toEqual(past[name].data);
    },
  );

  it('copies nothing and takes no memory for another token', async () => {
    await using session = await open();
    using state = session.createState({ capacity: 64 });
    const copies = vi.spyOn(WasmMemory.prototype, 'copy');
    const compilations = vi.spyOn(WebAssembly, 'instantiate');
    const allocations = vi.spyOn(WasmMemory.prototype, 'allocateBlock');
    const used = new Set<number>();
    try {
      for (let total = 1; total <= 64; total++) {
        allocations.mockClear();
        await session.run(feedsOf(total, 1, [0]), { state });
        if (total < 16) continue;
        used.add(session.memory().bytesInUse);
        // The feeds and the result, which are freed again.
        expect(allocations.mock.calls.flat()).toEqual([heads * width * 4, heads * width * 4, total * 8]);
      }
      expect(used.size).toBe(1);
      expect(copies).not.toHaveBeenCalled();
      expect(compilations).not.toHaveBeenCalled();
    } finally {
      for (const spy of [copies, compilations, allocations]) spy.mockRestore();
    }
  });

  it('leaves a result alone that shares its memory', async () => {
    await using session = await open({ preferredOutputLocation: 'device' });
    using state = session.createState();
    await session.run(feedsOf(4, 4, [0, 0]), { state });
    const { 'present.key': shared } = await session.run(feedsOf(5, 1, [0, 2]), ['present.key'], { state });
    const values = await data(shared);
    await session.run(feedsOf(6, 1, [0, 3]), { state });
    expect(await data(shared)).toEqual(values);
  });
});

it('caches that somebody holds on the device never change', async () => {
  await using session = await open({ preferredOutputLocation: 'device' });
  await using plain = await open();
  const start = await session.run({ ...feedsOf(4, 4, [0, 0]), ...empty(2) });
  const host = await plain.run({ ...feedsOf(4, 4, [0, 0]), ...empty(2) });
  const pastOf = (result: Record<string, Tensor>) => ({
    'past.key': result['present.key'],
    'past.value': result['present.value'],
  });
  const before = await data(start['present.key']);
  // The second sequence goes on from its second position, where the cache has something already.
  for (const missing of [
    [0, 0],
    [0, 3],
    [0, 1],
  ]) {
    const feeds = feedsOf(5, 1, missing);
    const result = await session.run({ ...feeds, ...pastOf(start) });
    const expected = await plain.run({ ...feeds, ...pastOf(host) });
    for (const name of ['y', 'present.key', 'present.value']) {
      expect(await data(result[name])).toEqual(await data(expected[name]));
    }
    expect(await data(start['present.key'])).toEqual(before);
  }
});
