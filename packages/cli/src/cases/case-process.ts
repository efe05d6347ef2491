// Runs cases in a child process that is replaced when a case hangs, crashes or leaves too much memory behind.

import { type ChildProcess, fork } from 'node:child_process';
import { siblingScript } from '../child-script.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './case-worker.ts';
import type { TestCase } from './find-cases.ts';
import type { Verdict } from './run-case.ts';

/** A process that holds more is replaced after its case. */
const largestMemory = 3e9;

export interface TimedVerdict extends Verdict {
  readonly ms: number;
}

export class CaseProcess {
  readonly #options: WorkerOptions;
  readonly #timeoutMs: number;
  #child: ChildProcess | undefined;
  /** Last of what the child wrote to stderr. */
  #lastWords = '';

  constructor(options: WorkerOptions, timeoutMs: number) {
    this.#options = options;
    this.#timeoutMs = timeoutMs;
  }

  /** One case at a time. Never throws. */
  async run(test: TestCase): Promise<TimedVerdict> {
    this.#child ??= this.#start();
    const child = this.#child;
    const start = performance.now();
    const elapsed = (): number => performance.now() - start;
    return await new Promise<TimedVerdict>((resolve) => {
      const finish = (verdict: TimedVerdict, keep: boolean): void => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit).off('error', onError);
        if (!keep) this.stop();
        resolve(verdict);
      };
      const onMessage = (message: unknown): void => {
        const { verdict, ms, memory } = message as FromWorker;
        finish({ ...verdict, ms }, memory < largestMemory);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        const how = signal ? `by signal ${signal}` : `with code ${code}`;
        const words = this.#lastWords.trim();
        finish(
          { outcome: 'error', reason: `the process ended ${how}${words ? `: ${words}` : ''}`, ms: elapsed() },
          false,
        );
      };
      const onError = (error: Error): void => finish({ outcome: 'error', reason: error.message, ms: elapsed() }, false);
      const timer = setTimeout(() => {
        finish({ outcome: 'error', reason: `no answer within ${this.#timeoutMs / 1000} s`, ms: elapsed() }, false);
      }, this.#timeoutMs);
      child.on('message', onMessage).on('exit', onExit).on('error', onError);
      child.send({ kind: 'case', test } satisfies ToWorker, (error) => {
        if (error) onError(error);
      });
    });
  }

  stop(): void {
    this.#child?.removeAllListeners();
    this.#child?.on('error', () => {});
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #start(): ChildProcess {
    const { path, execArgv } = siblingScript(import.meta.url, 'case-worker');
    const child = fork(path, { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#lastWords = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-500);
    });
    child.send({ kind: 'options', options: this.#options } satisfies ToWorker, () => {});
    return child;
  }
}
