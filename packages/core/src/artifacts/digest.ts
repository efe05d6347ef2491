// SHA-256 by the host's own code.

import { nodeModules } from '../session/node-modules.ts';

export type Digest = (bytes: Uint8Array) => Promise<Uint8Array>;

/** Undefined where the host has none, as on web pages that were not served safely. */
export function hostDigest(): Digest | undefined {
  // Node takes longer to load the web's form than to hash a model.
  const node = nodeModules()?.crypto;
  if (node) return async (bytes) => new Uint8Array(node.createHash('sha256').update(bytes).digest());
  const { subtle } = (globalThis as { readonly crypto?: { readonly subtle?: SubtleCrypto } }).crypto ?? {};
  if (!subtle) return undefined;
  return async (bytes) => new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}

export function hexText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
}
