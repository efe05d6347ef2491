import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasAdapter, newDevice } from '../../tests/test-gpu.ts';
import { isSoftwareAdapter, measureProfile } from './measure-profile.ts';

describe.skipIf(!hasAdapter)('measureProfile', () => {
  let device: GPUDevice;
  beforeAll(async () => {
    device = await newDevice();
  });
  afterAll(() => device?.destroy());

  it('gives rates that can be', async () => {
    const failures: string[] = [];
    device.onuncapturederror = ({ error }) => failures.push(error.message);
    const { flops, bandwidth, transferBandwidth, launch, sync, transferLatency } = await measureProfile(device);
    for (const rate of [flops, bandwidth, transferBandwidth]) {
      expect(rate).toBeGreaterThan(1e7);
      expect(rate).toBeLessThan(1e15);
    }
    for (const seconds of [launch, sync, transferLatency]) {
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThan(1);
    }
    expect(failures).toEqual([]);
  });
});

describe('isSoftwareAdapter', () => {
  const info = (description: string, isFallbackAdapter = false) =>
    ({ vendor: '', architecture: '', device: '', description, isFallbackAdapter }) as GPUAdapterInfo;

  it('knows programs that stand in for a GPU', () => {
    expect(isSoftwareAdapter(info('llvmpipe (LLVM 15.0.7, 256 bits)'))).toBe(true);
    expect(isSoftwareAdapter(info('SwiftShader Device (Subzero)'))).toBe(true);
    expect(isSoftwareAdapter(info('Microsoft Basic Render Driver'))).toBe(true);
    expect(isSoftwareAdapter(info('anything', true))).toBe(true);
    expect(isSoftwareAdapter(info('NVIDIA GeForce RTX 4070'))).toBe(false);
    expect(isSoftwareAdapter(info('Intel(R) Iris(R) Xe Graphics'))).toBe(false);
    expect(isSoftwareAdapter(info('Apple M2'))).toBe(false);
  });
});
