// Tensors and launches beyond the limits of a device are split: limits are set so low that small models go beyond them.

import { createSession, reference, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, int64, type ModelSpec, model, node, tensorOf } from '../../../core/src/testing/build-model.ts';
import { errorOf } from '../../../core/src/testing/open-session.ts';
import { gpu, hasAdapter } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';
import type { GpuLimits } from './gpu-limits.ts';

const open = (spec: ModelSpec, limits: Partial<GpuLimits>) =>
  createSession(model(spec), { providers: [webgpu({ gpu, limits })], placement: 'providers' });

const ramp = (size: number, from = 0): Float32Array => Float32Array.from({ length: size }, (_, at) => at + from);

/** 256 bytes a binding, 512 a buffer: several of both for a thousand bytes. */
const tiny = { maxStorageBufferBindingSize: 300, maxBufferSize: 700 };

describe.skipIf(!hasAdapter)('limits of the GPU', () => {
  it('split weights and results over bindings and buffers', async () => {
    const weight = Float32Array.from({ length: 20 * 16 }, (_, at) => (at % 7) - 3);
    await using session = await open(
      {
        inputs: { x: float32('N', 20) },
        initializers: { w: new Tensor('float32', weight, [20, 16]) },
        nodes: [node('MatMul', ['x', 'w'], 'y')],
        outputs: ['y'],
      },
      tiny,
    );
    expect(session.explain().steps[0].kernels![0].text).toContain('load_t1');
    for (const rows of [1, 3, 8, 1]) {
      const x = Float32Array.from({ length: rows * 20 }, (_, at) => (at % 5) - 2);
      const { y } = await session.run({ x: new Tensor('float32', x, [rows, 20]) });
      const expected = Float32Array.from({ length: rows * 16 }, (_, at) => {
        const [row, column] = [Math.floor(at / 16), at % 16];
        let sum = 0;
        for (let k = 0; k < 20; k++) sum += x[row * 20 + k] * weight[k * 16 + column];
        return sum;
      });
      expect((y as Tensor).data).toEqual(expected);
    }
  });

  it('split elements that share words, 64-bit ones, and scattered ones', async () => {
    await using session = await open(
      {
        inputs: { a: tensorOf('uint8', 'N'), b: int64('K'), at: int64('M'), updates: tensorOf('uint8', 'M') },
        nodes: [
          node('Add', ['a', 'a'], 'double'),
          node('Neg', 'b', 'negative'),
          node('ScatterElements', ['a', 'at', 'updates'], 'scattered', { axis: 0 }),
        ],
        outputs: ['double', 'negative', 'scattered'],
      },
      tiny,
    );
    const count = 600;
    const bytes = Uint8Array.from({ length: count }, (_, at) => at);
    const wide = BigInt64Array.from({ length: 120 }, (_, at) => BigInt(at) << 40n);
    const result = await session.run({
      a: new Tensor('uint8', bytes, [count]),
      b: new Tensor('int64', wide, [wide.length]),
      at: new Tensor('int64', [3n, 300n, 599n], [3]),
      updates: new Tensor('uint8', [200, 201, 202], [3]),
    });
    expect(result.double.data).toEqual(bytes.map((value) => 2 * value));
    expect((result.negative.data as BigInt64Array)[119]).toBe(-(119n << 40n));
    const scattered = bytes.slice();
    for (const [at, value] of [
      [3, 200],
      [300, 201],
      [599, 202],
    ])
      scattered[at] = value;
    expect(result.scattered.data).toEqual(scattered);
  });

  it('merge what one shader may not bind, however large', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `x${at}`);
    await using session = await open(
      {
        inputs: Object.fromEntries(names.map((name) => [name, float32('N')])),
        nodes: [node('Sum', names, 'y')],
        outputs: ['y'],
      },
      { maxStorageBuffersPerShaderStage: 8, maxStorageBufferBindingSize: 4096 },
    );
    for (const size of [5, 500]) {
      const feeds = Object.fromEntries(names.map((name, at) => [name, new Tensor('float32', ramp(size, at), [size])]));
      const { y } = await session.run(feeds);
      expect((y as Tensor).data).toEqual(ramp(size).map((value) => 12 * value + 66));
    }
  });

  it('fold launches into further dimensions', async () => {
    await using session = await open(
      { inputs: { x: float32('N', 300) }, nodes: [node('ReduceSum', 'x', 'y', { keepdims: 0 })], outputs: ['y'] },
      { maxComputeWorkgroupsPerDimension: 4 },
    );
    const { y } = await session.run({ x: new Tensor('float32', ramp(3000), [10, 300]) });
    expect((y as Tensor).data).toEqual(Float32Array.of(4498500));
    await using rows = await open(
      { inputs: { x: float32('N', 300) }, nodes: [node('Softmax', 'x', 'y')], outputs: ['y'] },
      { maxComputeWorkgroupsPerDimension: 4 },
    );
    const many = await rows.run({ x: new Tensor('float32', new Float32Array(15 * 300), [15, 300]) });
    expect((many.y.data as Float32Array).every((value) => Math.abs(value - 1 / 300) < 1e-6)).toBe(true);
  });

  it('say which tensors need more bindings than there are', async () => {
    await using session = await open(
      { inputs: { x: float32('N') }, nodes: [node('Neg', 'x', 'y', {}, { name: 'huge' })], outputs: ['y'] },
      { ...tiny, maxStorageBuffersPerShaderStage: 4 },
    );
    const error = await errorOf(session.run({ x: new Tensor('float32', ramp(1000), [1000]) }));
    expect([error.code, error.place.node, error.place.provider]).toEqual(['UNSUPPORTED', 'huge', 'webgpu']);
    expect(error.message).toContain('storage buffers');
  });

  it('leave nodes to others whose tensors are known to be too large', async () => {
    const session = createSession(
      model({ inputs: { x: float32(1000) }, nodes: [node('Neg', 'x', 'y')], outputs: ['y'] }),
      {
        providers: [webgpu({ gpu, limits: { ...tiny, maxStorageBuffersPerShaderStage: 8 } }), reference()],
        placement: 'providers',
      },
    );
    await using opened = await session;
    expect(opened.explain().steps[0].provider).toBe('reference');
    const { y } = await opened.run({ x: new Tensor('float32', ramp(1000), [1000]) });
    expect((y as Tensor).data).toEqual(ramp(1000).map((value) => -value));
  });
});
