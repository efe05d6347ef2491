// Providers for tests of placement: the reference provider under another name, with rates and gaps of its own.

import type { DeviceProfile, ProviderFactory } from '../provider/contract.ts';
import { reference } from '../provider/reference.ts';

export interface SyntheticOptions {
  readonly profile?: Partial<DeviceProfile>;
  /** Operators that it does not run. */
  readonly without?: readonly string[];
  readonly isSoftware?: boolean;
  /** What it compiles, under this version of it, may be kept in a store. */
  readonly artifactKey?: string;
  /** What a probe would find. */
  readonly probe?: () => Promise<DeviceProfile>;
  /** Told of what is opened, compiled and closed. */
  readonly onEvent?: (event: string) => void;
}

/** A processor of medium speed whose memory is the host's. */
export const usual: DeviceProfile = {
  launch: 1e-6,
  flops: 1e10,
  bandwidth: 1e10,
  transferLatency: 1e-6,
  transferBandwidth: 1e10,
};

/** Much faster, and far away. */
export const far: DeviceProfile = {
  launch: 1e-5,
  flops: 1e13,
  bandwidth: 1e12,
  transferLatency: 1e-4,
  transferBandwidth: 1e10,
  sync: 1e-4,
};

export function synthetic(id: string, options: SyntheticOptions = {}): ProviderFactory {
  const { profile, without = [], isSoftware = false, artifactKey, probe, onEvent } = options;
  const factory = reference();
  return {
    id,
    apiVersion: 1,
    async discover(host) {
      const [device] = await factory.discover(host);
      return [{ ...device, provider: id, name: `device of ${id}`, properties: { isSoftware } }];
    },
    async open(device, open) {
      const inner = await factory.open(device, open);
      onEvent?.(`open ${id}`);
      return {
        id,
        device,
        memory: inner.memory,
        profile: { ...usual, ...profile },
        ...(artifactKey && { artifactKey }),
        ...(probe && { probe }),
        supports: (node) =>
          without.includes(node.op) ? { ok: false, reason: `${id} has no ${node.op}` } : inner.supports(node),
        compile(partition, context) {
          onEvent?.(`compile ${id}: ${partition.nodes.map(({ op }) => op).join(' ')}`);
          return inner.compile(partition, context);
        },
        async dispose() {
          onEvent?.(`close ${id}`);
          await inner.dispose();
        },
      };
    },
  };
}
