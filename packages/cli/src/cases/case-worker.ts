// The process in which cases run, so that one that hangs or crashes takes nothing else with it. Its parent is
// case-process.ts: it sends the options once and then one case at a time, and gets one answer each.

import type { PlacementStrategy } from '@onnx-ts/core';
import { loadProviders } from '../providers.ts';
import type { TestCase } from './find-cases.ts';
import { nodeHost } from './node-host.ts';
import { type CaseOptions, runCase, type Verdict } from './run-case.ts';

export interface WorkerOptions {
  readonly providers: readonly string[];
  readonly threads?: number;
  readonly fallback: boolean;
  readonly placement?: PlacementStrategy;
}

export type ToWorker =
  | { readonly kind: 'options'; readonly options: WorkerOptions }
  | { readonly kind: 'case'; readonly test: TestCase };

export interface FromWorker {
  readonly verdict: Verdict;
  readonly ms: number;
  /** Bytes of memory that the process holds. */
  readonly memory: number;
}

let ready: Promise<CaseOptions> | undefined;

async function prepare(options: WorkerOptions): Promise<CaseOptions> {
  const { providers, ...rest } = options;
  return { ...rest, providers: await loadProviders(providers) };
}

async function answer(test: TestCase): Promise<FromWorker> {
  const start = performance.now();
  const verdict = await runCase(test, await ready!, nodeHost);
  return { verdict, ms: performance.now() - start, memory: process.memoryUsage.rss() };
}

process.on('message', (message: ToWorker) => {
  if (message.kind === 'options') {
    ready = prepare(message.options);
    // Looked at with the first case.
    ready.catch(() => {});
    return;
  }
  answer(message.test).then(
    (result) => process.send!(result),
    (error: Error) => process.send!({ verdict: { outcome: 'error', reason: error.message }, ms: 0, memory: 0 }),
  );
});
