// Random graphs that are split at random between two providers: the results must be those of one.

import { createSession, type Explanation, OnnxTsError, type ProviderFactory, reference } from '@onnx-ts/core';
import type { GraphNode } from '@onnx-ts/core/provider';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { differenceOf, scaleOf } from '../compare.ts';
import { type JoinedGraph, makeJoinedGraph } from '../joined-graph.ts';
import { printCase } from '../print-case.ts';
import { Draws } from '../random.ts';
import type { ConformanceCase, Judgement } from '../result.ts';
import { lowerChoices } from '../shrink.ts';
import { AloneSession, judgementOf, type Results } from '../subject/run-alone.ts';
import { delegate, imbalanceOf, watchProvider } from '../subject/watch.ts';

export interface PartitionOptions {
  readonly graphs: number;
  readonly seed: number;
  /** Absent means the reference. */
  readonly partner?: ProviderFactory;
}

export function partitionCases({ graphs, seed, partner }: PartitionOptions): ConformanceCase[] {
  return Array.from({ length: graphs }, (_, at): ConformanceCase => {
    const own = seed * 1000 + at;
    return {
      suite: 'partition',
      name: `graph ${own}`,
      run: (provider) => runSplit(provider, partner ?? reference(), own),
    };
  });
}

/** Attempts at a split in which both providers have something to do. */
const attempts = 6;

/** Attempts at making a failing case smaller, and milliseconds that they may take. */
const trials = 120;
const shrinkTime = 15_000;

interface Verdict extends Judgement {
  readonly choices: readonly number[];
}

async function runSplit(provider: ProviderFactory, partner: ProviderFactory, seed: number): Promise<Judgement> {
  const found = await judge(provider, partner, Draws.seeded(seed));
  if (found.outcome !== 'fail' && found.outcome !== 'error') return withoutChoices(found);
  let smallest = found;
  const end = performance.now() + shrinkTime;
  await lowerChoices(found.choices, { trials, first: 0 }, async (choices) => {
    if (performance.now() > end) return undefined;
    const verdict = await judge(provider, partner, Draws.replay(choices));
    if (verdict.outcome !== found.outcome) return undefined;
    smallest = verdict;
    return verdict.choices;
  });
  const text = `seed ${seed}, made smaller\n${smallest.text ?? ''}\nchoices ${smallest.choices.join(',')}`;
  return { ...withoutChoices(smallest), text };
}

function withoutChoices({ choices: _, ...judgement }: Verdict): Judgement {
  return judgement;
}

async function judge(provider: ProviderFactory, partner: ProviderFactory, draws: Draws): Promise<Verdict> {
  let graph: JoinedGraph;
  const share = [50, 25, 75][draws.below(3)];
  const salt = draws.below(1 << 16);
  try {
    graph = makeJoinedGraph(draws);
  } catch (error) {
    return { outcome: 'skip', reason: `no graph: ${(error as Error).message}`, choices: draws.choices };
  }
  const { choices } = draws;
  const model = encodeModel(graph.model);
  let expected: Results;
  try {
    await using alone = await AloneSession.open(reference(), model);
    expected = await alone.run(graph.feeds);
  } catch (error) {
    return { outcome: 'skip', reason: `the reference does not run it: ${(error as Error).message}`, choices };
  }
  const subject = { outcome: 'pass' as const, reason: '', choices };
  let places = '';
  try {
    await using alone = await AloneSession.open(provider, model);
    if (!alone.isAsked) {
      const [[op, reason] = ['', '']] = alone.watch.refused;
      return { ...subject, outcome: 'unsupported', reason: `${op}: ${reason}` };
    }
    const difference = differenceIn(await alone.run(graph.feeds), expected, graph);
    if (difference !== undefined) {
      return { ...subject, outcome: 'fail', reason: `on one provider alone, ${difference}`, text: textOf(graph, '') };
    }
    for (let attempt = 0; attempt < attempts; attempt++) {
      const split = await runOnTwo([provider, partner], model, graph, (name) =>
        isOnPartner(name, salt + attempt, share),
      );
      places = split.places;
      if (split.imbalance !== undefined)
        return { ...subject, outcome: 'fail', reason: split.imbalance, text: textOf(graph, places) };
      const apart = differenceIn(split.results, expected, graph);
      if (apart !== undefined) {
        return { ...subject, outcome: 'fail', reason: `split between two, ${apart}`, text: textOf(graph, places) };
      }
      if (split.isSplit) return { ...subject, ran: alone.ran };
    }
    return { ...subject, outcome: 'skip', reason: 'every split that was tried leaves all to one provider' };
  } catch (error) {
    // What neither can do is no matter of splitting.
    if (OnnxTsError.is(error) && error.code === 'UNSUPPORTED') return { ...subject, ...judgementOf(error) };
    return { ...subject, ...judgementOf(error), text: textOf(graph, places) };
  }
}

