// Resolves operators and infers the type, shape and symbolic contents of every value.

import { type DType, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { withoutShape } from '../graph/types.ts';
import { type FreshDims, isCutOff, NotKnownYet, nodeError, placedError, TypeInference } from '../ops/context.ts';
import type { OperatorDefinition } from '../ops/define.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { inferControl } from './infer-control.ts';

/** Contents are followed for tensors of at most this many elements. */
const largestContents = 256;

/** Element types that carry sizes and positions. Old exporters compute the sizes of a resize in floats. */
const contentTypes = new Set<DType>(['int64', 'int32', 'bool', 'float32', 'float64']);

/** How the bodies of control flow are inferred. */
export interface BodyInference {
  /** See `ControlInference`. */
  inferBody(body: Graph, settled: boolean): void;
  readonly settled: boolean;
  /** Bodies around the node. */
  readonly depth: number;
}

/**
 * Fills in `operator` and `requirements` of the node and `type`, `contents` of its outputs; it may be done again when
 * inputs have got other types. Outputs whose rank only a run can tell stay without a shape.
 * @throws OnnxTsError naming the node when the operator is unknown or its inputs do not suit it
 */
export function inferNode(
  node: GraphNode,
  registry: OperatorRegistry,
  fresh: FreshDims,
  bodies: BodyInference = plainInference(registry, fresh, 0),
): void {
  node.operator ??= registry.resolve(node);
  const definition = node.operator;
  try {
    if (definition.control) inferControl(node, { fresh, ...bodies }, bodies.settled);
    else inferOutputs(node, definition, fresh);
  } catch (error) {
    if (error instanceof NotKnownYet) forgetShapes(node);
    else if (OnnxTsError.is(error)) throw placedError(node, error);
    else throw nodeError(node, `its types could not be inferred: ${(error as Error).message}.`, undefined, error);
  }
}

function plainInference(registry: OperatorRegistry, fresh: FreshDims, depth: number): BodyInference {
  return { inferBody: (body) => inferTypes(body, registry, fresh, depth + 1), settled: true, depth };
}

/**
 * All nodes in order, bodies included. Nothing is folded.
 * @param depth bodies around the graph
 * @throws OnnxTsError
 */
export function inferTypes(graph: Graph, registry: OperatorRegistry, fresh: FreshDims, depth = 0): void {
  for (const node of graph.nodes) inferNode(node, registry, fresh, plainInference(registry, fresh, depth));
}

function inferOutputs(node: GraphNode, definition: OperatorDefinition, fresh: FreshDims): void {
  const context = new TypeInference(node, definition, fresh);
  const types = definition.infer(context as never);
  for (const [at, value] of node.outputs.entries()) {
    if (!value) continue;
    const type = types[at];
    if (!type) throw nodeError(node, `output ${at} ("${value.name}") does not exist for these inputs.`);
    value.type = type;
    value.contents = undefined;
  }
  node.requirements = context.requirements.length > 0 ? context.requirements : undefined;
  if (!definition.contents) return;
  for (const [at, value] of node.outputs.entries()) {
    const count = value && contentsLength(value);
    if (count === undefined) continue;
    const contents = definition.contents(context as never, at);
    if (contents?.length === count && !contents.some(isCutOff)) value!.contents = contents;
  }
}

/** Number of elements of a value whose contents are worth following. */
function contentsLength({ type }: Value): number | undefined {
  if (type?.kind !== 'tensor' || !type.shape || !contentTypes.has(type.dtype)) return undefined;
  const count = productOf(type.shape).constant;
  return count !== undefined && count <= largestContents ? count : undefined;
}

/** What an earlier inference said of sizes no longer holds. */
function forgetShapes(node: GraphNode): void {
  node.requirements = undefined;
  for (const output of node.outputs) {
    if (!output) continue;
    output.type &&= withoutShape(output.type);
    output.contents = undefined;
  }
}
