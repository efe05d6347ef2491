// A model's bytes → a graph that can be placed, for sessions that no store has: decoded, imported, rewritten.

import type { GraphProto, ModelProto, TensorProto } from '@onnx-ts/onnx-proto';
import { Dim } from '@onnx-ts/tensor-ir';
import type { PreparedModel } from '../artifacts/session-artifact.ts';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { importModel, parseModel } from '../onnx/import-model.ts';
import { externalPlace, type WeightReadListener, WeightResolver } from '../onnx/weights.ts';
import { prepareGraph } from '../passes/prepare-graph.ts';
import type { ExecutionProvider } from '../provider/contract.ts';
import { type GraphTools, toolsFor } from './graph-tools.ts';
import { type LoadOptions, type ModelFile, type ModelSource, openWeights, readModel } from './load-model.ts';
import { metadataOf } from './metadata.ts';
import { keptOutputs, type SessionOptions } from './options.ts';

export interface LoadedModel {
  readonly proto: ModelProto;
  readonly weights: WeightResolver;
  /** Files of external data that it names. */
  readonly locations: readonly string[];
  /** Closes files; weights that were not read by then are gone. */
  close(): void;
}

/**
 * @param onRead told of reads of weights
 * @throws OnnxTsError INVALID_MODEL or EXTERNAL_DATA
 */
export async function openModel(
  file: ModelFile,
  options: LoadOptions = {},
  onRead?: WeightReadListener,
): Promise<LoadedModel> {
  const proto = parseModel(file.bytes);
  const { files, locations, close } = await openWeights(externalLocations(proto), file, options);
  return { proto, locations, weights: new WeightResolver(files, onRead), close };
}

/** @throws OnnxTsError INVALID_INPUT, INVALID_MODEL, EXTERNAL_DATA or ABORTED */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<LoadedModel> {
  return openModel(await readModel(source, options), options);
}

/** @throws OnnxTsError for the first thing that is wrong with the model, or does not suit the options */
export async function prepareModel(
  { proto, weights }: LoadedModel,
  providers: readonly ExecutionProvider[],
  options: SessionOptions,
): Promise<{ readonly prepared: PreparedModel; readonly tools: GraphTools }> {
  const { overridableInitializers = false } = options;
  const { graph, fresh } = importModel(proto, weights, { overridableInitializers });
  overrideDims(graph, options.freeDimensionOverrides ?? {});
  const inputs = graph.inputs.filter((value) => !value.initial).map((value) => metadataOf(value.name, value.type));
  // Rewrites may give another name to the value behind an output.
  const outputNames = graph.outputs.map((value) => value.name);
  // Before the work that a wrong option would waste.
  keptOutputs(options.preferredOutputLocation, outputNames);
  const tools = await toolsFor(graph, options);
  // A composite with a kernel of its own stays whole.
  const keep = (node: GraphNode): boolean => providers.some((provider) => provider.supports(node).ok);
  prepareGraph(graph, { ...tools, fresh, keep, optimize: options.graphOptimizationLevel !== 'disabled' });
  return { prepared: { graph, inputs, outputNames }, tools };
}

function overrideDims(graph: Graph, overrides: Readonly<Record<string, number>>): void {
  const values = new Map(Object.entries(overrides).map(([name, size]) => [name, Dim.constant(size)]));
  if (values.size === 0) return;
  const known = new Set<string>();
  for (const input of graph.inputs) {
    if (input.type?.kind !== 'tensor' || !input.type.shape) continue;
    for (const dim of input.type.shape) dim.symbols(known);
    input.type = { ...input.type, shape: input.type.shape.map((dim) => dim.substitute(values)) };
  }
  for (const name of values.keys()) {
    if (known.has(name)) continue;
    const names = [...known].filter((symbol) => !symbol.includes('#'));
    throw new OnnxTsError('INVALID_INPUT', `no input has a size named "${name}".`, {
      hint: names.length > 0 ? `Sizes that may vary are ${names.join(', ')}.` : 'All sizes of this model are fixed.',
    });
  }
}

/** Every file that any tensor of a model names, checked. */
function externalLocations(model: ModelProto): Set<string> {
  const locations = new Set<string>();
  const tensor = (proto: TensorProto): void => {
    if (proto.dataLocation === 1 && proto.externalData.length > 0) locations.add(externalPlace(proto).location);
  };
  const visit = (graph: GraphProto): void => {
    graph.initializer.forEach(tensor);
    for (const node of graph.node) {
      for (const attribute of node.attribute) {
        if (attribute.t) tensor(attribute.t);
        attribute.tensors.forEach(tensor);
        if (attribute.g) visit(attribute.g);
        attribute.graphs.forEach(visit);
      }
    }
  };
  visit(model.graph!);
  return locations;
}
