// A graph with types and constants as a JSON document, and back. Large weights stay in the files of the model.

import { byteLength } from '@onnx-ts/tensor-ir';
import {
  type AttributeValue,
  type Graph,
  type GraphNode,
  type NodeOrigin,
  newValue,
  type SizeRequirement,
  type Value,
} from '../graph/graph.ts';
import type { ValueType } from '../graph/types.ts';
import { elementCount, type Tensor, type TensorBytes, type WeightPlace } from '../session/tensor.ts';
import {
  DimReader,
  DimWriter,
  decodeInteger,
  decodeNumber,
  decodeTensor,
  decodeType,
  type EncodedInteger,
  type EncodedNumber,
  type EncodedTensor,
  type EncodedType,
  encodeInteger,
  encodeNumber,
  type TensorWriter,
  TypeWriter,
} from './type-codec.ts';

/** Values, tensors, types and dims are positions in tables. */
export interface EncodedGraphs {
  readonly dims: DimWriter['list'];
  readonly types: readonly EncodedType[];
  readonly tensors: readonly EncodedTensor[];
  readonly values: readonly EncodedValue[];
  readonly graph: EncodedGraph;
}

interface EncodedValue {
  readonly name: string;
  readonly type?: number;
  readonly constant?: number;
  readonly initial?: number;
  readonly contents?: readonly number[];
}

interface EncodedGraph {
  readonly name: string;
  readonly opsets: readonly (readonly [string, number])[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly initializers: readonly number[];
  readonly captures: readonly number[];
  readonly nodes: readonly EncodedNode[];
}

/** Inputs and outputs that are left out are null. */
interface EncodedNode {
  readonly name: string;
  readonly domain: string;
  readonly op: string;
  readonly opset: number;
  readonly overload?: string;
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  readonly attributes?: readonly (readonly [string, EncodedAttribute])[];
  readonly origin?: NodeOrigin;
  readonly requirements?: readonly (Omit<SizeRequirement, 'a' | 'b'> & { readonly a: number; readonly b: number })[];
}

type EncodedAttribute =
  | { readonly type: 'int'; readonly value: EncodedInteger }
  | { readonly type: 'ints'; readonly value: readonly EncodedInteger[] }
  | { readonly type: 'float'; readonly value: EncodedNumber }
  | { readonly type: 'floats'; readonly value: readonly EncodedNumber[] }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensor' | 'type'; readonly value: number }
  | { readonly type: 'tensors' | 'types'; readonly value: readonly number[] }
  | { readonly type: 'graph'; readonly value: EncodedGraph }
  | { readonly type: 'graphs'; readonly value: readonly EncodedGraph[] }
  | {
      readonly type: 'sparse-tensor';
      readonly value: { readonly values: number; readonly indices: number; readonly dims: readonly number[] };
    };

/** @returns undefined for a graph with a branch that cannot run: its error has no file form */
export function encodeGraphs(graph: Graph, tensors: TensorWriter): EncodedGraphs | undefined {
  const writer = new GraphWriter(tensors);
  const encoded = writer.graph(graph);
  if (writer.hasFailure) return undefined;
  const { dims, types, values } = writer;
  return { dims: dims.list, types: types.list, tensors: tensors.list, values, graph: encoded };
}

class GraphWriter {
  readonly dims = new DimWriter();
  readonly types = new TypeWriter(this.dims);
  readonly values: EncodedValue[] = [];
  readonly #tensors: TensorWriter;
  readonly #positions = new Map<Value, number>();
  hasFailure = false;

  constructor(tensors: TensorWriter) {
    this.#tensors = tensors;
  }

