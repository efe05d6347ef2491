// The process in which cases run; its parent is isolated-run.ts. It is sent a selection once, then one case at a time.

import { type ConformanceCase, conformanceCases, type Judgement, runCase } from '../index.ts';
import { type IsolatedSelection, selectionOf } from './isolated-run.ts';
import { importProvider, type ProviderModule } from './provider-module.ts';

export type ToWorker =
  | { readonly kind: 'selection'; readonly selection: IsolatedSelection }
  | { readonly kind: 'case'; readonly at: number };

export interface FromWorker {
  readonly judgement: Judgement;
}

interface Ready extends ProviderModule {
  readonly cases: readonly ConformanceCase[];
}

let ready: Promise<Ready> | undefined;

async function prepare(selection: IsolatedSelection): Promise<Ready> {
  const module = await importProvider(selection.module);
  const cases = await conformanceCases({ ...module.selection, ...(await selectionOf(selection)) });
  return { ...module, cases };
}

/** The parent has a clock, too, for what never gives way: this one is for what waits for ever. */
const timeoutSeconds = 24 * 3600;

process.on('message', (message: ToWorker) => {
  if (message.kind === 'selection') {
    ready = prepare(message.selection);
    // Looked at with the first case.
    ready.catch(() => {});
    return;
  }
  const answer = ready!.then(({ provider, cases }) => runCase(cases[message.at], provider, timeoutSeconds));
  answer
    .catch((error: Error): Judgement => ({ outcome: 'error', reason: error.message }))
    .then((judgement) => process.send!({ judgement } satisfies FromWorker));
});
