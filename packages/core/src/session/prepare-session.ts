// From a model file and options to all that a session is made of.

import { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { importModel } from '../onnx/import-model.ts';
import { allOperators } from '../ops/index.ts';
import { defaultRegistry, OperatorRegistry } from '../ops/registry.ts';
import { prepareGraph } from '../passes/prepare-graph.ts';
import { GraphPlan } from '../plan/graph-plan.ts';
import type { ExecutionProvider, ProviderFactory } from '../provider/contract.ts';
import type { Explanation } from './explanation.ts';
import { HostEvaluator } from './host-evaluator.ts';
import { hostInfo } from './host-info.ts';
import { type LoadedModel, loadModel, type ModelSource } from './load-model.ts';
import { metadataOf, type ValueMetadata } from './metadata.ts';
import { checkOptions, providersOf, type SessionOptions } from './options.ts';
import { settleWeights } from './settle-weights.ts';

export interface SessionParts {
  readonly plan: GraphPlan;
  readonly providers: readonly ExecutionProvider[];
  readonly notes: Explanation['providers'];
  readonly inputs: readonly ValueMetadata[];
  readonly outputs: readonly ValueMetadata[];
  /** Memory of constants, which results must not share. */
  readonly constants: ReadonlySet<unknown>;
  readonly profile: boolean;
}

/** @throws OnnxTsError with a code and the place of the problem; everything opened until then is closed */
export async function prepareSession(source: ModelSource, options: SessionOptions): Promise<SessionParts> {
  const { signal, onProgress } = options;
  throwIfAborted(signal);
  checkOptions(options);
  const opened = await openProviders(providersOf(options), options);
  try {
    const model = await loadModel(source, {
      ...(options.externalData && { externalData: options.externalData }),
      ...(signal && { signal }),
      onBytes: (done, total, what) => onProgress?.({ phase: 'download', fraction: total && done / total, what }),
    });
    try {
      return await compileModel(model, opened, options);
    } finally {
      model.close();
    }
  } catch (error) {
    await disposeAll(opened);
    throwIfAborted(signal);
    if (OnnxTsError.is(error)) throw error;
    const what = `the model could not be compiled: ${(error as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { cause: error });
  }
}

async function compileModel(
  model: LoadedModel,
  opened: readonly OpenedProvider[],
  options: SessionOptions,
): Promise<SessionParts> {
  const { signal, onProgress } = options;
  const providers = opened.map(({ provider }) => provider);
  const { overridableInitializers = false } = options;
  const { graph, fresh } = importModel(model.proto, model.weights, { overridableInitializers });
  overrideDims(graph, options.freeDimensionOverrides ?? {});
  const inputs = graph.inputs.filter((value) => !value.initial).map((value) => metadataOf(value.name, value.type));
  // Rewrites may give another name to the value behind an output.
  const outputNames = graph.outputs.map((value) => value.name);
  const registry = options.operators
    ? new OperatorRegistry([...allOperators(), ...options.operators])
    : defaultRegistry();
  const evaluator = new HostEvaluator(registry, seeds(options.seed));
  // A composite with a kernel of its own stays whole.
  const keep = (node: GraphNode): boolean => providers.some((provider) => provider.supports(node).ok);
  const optimize = options.graphOptimizationLevel !== 'disabled';
  prepareGraph(graph, { registry, fresh, evaluator, keep, optimize });
  const plan = await GraphPlan.compile(
    graph,
    { registry, evaluator, providers, everythingOnProviders: options.placement === 'providers' },
    {
      ...(signal && { signal }),
      ...(onProgress && {
        progress: (fraction: number, what: string) => onProgress({ phase: 'compile', fraction, what }),
      }),
    },
  );
  try {
    const constants = settleWeights(plan);
    onProgress?.({ phase: 'compile', fraction: 1, what: 'ready' });
    throwIfAborted(signal);
    return {
      plan,
      providers,
      notes: opened.map(({ provider: { id, device }, note }) => ({ id, device: device.name, ...(note && { note }) })),
      inputs,
      outputs: graph.outputs.map((value, at) => metadataOf(outputNames[at], value.type)),
      constants,
      profile: options.enableProfiling ?? false,
    };
  } catch (error) {
    plan.dispose();
    throw error;
  }
}

/** Seeds of random operators that have none of their own: each time another one, the same ones for the same option. */
function seeds(first: number = Math.random() * 2 ** 32): () => number {
  let count = 0;
  return () => first + count++;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new OnnxTsError('ABORTED', 'the session was aborted while it was created.', { cause: signal.reason });
}

interface OpenedProvider {
  readonly provider: ExecutionProvider;
  readonly note: string | undefined;
}

async function openProviders(
  factories: readonly ProviderFactory[],
  options: SessionOptions,
): Promise<readonly OpenedProvider[]> {
  const opened: OpenedProvider[] = [];
  const refused: string[] = [];
  try {
    for (const factory of factories) {
      const devices = await factory.discover(hostInfo());
      const device = devices.find((candidate) => candidate.usable);
      if (!device) {
        refused.push(`${factory.id}: ${devices.map((candidate) => candidate.reason).join('; ') || 'no device'}.`);
        continue;
      }
      const threads = options.threads ?? (options.intraOpNumThreads || undefined);
      const provider = await factory.open(device, {
        ...(threads !== undefined && { threads }),
        ...(options.memoryBudget !== undefined && { memoryBudget: options.memoryBudget }),
        ...(options.enableProfiling && { profile: true }),
      });
      opened.push({ provider, note: provider.device.reason });
    }
  } catch (error) {
    await disposeAll(opened);
    if (OnnxTsError.is(error)) throw error;
    throw new OnnxTsError('PROVIDER', `a provider could not be opened: ${(error as Error).message}.`, { cause: error });
  }
  if (opened.length === 0) throw new OnnxTsError('PROVIDER', `no provider can be used here. ${refused.join(' ')}`);
  return opened;
}

async function disposeAll(opened: readonly OpenedProvider[]): Promise<void> {
  for (const { provider } of opened) await provider.dispose();
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
