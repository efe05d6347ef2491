// Graphs of ONNX messages, node by node.

import type { Tensor } from '@onnx-ts/core';
import { codeOfDType } from '@onnx-ts/core/internal';
import {
  type AttributeProto,
  AttributeType,
  type GraphProto,
  type MessageInput,
  type NodeProto,
  type TensorProto,
  type TypeProto,
  type ValueInfoProto,
} from '@onnx-ts/onnx-proto';
import type { DType } from '@onnx-ts/tensor-ir';

/** A number is an int, an array of numbers ints; floats are marked. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | Tensor
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly type: MessageInput<TypeProto> }
  | { readonly graph: MessageInput<GraphProto> };

export type Attributes = Readonly<Record<string, Attribute | undefined>>;

export const float = (value: number): Attribute => ({ float: value });
export const floats = (values: readonly number[]): Attribute => ({ floats: values });

/** A size, the name of one that may vary, or nothing. */
export type DeclaredDim = number | string | undefined;

export interface NodeOptions {
  readonly domain?: string;
  /** How many outputs; false entries of a list are not wanted. */
  readonly outputs?: number | readonly boolean[];
}

/** Names are unique across all graphs that share a counter. */
export class GraphBuilder {
  readonly nodes: MessageInput<NodeProto>[] = [];
  readonly initializers: MessageInput<TensorProto>[] = [];
  readonly inputs: MessageInput<ValueInfoProto>[] = [];
  readonly outputs: MessageInput<ValueInfoProto>[] = [];
  readonly #counter: { next: number };

  constructor(counter: { next: number } = { next: 0 }) {
    this.#counter = counter;
  }

  /** For the body of a control-flow node. */
  subgraph(): GraphBuilder {
    return new GraphBuilder(this.#counter);
  }

  freshName(hint: string): string {
    return `${hint}${this.#counter.next++}`;
  }

  /** @returns names of the outputs, '' for those not wanted */
  ops(
    op: string,
    inputs: readonly (string | undefined)[],
    attributes: Attributes = {},
    { domain, outputs = 1 }: NodeOptions = {},
  ): string[] {
    const wanted = typeof outputs === 'number' ? Array<boolean>(outputs).fill(true) : outputs;
    const names = wanted.map((isWanted) => (isWanted ? this.freshName('v') : ''));
    const last = inputs.findLastIndex((name) => name !== undefined);
    this.nodes.push({
      opType: op,
      ...(domain && { domain }),
      name: this.freshName(op),
      input: inputs.slice(0, last + 1).map((name) => name ?? ''),
      output: names.slice(0, names.findLastIndex((name) => name !== '') + 1),
      attribute: Object.entries(attributes).flatMap(([name, value]) =>
        value === undefined ? [] : [encodeAttributeValue(name, value)],
      ),
    });
    return names;
  }

  op(op: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}, domain?: string): string {
    return this.ops(op, inputs, attributes, domain ? { domain } : {})[0];
  }

  initializer(tensor: Tensor): string {
    const name = this.freshName('w');
    this.initializers.push({ ...tensorMessage(tensor), name });
    return name;
  }

  constant(tensor: Tensor): string {
    return this.op('Constant', [], { value: tensor });
  }

  input(dtype: DType, shape: readonly DeclaredDim[] | undefined, name = this.freshName('x')): string {
    this.inputs.push(valueInfo(name, dtype, shape));
    return name;
  }

  /** An input of any type, sequences among them. */
  typedInput(type: MessageInput<TypeProto>, name = this.freshName('x')): string {
    this.inputs.push({ name, type });
    return name;
  }

  output(name: string, dtype?: DType, shape?: readonly DeclaredDim[]): void {
    this.outputs.push(dtype ? valueInfo(name, dtype, shape) : { name });
  }

  message(): MessageInput<GraphProto> {
    return {
      name: this.freshName('graph'),
      node: this.nodes,
      initializer: this.initializers,
      input: this.inputs,
      output: this.outputs,
    };
  }
}

function valueInfo(
  name: string,
  dtype: DType,
  shape: readonly DeclaredDim[] | undefined,
): MessageInput<ValueInfoProto> {
  const dim = shape?.map((size) => {
    if (typeof size === 'number') return { dimValue: size };
    return size === undefined ? {} : { dimParam: size };
  });
  return { name, type: { tensorType: { elemType: codeOfDType(dtype), ...(dim && { shape: { dim } }) } } };
}

export function tensorMessage(tensor: Tensor): MessageInput<TensorProto> {
  const message = { dataType: codeOfDType(tensor.type), dims: tensor.dims };
  if (tensor.type === 'string') {
    const encoder = new TextEncoder();
    return { ...message, stringData: (tensor.data as string[]).map((text) => encoder.encode(text)) };
  }
  const rawData = new Uint8Array(tensor.byteLength);
  tensor.copyBytesTo(rawData);
  return { ...message, rawData };
}

function encodeAttributeValue(name: string, value: Attribute): MessageInput<AttributeProto> {
  const text = new TextEncoder();
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: BigInt(value) };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: text.encode(value) };
  if (Array.isArray(value)) {
    const list = value as readonly (string | number)[];
    if (list.length > 0 && typeof list[0] === 'string') {
      return { name, type: AttributeType.STRINGS, strings: list.map((item) => text.encode(String(item))) };
    }
    return { name, type: AttributeType.INTS, ints: list.map((item) => BigInt(item)) };
  }
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  if ('floats' in value) return { name, type: AttributeType.FLOATS, floats: value.floats };
  // A tensor has a type, too: the name of that of its elements.
  if ('type' in value && typeof value.type === 'object') {
    return { name, type: AttributeType.TYPE_PROTO, tp: value.type };
  }
  if ('graph' in value) return { name, type: AttributeType.GRAPH, g: value.graph };
  return { name, type: AttributeType.TENSOR, t: tensorMessage(value as Tensor) };
}
