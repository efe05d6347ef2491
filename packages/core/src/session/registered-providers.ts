// Providers for sessions that name none. The list is one per program, also where a bundle holds two copies of this package.

import { OnnxTsError } from '../errors.ts';
import type { ProviderFactory } from '../provider/contract.ts';

const key = Symbol.for('@onnx-ts/core registered providers');

function registry(): Map<string, ProviderFactory> {
  const holder = globalThis as { [key]?: Map<string, ProviderFactory> };
  holder[key] ??= new Map();
  return holder[key];
}

/**
 * Makes a provider one of those that sessions without the option `providers` choose from.
 * @returns takes it off the list again
 * @throws OnnxTsError INVALID_INPUT when another one has its id
 */
export function registerProvider(factory: ProviderFactory): () => void {
  const providers = registry();
  const other = providers.get(factory.id);
  if (other && other !== factory) {
    throw new OnnxTsError('INVALID_INPUT', `another provider with the id "${factory.id}" is registered.`);
  }
  providers.set(factory.id, factory);
  return () => {
    if (providers.get(factory.id) === factory) providers.delete(factory.id);
  };
}

/** In the order of registration. */
export function registeredProviders(): readonly ProviderFactory[] {
  return [...registry().values()];
}
