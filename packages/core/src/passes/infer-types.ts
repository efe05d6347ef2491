// Resolves operators and infers the type, shape and symbolic contents of every value.

import { type DType, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { type FreshDims, NotKnownYet, nodeError, TypeInference } from '../ops/context.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { inferControl } from './infer-control.ts';

/** Contents are followed for tensors of at most this many elements. */
const largestContents = 256;

/** Element types that carry sizes and positions. */
const contentTypes = new Set<DType>(['int64', 'int32', 'bool']);

/**
 * Fills in `operator` of the node and `type`, `contents` of its outputs. Outputs whose rank only a run can tell stay
 * without a shape.
 * @throws OnnxTsError naming the node when the operator is unknown or its inputs do not suit it
 */
export function inferNode(node: GraphNode, registry: OperatorRegistry, fresh: FreshDims): void {
  node.operator ??= registry.resolve(node);
  const definition = node.operator;
  if (definition.control) {
    inferControl(node, fresh, (body) => inferTypes(body, registry, fresh));
    return;
  }
  try {
    const context = new TypeInference(node, definition, fresh);
    const types = definition.infer(context as never);
    for (const [at, value] of node.outputs.entries()) {
      if (!value) continue;
      const type = types[at];
      if (!type) throw nodeError(node, `output ${at} ("${value.name}") does not exist for these inputs.`);
      value.type = type;
    }
    for (const [at, value] of node.outputs.entries()) {
      // Bodies of loops are inferred several times with other sizes.
      if (value && !value.constant) value.contents = undefined;
      if (value?.type?.kind !== 'tensor' || !value.type.shape || !contentTypes.has(value.type.dtype)) continue;
      const count = productOf(value.type.shape).constant;
      if (count === undefined || count > largestContents) continue;
      const contents = definition.contents?.(context as never, at);
      if (contents?.length === count) value.contents = contents;
    }
  } catch (error) {
    if (error instanceof NotKnownYet) return;
    if (OnnxTsError.is(error)) throw error;
    throw nodeError(node, `its types could not be inferred: ${(error as Error).message}.`, undefined, error);
  }
}

/**
 * All nodes in order. Bodies of control flow are left to their node's own inference.
 * @throws OnnxTsError
 */
export function inferTypes(graph: Graph, registry: OperatorRegistry, fresh: FreshDims): void {
  for (const node of graph.nodes) inferNode(node, registry, fresh);
}
