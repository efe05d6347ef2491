// Caches that grow in place give what copying gives, never change what somebody holds, and take no new memory while they
// have room.

import { existsSync, readFileSync } from 'node:fs';
import { createSession, type InferenceSession, type SessionOptions, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';

const [heads, width] = [2, 4];

const float = (...sizes: (string | number)[]) => ({
  tensorType: {
    elemType: 1,
    shape: { dim: sizes.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
  },
});

const node = (opType: string, input: string[], output: string, attribute: object[] = []) => ({
  opType,
  name: output,
  input,
  output: [output],
  attribute,
});

/** Attention of x [batch, heads, new, width] over past ++ x, with values that are not the keys. */
const decoder = encodeModel({
  irVersion: 10,
  opsetImport: [{ version: 21 }],
  graph: {
    name: 'decoder',
    input: [
      { name: 'x', type: float('batch', heads, 'new', width) },
      { name: 'past.key', type: float('batch', heads, 'past', width) },
      { name: 'past.value', type: float('batch', heads, 'past', width) },
    ],
    node: [
      node('Sin', ['x'], 'v'),
      node('Concat', ['past.key', 'x'], 'present.key', [{ name: 'axis', type: 2, i: 2n }]),
      node('Concat', ['past.value', 'v'], 'present.value', [{ name: 'axis', type: 2, i: -2n }]),
      node('Transpose', ['present.key'], 'kt', [{ name: 'perm', type: 7, ints: [0n, 1n, 3n, 2n] }]),
      node('MatMul', ['x', 'kt'], 'scores'),
      node('Softmax', ['scores'], 'weights'),
      node('MatMul', ['weights', 'present.value'], 'y'),
    ],
    output: ['y', 'present.key', 'present.value'].map((name) => ({ name, type: float('b', heads, 'n', width) })),
  },
});

const open = (options: SessionOptions = {}): Promise<InferenceSession> =>
  createSession(decoder, { providers: [cpu()], threads: 1, ...options });

const inputOf = (batch: number, positions: number, seed: number): Tensor => {
  const data = Float32Array.from({ length: batch * heads * positions * width }, (_, at) => Math.sin(seed + at * 1.7));
  return new Tensor('float32', data, [batch, heads, positions, width]);
};

const empty = (batch: number): Tensor => new Tensor('float32', [], [batch, heads, 0, width]);

const data = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.getData()) as Float32Array);

describe('a state', () => {
  it('gives what feeding the past gives', async () => {
    await using session = await open();
    for (const batch of [1, 2]) {
      using state = session.createState();
      let past: Record<string, Tensor> = { 'past.key': empty(batch), 'past.value': empty(batch) };
      for (const [seed, positions] of [5, 1, 1, 60, 1, 3, 70, 1].entries()) {
        const x = inputOf(batch, positions, seed);
        const expected = await session.run({ x, ...past });
        const { y } = await session.run({ x }, { state });
        expect(await data(y)).toEqual(await data(expected.y));
        past = { 'past.key': expected['present.key'], 'past.value': expected['present.value'] };
      }
      expect(state.length).toBe(142);
      for (const name of state.inputNames) expect((await state.read(name))!.data).toEqual(past[name].data);
    }
  });

  it('takes no memory for another position while it has room', async () => {
    await using session = await open();
    using state = session.createState({ capacity: 100 });
    const sizes = new Set<number>();
    for (let position = 0; position < 100; position++) {
      await session.run({ x: inputOf(1, 1, position) }, { state });
      if (position >= 16) sizes.add(session.memory().bytesInUse);
    }
    expect(sizes.size).toBe(1);
  });

  it('can go back', async () => {
    await using session = await open();
    using state = session.createState();
    using other = session.createState();
    for (const { name, positions } of [
      { name: state, positions: 9 },
      { name: other, positions: 5 },
    ]) {
      for (let at = 0; at < positions; at++) await session.run({ x: inputOf(1, 1, at) }, { state: name });
    }
    state.truncate(5);
    expect(state.length).toBe(5);
    const x = inputOf(1, 2, 77);
    expect(await data((await session.run({ x }, { state })).y)).toEqual(
      await data((await session.run({ x }, { state: other })).y),
    );
    expect(() => state.truncate(8)).toThrow('a state of 7 positions cannot be cut to 8');
  });

  it('frees its memory', async () => {
    await using session = await open();
    await session.run({ x: inputOf(1, 1, 0), 'past.key': empty(1), 'past.value': empty(1) });
    const { bytesInUse } = session.memory();
    const state = session.createState({ capacity: 1000 });
    await session.run({ x: inputOf(1, 1, 0) }, { state });
    expect(session.memory().bytesInUse).toBeGreaterThan(bytesInUse + 2 * 1000 * heads * width * 4);
    state.dispose();
    expect(session.memory().bytesInUse).toBeLessThan(bytesInUse + 4096);
  });
});

