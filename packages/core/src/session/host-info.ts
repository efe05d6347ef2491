import type { HostInfo } from '../provider/contract.ts';

interface HostGlobals {
  readonly Deno?: unknown;
  readonly Bun?: unknown;
  readonly window?: unknown;
  readonly importScripts?: unknown;
  readonly process?: { readonly versions?: { readonly node?: string } };
  readonly navigator?: { readonly hardwareConcurrency?: number };
}

/** The machine as far as a program may know it. */
export function hostInfo(): HostInfo {
  const host = globalThis as HostGlobals;
  const kind = host.Deno
    ? 'deno'
    : host.Bun
      ? 'bun'
      : host.process?.versions?.node
        ? 'node'
        : host.window || host.importScripts
          ? 'browser'
          : 'other';
  return { kind, concurrency: host.navigator?.hardwareConcurrency ?? 1 };
}
