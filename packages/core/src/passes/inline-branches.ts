// An If whose condition is known gives way to the nodes of the branch that it would take.

import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { GraphPatch } from '../graph/patch.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { bodyOf } from './control-layout.ts';
import { knownCondition } from './infer-control.ts';

/** One graph in place, bodies left alone; tells whether something changed. Types must be inferred. */
export function inlineBranches(graph: Graph, registry: OperatorRegistry): boolean {
  const patch = new GraphPatch(graph);
  let names: Set<string> | undefined;
  for (const node of graph.nodes) {
    if (node.operator?.control !== 'if') continue;
    const condition = knownCondition(node);
    if (condition === undefined) continue;
    names ??= namesOf(graph);
    const branch = bodyOf(node, condition ? 'then_branch' : 'else_branch');
    makeNamesUnique(branch, node.name, names);
    graph.initializers.push(...branch.initializers);
    patch.replaceNode(node, [...branch.nodes, ...outputNodes(node, branch, registry)]);
  }
  if (patch.isEmpty) return false;
  patch.apply();
  return true;
}

/** The outputs of the If stay values of their own, with the branch's results passed to them. */
function outputNodes(node: GraphNode, branch: Graph, registry: OperatorRegistry): GraphNode[] {
  return node.outputs.flatMap((output, at) => {
    if (!output || output.constant) return [];
    const identity: GraphNode = {
      name: `${node.name}/output_${at}`,
      domain: '',
      op: 'Identity',
      opset: 1,
      inputs: [branch.outputs[at]],
      outputs: [output],
      attributes: new Map(),
    };
    identity.operator = registry.resolve(identity);
    output.producer = identity;
    return [identity];
  });
}

function namesOf(graph: Graph): Set<string> {
  const names = new Set<string>();
  for (const value of valuesOf(graph)) names.add(value.name);
  return names;
}

function valuesOf(graph: Graph): Value[] {
  const produced = graph.nodes.flatMap((node) => node.outputs.filter((output) => output !== undefined));
  return [...graph.inputs, ...graph.initializers, ...produced];
}

/** The branches of one model may use a name each. */
function makeNamesUnique(branch: Graph, prefix: string, taken: Set<string>): void {
  for (const value of valuesOf(branch)) {
    let name = value.name;
    for (let count = 0; taken.has(name); count++) name = `${prefix}/${value.name}${count > 0 ? `_${count}` : ''}`;
    value.name = name;
    taken.add(name);
  }
}