/** FNV-1a of a node's name, so that a node is always asked about alike. */
function isOnPartner(name: string, salt: number, share: number): boolean {
  let hash = 0x811c9dc5 ^ salt;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  hash ^= hash >>> 15;
  return (hash >>> 0) % 100 < share;
}

interface SplitRun {
  readonly results: Results;
  /** Both had something to do. */
  readonly isSplit: boolean;
  /** Which nodes were where, in words. */
  readonly places: string;
  readonly imbalance: string | undefined;
}

async function runOnTwo(
  [first, second]: readonly [ProviderFactory, ProviderFactory],
  model: Uint8Array,
  { feeds }: JoinedGraph,
  isOnSecond: (name: string) => boolean,
): Promise<SplitRun> {
  const own = watchProvider(restrict(first, first.id, (node) => !isOnSecond(node.name)));
  // The other has the rest, also where it could do more: placement has no choice then.
  const isLeft = (node: GraphNode): boolean => !own.watches[0].provider.supports(node).ok;
  const other = watchProvider(restrict(second, first.id === second.id ? `${second.id} 2` : second.id, isLeft));
  const session = await createSession(model, {
    providers: [own.factory, other.factory],
    placement: 'providers',
    seed: 1,
  });
  let results: Results;
  let steps: Explanation['steps'];
  try {
    results = await session.run(feeds);
    const again = await session.run(feeds);
    steps = session.explain().steps;
    for (const [name, value] of Object.entries(results)) {
      const difference = differenceOf(again[name], value, { ulps: 0, spread: 0, absolute: 0, integers: 0 }, 0);
      if (difference !== undefined) throw new Error(`a further run gives another "${name}": it ${difference}`);
    }
  } finally {
    await session.dispose();
  }
  const used = new Set(steps.filter(({ place }) => place === 'provider').map((step) => step.provider));
  const lines = steps.map((step) => `${step.provider}: ${step.nodes.map(({ name }) => name).join(' ')}`);
  const [watch, otherWatch] = [own.watches[0], other.watches[0]];
  return {
    results,
    isSplit: used.size > 1,
    places: lines.join('\n'),
    imbalance: imbalanceOf(watch) ?? imbalanceOf(otherWatch),
  };
}

/** The provider under an id, for the nodes that it is to have. */
function restrict(factory: ProviderFactory, id: string, takes: (node: GraphNode) => boolean): ProviderFactory {
  return {
    id,
    apiVersion: 1,
    discover: async (host) => (await factory.discover(host)).map((device) => ({ ...device, provider: id })),
    async open(device, options) {
      const provider = await factory.open({ ...device, provider: factory.id }, options);
      return {
        ...delegate(provider),
        id,
        supports: (node) =>
          takes(node) ? provider.supports(node) : { ok: false, reason: 'left to the other provider' },
      };
    },
  };
}

function differenceIn(actual: Results, expected: Results, { feeds, tolerance }: JoinedGraph): string | undefined {
  const scale = scaleOf(Object.values(feeds));
  for (const [name, value] of Object.entries(expected)) {
    const difference = differenceOf(actual[name], value, tolerance, scale);
    if (difference !== undefined) return `"${name}" ${difference}`;
  }
  return undefined;
}

function textOf({ model, feeds, tolerance, parts }: JoinedGraph, places: string): string {
  const test = { family: 'joined', op: parts.join(' + '), model, feeds, tolerance };
  return `${test.op}\n${printCase(test)}\n${places}`;
}
