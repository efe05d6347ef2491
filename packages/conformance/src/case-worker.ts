// The process in which cases run, so that one that hangs or crashes takes nothing else with it. Its parent is
// case-process.ts.

import type { CaseSource } from './make-case.ts';
import { judge, type Verdict } from './run-cases.ts';
import type { RuntimeId } from './runtimes.ts';

export interface ToWorker {
  readonly source: CaseSource;
  readonly against: RuntimeId;
}

export interface FromWorker {
  readonly verdict: Verdict;
  /** Bytes of memory that the process holds. */
  readonly memory: number;
}

process.on('message', ({ source, against }: ToWorker) => {
  judge(source, against).then((verdict) => {
    process.send!({ verdict, memory: process.memoryUsage.rss() } satisfies FromWorker);
  });
});
