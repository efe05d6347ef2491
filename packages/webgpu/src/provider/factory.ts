// Finds a WebGPU adapter, in a browser, in Deno, or in Node through the package `webgpu`, and opens the provider.

import { type DeviceInfo, OnnxTsError, type ProviderFactory } from '@onnx-ts/core/provider';
import type { GpuLimits } from './gpu-limits.ts';
import { isSoftwareAdapter } from './measure-profile.ts';
import { WebGpuProvider } from './webgpu-provider.ts';

export interface WebGpuOptions {
  /** A device to use instead of a new one. It stays the caller's: dispose does not destroy it. */
  readonly device?: GPUDevice;
  /** An implementation of WebGPU to use instead of the host's: what `create([…])` of the package `webgpu` returns. */
  readonly gpu?: GPU;
  readonly powerPreference?: GPUPowerPreference;
  /** Optional features to leave out although the adapter has them: for testing, and around faults of drivers. */
  readonly without?: readonly ('shader-f16' | 'subgroups' | 'timestamp-query')[];
  /** Limits below those of the device, which is asked for all that its adapter has: for testing, and around faults of drivers. */
  readonly limits?: Partial<GpuLimits>;
  /** For what shaders are written: a graphics processor, or its imitation in software. By default the adapter tells. */
  readonly shaders?: 'hardware' | 'software';
}

const wantedFeatures = ['shader-f16', 'subgroups', 'timestamp-query'] as const;

/** Limits of which the provider takes what the adapter has. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** The provider factory to pass to `createSession`. */
export function webgpu(options: WebGpuOptions = {}): ProviderFactory {
  return {
    id: 'webgpu',
    apiVersion: 1,
    async discover(): Promise<readonly DeviceInfo[]> {
      try {
        if (options.device) return [await describeGiven(options.device)];
        const adapter = await findAdapter(options);
        return [describe(adapter.info, adapter)];
      } catch (error) {
        const reason = (error as Error).message;
        return [{ provider: 'webgpu', name: 'WebGPU', usable: false, reason, properties: {} }];
      }
    },
    async open(_device, { memoryBudget } = {}) {
      const { limits, shaders } = options;
      const settings = {
        ownsDevice: !options.device,
        ...(memoryBudget !== undefined && { memoryBudget }),
        ...(limits && { limits }),
        ...(shaders && { shaders }),
        languageFeatures: await languageFeatures(options),
      };
      if (options.device) {
        return new WebGpuProvider(options.device, describe(options.device.adapterInfo, options.device), settings);
      }
      try {
        const adapter = await findAdapter(options);
        const device = await requestDevice(adapter, options.without ?? []);
        return new WebGpuProvider(device, describe(adapter.info, device), settings);
      } catch (cause) {
        throw new OnnxTsError('PROVIDER', `it could not be opened: ${(cause as Error).message}.`, {
          place: { provider: 'webgpu' },
          cause,
        });
      }
    },
  };
}

/** @throws Error when the device is gone */
async function describeGiven(device: GPUDevice): Promise<DeviceInfo> {
  const lost = await Promise.race([device.lost, undefined]);
  if (lost) throw new Error(`the device that was given to webgpu({ device }) is lost: ${lost.message || lost.reason}`);
  return describe(device.adapterInfo, device);
}

async function languageFeatures({ gpu, device }: WebGpuOptions): Promise<ReadonlySet<string>> {
  // Nothing but the host's own implementation can have made a device that comes alone.
  const implementation =
    gpu ?? (device ? (globalThis.navigator as Navigator | undefined)?.gpu : await hostGpu().catch(() => undefined));
  return implementation?.wgslLanguageFeatures ?? new Set();
}

async function findAdapter({ gpu, powerPreference }: WebGpuOptions): Promise<GPUAdapter> {
  const implementation = gpu ?? (await hostGpu());
  const adapter = await implementation.requestAdapter({ ...(powerPreference && { powerPreference }) });
  if (!adapter) throw new Error('there is no WebGPU adapter: no GPU, no driver, or the browser has switched it off');
  return adapter;
}

/** What Node's implementation has made: it goes when nothing refers to it, whatever its devices do. */
let nodeGpu: GPU | undefined;

async function hostGpu(): Promise<GPU> {
  const own = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (own) return own;
  // In Node an optional package brings it. The name is no literal: bundlers for browsers leave it alone.
  const name = 'webgpu';
  const { process } = globalThis as { readonly process?: { readonly versions?: { readonly node?: string } } };
  if (!process?.versions?.node) throw new Error('this host has no WebGPU');
  let found: { create(flags: readonly string[]): GPU };
  try {
    found = await import(/* @vite-ignore */ name);
  } catch (cause) {
    throw new Error('Node has no WebGPU by itself: install the package "webgpu"', { cause });
  }
  // A server has no page whose scripts could find out something from exact times.
  nodeGpu ??= found.create(['disable-dawn-features=timestamp_quantization']);
  return nodeGpu;
}

function requestDevice(adapter: GPUAdapter, without: readonly string[]): Promise<GPUDevice> {
  const requiredFeatures = wantedFeatures.filter((name) => adapter.features.has(name) && !without.includes(name));
  const requiredLimits = Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
  return adapter.requestDevice({ requiredFeatures: requiredFeatures as GPUFeatureName[], requiredLimits });
}

function describe(info: GPUAdapterInfo, { features, limits }: GPUAdapter | GPUDevice): DeviceInfo {
  const { vendor, architecture, device, description } = info;
  return {
    provider: 'webgpu',
    name: description || device || [vendor, architecture].filter(Boolean).join(' ') || 'WebGPU',
    usable: true,
    properties: {
      vendor,
      architecture,
      fallback: info.isFallbackAdapter,
      isSoftware: isSoftwareAdapter(info),
      f16: features.has('shader-f16'),
      subgroups: features.has('subgroups'),
      maxBufferSize: limits.maxBufferSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  };
}
