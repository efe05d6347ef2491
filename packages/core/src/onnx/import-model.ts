// ModelProto → Graph: names become SSA values, model-local functions are inlined, everything is checked.

import {
  type AttributeProto,
  AttributeType,
  decodeModel,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TypeProto,
  type ValueInfoProto,
} from '@onnx-ts/onnx-proto';
import { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { type AttributeValue, type Graph, type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { sortNodes } from '../graph/traverse.ts';
import { collectSymbols, tensorType, type ValueType, withoutShape } from '../graph/types.ts';
import { FreshDims } from '../ops/context.ts';
import { parseDim } from './dim-text.ts';
import { dtypeOfCode, importSparseTensor, importTensor } from './import-tensor.ts';
import { checkCalls, inlineFunctions } from './inline-functions.ts';
import { denseTensor } from './sparse-tensor.ts';
import type { WeightResolver } from './weights.ts';

export interface ImportedModel {
  readonly graph: Graph;
  /** Source of symbols for sizes that the model leaves unnamed. */
  readonly fresh: FreshDims;
  readonly producer: string;
  readonly irVersion: number;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Deepest nesting of graphs and functions; real models stay below ten. */
const deepest = 64;

/**
 * Decodes a model file.
 * @throws OnnxTsError INVALID_MODEL for bytes that are no model
 */
export function parseModel(bytes: Uint8Array): ModelProto {
  let model: ModelProto;
  try {
    model = decodeModel(bytes);
  } catch (cause) {
    throw new OnnxTsError(
      'INVALID_MODEL',
      `these ${bytes.length} bytes are not an ONNX model: ${(cause as Error).message}.`,
      {
        hint: 'Check that the file was downloaded whole and is a .onnx file.',
        cause,
      },
    );
  }
  if (!model.graph || model.graph.output.length === 0) {
    throw new OnnxTsError(
      'INVALID_MODEL',
      `these ${bytes.length} bytes are not an ONNX model: they hold no graph with outputs.`,
    );
  }
  return model;
}

export function domainOf(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}

export interface ImportOptions {
  /** Initializers that are graph inputs as well stay inputs with a default, as IR version 4 has it, instead of constants. */
  readonly overridableInitializers?: boolean;
}

/** @throws OnnxTsError INVALID_MODEL or EXTERNAL_DATA with the place of the first problem */
export function importModel(model: ModelProto, weights?: WeightResolver, options: ImportOptions = {}): ImportedModel {
  const opsets = new Map(model.opsetImport.map((entry) => [domainOf(entry.domain), entry.version ?? 1]));
  // Models before IR version 3 name no operator set: they mean the first.
  if (!opsets.has('')) opsets.set('', 1);
  checkCalls(model.graph!.node, model.functions);
  const importer = new GraphImporter(opsets, model.functions, weights);
  const graph = importer.importGraph(model.graph!, new Map(), 0);
  settleDefaults(graph, options.overridableInitializers === true && (model.irVersion ?? 0) >= 4);
  return {
    graph,
    fresh: importer.fresh,
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
    irVersion: model.irVersion ?? 0,
    metadata: new Map(model.metadataProps.map((entry) => [entry.key ?? '', entry.value ?? ''])),
  };
}

/** Initializers that are inputs, too: constants that nobody can feed, or inputs that need not be fed. */
function settleDefaults(graph: Graph, overridable: boolean): void {
  for (const value of [...graph.inputs]) {
    if (!value.constant) continue;
    if (overridable) {
      value.initial = value.constant;
      delete value.constant;
      graph.initializers.splice(graph.initializers.indexOf(value), 1);
    } else graph.inputs.splice(graph.inputs.indexOf(value), 1);
  }
}

class GraphImporter {
  readonly fresh = new FreshDims();
  readonly #opsets: Map<string, number>;
  readonly #functions: readonly FunctionProto[];
  readonly #weights: WeightResolver | undefined;
  #nodeCount = 0;

  constructor(opsets: Map<string, number>, functions: readonly FunctionProto[], weights: WeightResolver | undefined) {
    this.#opsets = opsets;
    this.#functions = functions;
    this.#weights = weights;
  }

  importGraph(proto: GraphProto, outer: ReadonlyMap<string, Value>, depth: number): Graph {
    if (depth > deepest) throw new OnnxTsError('INVALID_MODEL', `graphs are nested more than ${deepest} deep.`);
    const scope = new Map<string, Value>();
    const inputs: Value[] = [];
    for (const info of proto.input) {
      const value = newValue(info.name ?? '', this.#type(info.type, `the input "${info.name}"`));
      if (scope.has(value.name)) throw new OnnxTsError('INVALID_MODEL', `two inputs are named "${value.name}".`);
      scope.set(value.name, value);
      inputs.push(value);
    }
    const initializers = this.#initializers(proto, scope, depth);
    const nodes = inlineFunctions(proto.node, this.#functions, this.#opsets);
    // Outputs first, so that nodes in any order find the values they read.
    for (const { proto: node } of nodes) {
      for (const name of node.output) {
        if (name === '') continue;
        if (scope.has(name)) {
          throw new OnnxTsError('INVALID_MODEL', 'a value of this name is defined twice.', { place: { value: name } });
        }
        scope.set(name, newValue(name));
      }
    }
    const captures = new Set<Value>();
    const lookUp = (name: string, node: NodeProto): Value => {
      const own = scope.get(name);
      if (own) return own;
      const captured = outer.get(name);
      if (captured) {
        captures.add(captured);
        return captured;
      }
      throw new OnnxTsError('INVALID_MODEL', `the input "${name}" is not produced by any node, input or initializer.`, {
        place: { node: node.name ?? '', op: node.opType ?? '' },
      });
    };
    const visible = new Map([...outer, ...scope]);
    const imported = nodes.map(({ proto: node, opsets }) => {
      const result = this.#node(node, opsets ?? this.#opsets, (name) => lookUp(name, node), visible, depth);
      for (const [at, name] of node.output.entries()) {
        const value = name === '' ? undefined : scope.get(name);
        result.outputs[at] = value;
        if (value) value.producer = result;
      }
      for (const attribute of result.attributes.values()) {
        if (attribute.type !== 'graph') continue;
        for (const capture of attribute.value.captures) if (outer.get(capture.name) === capture) captures.add(capture);
      }
      return result;
    });
    const outputs = proto.output.map((info) => {
      const value = scope.get(info.name ?? '') ?? outer.get(info.name ?? '');
      if (!value) {
        throw new OnnxTsError('INVALID_MODEL', 'the graph output is not produced by any node.', {
          place: { value: info.name ?? '' },
        });
      }
      if (!scope.has(value.name)) captures.add(value);
      value.type ??= this.#declaredOutput(info);
      return value;
    });
    return {
      name: proto.name ?? '',
      opsets: this.#opsets,
      inputs,
      outputs,
      nodes: sortNodes(imported),
      initializers,
      captures: [...captures],
    };
  }

  #initializers(proto: GraphProto, scope: Map<string, Value>, depth: number): Value[] {
    const initializers: Value[] = [];
    const add = (name: string, make: (value: Value) => void): void => {
      let value = scope.get(name);
      if (value?.constant) throw new OnnxTsError('INVALID_MODEL', `two initializers are named "${name}".`);
      // What a body is given comes before its own default.
      if (value && depth > 0) return;
      if (!value) {
        value = newValue(name);
        scope.set(name, value);
      }
      make(value);
      initializers.push(value);
    };
    for (const tensor of proto.initializer) {
      add(tensor.name ?? '', (value) => {
        const constant = importTensor(tensor, this.#weights);
        value.constant = constant;
        value.type = tensorType(constant.type, constant.dims.map(Dim.constant));
      });
    }
    for (const sparse of proto.sparseInitializer) {
      add(sparse.values?.name ?? '', (value) => {
        const constant = denseTensor(importSparseTensor(sparse));
        value.constant = constant;
        value.type = tensorType(constant.type, constant.dims.map(Dim.constant));
      });
    }
    return initializers;
  }

  #node(
    proto: NodeProto,
    opsets: ReadonlyMap<string, number>,
    lookUp: (name: string) => Value,
    visible: ReadonlyMap<string, Value>,
    depth: number,
  ): GraphNode {
    const domain = domainOf(proto.domain);
    const op = proto.opType ?? '';
    const name = proto.name || `${op}_${this.#nodeCount}`;
    this.#nodeCount++;
    const attributes = new Map<string, AttributeValue>();
    for (const attribute of proto.attribute) {
      const value = this.#attribute(attribute, name, visible, depth);
      if (value) attributes.set(attribute.name ?? '', value);
    }
    const inputs = proto.input.map((input) => (input === '' ? undefined : lookUp(input)));
    while (inputs.length > 0 && inputs.at(-1) === undefined) inputs.pop();
    return {
      name,
      domain,
      op,
      opset: opsets.get(domain) ?? this.#opsets.get(domain) ?? 1,
      ...(proto.overload && { overload: proto.overload }),
      inputs,
      outputs: proto.output.map(() => undefined),
      attributes,
    };
  }

  #attribute(
    proto: AttributeProto,
    node: string,
    visible: ReadonlyMap<string, Value>,
    depth: number,
  ): AttributeValue | undefined {
    const decoder = new TextDecoder();
    switch (proto.type ?? guessType(proto)) {
      case AttributeType.INT:
        return { type: 'int', value: plainInteger(proto.i ?? 0n) };
      case AttributeType.FLOAT:
        return { type: 'float', value: proto.f ?? 0 };
      case AttributeType.STRING:
        return { type: 'string', value: decoder.decode(proto.s) };
      case AttributeType.TENSOR:
        return proto.t && { type: 'tensor', value: importTensor(proto.t, this.#weights) };
      case AttributeType.GRAPH:
        return proto.g && { type: 'graph', value: this.importGraph(proto.g, visible, depth + 1) };
      case AttributeType.SPARSE_TENSOR:
        return proto.sparseTensor && { type: 'sparse-tensor', value: importSparseTensor(proto.sparseTensor) };
      case AttributeType.TYPE_PROTO: {
        const value = this.#type(proto.tp, `attribute "${proto.name}" of node "${node}"`);
        return value && { type: 'type', value };
      }
      case AttributeType.INTS:
        return { type: 'ints', value: proto.ints.map(plainInteger) };
      case AttributeType.FLOATS:
        return { type: 'floats', value: [...proto.floats] };
      case AttributeType.STRINGS:
        return { type: 'strings', value: proto.strings.map((bytes) => decoder.decode(bytes)) };
      case AttributeType.TENSORS:
        return { type: 'tensors', value: proto.tensors.map((tensor) => importTensor(tensor, this.#weights)) };
      case AttributeType.GRAPHS:
        return { type: 'graphs', value: proto.graphs.map((graph) => this.importGraph(graph, visible, depth + 1)) };
      case AttributeType.TYPE_PROTOS:
        return {
          type: 'types',
          value: proto.typeProtos.map((type) => this.#type(type, `attribute "${proto.name}"`)!).filter(Boolean),
        };
      default:
        throw new OnnxTsError('INVALID_MODEL', `attribute "${proto.name}" has the unknown type ${proto.type}.`, {
          place: { node },
        });
    }
  }

  #declaredOutput(info: ValueInfoProto): ValueType | undefined {
    // Only the kind and element type of a declared output are taken over; shapes come from inference.
    const type = this.#type(info.type, `the output "${info.name}"`);
    return type?.kind === 'tensor' ? tensorType(type.dtype) : type;
  }

  #type(proto: TypeProto | undefined, what: string): ValueType | undefined {
    if (!proto) return undefined;
    const { tensorType: tensor, sparseTensorType: sparse, sequenceType, optionalType, mapType } = proto;
    const dense = tensor ?? sparse;
    if (dense) {
      if (!dense.elemType) return undefined;
      const dtype = dtypeOfCode(dense.elemType, what);
      const shape = dense.shape?.dim.map((dim, axis) => {
        if (dim.dimParam) return parseDim(dim.dimParam);
        if (dim.dimValue === undefined || dim.dimValue < 0) return this.fresh.next(`axis${axis}`);
        return Dim.constant(dim.dimValue);
      });
      return { kind: tensor ? 'tensor' : 'sparse-tensor', dtype, ...(shape && { shape }) };
    }
    if (sequenceType) {
      const element = this.#type(sequenceType.elemType, what);
      return element && { kind: 'sequence', element: itemType(element) };
    }
    if (optionalType) {
      const element = this.#type(optionalType.elemType, what);
      return element && { kind: 'optional', element };
    }
    if (mapType) {
      const value = this.#type(mapType.valueType, what);
      return value && { kind: 'map', key: dtypeOfCode(mapType.keyType, what), value };
    }
    return undefined;
  }
}

/** A size that is a name may be another one for each item of a sequence: then nothing is known of their shape. */
function itemType(declared: ValueType): ValueType {
  const symbols = new Set<string>();
  collectSymbols(declared, symbols);
  return symbols.size > 0 ? withoutShape(declared) : declared;
}

/** Files before IR version 2 give attributes no type: the filled field tells it. */
function guessType(proto: AttributeProto): number {
  if (proto.f !== undefined) return AttributeType.FLOAT;
  if (proto.i !== undefined) return AttributeType.INT;
  if (proto.s !== undefined) return AttributeType.STRING;
  if (proto.t) return AttributeType.TENSOR;
  if (proto.g) return AttributeType.GRAPH;
  if (proto.floats.length > 0) return AttributeType.FLOATS;
  if (proto.strings.length > 0) return AttributeType.STRINGS;
  return AttributeType.INTS;
}

function plainInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
