// The kit: runs all suites on one provider and says what came out.

import type { ProviderFactory } from '@onnx-ts/core';
import { hostInfo } from '@onnx-ts/core/internal';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import type { DeviceInfo } from '@onnx-ts/core/provider';
import type { Family } from './case.ts';
import type { LosableProvider } from './contract/trial.ts';
import { findingsOf } from './report/findings.ts';
import {
  type CaseResult,
  type ConformanceCase,
  type Judgement,
  type Outcome,
  outcomes,
  type SuiteId,
  suiteIds,
} from './result.ts';
import { carriedCases } from './stored/carried-cases.ts';
import type { StoredCase } from './stored/stored-case.ts';
import { judgementOf } from './subject/run-alone.ts';
import { claimCase } from './suites/claims.ts';
import { contractCases } from './suites/contract-suite.ts';
import { partitionCases } from './suites/partition-suite.ts';
import { propertyCases } from './suites/property-suite.ts';
import { storedSuite } from './suites/stored-suite.ts';

/** Which cases there are. The same selection gives the same cases in the same order, on every host. */
export interface CaseSelection {
  /** Absent means all. */
  readonly suites?: readonly SuiteId[];
  /** Cases whose name, with the suite in front (`contract/…`), it takes. */
  readonly filter?: (name: string) => boolean;
  /** Cases of the suite `onnx`: `directoryCases` or `urlCases`; absent means those that the kit carries. */
  readonly onnxCases?: readonly StoredCase[];
  /** Random cases of each generator in the suite `property`; 4 when absent. */
  readonly perGenerator?: number;
  /** Random graphs in the suite `partition`; 100 when absent. */
  readonly graphs?: number;
  /** Of random cases; 1 when absent. */
  readonly seed?: number;
  /** Generators of cases for operators of one's own. */
  readonly families?: readonly Family[];
  /** Definitions of these operators. */
  readonly operators?: readonly OperatorDefinition[];
  /** The other provider in the suite `partition`; the reference when absent. */
  readonly partner?: ProviderFactory;
  /** Opens the provider in a way that its device can be taken away. Without it, that promise is not tried. */
  readonly losable?: () => Promise<LosableProvider>;
}

export interface ConformanceOptions extends CaseSelection {
  /** For one case; 60 when absent. What hangs without giving way cannot be stopped from the same thread. */
  readonly timeoutSeconds?: number;
  readonly onResult?: (result: CaseResult, done: number, total: number) => void;
  /** Ends the run after the case under way; the report has what is done. */
  readonly signal?: AbortSignal;
  /** Runs a case somewhere else, for instance in a process that may crash. */
  readonly execute?: (test: ConformanceCase, at: number) => Promise<Judgement>;
}

export interface ConformanceReport {
  readonly format: 1;
  readonly provider: string;
  readonly device: string;
  readonly seed: number;
  readonly counts: Readonly<Record<Outcome, number>>;
  /** What the cases together show: operators that the provider takes and that no case has run. */
  readonly findings: readonly string[];
  readonly results: readonly CaseResult[];
  /** False when the signal ended it. */
  readonly isComplete: boolean;
}

/** The cases of a selection, in the order in which they run. */
export async function conformanceCases(selection: CaseSelection = {}): Promise<readonly ConformanceCase[]> {
  const { suites = suiteIds, seed = 1, families = [], operators = [], filter } = selection;
  const cases: ConformanceCase[] = [];
  const has = (suite: SuiteId): boolean => suites.includes(suite);
  if (has('contract')) cases.push(...contractCases(selection.losable));
  if (has('onnx')) cases.push(...storedSuite('onnx', selection.onnxCases ?? (await carriedCases('onnx'))));
  if (has('microsoft')) cases.push(...storedSuite('microsoft', await carriedCases('microsoft')));
  if (has('property')) {
    const { perGenerator = 4 } = selection;
    cases.push(...propertyCases({ perGenerator, seed, families, operators }));
    cases.push(claimCase(operators));
  }
  if (has('partition')) {
    const { graphs = 100, partner } = selection;
    cases.push(...partitionCases({ graphs, seed, ...(partner && { partner }) }));
  }
  return filter ? cases.filter((test) => filter(`${test.suite}/${test.name}`)) : cases;
}

