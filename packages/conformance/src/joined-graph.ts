// Random graphs of several parts: a small graph of many operators, and cases of others beside it, tied together at the end.

import type { MessageInput, ModelProto } from '@onnx-ts/onnx-proto';
import { exact, type Family, type Feeds, operatorOf, type Tolerance } from './case.ts';
import { CaseBuilder } from './case-builder.ts';
import { families } from './families.ts';
import { GraphBuilder } from './graph-builder.ts';
import type { Draws } from './random.ts';
import { versionsOf } from './schemas.ts';

export interface JoinedGraph {
  readonly model: MessageInput<ModelProto>;
  readonly feeds: Feeds;
  readonly tolerance: Tolerance;
  /** Generators of the parts. */
  readonly parts: readonly string[];
}

const opset = 21;

/** Results of these are no tensors of numbers, differ from run to run, or belong to older operator sets. */
const leftOut = new Set(['containers', 'control', 'text', 'random', 'training', 'classical', 'early', 'shape']);

export function makeJoinedGraph(draws: Draws): JoinedGraph {
  const counter = { next: 0 };
  const whole = new GraphBuilder(counter);
  const feeds: Record<string, Feeds[string]> = {};
  let tolerance = exact;
  const parts: string[] = [];
  const graphs = families.find(({ name }) => name === 'graphs')!;
  const count = 1 + draws.below(3);
  for (let at = 0; at < count; at++) {
    const family = at === 0 || draws.coin() ? graphs : draws.pick(joinable);
    const builder = makePart(family, draws, new GraphBuilder(counter));
    if (!builder) continue;
    parts.push(`${family.name}/${builder.key}`);
    const { graph } = builder.builder;
    whole.inputs.push(...graph.inputs);
    whole.initializers.push(...graph.initializers);
    whole.nodes.push(...graph.nodes);
    whole.outputs.push(...graph.outputs);
    Object.assign(feeds, builder.builder.feeds);
    tolerance = looser(tolerance, builder.builder.tolerance);
  }
  tieTogether(whole);
  const domains = [...new Set(whole.nodes.map((node) => node.domain ?? ''))].filter(Boolean);
  return {
    model: {
      irVersion: 10,
      opsetImport: [{ version: opset }, ...domains.map((domain) => ({ domain, version: 1 }))],
      graph: whole.message(),
    },
    feeds,
    tolerance,
    parts,
  };
}

const joinable = families.filter(({ name, opsets }) => !leftOut.has(name) && (!opsets || opsets[1] >= opset));

/** Undefined when the generator that was picked has no version for the operator set. */
function makePart(
  family: Family,
  draws: Draws,
  graph: GraphBuilder,
): { readonly key: string; readonly builder: CaseBuilder } | undefined {
  const key = draws.pick(Object.keys(family.cases));
  const { domain, op } = operatorOf(key);
  if (domain !== '' && domain !== 'com.microsoft') return undefined;
  const versions = versionsOf(op, domain);
  const version = domain === '' ? versions.find(({ since, until }) => since <= opset && opset <= until) : versions[0];
  // Graphs of many operators have no schema.
  if (!version && versions.length > 0) return undefined;
  const builder = new CaseBuilder({ draws, opset, version, isPeer: false, graph });
  family.cases[key](builder);
  return { key, builder };
}

function looser(a: Tolerance, b: Tolerance): Tolerance {
  return {
    ulps: Math.max(a.ulps, b.ulps),
    spread: Math.max(a.spread, b.spread),
    // Integers of one part meet floats of another where they are tied together.
    absolute: Math.max(a.absolute, b.absolute, b.integers),
    integers: Math.max(a.integers, b.integers),
  };
}

/** One more output that depends on all others: the largest element of any. */
function tieTogether(graph: GraphBuilder): void {
  const largest = graph.outputs.map(({ name }) => {
    const floats = graph.op('Cast', [name], { to: 1 });
    return graph.op('ReduceMax', [floats], { keepdims: 0 });
  });
  if (largest.length > 1) graph.output(graph.op('Max', largest), 'float32', []);
}
