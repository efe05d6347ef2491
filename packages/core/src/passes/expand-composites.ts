// Replaces composite operators by the simpler nodes that their definition expands to.

import { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { copyBody } from '../graph/copy-body.ts';
import type { AttributeValue, Graph, GraphNode, NodeOrigin, Value } from '../graph/graph.ts';
import { newValue } from '../graph/graph.ts';
import { GraphPatch } from '../graph/patch.ts';
import { isNumberTensor, type TensorType, tensorType } from '../graph/types.ts';
import { BaseContext, type FreshDims, NotKnownYet, nodeError, placedError } from '../ops/context.ts';
import type { ExpandContext, PlainAttribute } from '../ops/define.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { arrayTypeOf, Tensor } from '../session/tensor.ts';
import { inferNode } from './infer-types.ts';

/** Operator-set versions that expansions are written for. */
const expansionOpsets: Readonly<Record<string, number>> = { '': 24, 'com.microsoft': 1 };

/**
 * One graph in place, bodies left alone: every composite gives way to the nodes of its definition, which may be composites
 * again. Types must be inferred.
 * @param keep composites that a provider compiles as they are
 * @returns whether something changed
 * @throws OnnxTsError when an expansion does not fit its node
 */
export function expandComposites(
  graph: Graph,
  registry: OperatorRegistry,
  fresh: FreshDims,
  keep: (node: GraphNode) => boolean = () => false,
): boolean {
  const patch = new GraphPatch(graph);
  for (const node of graph.nodes) {
    if (!node.operator?.expand || isForHost(node) || keep(node)) continue;
    const nodes = expandNode(node, registry, fresh);
    if (nodes) patch.replaceNode(node, nodes);
  }
  if (patch.isEmpty) return false;
  patch.apply();
  return true;
}

/** Whether a composite has a meaning of its own for what it reads or writes: see `evaluateOnHost`. */
function isForHost({ operator, inputs, outputs }: GraphNode): boolean {
  if (!operator?.evaluateOnHost) return false;
  return [...inputs, ...outputs].some((value) => value?.type !== undefined && !isNumberTensor(value.type));
}

/** The nodes that compute the same outputs; undefined when shapes or values are missing that only a run can tell. */
export function expandNode(
  node: GraphNode,
  registry: OperatorRegistry,
  fresh: FreshDims,
): readonly GraphNode[] | undefined {
  const definition = node.operator!;
  const context = new Expansion(node, registry, fresh);
  try {
    const result = definition.expand!(context as never);
    return context.finish(Array.isArray(result) ? result : [result as Value]);
  } catch (error) {
    if (error instanceof NotKnownYet) return undefined;
    if (OnnxTsError.is(error)) throw placedError(node, error);
    throw nodeError(node, `it could not be expanded: ${(error as Error).message}.`, undefined, error);
  }
}

class Expansion extends BaseContext implements ExpandContext<never> {
  readonly #registry: OperatorRegistry;
  readonly #fresh: FreshDims;
  readonly #nodes: GraphNode[] = [];

  constructor(node: GraphNode, registry: OperatorRegistry, fresh: FreshDims) {
    super(node, node.operator!);
    this.#registry = registry;
    this.#fresh = fresh;
  }

  get #origin(): NodeOrigin {
    const { name, domain, op, opset, origin } = this.node;
    return origin ?? { name, domain, op, opset };
  }

  value(index: number): Value | undefined {
    return this.node.inputs[index];
  }

  op(
    name: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, PlainAttribute>> = {},
    options: { readonly domain?: string; readonly opset?: number } = {},
  ): Value {
    return this.ops(name, inputs, 1, attributes, options)[0];
  }

  ops(
    name: string,
    inputs: readonly (Value | undefined)[],
    outputs: number,
    attributes: Readonly<Record<string, PlainAttribute>> = {},
    options: { readonly domain?: string; readonly opset?: number } = {},
  ): readonly Value[] {
    const domain = options.domain ?? '';
    const nodeName = `${this.node.name}/${name}_${this.#nodes.length}`;
    const values = Array.from({ length: outputs }, (_, at) => newValue(`${nodeName}:${at}`));
    const node: GraphNode = {
      name: nodeName,
      domain,
      op: name,
      opset: options.opset ?? expansionOpsets[domain] ?? 1,
      inputs: [...inputs],
      outputs: [...values],
      attributes: new Map(Object.entries(attributes).map(([key, value]) => [key, attributeValue(value)])),
      origin: this.#origin,
    };
    for (const value of values) value.producer = node;
    inferNode(node, this.#registry, this.#fresh);
    this.#nodes.push(node);
    return values;
  }

  inline(body: Graph, inputs: readonly Value[]): readonly Value[] {
    const replacements = new Map(body.inputs.map((input, at) => [input, inputs[at]]));
    const { nodes, outputs } = copyBody(body, `${this.node.name}/${this.#nodes.length}`, replacements);
    for (const node of nodes) {
      node.origin = this.#origin;
      inferNode(node, this.#registry, this.#fresh);
      this.#nodes.push(node);
    }
    return outputs;
  }

  constantValue(constant: Tensor): Value {
    const value = newValue(`${this.node.name}/constant`, tensorType(constant.type, constant.dims.map(Dim.constant)));
    value.constant = constant;
    return value;
  }

  literal(
    dtype: Parameters<ExpandContext['literal']>[0],
    values: number | readonly number[],
    dims?: readonly number[],
  ): Value {
    const list = typeof values === 'number' ? [values] : values;
    const shape = dims ?? (typeof values === 'number' ? [] : [list.length]);
    if (dtype === 'float16' || dtype === 'bfloat16') {
      // Bit patterns are the business of Cast.
      return this.op('Cast', [this.literal('float32', values, shape)], { to: dtype === 'float16' ? 10 : 16 });
    }
    if (dtype === 'string') return this.fail('an expansion has no string literals.');
    const data = new (arrayTypeOf(dtype))(list.length);
    for (const [at, value] of list.entries()) {
      if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(value);
      else data[at] = value;
    }
    return this.constantValue(new Tensor(dtype, data, shape));
  }

  typeOf(value: Value): TensorType {
    if (!value.type) throw new NotKnownYet(`type of ${value.name}`);
    if (value.type.kind !== 'tensor') return this.fail(`"${value.name}" must be a tensor.`);
    return value.type;
  }

  /** Lets the last nodes write the outputs of the composite itself. */
  finish(results: readonly (Value | undefined)[]): readonly GraphNode[] {
    const taken = new Set<Value>();
    for (const [at, output] of this.node.outputs.entries()) {
      if (!output) continue;
      let result = results[at];
      if (!result) return this.fail(`output ${at} is used, but its expansion does not compute it.`);
      if (!result.producer || !this.#nodes.includes(result.producer) || taken.has(result)) {
        result = this.op('Identity', [result]);
      }
      taken.add(result);
      this.#adopt(result, output);
    }
    return this.#nodes;
  }

  #adopt(from: Value, to: Value): void {
    const producer = from.producer!;
    producer.outputs[producer.outputs.indexOf(from)] = to;
    for (const node of this.#nodes) {
      for (const [at, input] of node.inputs.entries()) if (input === from) node.inputs[at] = to;
    }
    to.producer = producer;
    to.type = from.type ?? to.type;
    if (from.contents) to.contents = from.contents;
  }
}

function attributeValue(value: PlainAttribute): AttributeValue {
  if (typeof value === 'number') return { type: 'int', value };
  if (typeof value === 'string') return { type: 'string', value };
  if ('float' in value) return { type: 'float', value: value.float };
  if ('type' in value) return value;
  return { type: 'ints', value };
}
