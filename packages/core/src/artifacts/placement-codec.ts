// What was decided about the nodes of a model and of its bodies, as JSON.

import type { Graph, GraphNode } from '../graph/graph.ts';
import { forEachGraph } from '../graph/traverse.ts';
import type { Placement } from '../partition/assign.ts';
import type { GraphPlacement, ModelPlacement } from '../partition/place-model.ts';

/** Graphs come in the order of `forEachGraph`; nodes are positions in their graph. */
export interface EncodedPlacement {
  readonly order: readonly number[];
  /** Null for graphs that are not run. */
  readonly graphs: readonly (EncodedGraphPlacement | null)[];
}

interface EncodedGraphPlacement {
  /** By node: the position of its provider, or whatever else was decided. */
  readonly nodes: readonly (number | Placement)[];
  readonly tasks?: readonly (readonly number[])[];
}

export function encodePlacement(model: Graph, { graphs, order }: ModelPlacement): EncodedPlacement {
  const encoded: (EncodedGraphPlacement | null)[] = [];
  forEachGraph(model, (graph) => {
    const placed = graphs.get(graph);
    encoded.push(placed ? encodeGraph(graph, placed) : null);
  });
  return { order, graphs: encoded };
}

function encodeGraph({ nodes }: Graph, { placements, tasks }: GraphPlacement): EncodedGraphPlacement {
  const positions = new Map(nodes.map((node, at) => [node, at]));
  return {
    nodes: nodes.map((node) => {
      const placement = placements.get(node)!;
      return placement.kind === 'provider' ? placement.provider : placement;
    }),
    ...(tasks && { tasks: tasks.map((task) => task.map((node) => positions.get(node)!)) }),
  };
}

/** @throws TypeError when it is of another model */
export function decodePlacement(model: Graph, { graphs, order }: EncodedPlacement): ModelPlacement {
  const decoded = new Map<Graph, GraphPlacement>();
  let position = 0;
  forEachGraph(model, (graph) => {
    const encoded = graphs[position++];
    if (encoded) decoded.set(graph, decodeGraph(graph, encoded));
  });
  return { graphs: decoded, order };
}

function decodeGraph(graph: Graph, { nodes, tasks }: EncodedGraphPlacement): GraphPlacement {
  if (nodes.length !== graph.nodes.length) throw new TypeError('the graph has other nodes than the placement');
  const placements = new Map<GraphNode, Placement>();
  for (const [at, node] of graph.nodes.entries()) {
    const placement = nodes[at];
    placements.set(node, typeof placement === 'number' ? { kind: 'provider', provider: placement } : placement);
  }
  return { placements, ...(tasks && { tasks: tasks.map((task) => task.map((at) => graph.nodes[at])) }) };
}
