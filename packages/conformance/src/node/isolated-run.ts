// Runs the kit in a child process that is replaced when a case hangs or ends it: nothing that a provider does can end the
// run.

import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CaseResult, type ConformanceReport, type Judgement, runConformance, type SuiteId } from '../index.ts';
import { directoryCases } from './directory-cases.ts';
import type { FromWorker, ToWorker } from './isolated-worker.ts';
import { importProvider } from './provider-module.ts';

/** Everything that both processes make the same cases from. */
export interface IsolatedSelection {
  /** See `importProvider`. */
  readonly module: string;
  readonly suites?: readonly SuiteId[];
  /** Source of a regular expression that the case's name, with the suite in front, must match. */
  readonly pattern?: string;
  /** Folder of ONNX's backend tests. */
  readonly onnxFolder?: string;
  readonly perGenerator?: number;
  readonly graphs?: number;
  readonly seed?: number;
  /** Module of the other provider in the suite `partition`. */
  readonly partner?: string;
}

export interface IsolatedOptions {
  /** For one case; 60 when absent. */
  readonly timeoutSeconds?: number;
  readonly onResult?: (result: CaseResult, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * `runConformance` for a module, each case in a child process.
 * @throws OnnxTsError INVALID_INPUT when the module has no provider or the folder is none
 */
export async function runIsolated(
  selection: IsolatedSelection,
  options: IsolatedOptions = {},
): Promise<ConformanceReport> {
  const { provider, selection: own } = await importProvider(selection.module);
  const worker = new CaseWorker(selection, (options.timeoutSeconds ?? 60) * 1000);
  try {
    return await runConformance(provider, {
      ...own,
      ...(await selectionOf(selection)),
      ...options,
      execute: (_test, at) => worker.run(at),
    });
  } finally {
    worker.stop();
  }
}

/** The selection as `conformanceCases` takes it. */
export async function selectionOf(selection: IsolatedSelection) {
  const { suites, pattern, onnxFolder, perGenerator, graphs, seed, partner } = selection;
  const expression = pattern === undefined ? undefined : new RegExp(pattern);
  return {
    ...(suites && { suites }),
    ...(expression && { filter: (name: string) => expression.test(name) }),
    ...(onnxFolder !== undefined && { onnxCases: directoryCases(onnxFolder) }),
    ...(perGenerator !== undefined && { perGenerator }),
    ...(graphs !== undefined && { graphs }),
    ...(seed !== undefined && { seed }),
    ...(partner !== undefined && { partner: (await importProvider(partner)).provider }),
  };
}

class CaseWorker {
  readonly #selection: IsolatedSelection;
  readonly #timeoutMs: number;
  #child: ChildProcess | undefined;
  /** Last of what the child wrote to stderr. */
  #lastWords = '';

  constructor(selection: IsolatedSelection, timeoutMs: number) {
    this.#selection = selection;
    this.#timeoutMs = timeoutMs;
  }

  /** One case at a time. Never throws. */
  run(at: number): Promise<Judgement> {
    this.#child ??= this.#start();
    const child = this.#child;
    return new Promise((resolve) => {
      const finish = (judgement: Judgement, keep: boolean): void => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        if (!keep) this.stop();
        resolve(judgement);
      };
      const ended = (reason: string): void => finish({ outcome: 'error', reason }, false);
      const onMessage = (message: unknown): void => finish((message as FromWorker).judgement, true);
      const onExit = (code: number | null, signal: string | null): void => {
        const how = signal ? `by signal ${signal}` : `with code ${code}`;
        ended(`its process ended ${how}${this.#lastWords.trim() ? `: ${this.#lastWords.trim()}` : ''}`);
      };
      const timer = setTimeout(() => ended(`no answer within ${this.#timeoutMs / 1000} s`), this.#timeoutMs);
      child.on('message', onMessage).on('exit', onExit);
      child.send({ kind: 'case', at } satisfies ToWorker, () => {});
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
    const child = fork(fileURLToPath(new URL(`./isolated-worker${extension}`, import.meta.url)), {
      execArgv:
        extension === '.ts'
          ? ['--conditions=@onnx-ts/source', '--disable-warning=ExperimentalWarning']
          : process.execArgv,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#lastWords = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-800);
    });
    child.send({ kind: 'selection', selection: this.#selection } satisfies ToWorker, () => {});
    return child;
  }
}
