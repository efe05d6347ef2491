// Everything `onnx-ts inspect` tells, as data. Weights in other files are not read.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OnnxTsError } from '@onnx-ts/core';
import {
  domainOf,
  dtypeOfCode,
  type Graph,
  type GraphNode,
  type ImportedModel,
  importModel,
  typeText,
  type Value,
  type WeightFile,
  WeightResolver,
} from '@onnx-ts/core/internal';
import type { ModelProto, TensorProto } from '@onnx-ts/onnx-proto';
import { bitsOf, byteLength, Dim, type DType } from '@onnx-ts/tensor-ir';
import type { DimSizes } from '../options.ts';
import { declaredOutputs, freeInputs } from './declared-values.ts';
import { initializersOf, visitNodes } from './model-file.ts';
import { type GraphProblem, prepareTolerantly } from './prepare-tolerantly.ts';
import { type ProviderSupport, providerSupport } from './provider-support.ts';

export interface ModelReport {
  readonly producer: string;
  readonly irVersion: number;
  /** Operator-set version by domain; `ai.onnx` is the default one. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly inputs: readonly ReportedValue[];
  readonly outputs: readonly ReportedValue[];
  /** Nodes by operator, bodies and functions included; most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  readonly functions: readonly string[];
  readonly parameters: ParameterReport;
  readonly externalData: readonly ExternalFile[];
  readonly memory: MemoryReport;
  /** Nodes that onnx-ts cannot run at all. */
  readonly problems: readonly GraphProblem[];
  /** Nodes that depend on one of the problems: no provider was asked about them. */
  readonly blockedNodes: number;
  readonly providers: readonly ProviderSupport[];
}

export interface ReportedValue {
  readonly name: string;
  readonly type: string;
}

export interface ParameterReport {
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
  readonly byDType: Readonly<
    Record<string, { readonly tensors: number; readonly elements: number; readonly bytes: number }>
  >;
}

export interface ExternalFile {
  readonly file: string;
  /** Bytes that the model refers to. */
  readonly bytes: number;
  readonly found: boolean;
}

export interface MemoryReport {
  readonly weights: number;
  /** Largest sum of values alive at once, node after node, nothing fused; undefined while sizes are symbols. */
  readonly activations?: number;
  /** Names of sizes that are missing for `activations`. */
  readonly missingDims: readonly string[];
}

/**
 * @param providers ids of the providers to ask
 * @throws OnnxTsError for a model that cannot be read
 */
export async function inspectModel(
  model: ModelProto,
  path: string,
  dims: DimSizes,
  providers: readonly string[],
): Promise<ModelReport> {
  const tensors = initializersOf(model);
  const externalData = externalFilesOf(tensors, dirname(path));
  const parameters = countParameters(tensors);
  const importGraph = (): ImportedModel => {
    const imported = importModel(model, new WeightResolver(weightStandIns(externalData, dirname(path))));
    fixDims(imported.graph, dims);
    return imported;
  };
  const imported = importGraph();
  const { graph, problems, blocked } = prepareTolerantly(importGraph);
  const activations = problems.length === 0 ? peakActivations(graph) : { missingDims: [] };
  return {
    producer: imported.producer,
    irVersion: imported.irVersion,
    opsets: Object.fromEntries(
      model.opsetImport.map((entry) => [domainOf(entry.domain) || 'ai.onnx', entry.version ?? 1]),
    ),
    metadata: Object.fromEntries(imported.metadata),
    inputs: freeInputs(model).map(reported),
    outputs: declaredOutputs(model).map(reported),
    operators: operatorHistogram(model),
    functions: model.functions.map(({ domain, name }) => qualified(domain, name)),
    parameters,
    externalData,
    memory: { weights: parameters.bytes, ...activations },
    problems,
    blockedNodes: blocked,
    providers: await providerSupport(graph, providers),
  };
}

