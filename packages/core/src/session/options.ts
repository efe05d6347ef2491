// What a caller may ask of a session and of a run.

import type { ArtifactStore } from '../artifacts/artifact.ts';
import { OnnxTsError } from '../errors.ts';
import type { OperatorDefinition } from '../ops/define.ts';
import type { PlacementPin } from '../partition/pins.ts';
import type { PlacementStrategy } from '../partition/place-model.ts';
import type { ProviderFactory } from '../provider/contract.ts';
import type { ExternalData } from './load-model.ts';
import { registeredProviders } from './registered-providers.ts';
import type { SessionState } from './state.ts';

export interface SessionOptions {
  /**
   * Providers to choose from; each comes from its own package. See `placement` for how. Those that were registered, when
   * absent.
   */
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
  /** Bytes each provider may allocate, or each by its id. */
  readonly memoryBudget?: number | Readonly<Record<string, number>>;
  /**
   * Which provider runs what. `auto`, the default, takes the least time for all of it, copies included: often one provider
   * alone, and the others are closed again; a provider that cannot be opened is left out. `first` gives each node to the
   * first provider of the list that takes it. Both keep work on the host that is not worth a device (a few integers);
   * `providers` is `first` without that, which is for testing providers. `session.explain()` tells what was decided and why.
   */
  readonly placement?: PlacementStrategy | PlacementOptions;
  /** Seed of random operators that have none of their own. */
  readonly seed?: number;
  /**
   * Where outputs are after a run, for all of them or by name (those without are on the host, `cpu`). `device` leaves them
   * in the memory of the provider that made them: `tensor.location` tells, `getData()` reads, and feeding them to the same
   * session copies nothing. Results that the host makes are on the host all the same. With the WebGPU provider `gpu-buffer`
   * also gives them a buffer of their own device, `tensor.gpuBuffer`, wherever they were made.
   */
  readonly preferredOutputLocation?: OutputLocation | Readonly<Record<string, OutputLocation>>;
  /**
   * Where prepared models are kept: the next session of the same model is then made in a fraction of the time. Keys name
   * all that the result depends on: the model, these options, versions, and what the device can do.
   */
  readonly artifacts?: ArtifactStore;
  /** Custom operators, found before the built-in ones of a lower version. */
  readonly operators?: readonly OperatorDefinition[];
}

export interface PlacementOptions {
  readonly strategy?: PlacementStrategy;
  /** Nodes that must run on one provider, whatever it costs. The first pin that fits a node decides. */
  readonly pins?: readonly PlacementPin[];
  /** Sizes to plan for where the model leaves them open, by name; others are guessed: 1 for batches, 128 otherwise. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** `gpu-buffer` is `device` where no provider is a GPU. */
export type OutputLocation = 'cpu' | 'device' | 'gpu-buffer';

export interface Progress {
  readonly phase: 'download' | 'compile';
  /** 0 to 1; undefined where the total is unknown. */
  readonly fraction: number | undefined;
  readonly what: string;
}

export interface RunOptions {
  /** Aborting it ends the run with the error ABORTED; the session stays usable. */
  readonly signal?: AbortSignal;
  /** Where inputs come from that are not fed, and where their outputs go; see `InferenceSession.createState`. */
  readonly state?: SessionState;
}

/** @throws OnnxTsError INVALID_INPUT when there is none, one is a name, or one comes twice */
export function providersOf(options: SessionOptions): readonly ProviderFactory[] {
  const given = options.providers ?? options.executionProviders ?? registeredProviders();
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

const strategies: readonly PlacementStrategy[] = ['auto', 'first', 'providers'];

/** What the option `placement` says, with defaults. */
export function placementOf({ placement = 'auto' }: SessionOptions): Required<PlacementOptions> {
  const given: PlacementOptions = typeof placement === 'string' ? { strategy: placement } : (placement ?? {});
  const { strategy = 'auto', pins = [], sizes = {} } = given;
  return { strategy, pins, sizes };
}

/** Bytes that a provider may allocate; undefined for as many as there are. */
export function budgetOf({ memoryBudget }: SessionOptions, provider: string): number | undefined {
  return typeof memoryBudget === 'object' ? memoryBudget[provider] : memoryBudget;
}

/** @throws OnnxTsError INVALID_INPUT for an option with a value that it cannot have */
export function checkOptions(options: SessionOptions): void {
  const atLeast = (name: string, value: unknown, least: number): void => {
    if (value === undefined || (typeof value === 'number' && value >= least)) return;
    throw new OnnxTsError('INVALID_INPUT', `the option ${name} must be a number of at least ${least}, not ${value}.`);
  };
  atLeast('threads', options.threads, 1);
  // 0 lets onnxruntime choose.
  atLeast('intraOpNumThreads', options.intraOpNumThreads, 0);
  const { memoryBudget, placement } = options;
  if (typeof memoryBudget === 'object' && memoryBudget !== null) {
    for (const [id, bytes] of Object.entries(memoryBudget)) atLeast(`memoryBudget of "${id}"`, bytes, 0);
  } else atLeast('memoryBudget', memoryBudget, 0);
  const strategy = typeof placement === 'object' ? placement?.strategy : placement;
  if (strategy !== undefined && !strategies.includes(strategy)) {
    const what = `the placement ${JSON.stringify(strategy)} does not exist; known are ${strategies.join(', ')}.`;
    throw new OnnxTsError('INVALID_INPUT', what);
  }
  const checkSizes = (option: string, sizes: Readonly<Record<string, number>> = {}): void => {
    for (const [name, size] of Object.entries(sizes)) {
      if (Number.isSafeInteger(size) && size >= 0) continue;
      throw new OnnxTsError('INVALID_INPUT', `${option} gives "${name}" the size ${size}, which is none.`);
    }
  };
  checkSizes('freeDimensionOverrides', options.freeDimensionOverrides);
  checkSizes('placement.sizes', placementOf(options).sizes);
}

/**
 * Names of the outputs that stay on a device, with where they are wanted.
 * @throws OnnxTsError INVALID_INPUT for a location that does not exist, and for names that are no outputs
 */
export function keptOutputs(
  preferred: SessionOptions['preferredOutputLocation'],
  outputNames: readonly string[],
): ReadonlyMap<string, 'device' | 'gpu-buffer'> {
  const kept = new Map<string, 'device' | 'gpu-buffer'>();
  const keep = (name: string, location: unknown): void => {
    if (location === 'cpu') return;
    if (location === 'device' || location === 'gpu-buffer') {
      kept.set(name, location);
      return;
    }
    const what = `preferredOutputLocation has ${JSON.stringify(location)}, which is no location.`;
    throw new OnnxTsError('INVALID_INPUT', what, { hint: "Use 'cpu', 'device' or 'gpu-buffer'." });
  };
  if (preferred === undefined) return kept;
  if (typeof preferred !== 'object' || preferred === null) {
    for (const name of outputNames) keep(name, preferred);
    return kept;
  }
  for (const name of Object.keys(preferred)) {
    if (outputNames.includes(name)) continue;
    throw new OnnxTsError('INVALID_INPUT', `preferredOutputLocation names "${name}", which is no output.`, {
      hint: `The outputs are ${outputNames.map((known) => `"${known}"`).join(', ')}.`,
    });
  }
  for (const name of Object.keys(preferred)) keep(name, preferred[name]);
  return kept;
}
