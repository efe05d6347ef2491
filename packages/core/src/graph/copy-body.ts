// Copies of a body's nodes, for putting them into another place than the body itself.

import { type Graph, type GraphNode, newValue, type Value } from './graph.ts';

export interface BodyCopy {
  readonly nodes: readonly GraphNode[];
  readonly outputs: readonly Value[];
}

/**
 * Nodes like those of the body, with outputs of their own. Constants and captured values stay the same ones.
 * @param replacements what is read in the place of other values, the body's inputs above all; grows by the copied values
 */
export function copyBody(body: Graph, prefix: string, replacements: Map<Value, Value>): BodyCopy {
  const nodes = body.nodes.map((node) => copyNode(node, prefix, replacements));
  return { nodes, outputs: body.outputs.map((value) => replacements.get(value) ?? value) };
}

export function copyNode(node: GraphNode, prefix: string, replacements: Map<Value, Value>): GraphNode {
  const attributes = new Map(node.attributes);
  for (const [name, attribute] of attributes) {
    if (attribute.type === 'graph') {
      attributes.set(name, { type: 'graph', value: copyGraph(attribute.value, prefix, replacements) });
    }
  }
  const copy: GraphNode = {
    name: `${prefix}/${node.name}`,
    domain: node.domain,
    op: node.op,
    opset: node.opset,
    ...(node.overload && { overload: node.overload }),
    inputs: node.inputs.map((input) => input && (replacements.get(input) ?? input)),
    outputs: node.outputs.map((output) => output && copyValue(output, prefix, replacements)),
    attributes,
    ...(node.operator && { operator: node.operator }),
  };
  for (const output of copy.outputs) if (output) output.producer = copy;
  return copy;
}

function copyValue(value: Value, prefix: string, replacements: Map<Value, Value>): Value {
  const copy = newValue(`${prefix}/${value.name}`, value.type);
  replacements.set(value, copy);
  return copy;
}

function copyGraph(graph: Graph, prefix: string, replacements: Map<Value, Value>): Graph {
  const inputs = graph.inputs.map((input) => copyValue(input, prefix, replacements));
  const { nodes, outputs } = copyBody(graph, prefix, replacements);
  const captures = graph.captures.map((value) => replacements.get(value) ?? value);
  return { ...graph, inputs, nodes: [...nodes], outputs: [...outputs], captures };
}
