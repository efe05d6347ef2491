// Runs cases in a child process that is replaced when a case hangs, crashes or leaves too much memory behind.

import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FromWorker, ToWorker } from './case-worker.ts';
import { type CaseSource, makeCase } from './make-case.ts';
import { printCase } from './print-case.ts';
import type { Verdict } from './run-cases.ts';
import { isPeer, type RuntimeId } from './runtimes.ts';

/** A process that holds more is replaced after its case. */
const largestMemory = 1.5e9;

export class CaseProcess {
  readonly #against: RuntimeId;
  readonly #timeoutMs: number;
  #child: ChildProcess | undefined;
  /** Last of what the child wrote to stderr. */
  #lastWords = '';

  constructor(against: RuntimeId, timeoutMs = 30_000) {
    this.#against = against;
    this.#timeoutMs = timeoutMs;
  }

  /** One case at a time. Never throws. */
  async run(source: CaseSource): Promise<Verdict> {
    this.#child ??= this.#start();
    const child = this.#child;
    const failed = (outcome: 'error' | 'timeout', reason: string): Verdict => {
      const test = makeCase(source, { isPeer: isPeer(this.#against) });
      return { outcome, op: test.op, reason, text: printCase(test), choices: test.choices };
    };
    return await new Promise<Verdict>((resolve) => {
      const finish = (verdict: Verdict, keep: boolean): void => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        if (!keep) this.stop();
        resolve(verdict);
      };
      const onMessage = (message: unknown): void => {
        const { verdict, memory } = message as FromWorker;
        finish(verdict, memory < largestMemory);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        const how = signal ? `by signal ${signal}` : `with code ${code}`;
        finish(failed('error', `the process ended ${how}: ${this.#lastWords.trim()}`), false);
      };
      const timer = setTimeout(() => {
        finish(failed('timeout', `no answer within ${this.#timeoutMs / 1000} s`), false);
      }, this.#timeoutMs);
      child.on('message', onMessage).on('exit', onExit);
      child.send({ source, against: this.#against } satisfies ToWorker, () => {});
    });
  }

  stop(): void {
    this.#child?.removeAllListeners();
    this.#child?.on('error', () => {});
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #start(): ChildProcess {
    const extension = extname(new URL(import.meta.url).pathname);
    const conditions =
      extension === '.ts' ? ['--conditions=@onnx-ts/source', '--disable-warning=ExperimentalWarning'] : [];
    const child = fork(fileURLToPath(new URL(`./case-worker${extension}`, import.meta.url)), {
      execArgv: conditions,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#lastWords = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-800);
    });
    return child;
  }
}
