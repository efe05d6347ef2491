// Providers by the names that the command line knows. Each is loaded when it is asked for.

import type { ProviderFactory } from '@onnx-ts/core';
import { listOf } from './comma-list.ts';
import { UsageError } from './usage-error.ts';

const loaders: Readonly<Record<string, () => Promise<ProviderFactory>>> = {
  cpu: async () => (await import('@onnx-ts/cpu')).cpu(),
  webgpu: async () => (await import('@onnx-ts/webgpu')).webgpu(),
  reference: async () => (await import('@onnx-ts/core')).reference(),
};

export const knownProviders: readonly string[] = Object.keys(loaders);

/** All that a session may choose from: what the text `auto` stands for. */
const automatic: readonly string[] = ['cpu', 'webgpu'];

/**
 * @param text ids separated by commas, or `auto`
 * @throws UsageError for an unknown or repeated id
 */
export function parseProviders(text: string): string[] {
  const ids = text.trim() === 'auto' ? [...automatic] : listOf(text);
  if (ids.length === 0) throw new UsageError('--provider wants at least one provider');
  for (const [at, id] of ids.entries()) {
    if (!Object.hasOwn(loaders, id)) {
      throw new UsageError(
        `there is no provider "${id}"; known are ${knownProviders.join(', ')}, and auto for what this machine has`,
      );
    }
    if (ids.indexOf(id) !== at) throw new UsageError(`the provider "${id}" is named twice`);
  }
  return ids;
}

export function loadProviders(ids: readonly string[]): Promise<ProviderFactory[]> {
  return Promise.all(ids.map((id) => loaders[id]()));
}
