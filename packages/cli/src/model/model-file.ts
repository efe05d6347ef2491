// Model files, read without their external data, and what is in them.

import { readFileSync, statSync } from 'node:fs';
import { OnnxTsError } from '@onnx-ts/core';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '@onnx-ts/onnx-proto';
import { parseModelBytes } from './declared-values.ts';

/** @throws OnnxTsError INVALID_INPUT when there is no such file, INVALID_MODEL when it is no model */
export function readModelFile(path: string): ModelProto {
  return parseModelBytes(readBytes(path), path);
}

/** @throws OnnxTsError INVALID_INPUT when the file cannot be read */
export function readBytes(path: string): Uint8Array {
  try {
    if (statSync(path).isDirectory()) throw new Error('it is a folder');
    const bytes = readFileSync(path);
    // A Buffer is a Uint8Array with another idea of `slice`.
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'there is no such file.' : `the file cannot be read: ${message}.`;
    throw new OnnxTsError('INVALID_INPUT', what, { place: { path }, cause });
  }
}

/** Calls `visit` for each node of the model: of the main graph, of bodies inside nodes, and of functions. */
export function visitNodes(model: ModelProto, visit: (node: NodeProto) => void): void {
  const walk = (nodes: readonly NodeProto[]): void => {
    for (const node of nodes) {
      visit(node);
      for (const attribute of node.attribute) {
        if (attribute.g) walk(attribute.g.node);
        for (const graph of attribute.graphs) walk(graph.node);
      }
    }
  };
  walk(model.graph?.node ?? []);
  for (const definition of model.functions) walk(definition.node);
}

/** Initializers of the main graph and of bodies inside nodes. */
export function initializersOf(model: ModelProto): TensorProto[] {
  const tensors: TensorProto[] = [];
  const add = (graph: GraphProto | undefined): void => {
    if (!graph) return;
    tensors.push(...graph.initializer);
    for (const sparse of graph.sparseInitializer) if (sparse.values) tensors.push(sparse.values);
  };
  add(model.graph);
  visitNodes(model, (node) => {
    for (const attribute of node.attribute) {
      add(attribute.g);
      attribute.graphs.forEach(add);
    }
  });
  return tensors;
}

/** Names of the files that hold external data. */
export function externalFiles(model: ModelProto): string[] {
  const names = new Set<string>();
  for (const tensor of initializersOf(model)) {
    const location = tensor.externalData.find((entry) => entry.key === 'location')?.value;
    if (tensor.dataLocation === 1 && location) names.add(location);
  }
  return [...names];
}
