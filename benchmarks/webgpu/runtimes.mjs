// onnx-ts and onnxruntime-node on WebGPU behind one face. Inputs are uploaded and outputs read back within `run`.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { here } from '../places.mjs';

export const runtimeNames = ['onnx-ts', 'onnxruntime-node'];

/**
 * Modules are imported here, outside of what is measured.
 *
 * @param toggles switches of Dawn for onnx-ts
 * @returns `create(bytes)` → `{ prepare(feeds), run() → outputs by name, release() }`, and `adapter`, the name of the
 * device where the runtime tells it
 */
export async function openRuntime(name, toggles) {
  return name === 'onnx-ts' ? openOwn(toggles) : openPeer();
}

async function openOwn(toggles) {
  const { createSession, Tensor } = await import('@onnx-ts/core');
  const { webgpu } = await import('@onnx-ts/webgpu');
  const { create } = await import('webgpu');
  const gpu = create(toggles);
  const factory = webgpu({ gpu });
  const [{ name: adapter }] = await factory.discover({});
  let shared;
  return {
    adapter,
    /** Sessions on one device for all, as onnxruntime-node has it. */
    async share() {
      shared = webgpu({ device: await openDevice(gpu) });
    },
    async create(bytes) {
      const session = await createSession(bytes, { providers: [shared ?? factory] });
      let feeds;
      return {
        places: session.explain().steps.map(({ provider }) => provider),
        prepare(inputs) {
          const entries = Object.entries(inputs).map(([key, { type, data, dims }]) => [
            key,
            new Tensor(type, data, dims),
          ]);
          feeds = Object.fromEntries(entries);
        },
        run: () => session.run(feeds),
        release: () => session.dispose(),
      };
    },
  };
}

/** A device with what the provider would ask for. */
async function openDevice(gpu) {
  const adapter = await gpu.requestAdapter();
  const requiredFeatures = ['shader-f16', 'subgroups', 'timestamp-query'].filter((name) => adapter.features.has(name));
  const names = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage'];
  const requiredLimits = Object.fromEntries(names.map((name) => [name, adapter.limits[name]]));
  return adapter.requestDevice({ requiredFeatures, requiredLimits });
}

async function openPeer() {
  const ort = createRequire(join(here, 'package.json'))('onnxruntime-node');
  const open = (bytes, extra) =>
    ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'], logSeverityLevel: 4, ...extra });
  return {
    version: ort.env.versions.node,
    async create(bytes) {
      const session = await open(bytes);
      let feeds;
      return {
        prepare(inputs) {
          const entries = Object.entries(inputs).map(([key, { type, data, dims }]) => [
            key,
            new ort.Tensor(type, data, dims),
          ]);
          feeds = Object.fromEntries(entries);
        },
        run: () => session.run(feeds),
        release: () => session.release(),
      };
    },
    /** Whether no node is left to the CPU: without that way out, a session would not be made. */
    async isWhole(bytes) {
      try {
        const session = await open(bytes, { extra: { session: { disable_cpu_ep_fallback: '1' } } });
        await session.release();
        return true;
      } catch (error) {
        if (/cpu/i.test(error.message)) return false;
        throw error;
      }
    },
  };
}
