// How the nodes of control flow hold their bodies and lay out what they scan: read by type inference and by the plan.

import type { Graph, GraphNode } from '../graph/graph.ts';
import { nodeError } from '../ops/context.ts';

/** Body in an attribute. @throws OnnxTsError when it is missing */
export function bodyOf(node: GraphNode, name: string): Graph {
  const attribute = node.attributes.get(name);
  if (attribute?.type !== 'graph') throw nodeError(node, `the attribute "${name}" must be a graph.`);
  return attribute.value;
}

/** Positions of the states, scan inputs and scan outputs of a Scan. */
export interface ScanLayout {
  readonly scanInputs: number;
  readonly states: number;
  readonly inputAxes: readonly number[];
  readonly outputAxes: readonly number[];
  readonly inputReversed: readonly boolean[];
  readonly outputReversed: readonly boolean[];
  /** Version 8: axis 0 of everything is a batch, and sequence lengths come first. */
  readonly batched: boolean;
}

/** @throws OnnxTsError when the counts do not fit the node */
export function scanLayout(node: GraphNode): ScanLayout {
  const list = (name: string, count: number): number[] => {
    const attribute = node.attributes.get(name);
    const given = attribute?.type === 'ints' ? attribute.value.map(Number) : [];
    return Array.from({ length: count }, (_, at) => given[at] ?? 0);
  };
  const batched = node.opset < 9;
  const count = node.attributes.get('num_scan_inputs');
  const scanInputs = count?.type === 'int' ? Number(count.value) : 0;
  const states = node.inputs.length - scanInputs - (batched ? 1 : 0);
  const scanOutputs = bodyOf(node, 'body').outputs.length - states;
  if (scanInputs < 1 || states < 0 || scanOutputs < 0) {
    throw nodeError(node, `num_scan_inputs ${scanInputs} does not fit its inputs.`);
  }
  return {
    scanInputs,
    states,
    inputAxes: list('scan_input_axes', scanInputs),
    outputAxes: list('scan_output_axes', scanOutputs),
    inputReversed: list(batched ? 'directions' : 'scan_input_directions', scanInputs).map(Boolean),
    outputReversed: list('scan_output_directions', scanOutputs).map(Boolean),
    batched,
  };
}
