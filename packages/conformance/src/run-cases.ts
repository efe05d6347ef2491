// Judges cases: two runtimes, one verdict.

import { OnnxTsError } from '@onnx-ts/core';
import type { RandomCase, Tolerance } from './case.ts';
import { differenceOf, scaleOf } from './compare.ts';
import { type CaseSource, type MadeCase, makeCase } from './make-case.ts';
import { printCase } from './print-case.ts';
import { type AllResults, isPeer, NotSupported, type Results, type RuntimeId, runOn } from './runtimes.ts';

/**
 * - `pass`: both agree;
 * - `fail`: they do not;
 * - `unsupported`: one of them lacks what the case needs;
 * - `error`: one of them threw something else, or ended its process;
 * - `timeout`: no answer in time.
 */
export type Outcome = 'pass' | 'fail' | 'unsupported' | 'error' | 'timeout';

export interface Verdict {
  readonly outcome: Outcome;
  readonly op: string;
  /** Why it did not pass. */
  readonly reason: string;
  readonly text: string;
  readonly choices: readonly number[];
}

/** Other implementations of a function come with errors of their own. */
function peerTolerance({ ulps, spread, ...rest }: Tolerance): Tolerance {
  if (ulps === 0 && spread === 0) return { ulps, spread, ...rest };
  return { ulps: ulps * 2 + 4, spread: spread * 2 + 1, ...rest };
}

/** Never throws. */
export async function judge(source: CaseSource, against: RuntimeId): Promise<Verdict> {
  let test: MadeCase;
  try {
    test = makeCase(source, { isPeer: isPeer(against) });
  } catch (error) {
    return {
      outcome: 'error',
      op: source.only ?? '',
      reason: `generator: ${(error as Error).stack}`,
      text: '',
      choices: [],
    };
  }
  const verdict = (outcome: Outcome, reason = ''): Verdict => {
    const text = outcome === 'pass' ? '' : printCase(test);
    return { outcome, op: test.op, reason, text, choices: test.choices };
  };
  let expected: AllResults;
  try {
    expected = await runOn('reference', test);
  } catch (error) {
    return verdict(outcomeOf(error), `reference: ${messageOf(error)}`);
  }
  if (test.twin) {
    try {
      const [others] = await runOn('reference', { ...test, model: test.twin });
      const difference = twinDifference(expected[0], others, test);
      if (difference !== undefined) return verdict('fail', difference);
    } catch (error) {
      return verdict(outcomeOf(error), `reference, the same in another operator set: ${messageOf(error)}`);
    }
  }
  let actual: AllResults;
  try {
    actual = await runOn(against, test, expected);
  } catch (error) {
    return verdict(outcomeOf(error), `${against}: ${messageOf(error)}`);
  }
  const tolerance = isPeer(against) ? peerTolerance(test.tolerance) : test.tolerance;
  for (const [at, feeds] of [test.feeds, test.otherFeeds].entries()) {
    const scale = scaleOf(Object.values(feeds ?? {}));
    for (const [name, value] of Object.entries(expected[at] ?? {})) {
      if (!actual[at]) continue;
      const difference = differenceOf(actual[at][name], value, tolerance, scale);
      const label = at === 0 ? '' : 'with other sizes, ';
      if (difference !== undefined) return verdict('fail', `${label}"${name}" of ${against} ${difference}`);
    }
  }
  return verdict('pass');
}

/** The outputs of the two models have other names, and the same order. */
function twinDifference(results: Results, others: Results, { tolerance, feeds }: RandomCase): string | undefined {
  const wanted = Object.values(others);
  for (const [at, [name, value]] of Object.entries(results).slice(0, wanted.length).entries()) {
    const difference = differenceOf(value, wanted[at], tolerance, scaleOf(Object.values(feeds)));
    if (difference !== undefined) return `"${name}" ${difference}, as the same in another operator set says`;
  }
  return undefined;
}

function outcomeOf(error: unknown): Outcome {
  return error instanceof NotSupported || (OnnxTsError.is(error) && error.code === 'UNSUPPORTED')
    ? 'unsupported'
    : 'error';
}

function messageOf(error: unknown): string {
  if (OnnxTsError.is(error)) {
    const cause = error.code === 'INTERNAL' && error.cause instanceof Error ? `\n${error.cause.stack}` : '';
    return `${error.code}: ${error.message}${cause}`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
