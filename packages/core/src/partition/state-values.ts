// Values that one run hands to the next: where they are made is where they are found. Of a model, by what it does and by
// the names that exporters give; of a body, by its place in the node that drives it.

import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { scanLayout } from '../passes/control-layout.ts';

/** `past_key_values.0.key` and `present.0.key`, `past_0` and `present_0`, and the like. */
export function isPresentOf(input: string, output: string): boolean {
  const [past, present] = [/^past(?:_key_values)?/.exec(input), /^present(?:_key_values)?/.exec(output)];
  return past !== null && present !== null && input.slice(past[0].length) === output.slice(present[0].length);
}

/** Of inputs that are states, the output that follows. @param outputNames of the graph's outputs, in order */
export function statesOfModel(graph: Graph, outputNames: readonly string[]): Map<Value, Value> {
  const states = new Map<Value, Value>();
  for (const input of graph.inputs) {
    const at = outputNames.findIndex((name) => isPresentOf(input.name, name));
    const output = graph.outputs.find(({ producer }) => producer?.op === 'Concat' && producer.inputs[0] === input);
    if (at >= 0) states.set(input, graph.outputs[at]);
    else if (output) states.set(input, output);
  }
  return states;
}

/** Of what a Loop or Scan carries around. @param node the one that drives the body */
export function statesOfBody(body: Graph, node: GraphNode): Map<Value, Value> {
  switch (node.operator?.control) {
    case 'loop':
      return pairs(body.inputs.slice(2), body.outputs.slice(1));
    case 'scan': {
      const { states } = scanLayout(node);
      return pairs(body.inputs.slice(0, states), body.outputs.slice(0, states));
    }
    default:
      return new Map();
  }
}

function pairs(inputs: readonly Value[], outputs: readonly Value[]): Map<Value, Value> {
  return new Map(inputs.flatMap((input, at) => (outputs[at] ? [[input, outputs[at]]] : [])));
}
