// Sessions whose device is lost go on, on a new one or with another provider.

import { createSession, reference, type SessionOptions, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, model, node } from '../../../core/src/testing/build-model.ts';
import { errorOf } from '../../../core/src/testing/open-session.ts';
import { gpu, hasAdapter, newDevice } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';

/** present = past ++ x · w */
const spec: ModelSpec = {
  inputs: { x: float32('N'), past: float32('M') },
  initializers: { w: new Tensor('float32', [3], [1]) },
  nodes: [node('Mul', ['x', 'w'], 'y'), node('Concat', ['past', 'y'], 'present', { axis: 0 })],
  outputs: ['y', 'present'],
};
const bytes = model(spec);
const feeds = { x: new Tensor('float32', [1, 2]), past: new Tensor('float32', [0]) };

/** An implementation of WebGPU that tells which devices it made. */
function recordingGpu(): { readonly gpu: GPU; readonly devices: GPUDevice[] } {
  const devices: GPUDevice[] = [];
  const requestAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
      const device = await adapter.requestDevice(descriptor);
      devices.push(device);
      return device;
    };
    return { features: adapter.features, limits: adapter.limits, info: adapter.info, requestDevice } as GPUAdapter;
  };
  return { gpu: { requestAdapter } as GPU, devices };
}

async function lose(device: GPUDevice): Promise<void> {
  device.destroy();
  await device.lost;
}

const open = (options: SessionOptions) => createSession(bytes, { placement: 'providers', ...options });

describe.skipIf(!hasAdapter)('a lost device', () => {
  it('is replaced by a new one, with the weights', async () => {
    const { gpu: watched, devices } = recordingGpu();
    await using session = await open({ providers: [webgpu({ gpu: watched })] });
    for (let loss = 0; loss < 2; loss++) {
      expect((await session.run(feeds)).y.data).toEqual(Float32Array.of(3, 6));
      expect(devices).toHaveLength(loss + 1);
      await lose(devices[loss]);
    }
    expect((await session.run(feeds)).y.data).toEqual(Float32Array.of(3, 6));
  });

  it('in the middle of a run has the run repeated', async () => {
    const { gpu: watched, devices } = recordingGpu();
    await using session = await open({ providers: [webgpu({ gpu: watched })] });
    await session.run(feeds);
    const running = session.run(feeds);
    devices[0].destroy();
    expect((await running).y.data).toEqual(Float32Array.of(3, 6));
    expect(devices).toHaveLength(2);
  });

  it('takes tensors and states with it', async () => {
    const { gpu: watched, devices } = recordingGpu();
    await using session = await open({
      providers: [webgpu({ gpu: watched })],
      preferredOutputLocation: { y: 'gpu-buffer' },
    });
    const state = session.createState({ pairs: { past: 'present' } });
    const { y } = await session.run({ x: feeds.x }, { state });
    await lose(devices[0]);
    const error = await errorOf(session.run({ x: feeds.x }, { state }));
    expect([error.code, error.message]).toEqual(['PROVIDER', expect.stringContaining('createState()')]);
    const unread = await errorOf(y.getData());
    expect([unread.code, unread.message]).toEqual(['PROVIDER', expect.stringContaining('lost with its device')]);
    expect((await errorOf(session.run({ ...feeds, x: y }))).code).toBe('PROVIDER');
    const again = session.createState({ pairs: { past: 'present' } });
    await session.run({ x: feeds.x }, { state: again });
    await session.run({ x: feeds.x }, { state: again });
    expect((await again.read('past'))!.data).toEqual(Float32Array.of(3, 6, 3, 6));
    for (const held of [state, again, y]) held.dispose();
  });

  it('of the caller leaves the work to the other providers', async () => {
    const device = await newDevice();
    await using session = await open({ providers: [webgpu({ device }), reference()] });
    expect((await session.run(feeds)).y.data).toEqual(Float32Array.of(3, 6));
    expect(session.explain().steps[0].provider).toBe('webgpu');
    await lose(device);
    expect((await session.run(feeds)).y.data).toEqual(Float32Array.of(3, 6));
    expect(session.explain().steps[0].provider).toBe('reference');
  });

  it('of the caller is an error when there is no other provider', async () => {
    const device = await newDevice();
    const session = await open({ providers: [webgpu({ device })] });
    await session.run(feeds);
    await lose(device);
    for (let run = 0; run < 2; run++) {
      const error = await errorOf(session.run(feeds));
      expect([error.code, error.message]).toEqual([
        'PROVIDER',
        expect.stringMatching(/device was lost.*given to webgpu\(\{ device \}\) is lost.*another device or provider/s),
      ]);
    }
    await session.dispose();
    expect((await errorOf(session.run(feeds))).code).toBe('DISPOSED');
  });
});
