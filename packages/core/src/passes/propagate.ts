// Types, sizes and constants in one walk along the graph: a shape computed from constants decides the types of the nodes
// after it, and those the next shape.

import type { Graph } from '../graph/graph.ts';
import type { FreshDims } from '../ops/context.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { foldNode } from './fold-constants.ts';
import { inferNode } from './infer-types.ts';

export interface Propagation {
  readonly registry: OperatorRegistry;
  readonly fresh: FreshDims;
  readonly evaluator: HostEvaluator;
}

/**
 * Infers and folds in place, bodies included; may be done again after rewrites. Nodes whose outputs are all constant go.
 * @throws OnnxTsError for the first node that is wrong
 */
export function propagate(graph: Graph, options: Propagation): void {
  propagateInto(graph, options, true, 0);
}

/**
 * @param settled false while the types of a loop's body are still tried out: then nothing is folded
 * @param depth bodies around the graph
 */
function propagateInto(graph: Graph, options: Propagation, settled: boolean, depth: number): void {
  const { registry, fresh, evaluator } = options;
  const inferBody = (body: Graph, isSettled: boolean): void =>
    propagateInto(body, options, settled && isSettled, depth + 1);
  graph.nodes = graph.nodes.filter((node) => {
    inferNode(node, registry, fresh, { inferBody, settled, depth });
    if (!settled || !foldNode(node, evaluator)) return true;
    for (const output of node.outputs) if (output) output.producer = undefined;
    return false;
  });
}
