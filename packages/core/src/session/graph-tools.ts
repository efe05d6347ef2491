import type { Graph } from '../graph/graph.ts';
import { loadOperators } from '../ops/load-operators.ts';
import type { OperatorRegistry } from '../ops/operator-registry.ts';
import { HostEvaluator } from './host-evaluator.ts';
import type { SessionOptions } from './options.ts';

/** What the nodes of a graph mean. */
export interface GraphTools {
  readonly registry: OperatorRegistry;
  readonly evaluator: HostEvaluator;
}

/** @throws OnnxTsError when operators of the graph cannot be fetched */
export async function toolsFor(graph: Graph, { operators, seed }: SessionOptions): Promise<GraphTools> {
  const registry = await loadOperators(graph, operators);
  return { registry, evaluator: new HostEvaluator(registry, seeds(seed)) };
}

/** Seeds of random operators that have none of their own: each time another one, the same ones for the same option. */
function seeds(first: number = Math.random() * 2 ** 32): () => number {
  let count = 0;
  return () => first + count++;
}
