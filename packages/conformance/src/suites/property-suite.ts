// Random cases of every operator: shapes, broadcasting, empty and scalar tensors, negative axes, open sizes. The reference
// provider says what is right.

import { OnnxTsError, type ProviderFactory, reference } from '@onnx-ts/core';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { type Family, operatorOf } from '../case.ts';
import { differenceOf, scaleOf } from '../compare.ts';
import { families } from '../families.ts';
import { knownDifference } from '../known-differences.ts';
import { type MadeCase, makeCase } from '../make-case.ts';
import { printCase } from '../print-case.ts';
import { type ConformanceCase, type Judgement, Skipped, type Subject } from '../result.ts';
import { AloneSession, judgementOf, type Results } from '../subject/run-alone.ts';
import { imbalanceOf, operatorName } from '../subject/watch.ts';
import { dtypeOfFeeds, hostOnly } from './case-facts.ts';

export interface PropertyOptions {
  /** Cases of each generator. */
  readonly perGenerator: number;
  readonly seed: number;
  /** Families of the caller's own operators, beside those of the kit. */
  readonly families: readonly Family[];
  readonly operators: readonly OperatorDefinition[];
}

/** A case, and what sessions need beside its model. */
interface Task {
  readonly test: MadeCase;
  readonly model: Uint8Array;
  readonly operators: readonly OperatorDefinition[];
}

export function propertyCases({ perGenerator, seed, families: own, operators }: PropertyOptions): ConformanceCase[] {
  const all = [...families, ...own];
  return all.flatMap((family) =>
    Object.keys(family.cases).flatMap((key) =>
      Array.from({ length: perGenerator }, (_, at): ConformanceCase => {
        const source = { family: family.name, only: key, seed: seed * 1000 + at };
        return {
          suite: 'property',
          name: `${family.name}/${key}/${source.seed}`,
          op: operatorName({ domain: operatorOf(key).domain, op: operatorOf(key).op }),
          run: async (provider) => {
            const test = makeCase(source, { families: all });
            return runProperty(provider, { test, model: encodeModel(test.model), operators });
          },
        };
      }),
    ),
  );
}

async function runProperty(provider: ProviderFactory, task: Task): Promise<Judgement> {
  const { test, model, operators } = task;
  const subject: Subject = { opset: opsetOf(test), ...dtypeOfFeeds(test.feeds) };
  let session: AloneSession | undefined;
  try {
    session = await AloneSession.open(provider, model, { operators });
    const judgement = await judgeRuns(session, task);
    const { claimed } = session.watch;
    await session.dispose();
    const imbalance = imbalanceOf(session.watch);
    const final =
      judgement.outcome === 'pass' && imbalance ? { outcome: 'fail' as const, reason: imbalance } : judgement;
    const text = final.outcome === 'fail' || final.outcome === 'error' ? { text: printCase(test) } : {};
    return { ...subject, ...final, ran: session.ran, claimed: [...claimed], ...text };
  } catch (error) {
    const judgement = await blame(error, task);
    const text = judgement.outcome === 'unsupported' || judgement.outcome === 'skip' ? {} : { text: printCase(test) };
    return { ...subject, ...judgement, ...(session && { claimed: [...session.watch.claimed] }), ...text };
  } finally {
    await session?.dispose();
  }
}

/** Version of the operator's domain. */
function opsetOf({ op, model }: MadeCase): number {
  const { domain } = operatorOf(op);
  return Number(model.opsetImport?.find((entry) => (entry.domain ?? '') === domain)?.version);
}

async function judgeRuns(session: AloneSession, task: Task): Promise<Judgement> {
  const { test } = task;
  // Nothing to compare where nothing is the provider's.
  if (!session.isAsked) return unasked(session);
  const [expected, other] = await referenceResults(task);
  const difference =
    differenceIn(await session.run(test.feeds), expected, test, test.feeds) ??
    (other && test.otherFeeds && differenceIn(await session.run(test.otherFeeds), other, test, test.otherFeeds));
  if (difference !== undefined) return { outcome: 'fail', reason: difference };
  const again = differenceIn(await session.run(test.feeds), expected, test, test.feeds);
  if (again !== undefined) return { outcome: 'fail', reason: `in a further run, ${again}` };
  const left = session.left();
  if (left !== undefined) return { outcome: 'unsupported', reason: left };
  if (session.watch.compiled.size === 0) return unasked(session);
  return { outcome: 'pass', reason: '' };
}

function unasked({ watch: { refused } }: AloneSession): Judgement {
  const [first] = refused;
  if (first) return { outcome: 'unsupported', reason: `${first[0]}: ${first[1]}` };
  return hostOnly;
}

/** @throws Skipped when the reference does not run the case */
async function referenceResults({ test, model, operators }: Task): Promise<readonly [Results, Results | undefined]> {
  try {
    await using session = await AloneSession.open(reference(), model, { operators });
    const first = await session.run(test.feeds);
    // Feeds of other sizes may not suit the operators.
    const other = test.otherFeeds && (await session.run(test.otherFeeds).catch(() => undefined));
    return [first, other];
  } catch (error) {
    throw new Skipped(`the reference does not run it: ${(error as Error).message}`);
  }
}

/** Whose fault an error is: the reference must not have it, too. */
async function blame(error: unknown, task: Task): Promise<Judgement> {
  const { test } = task;
  const judgement = judgementOf(error);
  if (judgement.outcome !== 'fail' && judgement.outcome !== 'error') return judgement;
  const known = knownDifference('cpu', {
    ...judgement,
    outcome: 'error',
    op: test.op,
    text: printCase(test),
    choices: [],
  });
  if (known) return { outcome: 'skip', reason: `left open: ${known.why}` };
  if (!OnnxTsError.is(error)) return judgement;
  try {
    await referenceResults(task);
    return judgement;
  } catch (skipped) {
    return judgementOf(skipped);
  }
}

function differenceIn(
  actual: Results,
  expected: Results,
  test: MadeCase,
  feeds: MadeCase['feeds'],
): string | undefined {
  const scale = scaleOf(Object.values(feeds));
  for (const [name, value] of Object.entries(expected)) {
    const difference = differenceOf(actual[name], value, test.tolerance, scale);
    if (difference !== undefined) return `"${name}" ${difference}`;
  }
  return undefined;
}
