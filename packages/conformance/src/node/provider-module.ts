// Providers that are named on a command line: a module of the author's, by path or by package name.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { OnnxTsError, type ProviderFactory } from '@onnx-ts/core';
import type { CaseSelection, LosableProvider } from '../index.ts';

/** What a module may export beside its provider. */
export interface ProviderModule {
  readonly provider: ProviderFactory;
  /** Cases and operators of its own, and a way to lose its device: the exports `families`, `operators` and `losable`. */
  readonly selection: Pick<CaseSelection, 'families' | 'operators' | 'losable'>;
}

/**
 * Imports a module and finds its provider: the export that is named after `#` in the specifier, else `default`, else the
 * only export that is a provider or a function without parameters that gives one.
 * @param specifier path or package name, `@onnx-ts/cpu` or `./dist/index.js#myProvider`
 * @throws OnnxTsError INVALID_INPUT
 */
export async function importProvider(specifier: string): Promise<ProviderModule> {
  const [path, name] = specifier.split('#');
  const file = resolve(path);
  let module: Readonly<Record<string, unknown>>;
  try {
    module = (await import(existsSync(file) ? pathToFileURL(file).href : path)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw new OnnxTsError('INVALID_INPUT', `the module cannot be imported: ${(cause as Error).message}.`, {
      place: { path },
      cause,
    });
  }
  const names = name ? [name] : 'default' in module ? ['default'] : Object.keys(module);
  const found = new Map<string, ProviderFactory>();
  for (const candidate of names) {
    const provider = await providerOf(module[candidate]);
    if (provider) found.set(candidate, provider);
  }
  if (found.size !== 1) {
    const what = found.size === 0 ? 'exports no provider' : `exports several: ${[...found.keys()].join(', ')}`;
    throw new OnnxTsError('INVALID_INPUT', `the module ${what}.`, {
      place: { path },
      hint: 'Export a provider, or a function that gives one, as default, or name it: module.js#name.',
    });
  }
  const [provider] = found.values();
  const { families, operators, losable } = module;
  return {
    provider,
    selection: {
      ...(Array.isArray(families) && { families }),
      ...(Array.isArray(operators) && { operators }),
      ...(typeof losable === 'function' && { losable: losable as () => Promise<LosableProvider> }),
    },
  };
}

async function providerOf(value: unknown): Promise<ProviderFactory | undefined> {
  if (isProvider(value)) return value;
  // A class cannot be called, and what wants arguments is another kind of function.
  if (typeof value !== 'function' || value.length > 0 || /^class\b/.test(String(value))) return undefined;
  const made: unknown = await Promise.resolve((value as () => unknown)()).catch(() => undefined);
  return isProvider(made) ? made : undefined;
}

function isProvider(value: unknown): value is ProviderFactory {
  return typeof value === 'object' && value !== null && 'discover' in value && 'open' in value && 'id' in value;
}