function reported({ name, type }: { readonly name: string; readonly type: Value['type'] }): ReportedValue {
  // Sizes without a name have one of their own, with a '#'.
  return { name, type: typeText(type).replaceAll(/\w+#\d+/g, '?') };
}

function qualified(domain: string | undefined, op: string | undefined): string {
  const prefix = domainOf(domain);
  return prefix === '' ? (op ?? '') : `${prefix}.${op}`;
}

function operatorHistogram(model: ModelProto): Record<string, number> {
  const counts = new Map<string, number>();
  visitNodes(model, ({ domain, opType }) => {
    const name = qualified(domain, opType);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  return Object.fromEntries([...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)));
}

function countParameters(tensors: readonly TensorProto[]): ParameterReport {
  const byDType: Record<string, { tensors: number; elements: number; bytes: number }> = {};
  const total = { tensors: 0, elements: 0, bytes: 0 };
  for (const tensor of tensors) {
    const dtype = dtypeOfCode(tensor.dataType, `the tensor "${tensor.name ?? ''}"`);
    const elements = tensor.dims.reduce((product, size) => product * size, 1);
    const bytes = sizeOf(dtype, elements, tensor);
    byDType[dtype] ??= { tensors: 0, elements: 0, bytes: 0 };
    for (const entry of [byDType[dtype], total]) {
      entry.tensors++;
      entry.elements += elements;
      entry.bytes += bytes;
    }
  }
  return { ...total, byDType };
}

function sizeOf(dtype: DType, elements: number, tensor: TensorProto): number {
  if (dtype !== 'string') return byteLength(dtype, elements);
  return tensor.stringData.reduce((sum, text) => sum + text.length, 0);
}

function externalFilesOf(tensors: readonly TensorProto[], folder: string): ExternalFile[] {
  const ends = new Map<string, number>();
  for (const tensor of tensors) {
    if (tensor.dataLocation !== 1) continue;
    const entry = (key: string): string | undefined => tensor.externalData.find((item) => item.key === key)?.value;
    const file = (entry('location') ?? '').replace(/^(\.\/)+/, '');
    const elements = tensor.dims.reduce((product, size) => product * size, 1);
    const length = byteLength(dtypeOfCode(tensor.dataType, `the tensor "${tensor.name ?? ''}"`), elements);
    ends.set(file, Math.max(ends.get(file) ?? 0, Number(entry('offset') ?? 0) + length));
  }
  return [...ends].map(([file, bytes]) => ({
    file,
    bytes,
    found: statSync(join(folder, file), { throwIfNoEntry: false }) !== undefined,
  }));
}

/** Tensors up to this size may hold shapes, which types depend on: they are read when the file is there. */
const largestShape = 4096;

/** Stand-ins for files of external data: all that is larger than a shape reads as zeros. */
function weightStandIns(files: readonly ExternalFile[], folder: string): Map<string, WeightFile> {
  return new Map(
    files.map(({ file, found }) => [
      file,
      {
        byteLength: Number.MAX_SAFE_INTEGER,
        read: (offset, target) => {
          if (!found || target.byteLength > largestShape) return;
          const handle = openSync(join(folder, file), 'r');
          try {
            readSync(handle, target, 0, target.byteLength, offset);
          } finally {
            closeSync(handle);
          }
        },
      },
    ]),
  );
}

function fixDims(graph: Graph, dims: DimSizes): void {
  const sizes = new Map(Object.entries(dims).map(([name, size]) => [name, Dim.constant(size)]));
  const known = new Set<string>();
  for (const input of graph.inputs) {
    if (input.type?.kind !== 'tensor' || !input.type.shape) continue;
    for (const dim of input.type.shape) dim.symbols(known);
    input.type = { ...input.type, shape: input.type.shape.map((dim) => dim.substitute(sizes)) };
  }
  for (const name of sizes.keys()) {
    if (!known.has(name)) throw new OnnxTsError('INVALID_INPUT', `no input has a size named "${name}".`);
  }
}

function peakActivations(graph: Graph): { readonly activations?: number; readonly missingDims: readonly string[] } {
  const missing = new Set<string>();
  const bytesOf = (value: Value): number => {
    if (value.constant || value.type?.kind !== 'tensor' || value.type.dtype === 'string' || !value.type.shape) return 0;
    let elements = 1;
    for (const dim of value.type.shape) {
      if (dim.constant === undefined) for (const name of dim.symbols()) missing.add(name);
      elements *= dim.constant ?? 1;
    }
    return Math.ceil((elements * bitsOf(value.type.dtype)) / 8);
  };
  const lastUse = lastUses(graph);
  let alive = graph.inputs.reduce((sum, input) => sum + bytesOf(input), 0);
  let peak = alive;
  for (const [at, node] of graph.nodes.entries()) {
    for (const output of node.outputs) if (output) alive += bytesOf(output);
    peak = Math.max(peak, alive);
    for (const value of lastUse.get(at) ?? []) alive -= bytesOf(value);
  }
  // Sizes that only a run can tell are no fault of the caller.
  const missingDims = [...missing].filter((name) => !name.includes('#'));
  return missing.size > 0 ? { missingDims } : { activations: peak, missingDims };
}

/** Values that nobody reads after the node with that index. Graph outputs stay. */
function lastUses(graph: Graph): Map<number, Value[]> {
  const last = new Map<Value, number>();
  for (const input of graph.inputs) last.set(input, -1);
  for (const [at, node] of graph.nodes.entries()) {
    for (const value of [...node.inputs, ...capturesOf(node), ...node.outputs]) if (value) last.set(value, at);
  }
  for (const output of graph.outputs) last.delete(output);
  const byNode = new Map<number, Value[]>();
  for (const [value, at] of last) byNode.set(at, [...(byNode.get(at) ?? []), value]);
  return byNode;
}

function capturesOf(node: GraphNode): Value[] {
  return [...node.attributes.values()].flatMap((attribute) =>
    attribute.type === 'graph'
      ? attribute.value.captures
      : attribute.type === 'graphs'
        ? attribute.value.flatMap((body) => body.captures)
        : [],
  );
}