/** Runs the kit on a provider. Never throws for what the provider does. */
export async function runConformance(
  provider: ProviderFactory,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const { onResult, signal, timeoutSeconds = 60 } = options;
  const cases = await conformanceCases(options);
  const device = await findDevice(provider);
  const missing = device.usable ? undefined : skipped(device.reason ?? 'there is no device');
  const execute = options.execute ?? ((test) => runCase(test, provider, timeoutSeconds));
  const results: CaseResult[] = [];
  const claimed = new Set<string>();
  const exercised = new Set<string>();
  for (const [at, test] of cases.entries()) {
    if (signal?.aborted) break;
    const start = performance.now();
    // Promises about discovering are kept without a device, too.
    const judgement = missing && !test.needsNoDevice ? missing : await execute(test, at);
    const result = resultOf(test, judgement, performance.now() - start);
    for (const op of judgement.claimed ?? []) claimed.add(op);
    if (isRight(judgement)) for (const op of judgement.ran ?? []) exercised.add(op);
    // Of an operator like Shape no node reaches a provider.
    if (judgement.isHosts && result.op !== undefined) exercised.add(result.op);
    results.push(result);
    onResult?.(result, results.length, cases.length);
  }
  const count = (outcome: Outcome): number => results.filter((result) => result.outcome === outcome).length;
  const isComplete = results.length === cases.length;
  const isWhole = isComplete && options.filter === undefined && (options.suites ?? suiteIds).includes('property');
  return {
    format: 1,
    provider: provider.id,
    device: device.name,
    seed: options.seed ?? 1,
    counts: Object.fromEntries(outcomes.map((outcome) => [outcome, count(outcome)])) as Record<Outcome, number>,
    findings: isWhole ? findingsOf(claimed, exercised) : [],
    results,
    isComplete,
  };
}

/** What ran gave the right results, alone or with the help of others. */
function isRight({ outcome }: Judgement): boolean {
  return outcome === 'pass' || outcome === 'unsupported';
}

/** Runs one case here. Never throws. */
export async function runCase(
  test: ConformanceCase,
  provider: ProviderFactory,
  timeoutSeconds: number,
): Promise<Judgement> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Judgement>((resolve) => {
    timer = setTimeout(
      () => resolve({ outcome: 'error', reason: `no answer within ${timeoutSeconds} s` }),
      timeoutSeconds * 1000,
    );
  });
  try {
    return await Promise.race([test.run(provider).catch(judgementOf), late]);
  } finally {
    clearTimeout(timer);
  }
}

function resultOf(test: ConformanceCase, judgement: Judgement, milliseconds: number): CaseResult {
  const { outcome, reason, text } = judgement;
  const [op, opset, dtype] = [judgement.op ?? test.op, judgement.opset ?? test.opset, judgement.dtype ?? test.dtype];
  return {
    suite: test.suite,
    name: test.name,
    ...(op !== undefined && { op }),
    ...(opset !== undefined && { opset }),
    ...(dtype !== undefined && { dtype }),
    outcome,
    reason,
    ...(text !== undefined && { text }),
    milliseconds: Math.round(milliseconds * 10) / 10,
  };
}

/** The device that sessions take, or one that says why there is none. */
async function findDevice(provider: ProviderFactory): Promise<Pick<DeviceInfo, 'name' | 'usable' | 'reason'>> {
  try {
    const devices = await provider.discover(hostInfo());
    return devices.find(({ usable }) => usable) ?? devices[0] ?? { name: 'none', usable: false };
  } catch (error) {
    return { name: 'none', usable: false, reason: `discover threw: ${String(error)}` };
  }
}

function skipped(reason: string): Judgement {
  return { outcome: 'skip', reason: `no device: ${reason}` };
}