  graph(graph: Graph): EncodedGraph {
    const { name, opsets, inputs, outputs, initializers, captures, nodes, failure } = graph;
    if (failure) this.hasFailure = true;
    const all = (values: readonly Value[]): number[] => values.map((value) => this.#value(value));
    return {
      name,
      opsets: [...opsets],
      inputs: all(inputs),
      outputs: all(outputs),
      initializers: all(initializers),
      captures: all(captures),
      nodes: nodes.map((node) => this.#node(node)),
    };
  }

  #value(value: Value): number {
    const known = this.#positions.get(value);
    if (known !== undefined) return known;
    const { name, type, constant, initial, contents } = value;
    const position =
      this.values.push({
        name,
        ...(type && { type: this.types.of(type) }),
        ...(constant && { constant: this.#tensors.of(constant) }),
        ...(initial && { initial: this.#tensors.of(initial) }),
        ...(contents && { contents: this.dims.all(contents) }),
      }) - 1;
    this.#positions.set(value, position);
    return position;
  }

  #node(node: GraphNode): EncodedNode {
    const { name, domain, op, opset, overload, attributes, origin, requirements } = node;
    const all = (values: GraphNode['inputs']) => values.map((value) => (value ? this.#value(value) : null));
    return {
      name,
      domain,
      op,
      opset,
      ...(overload !== undefined && { overload }),
      inputs: all(node.inputs),
      outputs: all(node.outputs),
      ...(attributes.size > 0 && {
        attributes: [...attributes].map(([key, value]) => [key, this.#attribute(value)] as const),
      }),
      ...(origin && { origin: { name: origin.name, domain: origin.domain, op: origin.op, opset: origin.opset } }),
      ...(requirements?.length && {
        requirements: requirements.map((item) => ({ ...item, a: this.dims.of(item.a), b: this.dims.of(item.b) })),
      }),
    };
  }

  #attribute({ type, value }: AttributeValue): EncodedAttribute {
    switch (type) {
      case 'int':
        return { type, value: encodeInteger(value) };
      case 'ints':
        return { type, value: value.map(encodeInteger) };
      case 'float':
        return { type, value: encodeNumber(value) };
      case 'floats':
        return { type, value: value.map(encodeNumber) };
      case 'string':
        return { type, value };
      case 'strings':
        return { type, value };
      case 'tensor':
        return { type, value: this.#tensors.of(value) };
      case 'tensors':
        return { type, value: value.map((item) => this.#tensors.of(item)) };
      case 'type':
        return { type, value: this.types.of(value) };
      case 'types':
        return { type, value: value.map((item) => this.types.of(item)) };
      case 'graph':
        return { type, value: this.graph(value) };
      case 'graphs':
        return { type, value: value.map((item) => this.graph(item)) };
      case 'sparse-tensor': {
        const { values, indices, dims } = value;
        return { type, value: { values: this.#tensors.of(values), indices: this.#tensors.of(indices), dims } };
      }
    }
  }
}

/**
 * @param blob of the tensors
 * @param bytesAt the bytes of a weight
 * @throws when the document is not of `encodeGraphs`
 */
export function decodeGraphs(
  encoded: EncodedGraphs,
  blob: Uint8Array,
  bytesAt: (place: WeightPlace, byteLength: number) => TensorBytes,
): Graph {
  return new GraphReader(encoded, blob, bytesAt).graph(encoded.graph);
}

class GraphReader {
  readonly #types: readonly ValueType[];
  readonly #tensors: readonly Tensor[];
  readonly #values: readonly Value[];
  readonly #dims: DimReader;

  constructor(encoded: EncodedGraphs, blob: Uint8Array, bytesAt: Parameters<typeof decodeTensor>[3]) {
    const dims = new DimReader(encoded.dims);
    this.#dims = dims;
    this.#types = encoded.types.map((type) => decodeType(type, dims));
    this.#tensors = encoded.tensors.map((tensor) =>
      decodeTensor(tensor, blob, (type, sizes) => byteLength(type, elementCount(sizes)), bytesAt),
    );
    this.#values = encoded.values.map(({ name, type, constant, initial, contents }) => {
      const value = newValue(name, type === undefined ? undefined : at(this.#types, type));
      if (constant !== undefined) value.constant = at(this.#tensors, constant);
      if (initial !== undefined) value.initial = at(this.#tensors, initial);
      if (contents) value.contents = dims.all(contents);
      return value;
    });
  }

  graph({ name, opsets, inputs, outputs, initializers, captures, nodes }: EncodedGraph): Graph {
    const all = (positions: readonly number[]): Value[] => positions.map((position) => at(this.#values, position));
    return {
      name,
      opsets: new Map(opsets),
      inputs: all(inputs),
      outputs: all(outputs),
      initializers: all(initializers),
      captures: all(captures),
      nodes: nodes.map((node) => this.#node(node)),
    };
  }

  #node({ inputs, outputs, attributes, requirements, ...rest }: EncodedNode): GraphNode {
    const all = (positions: EncodedNode['inputs']) =>
      positions.map((position) => (position === null ? undefined : at(this.#values, position)));
    const node: GraphNode = {
      ...rest,
      inputs: all(inputs),
      outputs: all(outputs),
      attributes: new Map(attributes?.map(([key, value]) => [key, this.#attribute(value)])),
      ...(requirements && {
        requirements: requirements.map((item) => ({ ...item, a: this.#dims.at(item.a), b: this.#dims.at(item.b) })),
      }),
    };
    for (const output of node.outputs) if (output) output.producer = node;
    return node;
  }

  #attribute({ type, value }: EncodedAttribute): AttributeValue {
    switch (type) {
      case 'int':
        return { type, value: decodeInteger(value) };
      case 'ints':
        return { type, value: value.map(decodeInteger) };
      case 'float':
        return { type, value: decodeNumber(value) };
      case 'floats':
        return { type, value: value.map(decodeNumber) };
      case 'string':
        return { type, value };
      case 'strings':
        return { type, value };
      case 'tensor':
        return { type, value: at(this.#tensors, value) };
      case 'tensors':
        return { type, value: value.map((item) => at(this.#tensors, item)) };
      case 'type':
        return { type, value: at(this.#types, value) };
      case 'types':
        return { type, value: value.map((item) => at(this.#types, item)) };
      case 'graph':
        return { type, value: this.graph(value) };
      case 'graphs':
        return { type, value: value.map((item) => this.graph(item)) };
      case 'sparse-tensor': {
        const { values, indices, dims } = value;
        return { type, value: { values: at(this.#tensors, values), indices: at(this.#tensors, indices), dims } };
      }
    }
  }
}

function at<T>(table: readonly T[], position: number): T {
  const item = table[position];
  if (item === undefined) throw new RangeError(`there is no entry ${position} of ${table.length}`);
  return item;
}
