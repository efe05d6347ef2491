// All provider-neutral passes in order: from an imported graph to one that can be placed.

import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { removeDeadNodes } from '../graph/patch.ts';
import { forEachGraph } from '../graph/traverse.ts';
import { differentiate } from './differentiate.ts';
import { eliminateNodes } from './eliminate.ts';
import { expandComposites } from './expand-composites.ts';
import { inlineBranches } from './inline-branches.ts';
import { mergeEqualConstants } from './merge-constants.ts';
import { mergeEqualNodes } from './merge-equal.ts';
import { type Propagation, propagate } from './propagate.ts';

export interface PrepareOptions extends Propagation {
  /** Composites that a provider compiles as they are. */
  readonly keep?: (node: GraphNode) => boolean;
  /** False leaves out the rewrites that only save work. */
  readonly optimize?: boolean;
  /** Called after each pass, for tests and for people who look for a bug. */
  readonly onPass?: (pass: string, graph: Graph) => void;
}

/** Rounds of rewriting; each one expands composites that the one before brought in, and real models need three. */
const mostRounds = 16;

/** In place. @throws OnnxTsError for the first node that is wrong */
export function prepareGraph(graph: Graph, options: PrepareOptions): void {
  const { registry, fresh, keep, optimize = true, onPass } = options;
  forEachGraph(graph, (part) => differentiate(part, registry, fresh));
  for (let round = 0; round < mostRounds; round++) {
    // Symbols that a rewrite made unnecessary, and sizes that it made known, pass on to all that follows.
    propagate(graph, options);
    onPass?.('propagate', graph);
    let changed = false;
    const rewrite = (pass: string, apply: (part: Graph) => boolean): void => {
      forEachGraph(graph, (part) => {
        if (apply(part)) changed = true;
      });
      removeDeadNodes(graph);
      onPass?.(pass, graph);
    };
    rewrite('inline branches', (part) => inlineBranches(part, registry));
    if (optimize) {
      rewrite('eliminate', eliminateNodes);
      rewrite('merge equal nodes', mergeEqualNodes);
    }
    rewrite('expand composites', (part) => expandComposites(part, registry, fresh, keep));
    if (changed) continue;
    mergeEqualConstants(graph);
    onPass?.('merge equal constants', graph);
    return;
  }
  const names = graph.nodes.filter((node) => node.operator?.expand).map((node) => `"${node.name}" (${node.op})`);
  throw new OnnxTsError(
    'INTERNAL',
    `rewriting the graph does not end. Composites left: ${names.slice(0, 5).join(', ')}.`,
  );
}
