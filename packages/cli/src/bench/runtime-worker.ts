// The process in which one runtime is measured, so that its memory is its own and its peers cannot disturb it. Answers the
// requests of runtime-process.ts one at a time.

import { readFileSync } from 'node:fs';
import type { PlainTensors } from './plain-tensor.ts';
import { type LoadedRuntime, type LoadRequest, openRuntime, type RuntimeSpec } from './runtimes.ts';

export type ToRuntime =
  | { readonly kind: 'load'; readonly spec: RuntimeSpec; readonly request: LoadRequest; readonly feeds: PlainTensors }
  | { readonly kind: 'first' }
  /** Runs that often, but starts none after that long. */
  | { readonly kind: 'warmup'; readonly runs: number; readonly ms: number }
  /** Runs for that long, at least once. */
  | { readonly kind: 'round'; readonly ms: number }
  | { readonly kind: 'memory' };

export type FromRuntime =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly message: string };

export interface LoadResult extends RunTime {
  /** Bytes that the process held before. */
  readonly baseMemory: number;
}
/** Milliseconds by the clock, and of processors in all threads of the process. */
export interface RunTime {
  readonly ms: number;
  readonly cpuMs: number;
}
export interface FirstResult extends RunTime {
  readonly outputs: PlainTensors;
}

let runtime: LoadedRuntime | undefined;

async function handle(message: ToRuntime): Promise<unknown> {
  switch (message.kind) {
    case 'load': {
      const baseMemory = peakMemory();
      const load = await openRuntime(message.spec);
      const [loaded, time] = await timed(() => load(message.request));
      runtime = loaded;
      runtime.prepare(message.feeds);
      return { ...time, baseMemory } satisfies LoadResult;
    }
    case 'first': {
      const [outputs, time] = await timed(() => runtime!.run());
      return { ...time, outputs: runtime!.plain(outputs) } satisfies FirstResult;
    }
    case 'warmup': {
      const end = performance.now() + message.ms;
      for (let at = 0; at < message.runs && performance.now() < end; at++) await runtime!.run();
      return undefined;
    }
    case 'round': {
      const samples: RunTime[] = [];
      const end = performance.now() + message.ms;
      do {
        const [, time] = await timed(() => runtime!.run());
        samples.push(time);
      } while (performance.now() < end);
      return samples;
    }
    case 'memory':
      return peakMemory();
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, RunTime]> {
  const before = process.cpuUsage();
  const start = performance.now();
  const result = await work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return [result, { ms, cpuMs: (user + system) / 1000 }];
}

/**
 * Most bytes of memory that this process ever held. Linux counts for the process alone; `maxRSS` may include what the
 * parent held when it started this one.
 */
function peakMemory(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
    return Number(kilobytes) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

process.on('message', (message: ToRuntime) => {
  handle(message).then(
    (result) => process.send!({ ok: true, result } satisfies FromRuntime),
    (error: Error) => process.send!({ ok: false, message: error?.message ?? String(error) } satisfies FromRuntime),
  );
});
