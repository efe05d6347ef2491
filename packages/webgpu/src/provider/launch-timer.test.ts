// What a profile says: times of kernels where the device has timestamps, and of the whole where it has not.

import { createSession, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, model, node } from '../../../core/src/testing/build-model.ts';
import { gpu, hasAdapter } from '../../tests/test-gpu.ts';
import { type WebGpuOptions, webgpu } from '../index.ts';

const spec: ModelSpec = {
  inputs: { x: float32('N', 64) },
  initializers: { w: new Tensor('float32', new Float32Array(64 * 64).fill(0.5), [64, 64]) },
  nodes: [node('MatMul', ['x', 'w'], 'p'), node('Softmax', 'p', 'y')],
  outputs: ['y'],
};

async function profile(options: WebGpuOptions) {
  await using session = await createSession(model(spec), {
    providers: [webgpu({ gpu, ...options })],
    placement: 'providers',
    enableProfiling: true,
  });
  const x = new Tensor('float32', new Float32Array(128 * 64).fill(1), [128, 64]);
  const { y } = await session.run({ x });
  expect((y.data as Float32Array)[0]).toBeCloseTo(1 / 64);
  return session.endProfiling().traceEvents.filter(({ cat }) => cat !== 'session');
}

describe.skipIf(!hasAdapter)('profiles', () => {
  it('time each kernel, with its work', async () => {
    const events = await profile({});
    expect(events.flatMap(({ args }) => args?.nodes)).toEqual(['MatMul_0', 'Softmax_1']);
    for (const { dur, ts, args } of events) {
      expect(dur).toBeGreaterThanOrEqual(0);
      expect(ts).toBeGreaterThan(0);
      expect(args?.bytes).toBeGreaterThan(128 * 64 * 4);
    }
    expect(events[0].args?.flops).toBeGreaterThanOrEqual(2 * 128 * 64 * 64);
    expect(events[1].ts).toBeGreaterThanOrEqual(events[0].ts + events[0].dur - 1);
  });

  it('time the whole without timestamps, and say so', async () => {
    const [event, ...rest] = await profile({ without: ['timestamp-query'] });
    expect(rest).toEqual([]);
    expect(event.dur).toBeGreaterThan(0);
    expect(event.args?.nodes?.[0]).toContain('no timestamp-query');
    expect(event.args?.flops).toBeGreaterThanOrEqual(2 * 128 * 64 * 64);
  });
});
