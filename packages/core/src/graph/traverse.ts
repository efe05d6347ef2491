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
  const missing = new Map<GraphNode, number>();
  const followers = new Map<GraphNode, GraphNode[]>();
  for (const node of nodes) {
    const producers = new Set<GraphNode>();
    for (const operand of operandsOf(node)) {
      if (operand.producer && own.has(operand.producer)) producers.add(operand.producer);
    }
    missing.set(node, producers.size);
    for (const producer of producers) {
      const list = followers.get(producer);
      if (list) list.push(node);
      else followers.set(producer, [node]);
    }
  }
  if (inOrder(nodes)) return [...nodes];
  const sorted: GraphNode[] = [];
  const ready = nodes.filter((node) => missing.get(node) === 0).reverse();
  for (let node = ready.pop(); node; node = ready.pop()) {
    sorted.push(node);
    for (const follower of followers.get(node) ?? []) {
      const left = missing.get(follower)! - 1;
      missing.set(follower, left);
      if (left === 0) ready.push(follower);
    }
  }
  if (sorted.length < nodes.length) {
    const stuck = nodes.filter((node) => missing.get(node)! > 0).slice(0, 5);
    const names = stuck.map((node) => `"${node.name}" (${node.op})`).join(', ');
    throw new OnnxTsError('INVALID_MODEL', `the graph has a cycle through the nodes ${names}.`);
  }
  return sorted;
}

function inOrder(nodes: readonly GraphNode[]): boolean {
  const own = new Set(nodes);
  const done = new Set<GraphNode>();
  for (const node of nodes) {
    for (const { producer } of operandsOf(node)) {
      if (producer && own.has(producer) && !done.has(producer)) return false;
    }
    done.add(node);
  }
  return true;
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