describe('caches on the device', () => {
  const options: SessionOptions = { preferredOutputLocation: { 'present.key': 'device', 'present.value': 'device' } };
  const pastOf = (result: Record<string, Tensor>) => ({
    'past.key': result['present.key'],
    'past.value': result['present.value'],
  });

  it('never change, however often they are continued', async () => {
    await using session = await open(options);
    await using plain = await open();
    const start = await session.run({ x: inputOf(2, 3, 1), 'past.key': empty(2), 'past.value': empty(2) });
    const before = await data(start['present.key']);
    const branches = [2, 3].map((seed) => inputOf(2, 1, seed));
    const host = await plain.run({ x: inputOf(2, 3, 1), 'past.key': empty(2), 'past.value': empty(2) });
    const ends: Record<string, Tensor>[] = [];
    for (const x of branches) ends.push(await session.run({ x, ...pastOf(start) }));
    for (const [at, x] of branches.entries()) {
      const expected = await plain.run({ x, ...pastOf(host) });
      for (const name of ['y', 'present.key', 'present.value']) {
        expect(await data(ends[at][name])).toEqual(await data(expected[name]));
      }
    }
    expect(await data(start['present.key'])).toEqual(before);
    // What the first branch has appended is gone with it; the start still is as it was.
    for (const name of Object.keys(ends[0])) ends[0][name].dispose();
    const again = await session.run({ x: branches[1], ...pastOf(start) });
    expect(await data(again['present.value'])).toEqual(await data(ends[1]['present.value']));
  });

  it('can be written into by name', async () => {
    await using session = await open(options);
    await using plain = await open();
    const begin = (positions: number, seed: number) => ({
      x: inputOf(1, positions, seed),
      'past.key': empty(1),
      'past.value': empty(1),
    });
    const first = await session.run(begin(3, 1));
    const { 'present.key': target } = await session.run(begin(4, 9));
    const x = inputOf(1, 1, 2);
    const next = await session.run({ x, ...pastOf(first) }, { y: null, 'present.key': target });
    expect(next['present.key']).toBe(target);
    const expected = await plain.run({ x, ...pastOf(await plain.run(begin(3, 1))) });
    expect(await data(target)).toEqual(await data(expected['present.key']));
  });
});

const folder = new URL('../../../../../shared/models', import.meta.url).pathname;
const decoders = ['gpt2-script', 'gpt2-dynamo', 'llama-script', 'llama-gqa', 'qwen2-script', 'gemma3-script'];

describe.skipIf(!existsSync(folder))('language models', () => {
  it.each(decoders)('%s goes on in its state as from fed caches', async (name) => {
    const path = `${folder}/${name}/model.onnx`;
    await using session = await createSession(name === 'gpt2-script' ? path : readFileSync(path), {
      providers: [cpu()],
      threads: 1,
    });
    using state = session.createState();
    const types = new Map(session.inputMetadata.map((input) => [input.name, input]));
    let past: Record<string, Tensor> = {};
    for (const input of state.inputNames) {
      const type = types.get(input)!;
      if (!type.isTensor) throw new Error(`${input} is no tensor`);
      const dims = type.shape!.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : 0));
      past[input] = new Tensor('float32', new Float32Array(0), dims);
    }
    const integers = (input: string, dims: number[], at: (index: number) => number): Record<string, Tensor> => {
      const type = types.get(input);
      if (!type?.isTensor) return {};
      const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, index) => at(index));
      const isWide = type.type === 'int64';
      return { [input]: new Tensor(type.type, isWide ? values.map(BigInt) : values, dims) };
    };
    let length = 0;
    for (const positions of [5, 1, 1, 4, 1]) {
      const total = length + positions;
      const begin = length;
      const feeds = {
        ...integers('input_ids', [1, positions], (at) => (7 * (begin + at)) % 50),
        ...integers('attention_mask', [1, total], () => 1),
        ...integers('position_ids', [1, positions], (at) => begin + at),
      };
      const expected = await session.run({ ...feeds, ...past });
      const result = await session.run(feeds, { state });
      expect(result[session.outputNames[0]].data).toEqual(expected[session.outputNames[0]].data);
      past = Object.fromEntries(state.inputNames.map((input, at) => [input, expected[state.outputNames[at]]]));
      length = total;
    }
    expect(state.length).toBe(length);
  });
});
