// Stored values as the host's: a TensorProto, SequenceProto, OptionalProto or MapProto, as the declared type says.

import type { HostValue } from '@onnx-ts/core';
import {
  importMap,
  importModel,
  importOptional,
  importSequence,
  importSparseTensor,
  importTensor,
  parseModel,
  type ValueType,
} from '@onnx-ts/core/internal';
import {
  decodeMap,
  decodeOptional,
  decodeSequence,
  decodeSparseTensor,
  decodeTensor,
  type ModelProto,
  type ValueInfoProto,
} from '@onnx-ts/onnx-proto';

export interface DeclaredValue {
  readonly name: string;
  readonly type: ValueType | undefined;
}

export interface Declarations {
  readonly proto: ModelProto;
  /** Inputs that a run must be given. */
  readonly inputs: readonly DeclaredValue[];
  readonly outputs: readonly DeclaredValue[];
}

/** @throws OnnxTsError INVALID_MODEL */
export function declarationsOf(model: Uint8Array): Declarations {
  const proto = parseModel(model);
  const initialized = new Set([
    ...(proto.graph?.initializer ?? []).map((tensor) => tensor.name),
    ...(proto.graph?.sparseInitializer ?? []).map((sparse) => sparse.values?.name),
  ]);
  const inputs = (proto.graph?.input ?? []).filter((info) => !initialized.has(info.name));
  return { proto, inputs: declared(proto, inputs), outputs: declared(proto, proto.graph?.output ?? []) };
}

/** The importer reads the types: it is given a graph that has inputs and nothing else. */
function declared(proto: ModelProto, infos: readonly ValueInfoProto[]): readonly DeclaredValue[] {
  if (!proto.graph) return [];
  const nothing = { node: [], initializer: [], sparseInitializer: [], output: [] };
  const { graph } = importModel({ ...proto, functions: [], graph: { ...proto.graph, ...nothing, input: infos } });
  return graph.inputs.map(({ name, type }) => ({ name, type }));
}

/** @throws Error for bytes that are not what the type says */
export function decodeValue(bytes: Uint8Array, type: ValueType | undefined): HostValue {
  switch (type?.kind) {
    case undefined:
    case 'tensor':
      return importTensor(decodeTensor(bytes));
    case 'sparse-tensor':
      return { kind: 'sparse-tensor', ...importSparseTensor(decodeSparseTensor(bytes)) };
    case 'sequence':
      // The message does not say what an empty sequence would hold; the model does.
      return Object.assign({ element: type.element }, importSequence(decodeSequence(bytes)));
    case 'optional':
      return importOptional(decodeOptional(bytes));
    case 'map':
      return importMap(decodeMap(bytes));
  }
}
