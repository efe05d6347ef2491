// The parent's end of a process that measures one runtime.

import { type ChildProcess, fork } from 'node:child_process';
import { siblingScript } from '../child-script.ts';
import type { PlainTensors } from './plain-tensor.ts';
import type { FirstResult, FromRuntime, LoadResult, RunTime, ToRuntime } from './runtime-worker.ts';
import type { LoadRequest, RuntimeSpec } from './runtimes.ts';

/** Failures of a runtime are told with its name. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
}

export class RuntimeProcess {
  /** As shown in tables. */
  readonly name: string;
  readonly #child: ChildProcess;
  #lastWords = '';

  constructor(name: string) {
    this.name = name;
    const { path, execArgv } = siblingScript(import.meta.url, 'runtime-worker');
    // The same process group as the parent: both are scheduled and interrupted alike.
    this.#child = fork(path, { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-500);
    });
  }

  load(spec: RuntimeSpec, request: LoadRequest, feeds: PlainTensors): Promise<LoadResult> {
    return this.#ask({ kind: 'load', spec, request, feeds });
  }

  first(): Promise<FirstResult> {
    return this.#ask({ kind: 'first' });
  }

  /** Starts no further run after `ms` milliseconds. */
  warmup(runs: number, ms: number): Promise<void> {
    return this.#ask({ kind: 'warmup', runs, ms });
  }

  /** @returns times of each run */
  round(ms: number): Promise<RunTime[]> {
    return this.#ask({ kind: 'round', ms });
  }

  memory(): Promise<number> {
    return this.#ask({ kind: 'memory' });
  }

  stop(): void {
    this.#child.removeAllListeners();
    this.#child.on('error', () => {});
    this.#child.kill('SIGKILL');
  }

  /** One request at a time. @throws RuntimeError */
  #ask<T>(message: ToRuntime): Promise<T> {
    const child = this.#child;
    return new Promise<T>((resolve, reject) => {
      const fail = (what: string): void => {
        child.off('message', onMessage).off('exit', onExit);
        reject(new RuntimeError(`${this.name}: ${what}`));
      };
      const onMessage = (reply: unknown): void => {
        const answer = reply as FromRuntime;
        child.off('message', onMessage).off('exit', onExit);
        if (answer.ok) resolve(answer.result as T);
        else fail(answer.message);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        const words = this.#lastWords.trim();
        fail(`the process ended ${signal ? `by signal ${signal}` : `with code ${code}`}${words ? `: ${words}` : ''}`);
      };
      child.on('message', onMessage).on('exit', onExit);
      child.send(message, (error) => {
        if (error) fail(error.message);
      });
    });
  }
}
