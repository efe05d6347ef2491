// Small models for tests, written as data: `model({ inputs: { x: float32('batch', 3) }, nodes: [node('Relu', 'x', 'y')], … })`.

import {
  type AttributeProto,
  AttributeType,
  decodeModel,
  encodeModel,
  type GraphProto,
  type MessageInput,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type TypeProto,
  type ValueInfoProto,
} from '@onnx-ts/onnx-proto';
import type { DType } from '@onnx-ts/tensor-ir';
import { codeOfDType } from '../onnx/import-tensor.ts';
import { Tensor } from '../session/tensor.ts';

type Type = MessageInput<TypeProto>;

/** A tensor type; sizes are numbers, names, or undefined for one without a name. */
export function tensorOf(dtype: DType, ...sizes: readonly (number | string | undefined)[]): Type {
  const dim = sizes.map((size) => (typeof size === 'number' ? { dimValue: size } : size ? { dimParam: size } : {}));
  return { tensorType: { elemType: codeOfDType(dtype), shape: { dim } } };
}

/** A tensor of unknown rank. */
export const anyTensor = (dtype: DType): Type => ({ tensorType: { elemType: codeOfDType(dtype) } });

export const sequenceOf = (element: Type): Type => ({ sequenceType: { elemType: element } });

export const optionalOf = (element: Type): Type => ({ optionalType: { elemType: element } });

export const float32 = (...sizes: readonly (number | string | undefined)[]): Type => tensorOf('float32', ...sizes);
export const int64 = (...sizes: readonly (number | string | undefined)[]): Type => tensorOf('int64', ...sizes);

export interface GraphSpec {
  readonly inputs?: Readonly<Record<string, Type>>;
  readonly nodes: readonly MessageInput<NodeProto>[];
  /** Names, or types by name where the type matters. */
  readonly outputs: readonly string[] | Readonly<Record<string, Type>>;
  readonly initializers?: Readonly<Record<string, Tensor | MessageInput<TensorProto>>>;
}

export interface ModelSpec extends GraphSpec {
  /** Version of the default operator set, 21 if absent. */
  readonly opset?: number;
  readonly irVersion?: number;
  /** Other operator sets by domain. */
  readonly domains?: Readonly<Record<string, number>>;
  readonly functions?: MessageInput<ModelProto>['functions'];
}

/** Integers become `int`, strings `string`, arrays of integers `ints`, `{ float }` a float, and so on. */
export type AttributeSpec =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | Tensor
  | { readonly body: GraphSpec };

export function node(
  op: string,
  inputs: string | readonly string[],
  outputs: string | readonly string[],
  attributes: Readonly<Record<string, AttributeSpec>> = {},
  options: { readonly domain?: string; readonly name?: string } = {},
): MessageInput<NodeProto> {
  return {
    opType: op,
    name: options.name ?? '',
    ...(options.domain !== undefined && { domain: options.domain }),
    input: listOf(inputs),
    output: listOf(outputs),
    attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...attributeOf(value) })),
  };
}

const listOf = (names: string | readonly string[]): readonly string[] => (typeof names === 'string' ? [names] : names);

function attributeOf(value: AttributeSpec): MessageInput<AttributeProto> {
  const text = new TextEncoder();
  if (typeof value === 'number') return { type: AttributeType.INT, i: BigInt(value) };
  if (typeof value === 'string') return { type: AttributeType.STRING, s: text.encode(value) };
  if (Tensor.is(value)) return { type: AttributeType.TENSOR, t: tensorProto('', value) };
  if ('body' in value) return { type: AttributeType.GRAPH, g: graphProto('body', value.body) };
  if ('float' in value) return { type: AttributeType.FLOAT, f: value.float };
  if ('floats' in value) return { type: AttributeType.FLOATS, floats: value.floats };
  if (value.every((item) => typeof item === 'string')) {
    return { type: AttributeType.STRINGS, strings: value.map((item) => text.encode(item)) };
  }
  return { type: AttributeType.INTS, ints: value.map(BigInt) };
}

export function tensorProto(name: string, tensor: Tensor): MessageInput<TensorProto> {
  const { type, dims, data } = tensor;
  const common = { name, dataType: codeOfDType(type), dims };
  if (Array.isArray(data)) return { ...common, stringData: data.map((item) => new TextEncoder().encode(item)) };
  return { ...common, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function valueInfo(name: string, type: Type | undefined): MessageInput<ValueInfoProto> {
  return { name, ...(type && { type }) };
}

function graphProto(name: string, spec: GraphSpec): MessageInput<GraphProto> {
  const outputs = Array.isArray(spec.outputs)
    ? spec.outputs.map((output: string) => valueInfo(output, undefined))
    : Object.entries(spec.outputs as Readonly<Record<string, Type>>).map(([key, type]) => valueInfo(key, type));
  return {
    name,
    input: Object.entries(spec.inputs ?? {}).map(([key, type]) => valueInfo(key, type)),
    output: outputs,
    node: spec.nodes,
    initializer: Object.entries(spec.initializers ?? {}).map(([key, tensor]) =>
      Tensor.is(tensor) ? tensorProto(key, tensor) : { name: key, ...tensor },
    ),
  };
}

export function modelProto(spec: ModelSpec): MessageInput<ModelProto> {
  const domains = Object.entries(spec.domains ?? {}).map(([domain, version]) => ({ domain, version }));
  return {
    irVersion: spec.irVersion ?? 10,
    opsetImport: [{ domain: '', version: spec.opset ?? 21 }, ...domains],
    graph: graphProto('test', spec),
    functions: spec.functions ?? [],
  };
}

/** The bytes of a model file. */
export function model(spec: ModelSpec): Uint8Array {
  return encodeModel(modelProto(spec));
}

export function decodedModel(spec: ModelSpec): ModelProto {
  return decodeModel(model(spec));
}
