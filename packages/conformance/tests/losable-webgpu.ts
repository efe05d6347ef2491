// WebGPU on a device that can be taken away.

import { hostInfo } from '@onnx-ts/core/internal';
import { webgpu } from '@onnx-ts/webgpu';
import type { LosableProvider } from '../src/index.ts';

export async function losableWebGpu(): Promise<LosableProvider> {
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  return {
    provider: webgpu({ device }),
    async lose() {
      device.destroy();
      await device.lost;
    },
  };
}

async function findGpu(): Promise<GPU> {
  if (hostInfo().kind !== 'node') return navigator.gpu;
  const { create } = await import('webgpu');
  return create([]);
}
