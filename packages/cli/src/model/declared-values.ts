// What a model says about its inputs and outputs. Reads no files, so that it works in browsers, too.

import { OnnxTsError } from '@onnx-ts/core';
import { importModel, parseModel, type ValueType } from '@onnx-ts/core/internal';
import type { ModelProto, ValueInfoProto } from '@onnx-ts/onnx-proto';

/** A graph input or output as the file declares it. */
export interface DeclaredValue {
  readonly name: string;
  /** Undefined where the file states none. Sizes without a name get one with a `#`. */
  readonly type: ValueType | undefined;
}

/** @throws OnnxTsError INVALID_MODEL naming the file */
export function parseModelBytes(bytes: Uint8Array, path: string): ModelProto {
  try {
    return parseModel(bytes);
  } catch (cause) {
    if (!OnnxTsError.is(cause) || cause.place.path !== undefined) throw cause;
    throw new OnnxTsError(cause.code, cause.message, { place: { path }, cause });
  }
}

/** Inputs that a run must be given: those without an initializer. */
export function freeInputs(model: ModelProto): DeclaredValue[] {
  const initialized = new Set<string | undefined>([
    ...(model.graph?.initializer ?? []).map((tensor) => tensor.name),
    ...(model.graph?.sparseInitializer ?? []).map((sparse) => sparse.values?.name),
  ]);
  return declaredValues(
    model,
    (model.graph?.input ?? []).filter((info) => !initialized.has(info.name)),
  );
}

export function declaredOutputs(model: ModelProto): DeclaredValue[] {
  return declaredValues(model, model.graph?.output ?? []);
}

/** The importer reads the types: it is given a graph that has inputs and nothing else. */
function declaredValues(model: ModelProto, infos: readonly ValueInfoProto[]): DeclaredValue[] {
  if (!model.graph) return [];
  const nothing = { node: [], initializer: [], sparseInitializer: [], output: [] };
  const { graph } = importModel({ ...model, functions: [], graph: { ...model.graph, ...nothing, input: infos } });
  return graph.inputs.map(({ name, type }) => ({ name, type }));
}
