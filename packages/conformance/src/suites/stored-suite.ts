// Cases with stored outputs, run without fallback: ONNX's backend tests and those that the kit carries.

import { type ProviderFactory, reference } from '@onnx-ts/core';
import { decodeValue, defaultRegistry } from '@onnx-ts/core/internal';
import type { GraphProto, ModelProto, NodeProto } from '@onnx-ts/onnx-proto';
import type { Feeds, Tolerance } from '../case.ts';
import { differenceOf } from '../compare.ts';
import type { ConformanceCase, Judgement, Subject, SuiteId } from '../result.ts';
import { type Declarations, declarationsOf } from '../stored/declarations.ts';
import { onnxTolerance, type StoredCase } from '../stored/stored-case.ts';
import { AloneSession, judgementOf, type Results } from '../subject/run-alone.ts';
import { operatorName } from '../subject/watch.ts';
import { dtypeOfFeeds, hostOnly } from './case-facts.ts';

export function storedSuite(suite: SuiteId, cases: readonly StoredCase[]): ConformanceCase[] {
  return cases.map((test) => ({
    suite,
    name: test.name,
    ...(test.op !== undefined && { op: test.op }),
    run: (provider) => runStored(provider, test),
  }));
}

async function runStored(provider: ProviderFactory, test: StoredCase): Promise<Judgement> {
  const data = await test.load();
  const declarations = declarationsOf(data.model);
  const sets = data.dataSets.map((set) => ({
    feeds: valuesOf(set.inputs, declarations.inputs),
    expected: valuesOf(set.outputs, declarations.outputs),
  }));
  const subject = { ...subjectOf(declarations.proto, test), ...dtypeOfFeeds(sets[0]?.feeds ?? {}) };
  let session: AloneSession | undefined;
  try {
    session = await AloneSession.open(provider, data.model, { seed: 0 });
    const tolerance = toleranceOf(test);
    for (const { feeds, expected } of sets) {
      const difference = firstDifference(await session.run(feeds), expected, tolerance);
      if (difference === undefined) continue;
      const isForm = /" (is |has shape)/.test(difference);
      const others = isForm ? undefined : firstDifference(await onReference(data.model, feeds), expected, tolerance);
      if (others === undefined) return { ...subject, outcome: 'fail', reason: difference };
      // Values out of a random generator: ONNX asks for a distribution, not for that generator.
      if (isRandom(declarations.proto)) continue;
      return { ...subject, outcome: 'skip', reason: `the reference does not give the stored values either: ${others}` };
    }
    const left = session.left();
    const claimed = [...session.watch.claimed];
    const { ran } = session;
    if (left !== undefined) return { ...subject, outcome: 'unsupported', reason: left, ran, claimed };
    if (ran.length === 0) return { ...subject, ...hostOnly };
    return { ...subject, outcome: 'pass', reason: '', ran, claimed };
  } catch (error) {
    return { ...subject, ...judgementOf(error) };
  } finally {
    await session?.dispose();
  }
}

function valuesOf(files: readonly (Uint8Array | undefined)[], values: Declarations['inputs']): Feeds {
  return Object.fromEntries(
    values.flatMap(({ name, type }, at) => {
      const bytes = files[at];
      return bytes ? [[name, decodeValue(bytes, type)]] : [];
    }),
  );
}

function firstDifference(actual: Results, expected: Feeds, tolerance: Tolerance): string | undefined {
  for (const [name, want] of Object.entries(expected)) {
    const difference = differenceOf(unwrapped(actual[name], want), want, tolerance, 0);
    if (difference !== undefined) return `"${name}" ${difference}`;
  }
  return undefined;
}

/** An optional that holds something may come back as that something, and the other way round. */
function unwrapped(actual: Results[string] | undefined, wanted: Results[string]): Results[string] | undefined {
  const [from, to] = [actual, wanted].map((value) => value && 'kind' in value && value.kind === 'optional');
  if (!actual || from === to) return actual;
  return from ? (actual as { readonly value?: Results[string] }).value : { kind: 'optional', value: actual };
}

function toleranceOf({ tolerance = onnxTolerance }: StoredCase): Tolerance {
  const { relative, absolute, integers = 0 } = tolerance;
  return { ulps: 0, spread: 0, absolute, integers, relative };
}

/** The operator of the case, or the one whose nodes are most. */
function subjectOf({ graph, opsetImport }: ModelProto, test: StoredCase): Subject {
  const [node] = graph?.node ?? [];
  const named = test.op ?? (node && operatorName({ domain: node.domain ?? '', op: node.opType ?? '' }));
  const domain = named?.includes(':') ? named.split(':')[0] : '';
  const opset = opsetImport.find((entry) => (entry.domain ?? '') === domain)?.version;
  return { ...(named && { op: named }), ...(opset !== undefined && { opset: Number(opset) }) };
}

function nodesOf(graph: GraphProto | undefined): NodeProto[] {
  return (graph?.node ?? []).flatMap((node) => [
    node,
    ...node.attribute.flatMap((attribute) =>
      [attribute.g, ...attribute.graphs].flatMap((body) => nodesOf(body ?? undefined)),
    ),
  ]);
}

/** Whether a node of the model may draw random numbers. */
function isRandom(model: ModelProto): boolean {
  const registry = defaultRegistry();
  const nodes = [...nodesOf(model.graph ?? undefined), ...model.functions.flatMap(({ node }) => node)];
  return nodes.some(({ domain, opType }) => registry.find(domain ?? '', opType ?? '', Infinity)?.nondeterministic);
}

async function onReference(model: Uint8Array, feeds: Feeds): Promise<Results> {
  await using session = await AloneSession.open(reference(), model, { seed: 0 });
  return await session.run(feeds);
}
