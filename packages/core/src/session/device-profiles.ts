// Rates of devices: measured once, kept in memory and in the store that the caller gave.

import type { ArtifactStore } from '../artifacts/artifact.ts';
import { hexText, hostDigest } from '../artifacts/digest.ts';
import type { DeviceProfile, ExecutionProvider } from '../provider/contract.ts';

/** Raised when what profiles mean changes. */
const format = 1;

const measured = new Map<string, Promise<DeviceProfile>>();

/** The profile of a provider's device; never throws. A provider that cannot measure, or fails to, has its usual one. */
export function profileOf(provider: ExecutionProvider, store: ArtifactStore | undefined): Promise<DeviceProfile> {
  const { id, device, artifactKey } = provider;
  if (!provider.probe || store?.isPrecompiled) return Promise.resolve(provider.profile);
  const identity = JSON.stringify([format, id, artifactKey ?? '', device.name, device.properties]);
  let profile = measured.get(identity);
  if (!profile) {
    profile = findProfile(provider, identity, store);
    measured.set(identity, profile);
  }
  return profile;
}

async function findProfile(
  provider: ExecutionProvider,
  identity: string,
  store: ArtifactStore | undefined,
): Promise<DeviceProfile> {
  const key = store && (await keyOf(identity));
  const kept = key && (await read(store, key));
  if (kept) return kept;
  let profile: DeviceProfile;
  try {
    profile = await provider.probe!();
  } catch {
    return provider.profile;
  }
  if (!isProfile(profile)) return provider.profile;
  if (key) {
    try {
      await store.put(key, { text: JSON.stringify(profile), blob: new Uint8Array(), code: [] });
    } catch {
      // It is measured again next time.
    }
  }
  return profile;
}

/** Undefined where the host has no SHA-256. */
async function keyOf(identity: string): Promise<string | undefined> {
  const digest = hostDigest();
  return digest && `profile-${hexText(await digest(new TextEncoder().encode(identity)))}`;
}

async function read(store: ArtifactStore, key: string): Promise<DeviceProfile | undefined> {
  try {
    const artifact = await store.get(key);
    const profile: unknown = artifact && JSON.parse(artifact.text);
    return isProfile(profile) ? profile : undefined;
  } catch {
    return undefined;
  }
}

function isProfile(value: unknown): value is DeviceProfile {
  if (typeof value !== 'object' || value === null) return false;
  const { launch, flops, bandwidth, transferLatency, transferBandwidth, sync = 0 } = value as Partial<DeviceProfile>;
  const isRate = (rate: unknown): boolean => typeof rate === 'number' && rate > 0;
  const isTime = (time: unknown): boolean => typeof time === 'number' && time >= 0 && time < Infinity;
  return [flops, bandwidth, transferBandwidth].every(isRate) && [launch, transferLatency, sync].every(isTime);
}
