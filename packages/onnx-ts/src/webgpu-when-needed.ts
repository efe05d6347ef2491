// The WebGPU provider, loaded only where there can be a GPU.

import type { ProviderFactory } from '@onnx-ts/core';

interface Host {
  readonly navigator?: { readonly gpu?: unknown };
  readonly process?: { readonly versions?: { readonly node?: string } };
}

const load = async (): Promise<ProviderFactory> => (await import('@onnx-ts/webgpu')).webgpu();

export function webgpuWhenNeeded(): ProviderFactory {
  return {
    id: 'webgpu',
    apiVersion: 1,
    async discover(host) {
      const { navigator, process } = globalThis as Host;
      // Node has it by an optional package.
      let reason = 'this host has no WebGPU';
      if (navigator?.gpu || process?.versions?.node) {
        try {
          return await (await load()).discover(host);
        } catch (error) {
          reason = `the package @onnx-ts/webgpu could not be loaded: ${(error as Error).message}`;
        }
      }
      return [{ provider: 'webgpu', name: 'WebGPU', usable: false, reason, properties: {} }];
    },
    open: async (device, options) => (await load()).open(device, options),
  };
}
