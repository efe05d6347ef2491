// Walks over graphs: producers, consumers, topological order.

import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from './graph.ts';

/** Graphs inside a node's attributes: bodies of If, Loop, Scan. */
export function bodiesOf(node: GraphNode): Graph[] {
  const bodies: Graph[] = [];
  for (const attribute of node.attributes.values()) {
    if (attribute.type === 'graph') bodies.push(attribute.value);
    if (attribute.type === 'graphs') bodies.push(...attribute.value);
  }
  return bodies;
}

/** Calls `visit` for every graph, bodies before the graph that holds them. */
export function forEachGraph(graph: Graph, visit: (graph: Graph) => void): void {
  for (const node of graph.nodes) for (const body of bodiesOf(node)) forEachGraph(body, visit);
  visit(graph);
}

/** What a body takes from the graphs around it: values that are neither its own nor constants. */
export function capturesOf(body: Graph): Set<Value> {
  const own = new Set<Value>([...body.inputs, ...body.initializers]);
  for (const node of body.nodes) for (const output of node.outputs) if (output) own.add(output);
  const captures = new Set<Value>();
  const add = (value: Value): void => {
    if (!value.constant && !own.has(value)) captures.add(value);
  };
  for (const node of body.nodes) operandsOf(node).forEach(add);
  body.outputs.forEach(add);
  return captures;
}

/** Values a node needs: its inputs and what its bodies capture, each once. */
export function operandsOf(node: GraphNode): Value[] {
  const operands = new Set<Value>();
  for (const input of node.inputs) if (input) operands.add(input);
  for (const body of bodiesOf(node)) for (const capture of body.captures) operands.add(capture);
  return [...operands];
}

/**
 * Nodes in an order in which each follows its producers, otherwise as they were.
 * @throws OnnxTsError INVALID_MODEL that names the nodes of a cycle
 */
export function sortNodes(nodes: readonly GraphNode[]): GraphNode[] {
  const own = new Set(nodes);
  const sorted = new Set<GraphNode>();
  const producersOf = (node: GraphNode): GraphNode[] =>
    operandsOf(node)
      .flatMap(({ producer }) => (producer && own.has(producer) && !sorted.has(producer) ? [producer] : []))
      .reverse();
  // From a node to the producer that must come first, each with the producers that are still to be looked at.
  const path: { readonly node: GraphNode; readonly waiting: GraphNode[] }[] = [];
  const onPath = new Set<GraphNode>();
  const enter = (node: GraphNode): void => {
    path.push({ node, waiting: producersOf(node) });
    onPath.add(node);
  };
  for (const node of nodes) {
    if (!sorted.has(node)) enter(node);
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const next = top.waiting.pop();
      if (next === undefined) {
        path.pop();
        onPath.delete(top.node);
        sorted.add(top.node);
      } else if (onPath.has(next)) failOnCycle([...onPath], next);
      else if (!sorted.has(next)) enter(next);
    }
  }
  return [...sorted];
}

function failOnCycle(path: readonly GraphNode[], entry: GraphNode): never {
  const cycle = path.slice(path.indexOf(entry));
  const names = cycle
    .slice(0, 5)
    .map((node) => `"${node.name}" (${node.op})`)
    .join(', ');
  throw new OnnxTsError(
    'INVALID_MODEL',
    `the graph has a cycle through the nodes ${names}${cycle.length > 5 ? ', …' : ''}.`,
    {
      place: { node: entry.name, op: entry.op },
      hint: 'A value cannot depend on itself; a Loop or Scan carries state from one step to the next.',
    },
  );
}

/** Nodes that read a value directly, by value. Bodies count as reads of the node that holds them. */
export function consumersOf(graph: Graph): Map<Value, GraphNode[]> {
  const consumers = new Map<Value, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const operand of operandsOf(node)) {
      const list = consumers.get(operand);
      if (list) list.push(node);
      else consumers.set(operand, [node]);
    }
  }
  return consumers;
}
