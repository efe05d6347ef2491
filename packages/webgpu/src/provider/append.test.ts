// Caches that grow in place on the GPU give what copying gives, and never change what somebody holds.

import { createSession, type SessionOptions, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { type ModelSpec, model, node, tensorOf } from '../../../core/src/testing/build-model.ts';
import { gpu, hasAdapter } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';

const [heads, width] = [2, 4];

/** Attention over past ++ x, with values that are not the keys. */
const decoder = (type: 'float32' | 'float16'): ModelSpec => ({
  inputs: {
    x: tensorOf(type, 'batch', heads, 'new', width),
    'past.key': tensorOf(type, 'batch', heads, 'past', width),
    'past.value': tensorOf(type, 'batch', heads, 'past', width),
  },
  nodes: [
    node('Neg', 'x', 'v'),
    node('Concat', ['past.key', 'x'], 'present.key', { axis: 2 }),
    node('Concat', ['past.value', 'v'], 'present.value', { axis: 2 }),
    node('Transpose', 'present.key', 'kt', { perm: [0, 1, 3, 2] }),
    node('MatMul', ['x', 'kt'], 'scores'),
    node('Softmax', 'scores', 'weights'),
    node('MatMul', ['weights', 'present.value'], 'y'),
  ],
  outputs: ['y', 'present.key', 'present.value'],
});

const open = (type: 'float32' | 'float16', options: SessionOptions = {}) =>
  createSession(model(decoder(type)), { providers: [webgpu({ gpu })], placement: 'providers', ...options });

/** Numbers that both types have, as the type stores them. */
function inputOf(type: 'float32' | 'float16', batch: number, positions: number, seed: number): Tensor {
  const count = batch * heads * positions * width;
  const dims = [batch, heads, positions, width];
  if (type === 'float32') {
    return new Tensor(
      'float32',
      Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 1.7)),
      dims,
    );
  }
  // 1.0 to 1.5 in steps of 2⁻¹⁰.
  return new Tensor(
    'float16',
    Uint16Array.from({ length: count }, (_, at) => 0x3c00 + ((seed * 77 + at * 31) % 512)),
    dims,
  );
}

const empty = (type: 'float32' | 'float16', batch: number): Tensor => inputOf(type, batch, 0, 0);

const data = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.getData()) as Float32Array);

describe.skipIf(!hasAdapter)('caches on the GPU', () => {
  it.each(['float32', 'float16'] as const)('a state of %s gives what feeding the past gives', async (type) => {
    await using session = await open(type);
    for (const batch of [1, 2]) {
      using state = session.createState();
      expect(state.inputNames).toEqual(['past.key', 'past.value']);
      let past: Record<string, Tensor> = { 'past.key': empty(type, batch), 'past.value': empty(type, batch) };
      for (const [seed, positions] of [5, 1, 1, 60, 1, 3, 70, 1].entries()) {
        const x = inputOf(type, batch, positions, seed);
        const expected = await session.run({ x, ...past });
        const { y } = await session.run({ x }, { state });
        expect(await data(y)).toEqual(await data(expected.y));
        past = { 'past.key': expected['present.key'], 'past.value': expected['present.value'] };
      }
      expect(state.length).toBe(142);
      for (const name of state.inputNames) expect((await state.read(name))!.data).toEqual(past[name].data);
    }
  });

  it('take no memory for another position while there is room, and can go back', async () => {
    await using session = await open('float32');
    using state = session.createState({ capacity: 1000 });
    using other = session.createState();
    const sizes: number[] = [];
    for (let position = 0; position < 60; position++) {
      await session.run({ x: inputOf('float32', 1, 1, position) }, { state });
      if (position >= 16) sizes.push(session.memory().bytesInUse);
      if (position < 20) await session.run({ x: inputOf('float32', 1, 1, position) }, { state: other });
    }
    // Intermediate results grow with the positions, caches do not.
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(1000 * heads * width * 4);
    state.truncate(20);
    const x = inputOf('float32', 1, 2, 77);
    const [back, ahead] = [await session.run({ x }, { state }), await session.run({ x }, { state: other })];
    expect(await data(back.y)).toEqual(await data(ahead.y));
  });

  it('never change, however often they are continued', async () => {
    await using session = await open('float32', {
      preferredOutputLocation: { 'present.key': 'gpu-buffer', 'present.value': 'gpu-buffer' },
    });
    await using plain = await open('float32');
    const pastOf = (result: Record<string, Tensor>) => ({
      'past.key': result['present.key'],
      'past.value': result['present.value'],
    });
    const begin = {
      x: inputOf('float32', 2, 3, 1),
      'past.key': empty('float32', 2),
      'past.value': empty('float32', 2),
    };
    const [start, host] = [await session.run(begin), await plain.run(begin)];
    const before = await data(start['present.key']);
    for (const seed of [2, 3]) {
      const x = inputOf('float32', 2, 1, seed);
      const [end, expected] = [await session.run({ x, ...pastOf(start) }), await plain.run({ x, ...pastOf(host) })];
      for (const name of ['y', 'present.key', 'present.value']) {
        expect(await data(end[name])).toEqual(await data(expected[name]));
      }
      // A buffer for the caller has the elements side by side, whatever room there is between them in memory.
      expect(end['present.key'].gpuBuffer.size).toBeGreaterThanOrEqual(2 * heads * 4 * width * 4);
    }
    expect(await data(start['present.key'])).toEqual(before);
  });
});
