// From a model file and options to all that a session is made of.

import {
  type PartitionRecords,
  type PreparedModel,
  SessionArtifacts,
  SessionRecorder,
  SessionReplay,
} from '../artifacts/session-artifact.ts';
import { OnnxTsError } from '../errors.ts';
import { forEachGraph } from '../graph/traverse.ts';
import { WeightResolver } from '../onnx/weights.ts';
import { GraphPlan } from '../plan/graph-plan.ts';
import type { ExecutionProvider, ProviderFactory } from '../provider/contract.ts';
import type { Explanation } from './explanation.ts';
import { type GraphTools, toolsFor } from './graph-tools.ts';
import { hostInfo } from './host-info.ts';
import { type LoadOptions, type ModelFile, type ModelSource, openWeights, readModel } from './load-model.ts';
import { metadataOf, type ValueMetadata } from './metadata.ts';
import { checkOptions, keptOutputs, providersOf, type SessionOptions } from './options.ts';
import { settleWeights } from './settle-weights.ts';

export interface SessionParts {
  readonly plan: GraphPlan;
  readonly providers: readonly ExecutionProvider[];
  readonly notes: Explanation['providers'];
  readonly inputs: readonly ValueMetadata[];
  readonly outputs: readonly ValueMetadata[];
  /** Memory of constants, which results must not share. */
  readonly constants: ReadonlySet<unknown>;
  /** Names of the outputs that stay on a device. */
  readonly kept: ReadonlySet<string>;
  readonly profile: boolean;
}

/** @throws OnnxTsError with a code and the place of the problem; everything opened until then is closed */
export async function prepareSession(source: ModelSource, options: SessionOptions): Promise<SessionParts> {
  const { signal, onProgress } = options;
  throwIfAborted(signal);
  checkOptions(options);
  const opened = await openProviders(providersOf(options), options);
  try {
    const load: LoadOptions = {
      ...(options.externalData && { externalData: options.externalData }),
      ...(signal && { signal }),
      onBytes: (done, total, what) => onProgress?.({ phase: 'download', fraction: total && done / total, what }),
    };
    const file = await readModel(source, load);
    const providers = opened.map(({ provider }) => provider);
    const artifacts = await SessionArtifacts.open(file.bytes, providers, options);
    const kept = artifacts && (await restoreSession(artifacts, file, load, opened, options));
    return kept ?? (await createFromModel(artifacts, file, load, opened, options));
  } catch (error) {
    await disposeAll(opened);
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
  opened: readonly OpenedProvider[],
  options: SessionOptions,
): Promise<SessionParts> {
  // A session that comes from a store needs none of that.
  const { openModel, prepareModel } = await import('./prepare-model.ts');
  const recorder = artifacts && new SessionRecorder();
  const model = await openModel(file, load, recorder && ((place, length) => recorder.reads.note(place, length)));
  try {
    const providers = opened.map(({ provider }) => provider);
    const { prepared, tools } = await prepareModel(model, providers, options);
    recorder?.prepared(prepared);
    const parts = await compileSession(prepared, tools, opened, options, recorder);
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
  opened: readonly OpenedProvider[],
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
    return await compileSession(replay.prepared, tools, opened, options, replay);
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
  opened: readonly OpenedProvider[],
  options: SessionOptions,
  records: PartitionRecords | undefined,
): Promise<SessionParts> {
  const { signal, onProgress } = options;
  const kept = keptOutputs(options.preferredOutputLocation, outputNames);
  const providers = opened.map(({ provider }) => provider);
  const plan = await GraphPlan.compile(
    graph,
    {
      registry,
      evaluator,
      providers,
      everythingOnProviders: options.placement === 'providers',
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
      providers,
      notes: opened.map(({ provider: { id, device }, note }) => ({ id, device: device.name, ...(note && { note }) })),
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
  const isPrecompiled = options.artifacts?.isPrecompiled === true;
  try {
    for (const factory of factories) {
      const devices = await factory.discover({
        ...hostInfo(),
        ...(isPrecompiled && { isPrecompiled }),
      });
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
        ...(isPrecompiled && { isPrecompiled }),
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
