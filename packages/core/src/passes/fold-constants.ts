// Computes what does not depend on inputs: small constant nodes, and integers that are sizes known before the run.

import { bitsOf, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { tensorOfContents, typeOfHostValue } from '../session/host-value.ts';
import { Tensor } from '../session/tensor.ts';

/**
 * Bytes that the outputs of a folded node may have. Larger constant work is left to the provider, which does it once at
 * load with its own kernels.
 */
const largestFolded = 1 << 18;

/** Elements that the inputs of a folded node may have: the interpreter takes a microsecond for ten of them. */
const largestRead = 1 << 20;

/** Bytes below which a widened constant is no loss. */
const smallestWidened = 1 << 10;

function isConstant(value: Value | undefined): boolean {
  return value === undefined || value.constant !== undefined;
}

/** Elements of all inputs and bytes of all outputs; infinite when a size is not known. */
function sizeOfWork(node: GraphNode): { readonly read: number; readonly written: number } {
  let [read, written] = [0, 0];
  for (const input of node.inputs) read += input?.constant?.size ?? 0;
  for (const output of node.outputs) {
    if (!output) continue;
    const { type } = output;
    const count = type?.kind === 'tensor' && type.shape ? productOf(type.shape).constant : undefined;
    if (type?.kind !== 'tensor' || count === undefined) return { read, written: Infinity };
    written += (count * Math.max(bitsOf(type.dtype), 8)) / 8;
  }
  return { read, written };
}

/**
 * Whether the node makes a tensor of wider elements from one of as many narrow ones, as DequantizeLinear and Cast do. That
 * is left to the kernels that read it: they may compute with the narrow ones.
 */
function isWidening(node: GraphNode): boolean {
  const [output] = node.outputs;
  if (output?.type?.kind !== 'tensor' || !output.type.shape) return false;
  const count = productOf(output.type.shape).constant;
  const bits = bitsOf(output.type.dtype);
  if (count === undefined || (count * bits) / 8 <= smallestWidened) return false;
  return node.inputs.some((input) => input?.constant?.size === count && bitsOf(input.constant.type) < bits);
}

/** A value whose contents hold no symbols becomes a constant. */
function settleContents(value: Value): void {
  if (value.constant || !value.contents || value.type?.kind !== 'tensor' || !value.type.shape) return;
  if (!value.contents.every((dim) => dim.constant !== undefined)) return;
  const { dtype, shape } = value.type;
  if (dtype === 'string') return;
  const dims = shape.map((dim) => dim.constant!);
  value.constant = tensorOfContents(dtype, dims, value.contents, new Map());
}

/**
 * Gives the outputs of a node their values when all that it reads is constant and the work is small.
 * @returns whether all outputs are constant now, so that the node is not needed
 * @throws OnnxTsError when the node cannot be computed
 */
export function foldNode(node: GraphNode, evaluator: HostEvaluator): boolean {
  const definition = node.operator!;
  if (definition.nondeterministic) return false;
  for (const output of node.outputs) if (output) settleContents(output);
  if (node.outputs.every(isConstant)) return true;
  if (definition.control || !node.inputs.every(isConstant)) return false;
  const isSource = node.inputs.length === 0 && definition.evaluate !== undefined;
  const { read, written } = sizeOfWork(node);
  if (!isSource && (written > largestFolded || read > largestRead || isWidening(node))) return false;
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
