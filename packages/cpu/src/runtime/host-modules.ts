// The few things of Node that the runtime uses, reached so that browsers and bundlers never see an import of `node:`.

/** The part of `node:worker_threads` in use. */
export interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (message: unknown) => void): void;
  on(event: 'error', listener: (error: unknown) => void): void;
  on(event: 'exit', listener: (code: number) => void): void;
  ref(): void;
  unref(): void;
  terminate(): Promise<number>;
}

export interface NodeWorkerThreads {
  readonly Worker: new (source: string, options: { eval: true; execArgv: string[]; name: string }) => NodeWorker;
}

interface NodeModules {
  'node:worker_threads': NodeWorkerThreads;
  'node:v8': { setFlagsFromString(flags: string): void };
  'node:os': { availableParallelism(): number };
}

interface NodeProcess {
  readonly versions?: { readonly node?: string; readonly v8?: string };
  readonly arch?: string;
  getBuiltinModule?(name: string): unknown;
}

/** A module of Node's, or undefined where there is none: browsers, and hosts that only resemble Node. */
export function nodeModule<Name extends keyof NodeModules>(name: Name): NodeModules[Name] | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  if (process?.versions?.node === undefined) return undefined;
  return process.getBuiltinModule?.(name) as NodeModules[Name] | undefined;
}

/** The major version of V8 and the processor's architecture in Node and its kind; undefined elsewhere. */
export function v8Build(): { readonly major: number; readonly arch: string } | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  const major = Number.parseInt(process?.versions?.v8 ?? '', 10);
  return Number.isNaN(major) ? undefined : { major, arch: process?.arch ?? '' };
}
