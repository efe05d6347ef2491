// Computes what does not depend on inputs: small constant nodes, and integers that are sizes known before the run.

import { bitsOf, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { removeDeadNodes } from '../graph/patch.ts';
import { bodiesOf } from '../graph/traverse.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { tensorOfContents, typeOfHostValue } from '../session/host-value.ts';
import { Tensor } from '../session/tensor.ts';

/**
 * Bytes that one folded output may have. Larger constant work is left to the provider, which does it once at load with its
 * own kernels.
 */
const largestFolded = 1 << 18;

function isConstant(value: Value | undefined): boolean {
  return value === undefined || value.constant !== undefined;
}

function outputBytes(node: GraphNode): number {
  let total = 0;
  for (const output of node.outputs) {
    if (!output) continue;
    const { type } = output;
    if (type?.kind !== 'tensor' || !type.shape) return Infinity;
    const count = productOf(type.shape).constant;
    if (count === undefined) return Infinity;
    total += (count * Math.max(bitsOf(type.dtype), 8)) / 8;
  }
  return total;
}

/** A value whose contents hold no symbols becomes a constant. */
export function settleContents(value: Value): void {
  if (value.constant || !value.contents || value.type?.kind !== 'tensor' || !value.type.shape) return;
  if (!value.contents.every((dim) => dim.constant !== undefined)) return;
  const { dtype, shape } = value.type;
  if (dtype === 'string') return;
  const dims = shape.map((dim) => dim.constant!);
  value.constant = tensorOfContents(dtype, dims, value.contents, new Map());
}

/** Folds one node in place when all it reads is constant; tells whether it did. */
export function foldNode(node: GraphNode, evaluator: HostEvaluator): boolean {
  for (const output of node.outputs) if (output) settleContents(output);
  if (node.outputs.every(isConstant)) return true;
  const definition = node.operator!;
  if (definition.nondeterministic || definition.control || bodiesOf(node).length > 0) return false;
  if (!node.inputs.every(isConstant)) return false;
  const isSource = node.inputs.length === 0 && definition.evaluate !== undefined;
  if (!isSource && outputBytes(node) > largestFolded) return false;
  let results: ReturnType<HostEvaluator['evaluate']>;
  try {
    results = evaluator.evaluate(
      node,
      node.inputs.map((input) => input?.constant),
    );
  } catch (error) {
    // A branch that never runs may hold a node that cannot: it fails when it is reached, not here.
    if (OnnxTsError.is(error) && error.code === 'OUT_OF_RANGE') return false;
    throw error;
  }
  for (const [at, output] of node.outputs.entries()) {
    const result = results[at];
    if (!output || !Tensor.is(result)) continue;
    output.constant = result;
    output.type = typeOfHostValue(result);
  }
  return node.outputs.every(isConstant);
}

/** In place; dead producers are removed. Run after type inference, in topological order. */
export function foldConstants(graph: Graph, evaluator: HostEvaluator): void {
  graph.nodes = graph.nodes.filter((node) => {
    if (!foldNode(node, evaluator)) return true;
    for (const output of node.outputs) if (output) output.producer = undefined;
    return false;
  });
  removeDeadNodes(graph);
}
