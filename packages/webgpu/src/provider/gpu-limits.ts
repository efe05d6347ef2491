// Limits of a device, and lower ones that the caller asks for.

import { granularity } from './gpu-buffer.ts';

export interface GpuLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** Elements are counted in 31 bits: parts that are powers of two in size make their numbers easy to compute. */
const largestPart = 2 ** 30;

/** Limits as the provider uses them. */
export interface UsedLimits {
  /** Bytes of one buffer; a multiple of `partBytes`. */
  readonly bufferBytes: number;
  /** Bytes of one binding. */
  readonly partBytes: number;
  readonly storageBuffers: number;
  /** Workgroups along one dimension of a launch. */
  readonly workgroups: number;
}

export function usedLimits(device: GpuLimits, lower: Partial<GpuLimits> = {}): UsedLimits {
  const limit = (name: keyof GpuLimits): number => Math.min(device[name], lower[name] ?? Infinity);
  const binding = Math.min(limit('maxStorageBufferBindingSize'), limit('maxBufferSize'), largestPart);
  const partBytes = Math.max(granularity, 2 ** Math.floor(Math.log2(binding)));
  return {
    partBytes,
    bufferBytes: Math.max(1, Math.floor(limit('maxBufferSize') / partBytes)) * partBytes,
    storageBuffers: limit('maxStorageBuffersPerShaderStage'),
    workgroups: limit('maxComputeWorkgroupsPerDimension'),
  };
}
