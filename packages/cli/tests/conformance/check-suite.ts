// Runs a folder of conformance cases and holds the outcome against known-failures.json.

import { CaseProcess } from '../../src/cases/case-process.ts';
import { findCases } from '../../src/cases/find-cases.ts';
import type { Verdict } from '../../src/cases/run-case.ts';
import known from './known-failures.json' with { type: 'json' };
import { suiteFolder } from './test-data.ts';

export interface SuiteOptions {
  readonly provider: 'cpu' | 'webgpu' | 'reference';
  readonly threads?: number;
  /** False for cases that the provider must run alone, without operators left to the host. */
  readonly fallback: boolean;
}

/** Cases that fail for one reason. */
interface KnownFailures {
  readonly because: string;
  /** Providers. */
  readonly on: readonly string[];
  readonly names: readonly string[];
}

const knownFailures: readonly KnownFailures[] = known.cases;

/** Time for one case. */
const timeoutMs = 120_000;

/**
 * Runs a folder of cases.
 * @returns how many cases passed
 * @throws Error listing the cases that came out otherwise than known-failures.json says
 */
export async function checkSuite(suite: string, options: SuiteOptions): Promise<number> {
  const { provider, ...rest } = options;
  const cases = findCases([suiteFolder(suite)]);
  const runner = new CaseProcess({ ...rest, providers: [provider] }, timeoutMs);
  const verdicts = new Map<string, Verdict>();
  try {
    for (const test of cases) verdicts.set(test.name, await runner.run(test));
  } finally {
    runner.stop();
  }
  return checkVerdicts(provider, verdicts);
}

/** See `checkSuite`. */
export function checkVerdicts(provider: string, verdicts: ReadonlyMap<string, Verdict>): number {
  const knownHere = new Set(knownFailures.filter(({ on }) => on.includes(provider)).flatMap(({ names }) => names));
  const surprises: string[] = [];
  let passed = 0;
  for (const [name, verdict] of verdicts) {
    const isKnown = knownHere.has(name);
    if (verdict.outcome === 'pass') {
      passed++;
      if (isKnown) surprises.push(`${name} passes on ${provider}: take it off known-failures.json`);
    } else if (!isKnown && !isKnownOperator(verdict)) surprises.push(`${name} ${verdict.outcome}: ${verdict.reason}`);
  }
  if (surprises.length > 0) throw new Error(surpriseText(provider, surprises));
  return passed;
}

/** Operators of known-failures.json, by domain and name. */
export const missingOperators: ReadonlySet<string> = new Set(known.operators);

export const knownCaseNames: readonly string[] = knownFailures.flatMap(({ names }) => names);

/** Whether the case needs an operator that is known to be missing. */
function isKnownOperator({ outcome, reason }: Verdict): boolean {
  const operator = /(\S+) \(opset \d+\).*: no operator of this name is known/.exec(reason)?.[1];
  return outcome === 'unsupported' && operator !== undefined && missingOperators.has(operator);
}

function surpriseText(provider: string, surprises: readonly string[]): string {
  const shown = surprises.slice(0, 60).map((line) => `  ${line.replaceAll(/\s+/g, ' ').slice(0, 300)}`);
  const rest = surprises.length - shown.length;
  return [`${provider}: ${surprises.length} unexpected`, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])].join(
    '\n',
  );
}
