// The only way to change a graph: a patch collects replacements, checks their types, and applies them at once.

import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from './graph.ts';
import { bodiesOf, capturesOf, operandsOf, sortNodes } from './traverse.ts';
import { compatibleTypes, typeText } from './types.ts';

export class GraphPatch {
  readonly #graph: Graph;
  readonly #removed = new Set<GraphNode>();
  /** New nodes, placed where the key stood. */
  readonly #inserted = new Map<GraphNode, GraphNode[]>();
  readonly #renamed = new Map<Value, Value>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  get isEmpty(): boolean {
    return this.#removed.size === 0 && this.#inserted.size === 0 && this.#renamed.size === 0;
  }

  /** Readers of `from` read `to` instead. An output of the graph keeps its place, but not its name. */
  replaceValue(from: Value, to: Value): void {
    checkType(from, to);
    this.#renamed.set(from, to);
  }

  /** Removes a node; whoever still reads its outputs must have been given other values. */
  remove(node: GraphNode): void {
    this.#removed.add(node);
  }

  /** Puts nodes, in order, in the place of one that computed the same outputs. */
  replaceNode(node: GraphNode, nodes: readonly GraphNode[]): void {
    this.#removed.add(node);
    this.#inserted.set(node, [...nodes]);
  }

  apply(): void {
    if (this.isEmpty) return;
    const nodes: GraphNode[] = [];
    for (const node of this.#graph.nodes) {
      nodes.push(...(this.#inserted.get(node) ?? []));
      if (!this.#removed.has(node)) nodes.push(node);
    }
    if (this.#renamed.size > 0) for (const node of nodes) this.#renameInputs(node);
    for (const [at, output] of this.#graph.outputs.entries()) {
      this.#graph.outputs[at] = this.replacementOf(output);
    }
    this.#graph.nodes = sortNodes(nodes);
  }

  /** What readers of a value will read. */
  replacementOf(value: Value): Value {
    let result = value;
    for (let next = this.#renamed.get(result); next; next = this.#renamed.get(result)) result = next;
    return result;
  }

  #renameInputs(node: GraphNode): void {
    for (const [at, input] of node.inputs.entries()) if (input) node.inputs[at] = this.replacementOf(input);
    for (const body of bodiesOf(node)) this.#renameCaptures(body);
  }

  #renameCaptures(body: Graph): void {
    if (!body.captures.some((value) => this.#renamed.has(value))) return;
    for (const [at, value] of body.captures.entries()) body.captures[at] = this.replacementOf(value);
    for (const node of body.nodes) this.#renameInputs(node);
    for (const [at, value] of body.outputs.entries()) body.outputs[at] = this.replacementOf(value);
  }
}

/** @throws OnnxTsError INTERNAL when a rewrite would change what consumers see */
function checkType(from: Value, to: Value): void {
  if (!from.type || !to.type || compatibleTypes(from.type, to.type)) return;
  const what = `a rewrite replaces ${typeText(from.type)} by ${typeText(to.type)}.`;
  throw new OnnxTsError('INTERNAL', what, { place: { value: from.name } });
}

/** Removes nodes whose outputs reach no output of the graph, in place, bodies first; tells whether there were any. */
export function removeDeadNodes(graph: Graph): boolean {
  const live = new Set<Value>(graph.outputs);
  const kept: GraphNode[] = [];
  let changed = false;
  for (let at = graph.nodes.length - 1; at >= 0; at--) {
    const node = graph.nodes[at];
    if (!node.outputs.some((output) => output && live.has(output))) {
      changed = true;
      continue;
    }
    for (const [index, output] of node.outputs.entries()) {
      if (output && !live.has(output) && index > 0) node.outputs[index] = undefined;
    }
    for (const body of bodiesOf(node)) {
      changed = removeDeadNodes(body) || changed;
      body.captures.splice(0, Infinity, ...capturesOf(body));
    }
    kept.push(node);
    for (const operand of operandsOf(node)) live.add(operand);
  }
  graph.nodes = kept.reverse();
  return changed;
}
