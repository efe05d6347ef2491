// The GPU of tests: whatever adapter the machine has; vitest.config.ts names a software driver. Without one tests are
// skipped, and fail under CI.

import { create } from 'webgpu';

// Kept for the life of the process: devices die with what made them.
export const gpu = create([]);

/** There is an adapter. */
export const hasAdapter = (await gpu.requestAdapter()) !== null;

if (!hasAdapter) {
  const message = 'no WebGPU adapter: install a Vulkan driver, or name one in VK_DRIVER_FILES';
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}

/** A device of the caller's own; an adapter makes one only. */
export async function newDevice(): Promise<GPUDevice> {
  return (await gpu.requestAdapter())!.requestDevice();
}

export const usage = { storage: 0x80, copySource: 0x04, copyTarget: 0x08, mapRead: 0x01, vertex: 0x20 } as const;
