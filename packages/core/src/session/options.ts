// What a caller may ask of a session and of a run.

import { OnnxTsError } from '../errors.ts';
import type { OperatorDefinition } from '../ops/define.ts';
import type { ProviderFactory } from '../provider/contract.ts';
import type { ExternalData } from './load-model.ts';

export interface SessionOptions {
  /** Providers to use, in order of preference; each comes from its own package. */
  readonly providers?: readonly ProviderFactory[];
  /** The name that onnxruntime gives `providers`. Strings are not accepted: a provider is imported from its package. */
  readonly executionProviders?: readonly (ProviderFactory | string | { readonly name: string })[];
  /** Threads a CPU provider may use. */
  readonly threads?: number;
  /** The name that onnxruntime gives `threads`. */
  readonly intraOpNumThreads?: number;
  /** `disabled` leaves out rewrites that only save work; any other level does all of them. */
  readonly graphOptimizationLevel?: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
  readonly externalData?: readonly ExternalData[];
  /** Fixes symbolic sizes, for instance `{ batch: 1 }`. */
  readonly freeDimensionOverrides?: Readonly<Record<string, number>>;
  /**
   * Lets runs feed initializers that the model lists as inputs, too (IR version 4 and later). They are constants
   * otherwise, which makes the model faster.
   */
  readonly overridableInitializers?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Records what ran when, from the first run on; see `endProfiling`. */
  readonly enableProfiling?: boolean;
  /** Bytes each provider may allocate. */
  readonly memoryBudget?: number;
  /**
   * `auto` keeps work on the host that is not worth a device (a few integers); `providers` gives providers everything they
   * can compile, which is for testing them.
   */
  readonly placement?: 'auto' | 'providers';
  /** Seed of random operators that have none of their own. */
  readonly seed?: number;
  /** Custom operators, found before the built-in ones of a lower version. */
  readonly operators?: readonly OperatorDefinition[];
}

export interface Progress {
  readonly phase: 'download' | 'compile';
  /** 0 to 1; undefined where the total is unknown. */
  readonly fraction: number | undefined;
  readonly what: string;
}

export interface RunOptions {
  /** Aborting it ends the run with the error ABORTED; the session stays usable. */
  readonly signal?: AbortSignal;
}

/** @throws OnnxTsError INVALID_INPUT when there is none, one is a name, or one comes twice */
export function providersOf(options: SessionOptions): readonly ProviderFactory[] {
  const given = options.providers ?? options.executionProviders ?? [];
  const factories = given.map((provider): ProviderFactory => {
    if (typeof provider === 'object' && provider !== null && 'open' in provider) return provider;
    const name = typeof provider === 'string' ? provider : (provider as { readonly name?: unknown } | null)?.name;
    throw new OnnxTsError('INVALID_INPUT', `the provider ${JSON.stringify(name)} is a name, not a provider.`, {
      hint: "Import it from its package, for instance { providers: [cpu()] } with cpu from '@onnx-ts/cpu'.",
    });
  });
  if (factories.length === 0) {
    throw new OnnxTsError('INVALID_INPUT', 'no provider was given.', {
      hint: "Pass one, for instance { providers: [cpu()] } with cpu from '@onnx-ts/cpu'.",
    });
  }
  for (const [at, { id }] of factories.entries()) {
    if (factories.findIndex((other) => other.id === id) === at) continue;
    throw new OnnxTsError('INVALID_INPUT', `the provider "${id}" was given twice.`);
  }
  return factories;
}

/** @throws OnnxTsError INVALID_INPUT for an option with a value that it cannot have */
export function checkOptions(options: SessionOptions): void {
  const atLeast = (name: 'threads' | 'intraOpNumThreads' | 'memoryBudget', least: number): void => {
    const value = options[name];
    if (value === undefined || (typeof value === 'number' && value >= least)) return;
    throw new OnnxTsError('INVALID_INPUT', `the option ${name} must be a number of at least ${least}, not ${value}.`);
  };
  atLeast('threads', 1);
  // 0 lets onnxruntime choose.
  atLeast('intraOpNumThreads', 0);
  atLeast('memoryBudget', 0);
  for (const [name, size] of Object.entries(options.freeDimensionOverrides ?? {})) {
    if (Number.isSafeInteger(size) && size >= 0) continue;
    throw new OnnxTsError('INVALID_INPUT', `freeDimensionOverrides gives "${name}" the size ${size}, which is none.`);
  }
}
