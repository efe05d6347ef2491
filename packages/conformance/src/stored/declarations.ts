// What a stored model declares: the names and types of its inputs and outputs.

import { importModel, parseModel, type ValueType } from '@onnx-ts/core/internal';
import type { ModelProto, ValueInfoProto } from '@onnx-ts/onnx-proto';

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
