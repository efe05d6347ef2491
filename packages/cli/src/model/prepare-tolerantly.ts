// Prepares a graph as a session does; where a session would give up, goes on and collects what is wrong.

import { OnnxTsError } from '@onnx-ts/core';
import {
  defaultRegistry,
  type Graph,
  type GraphNode,
  HostEvaluator,
  type ImportedModel,
  prepareGraph,
  type Value,
} from '@onnx-ts/core/internal';

export interface GraphProblem {
  readonly node: string;
  readonly op: string;
  readonly reason: string;
  readonly code: string;
}

export interface PreparedGraph {
  readonly graph: Graph;
  readonly problems: readonly GraphProblem[];
  /** Nodes that depend on a problem: their types are not known, and they are not in the graph. */
  readonly blocked: number;
}

/**
 * @param importGraph gives a new graph each time
 * @throws whatever is not about a node
 */
export function prepareTolerantly(importGraph: () => ImportedModel): PreparedGraph {
  const registry = defaultRegistry();
  const evaluator = new HostEvaluator(registry);
  const { graph, fresh } = importGraph();
  try {
    prepareGraph(graph, { registry, fresh, evaluator });
    return { graph, problems: [], blocked: 0 };
  } catch (error) {
    if (!OnnxTsError.is(error)) throw error;
  }
  // Node by node, each in a graph of its own, so that one failure does not hide the others.
  const second = importGraph();
  const problems: GraphProblem[] = [];
  const unknown = new Set<Value>();
  const nodes: GraphNode[] = [];
  let blocked = 0;
  for (const node of second.graph.nodes) {
    const outputs = node.outputs.filter((value) => value !== undefined);
    try {
      if (node.inputs.some((value) => value !== undefined && unknown.has(value))) {
        registry.resolve(node);
        blocked++;
      } else {
        const alone: Graph = { ...second.graph, nodes: [node], outputs: [...outputs] };
        prepareGraph(alone, { registry, fresh: second.fresh, evaluator });
        nodes.push(...alone.nodes);
        continue;
      }
    } catch (error) {
      if (!OnnxTsError.is(error)) throw error;
      problems.push({ node: node.name, op: operatorName(node), reason: error.message, code: error.code });
    }
    for (const output of outputs) unknown.add(output);
  }
  return { graph: { ...second.graph, nodes }, problems, blocked };
}

export function operatorName({ domain, op }: Pick<GraphNode, 'domain' | 'op'>): string {
  return domain === '' ? op : `${domain}.${op}`;
}
