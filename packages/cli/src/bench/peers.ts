// Other runtimes that models can be measured against. They are no dependency: whoever compares installs them.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { UsageError } from '../usage-error.ts';

export type PeerId = 'onnxruntime-web' | 'onnxruntime-node';

export const peerIds: readonly PeerId[] = ['onnxruntime-web', 'onnxruntime-node'];

export interface Peer {
  readonly id: PeerId;
  /** File to load it from. */
  readonly entry: string;
  readonly version: string;
}

/**
 * Looks in the working directory first, then beside this package.
 * @throws UsageError when it is not installed
 */
export function findPeer(id: string): Peer {
  if (!(peerIds as readonly string[]).includes(id)) {
    throw new UsageError(`--against ${id}: known are ${peerIds.join(', ')}`);
  }
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url]) {
    const require = createRequire(from);
    try {
      const entry = require.resolve(id);
      const { version } = require(join(entry.slice(0, entry.lastIndexOf(id) + id.length), 'package.json')) as {
        version: string;
      };
      return { id: id as PeerId, entry, version };
    } catch {
      // Not from here.
    }
  }
  throw new UsageError(`${id} is not installed: run "npm install ${id}" in the working directory to compare with it`);
}
