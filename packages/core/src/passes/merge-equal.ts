// Common subexpressions: of nodes that compute the same from the same values one stays.

import type { AttributeValue, Graph, GraphNode, Value } from '../graph/graph.ts';
import { GraphPatch } from '../graph/patch.ts';
import { typeText } from '../graph/types.ts';
import { ConstantKeys } from './constant-keys.ts';

/** One graph in place, bodies left alone; tells whether something changed. Types must be inferred. */
export function mergeEqualNodes(graph: Graph): boolean {
  const patch = new GraphPatch(graph);
  const keys = new Keys((value) => patch.replacementOf(value));
  const outputs = new Set(graph.outputs);
  const kept = new Map<string, GraphNode>();
  for (const node of graph.nodes) {
    const key = keys.ofNode(node);
    if (key === undefined) continue;
    const twin = kept.get(key);
    if (!twin) kept.set(key, node);
    // Two outputs of the graph remain two values.
    else if (!node.outputs.some((output, at) => output && outputs.has(output) && twin.outputs[at])) {
      replaceBy(patch, node, twin);
    }
  }
  if (patch.isEmpty) return false;
  patch.apply();
  return true;
}

/** Readers of `node` get the results of `twin`, which takes over the outputs that only `node` was asked for. */
function replaceBy(patch: GraphPatch, node: GraphNode, twin: GraphNode): void {
  for (const [at, output] of node.outputs.entries()) {
    if (!output) continue;
    const same = twin.outputs[at];
    if (same) patch.replaceValue(output, same);
    else {
      twin.outputs[at] = output;
      output.producer = twin;
    }
  }
  patch.remove(node);
}

/** Texts that are equal exactly when values, attributes and nodes are. */
class Keys {
  readonly #ids = new Map<Value, number>();
  readonly #constants = new ConstantKeys();
  readonly #objects = new Map<unknown, number>();
  readonly #replacementOf: (value: Value) => Value;

  constructor(replacementOf: (value: Value) => Value) {
    this.#replacementOf = replacementOf;
  }

  /** Undefined for a node that must stay by itself. */
  ofNode(node: GraphNode): string | undefined {
    if (!node.operator || node.operator.nondeterministic || node.operator.control) return undefined;
    const attributes = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1));
    // Some operators go by the number of their outputs.
    const parts = [node.domain, node.op, node.opset, node.overload ?? '', node.outputs.length].map(String);
    for (const input of node.inputs) parts.push(input ? this.#ofValue(input) : '');
    for (const [name, attribute] of attributes) parts.push(`${name}=${this.#ofAttribute(attribute)}`);
    return parts.join('\n');
  }

  #ofValue(value: Value): string {
    const same = this.#replacementOf(value);
    const text = same.constant && this.#constants.of(same.constant);
    if (text) return text;
    let id = this.#ids.get(same);
    if (id === undefined) this.#ids.set(same, (id = this.#ids.size));
    return `#${id}`;
  }

  #ofAttribute({ type, value }: AttributeValue): string {
    switch (type) {
      case 'tensor':
        return this.#constants.of(value) ?? this.#identity(value);
      case 'tensors':
        return value.map((tensor) => this.#constants.of(tensor) ?? this.#identity(tensor)).join();
      case 'type':
        return typeText(value);
      case 'types':
        return value.map(typeText).join();
      case 'graph':
      case 'graphs':
      case 'sparse-tensor':
        return this.#identity(value);
      case 'strings':
        return JSON.stringify(value);
      default:
        return `${type}:${String(value)}`;
    }
  }

  #identity(value: unknown): string {
    let id = this.#objects.get(value);
    if (id === undefined) this.#objects.set(value, (id = this.#objects.size));
    return `object ${id}`;
  }
}
