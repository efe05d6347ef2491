// From a model file and options to all that a session is made of.

import {
  type PreparedModel,
  SessionArtifacts,
  SessionRecorder,
  type SessionRecords,
  SessionReplay,
} from '../artifacts/session-artifact.ts';
import { OnnxTsError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { forEachGraph } from '../graph/traverse.ts';
import { WeightResolver } from '../onnx/weights.ts';
import type { ModelPlacement, PlacementRequest } from '../partition/place-model.ts';
import { GraphPlan } from '../plan/graph-plan.ts';
import type { ExecutionProvider } from '../provider/contract.ts';
import type { Explanation } from './explanation.ts';
import { type GraphTools, toolsFor } from './graph-tools.ts';
import { type LoadOptions, type ModelFile, type ModelSource, openWeights, readModel } from './load-model.ts';
import { metadataOf, type ValueMetadata } from './metadata.ts';
import { disposeQuietly, type OpenedProvider, type OpenProviders, openProviders } from './open-providers.ts';
import { checkOptions, keptOutputs, placementOf, providersOf, type SessionOptions } from './options.ts';
import { settleWeights } from './settle-weights.ts';

export interface SessionParts {
  readonly plan: GraphPlan;
  readonly providers: readonly ExecutionProvider[];
  readonly notes: Explanation['providers'];
  readonly inputs: readonly ValueMetadata[];
  readonly outputs: readonly ValueMetadata[];
  /** Memory of constants, which results must not share. */
  readonly constants: ReadonlySet<unknown>;
  /** Outputs that stay on a device, by name. */
  readonly kept: ReadonlyMap<string, 'device' | 'gpu-buffer'>;
  readonly profile: boolean;
}

/** @throws OnnxTsError with a code and the place of the problem; everything opened until then is closed */
export async function prepareSession(source: ModelSource, options: SessionOptions): Promise<SessionParts> {
  const { signal, onProgress } = options;
  throwIfAborted(signal);
  checkOptions(options);
  const providers = await openProviders(providersOf(options), options);
  const all = providers.opened.map(({ provider }) => provider);
  try {
    const load: LoadOptions = {
      ...(options.externalData && { externalData: options.externalData }),
      ...(signal && { signal }),
      onBytes: (done, total, what) => onProgress?.({ phase: 'download', fraction: total && done / total, what }),
    };
    const file = await readModel(source, load);
    const artifacts = await SessionArtifacts.open(file.bytes, all, options);
    const kept = artifacts && (await restoreSession(artifacts, file, load, providers, options));
    const parts = kept ?? (await createFromModel(artifacts, file, load, providers, options));
    await disposeQuietly(all.filter((provider) => !parts.providers.includes(provider)));
    return parts;
  } catch (error) {
    await disposeQuietly(all);
    throwIfAborted(signal);
    if (OnnxTsError.is(error)) throw error;
    const what = `the model could not be compiled: ${(error as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { cause: error });
  }
}

async function createFromModel(
  artifacts: SessionArtifacts | undefined,
  file: ModelFile,
  load: LoadOptions,
  available: OpenProviders,
  options: SessionOptions,
): Promise<SessionParts> {
  // A session that comes from a store needs none of that.
  const { openModel, prepareModel } = await import('./prepare-model.ts');
  const recorder = artifacts && new SessionRecorder();
  const model = await openModel(file, load, recorder && ((place, length) => recorder.reads.note(place, length)));
  try {
    const providers = available.opened.map(({ provider }) => provider);
    const { prepared, tools } = await prepareModel(model, providers, options);
    recorder?.prepared(prepared);
    const parts = await compileSession(prepared, tools, available, options, recorder);
    if (recorder) await artifacts.put(recorder, model.locations, model.weights);
    return parts;
  } finally {
    model.close();
  }
}

/** The session from what was kept of it; undefined when nothing was, or when it is of no use. */
async function restoreSession(
  artifacts: SessionArtifacts,
  file: ModelFile,
  load: LoadOptions,
  available: OpenProviders,
  options: SessionOptions,
): Promise<SessionParts | undefined> {
  const index = await artifacts.findIndex();
  if (!index) return undefined;
  const { files, close } = await openWeights(index.locations, file, load);
  try {
    const weights = new WeightResolver(files);
    const artifact = await artifacts.find(index, weights);
    if (!artifact) return undefined;
    const replay = new SessionReplay(artifact, weights);
    const tools = await toolsFor(replay.prepared.graph, options);
    forEachGraph(replay.prepared.graph, ({ nodes }) => {
      for (const node of nodes) node.operator = tools.registry.resolve(node);
    });
    return await compileSession(replay.prepared, tools, available, options, replay);
  } catch (error) {
    throwIfAborted(options.signal);
    // Entries of a store are hints: whatever is wrong with one, the model itself decides.
    if (OnnxTsError.is(error) && error.code === 'INVALID_INPUT') throw error;
    return undefined;
  } finally {
    close();
  }
}

async function compileSession(
  { graph, inputs, outputNames }: PreparedModel,
  { registry, evaluator }: GraphTools,
  { opened, leftOut }: OpenProviders,
  options: SessionOptions,
  records: SessionRecords | undefined,
): Promise<SessionParts> {
  const { signal, onProgress } = options;
  const kept = keptOutputs(options.preferredOutputLocation, outputNames);
  const all = opened.map(({ provider }) => provider);
  const placed = records?.placement(graph) ?? (await decide(graph, all, options, { outputNames, kept }));
  records?.placed(graph, placed);
  const providers = placed.order.map((at) => all[at]);
  const plan = await GraphPlan.compile(
    graph,
    {
      registry,
      evaluator,
      providers,
      placed: placed.graphs,
      everythingOnProviders: placementOf(options).strategy === 'providers',
      ...(records && { records }),
    },
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
      // Results that are wanted in memory of a GPU's own API need it, wherever they were made.
      providers: wantsGpu(kept)
        ? [...providers, ...all.filter((one) => !providers.includes(one) && one.memory.adopt)]
        : providers,
      notes: providerNotes(opened, leftOut, providers),
      inputs,
      outputs: graph.outputs.map((value, at) => metadataOf(outputNames[at], value.type)),
      constants,
      kept,
      profile: options.enableProfiling ?? false,
    };
  } catch (error) {
    plan.dispose();
    throw error;
  }
}

/** Most sessions have one provider: they need none of the code that chooses. */
async function decide(
  graph: Graph,
  providers: readonly ExecutionProvider[],
  options: SessionOptions,
  outputs: Pick<PlacementRequest, 'outputNames' | 'kept'>,
): Promise<ModelPlacement> {
  const { strategy, pins } = placementOf(options);
  if (pins.length === 0 && (strategy !== 'auto' || providers.length < 2)) {
    return { graphs: new Map(), order: [...providers.keys()] };
  }
  const { decidePlacement } = await import('./decide-placement.ts');
  return decidePlacement(graph, providers, options, outputs);
}

function wantsGpu(kept: SessionParts['kept']): boolean {
  return [...kept.values()].includes('gpu-buffer');
}

function providerNotes(
  opened: readonly OpenedProvider[],
  leftOut: OpenProviders['leftOut'],
  used: readonly ExecutionProvider[],
): Explanation['providers'] {
  const notes = opened.map(({ provider, note }) => {
    const isUsed = used.includes(provider);
    const reason = isUsed ? note : 'the plan without it is faster';
    return { id: provider.id, device: provider.device.name, isUsed, ...(reason && { note: reason }) };
  });
  const others = leftOut.map(({ id, device, reason }) => ({
    id,
    device: device ?? 'no device',
    isUsed: false,
    note: reason,
  }));
  return [...notes, ...others];
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new OnnxTsError('ABORTED', 'the session was aborted while it was created.', { cause: signal.reason });
}
