// What the machine allows, measured by the CPU provider itself: float32 multiply-adds in 128-bit registers, and a copy of
// more memory than caches hold.

import { hostInfo } from '@onnx-ts/core/internal';
import { cpu } from '@onnx-ts/cpu';

/** @returns for each thread count `{ threads, gflops, gigabytes }`, a second each */
export async function measureLimits(threadCounts) {
  const factory = cpu();
  const [device] = await factory.discover(hostInfo());
  const limits = [];
  for (const threads of threadCounts) {
    const provider = await factory.open(device, { threads });
    try {
      const { flops, bandwidth } = await provider.measure();
      limits.push({ threads, gflops: flops / 1e9, gigabytes: bandwidth / 1e9 });
    } finally {
      await provider.dispose();
    }
  }
  return limits;
}
