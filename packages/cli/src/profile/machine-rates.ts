// What the machine allows, measured by the provider that the profile is about.

import { hostInfo } from '@onnx-ts/core/internal';
import { loadProviders } from '../providers.ts';

export interface MachineRates {
  /** Float32 operations a second. */
  readonly flops: number;
  /** Bytes a second that a copy reads and writes. */
  readonly bandwidth: number;
}

/** Undefined when the provider cannot measure. */
export async function machineRates(provider: string, threads: number): Promise<MachineRates | undefined> {
  const [factory] = await loadProviders([provider]);
  const device = (await factory.discover(hostInfo())).find((candidate) => candidate.usable);
  if (!device) return undefined;
  const opened = await factory.open(device, { threads });
  try {
    return await opened.measure?.();
  } finally {
    await opened.dispose();
  }
}

/** The part of its time that a kernel would need at the machine's limits: 1 is as fast as they allow. */
export function shareOfLimit(
  flops: number,
  bytes: number,
  ms: number,
  { flops: rate, bandwidth }: MachineRates,
): number {
  return Math.max(flops / rate, bytes / bandwidth) / (ms / 1000);
}
