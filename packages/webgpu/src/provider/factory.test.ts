// Where the provider finds WebGPU. In browsers and in Deno it is navigator.gpu, and nothing of Node is needed.

import { hostInfo } from '@onnx-ts/core/internal';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { gpu, hasAdapter, newDevice } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';

afterEach(() => vi.unstubAllGlobals());

const open = async (options = {}) => {
  const factory = webgpu(options);
  const [device] = await factory.discover(hostInfo());
  return { device, provider: device.usable ? await factory.open(device) : undefined };
};

describe('webgpu()', () => {
  it.skipIf(!hasAdapter)("takes the host's own WebGPU, without Node", async () => {
    const requestAdapter = vi.fn((options?: GPURequestAdapterOptions) => gpu.requestAdapter(options));
    vi.stubGlobal('navigator', { gpu: { requestAdapter } });
    vi.stubGlobal('process', undefined);
    const { device, provider } = await open({ powerPreference: 'low-power' });
    expect([device.usable, requestAdapter.mock.calls.length]).toEqual([true, 2]);
    expect(requestAdapter.mock.lastCall).toEqual([{ powerPreference: 'low-power' }]);
    await provider!.dispose();
  });

  it('says why there is none', async () => {
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('process', undefined);
    expect((await open()).device).toMatchObject({ usable: false, reason: 'this host has no WebGPU' });
    vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => null } });
    expect((await open()).device.reason).toContain('there is no WebGPU adapter');
  });

  it.skipIf(!hasAdapter)("leaves the caller's device alive, and ends its own", async () => {
    const device = await newDevice();
    const given = await open({ device });
    await given.provider!.dispose();
    expect(await Promise.race([device.lost, 'alive'])).toBe('alive');
    device.destroy();
    await device.lost;
    expect((await open({ device })).device).toMatchObject({
      usable: false,
      reason: expect.stringContaining('is lost'),
    });
  });
});
