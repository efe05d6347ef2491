// Runs a suite of conformance cases on several providers, one child process for each.

import { CaseProcess } from '../cases/case-process.ts';
import { findCases, type TestCase } from '../cases/find-cases.ts';
import type { Outcome, Verdict } from '../cases/run-case.ts';
import { readModelFile } from '../model/model-file.ts';
import { operatorsOf } from './case-operators.ts';
import type { CaseResult } from './coverage-report.ts';

/** Time for one case. */
const timeoutMs = 120_000;

/** Suites that a provider leaves out. The report says why. */
const leftOut: Readonly<Record<string, readonly string[]>> = { reference: ['light'] };

export interface CoverageOptions {
  readonly providers: readonly string[];
  readonly threads: number;
  readonly progress?: (done: number, total: number, name: string) => void;
}

/** Verdicts by provider and case. */
export type Verdicts = ReadonlyMap<string, ReadonlyMap<string, Verdict>>;

/** The cases of a folder that holds one folder for each suite; they are named from there. */
export function findSuiteCases(folder: string): TestCase[] {
  return findCases([folder]).map((test) => ({ ...test, name: test.name.slice(test.name.indexOf('/') + 1) }));
}

export async function runCoverage(cases: readonly TestCase[], options: CoverageOptions): Promise<Verdicts> {
  const { providers, threads, progress } = options;
  const total = providers.length * cases.length;
  let done = 0;
  const lanes = await Promise.all(
    providers.map(async (provider) => {
      const runner = new CaseProcess({ providers: [provider], threads, fallback: true }, timeoutMs);
      const verdicts = new Map<string, Verdict>();
      try {
        for (const test of cases) {
          progress?.(done++, total, `${provider}: ${test.name}`);
          const suite = test.name.split('/', 1)[0];
          if (!leftOut[provider]?.includes(suite)) verdicts.set(test.name, await runner.run(test));
        }
      } finally {
        runner.stop();
      }
      return [provider, verdicts] as const;
    }),
  );
  return new Map(lanes);
}

/** What the report is made from. Cases without a verdict were left out. */
export function resultsOf(cases: readonly TestCase[], verdicts: Verdicts): CaseResult[] {
  return cases.map((test) => {
    const outcomes: Record<string, Outcome> = {};
    for (const [provider, byCase] of verdicts) {
      const verdict = byCase.get(test.name);
      if (verdict) outcomes[provider] = verdict.outcome;
    }
    return { name: test.name, operators: operatorsOf(readModelFile(test.model)), outcomes };
  });
}
