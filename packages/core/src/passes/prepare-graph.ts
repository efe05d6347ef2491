// All provider-neutral passes in order: from an imported graph to one that can be placed.

import type { Graph, GraphNode } from '../graph/graph.ts';
import { bodiesOf } from '../graph/traverse.ts';
import type { FreshDims } from '../ops/context.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { eliminateNodes } from './eliminate.ts';
import { expandComposites } from './expand-composites.ts';
import { foldConstants, foldNode } from './fold-constants.ts';
import { inferNode } from './infer-types.ts';

export interface PrepareOptions {
  readonly registry: OperatorRegistry;
  readonly fresh: FreshDims;
  readonly evaluator: HostEvaluator;
  /** Composites that a provider compiles as they are. */
  readonly keep?: (node: GraphNode) => boolean;
}

/** In place. @throws OnnxTsError for the first node that is wrong */
export function prepareGraph(graph: Graph, options: PrepareOptions): void {
  const { registry, fresh, evaluator, keep } = options;
  // Folding while inferring: a shape computed from constants decides the types of the nodes after it.
  for (const node of graph.nodes) {
    inferNode(node, registry, fresh);
    foldNode(node, evaluator);
  }
  finish(graph);

  function finish(part: Graph): void {
    foldConstants(part, evaluator);
    expandComposites(part, registry, fresh, keep);
    foldConstants(part, evaluator);
    eliminateNodes(part);
    for (const node of part.nodes) for (const body of bodiesOf(node)) finish(body);
  }
}
