// Removes nodes that change nothing: Identity, Dropout at inference, casts to the same type, transposes by the identity.

import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { GraphPatch, removeDeadNodes } from '../graph/patch.ts';

/** The input that a node passes through unchanged, if it does nothing else. */
function passedThrough(node: GraphNode): Value | undefined {
  if (node.domain !== '' || node.outputs.slice(1).some(Boolean)) return undefined;
  const [input] = node.inputs;
  const output = node.outputs[0];
  if (!input || !output) return undefined;
  switch (node.op) {
    case 'Identity':
      return input;
    case 'Dropout':
      return node.inputs[2] === undefined ? input : undefined;
    case 'Cast':
      return input.type?.kind === 'tensor' && output.type?.kind === 'tensor' && input.type.dtype === output.type.dtype
        ? input
        : undefined;
    case 'Transpose': {
      const perm = node.attributes.get('perm');
      return perm?.type === 'ints' && perm.value.every((axis, at) => Number(axis) === at) ? input : undefined;
    }
    case 'Reshape':
    case 'Flatten':
    case 'Expand':
    case 'Squeeze':
    case 'Unsqueeze': {
      const [a, b] = [input.type, output.type];
      if (a?.kind !== 'tensor' || b?.kind !== 'tensor' || !a.shape || !b.shape) return undefined;
      const same = a.shape.length === b.shape.length && a.shape.every((dim, axis) => dim.equals(b.shape![axis]));
      return same ? input : undefined;
    }
    default:
      return undefined;
  }
}

/**
 * In place. A pass-through whose input is fed from outside (or is itself a graph output) stays when its output is a graph
 * output, since the two must remain separate values.
 */
export function eliminateNodes(graph: Graph): void {
  const patch = new GraphPatch(graph);
  const outputs = new Set(graph.outputs);
  for (const node of graph.nodes) {
    const source = passedThrough(node);
    const target = node.outputs[0];
    if (!source || !target || outputs.has(target)) continue;
    patch.replaceValue(target, source);
    patch.remove(node);
  }
  patch.apply();
  removeDeadNodes(graph);
}
