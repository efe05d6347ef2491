// The public session: a model, compiled for the providers at hand, that runs on tensors.

import type { DType } from '@onnx-ts/tensor-ir';
import { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import type { ValueType } from '../graph/types.ts';
import { importModel } from '../onnx/import-model.ts';
import type { HostValue, OperatorDefinition } from '../ops/define.ts';
import { allOperators } from '../ops/index.ts';
import { defaultRegistry, OperatorRegistry } from '../ops/registry.ts';
import { prepareGraph } from '../passes/prepare-graph.ts';
import { GraphPlan } from '../plan/graph-plan.ts';
import { PartitionStep } from '../plan/steps.ts';
import type { ExecutionProvider, ProviderFactory, RunContext, TraceEvent } from '../provider/contract.ts';
import { type Explanation, explainPlan } from './explanation.ts';
import { bindFeeds, bindingText, type Feed } from './feeds.ts';
import { HostEvaluator } from './host-evaluator.ts';
import { hostInfo } from './host-info.ts';
import { type ExternalData, loadModel, type ModelSource } from './load-model.ts';
import { Tensor, type TypedArray } from './tensor.ts';

export interface SessionOptions {
  /** Providers to use, in order of preference; each comes from its own package. */
  readonly providers?: readonly ProviderFactory[];
  /** Threads a CPU provider may use. */
  readonly threads?: number;
  readonly externalData?: readonly ExternalData[];
  /** Fixes symbolic sizes, for instance `{ batch: 1 }`. */
  readonly freeDimensionOverrides?: Readonly<Record<string, number>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Records what ran when, from the first run on; see `endProfiling`. */
  readonly enableProfiling?: boolean;
  /** Bytes each provider may allocate. */
  readonly memoryBudget?: number;
  /**
   * `auto` keeps work on the host that is not worth a device (a few integers); `providers` gives providers everything they
   * can compile, which is for testing them.
   */
  readonly placement?: 'auto' | 'providers';
  /** Seed of random operators that have none of their own. */
  readonly seed?: number;
  /** Custom operators, found before the built-in ones of a lower version. */
  readonly operators?: readonly OperatorDefinition[];
}

export interface Progress {
  readonly phase: 'download' | 'compile';
  /** 0 to 1; undefined where the total is unknown. */
  readonly fraction: number | undefined;
  readonly what: string;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
}

export type ValueMetadata =
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: DType;
      /** Numbers, and names of sizes that may vary. Absent when the model does not state the rank. */
      readonly shape: readonly (number | string)[] | undefined;
    }
  | { readonly name: string; readonly isTensor: false; readonly kind: string };

type Fetches = readonly string[] | Readonly<Record<string, Tensor | null>>;

/** What `createSession` puts together. */
interface SessionParts {
  readonly plan: GraphPlan;
  readonly providers: readonly ExecutionProvider[];
  readonly notes: Explanation['providers'];
  readonly inputs: readonly ValueMetadata[];
  readonly outputs: readonly ValueMetadata[];
  readonly profile: boolean;
}

export class InferenceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly ValueMetadata[];
  readonly outputMetadata: readonly ValueMetadata[];
  readonly #plan: GraphPlan;
  readonly #providers: readonly ExecutionProvider[];
  readonly #notes: Explanation['providers'];
  #trace: TraceEvent[] | undefined;
  /** Runs queue up: a provider's buffers belong to one run at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  /** @internal Use `create`. */
  constructor(parts: SessionParts) {
    this.#plan = parts.plan;
    this.#providers = parts.providers;
    this.#notes = parts.notes;
    this.inputMetadata = parts.inputs;
    this.outputMetadata = parts.outputs;
    this.inputNames = parts.inputs.map((input) => input.name);
    this.outputNames = parts.outputs.map((output) => output.name);
    if (parts.profile) this.#trace = [];
  }

  /**
   * Loads and compiles a model.
   * @param source path (Node), URL, or the bytes of a .onnx file
   * @throws OnnxTsError with a code and the place of the problem; everything opened until then is closed
   */
  static async create(source: ModelSource, options?: SessionOptions): Promise<InferenceSession>;
  static async create(
    source: ArrayBufferLike,
    byteOffset: number,
    byteLength?: number,
    options?: SessionOptions,
  ): Promise<InferenceSession>;
  static async create(
    source: ModelSource,
    second?: SessionOptions | number,
    byteLength?: number,
    fourth?: SessionOptions,
  ): Promise<InferenceSession> {
    if (typeof second === 'number') {
      return createSession(new Uint8Array(source as ArrayBuffer, second, byteLength), fourth);
    }
    return createSession(source, second);
  }

  /**
   * Runs the model once. Calls queue up.
   * @param feeds tensors by input name; inputs with a default may be left out
   * @param fetches names of the outputs wanted (all when absent), or tensors to write them into
   * @throws OnnxTsError INVALID_INPUT, OUT_OF_RANGE, OUT_OF_MEMORY, ABORTED …; the session stays usable
   */
  async run(
    feeds: Readonly<Record<string, Feed>>,
    fetches?: Fetches | RunOptions,
    options?: RunOptions,
  ): Promise<Record<string, Tensor & HostValue>> {
    const isFetches = Array.isArray(fetches) || (options !== undefined && fetches !== undefined);
    const isOptionsOnly = !isFetches && fetches !== undefined && 'signal' in fetches;
    const wanted = (isOptionsOnly ? undefined : fetches) as Fetches | undefined;
    const { signal } = options ?? (isOptionsOnly ? (fetches as RunOptions) : {});
    const result = this.#queue.then(() => this.#runNow(feeds, wanted, signal));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #runNow(
    feeds: Readonly<Record<string, Feed>>,
    fetches: Fetches | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, Tensor & HostValue>> {
    if (this.#isDisposed) throw new OnnxTsError('DISPOSED', 'this session was disposed.');
    if (signal?.aborted) throw new OnnxTsError('ABORTED', 'the run was aborted before it began.', { cause: signal.reason });
    const targets = this.#targets(fetches);
    const binding = new Map<string, number>();
    const inputs = bindFeeds(this.#plan.graph, feeds, binding);
    const trace = this.#trace;
    const start = performance.now();
    const context: RunContext = { ...(signal && { signal }), ...(trace && { trace: (event) => trace.push(event) }) };
    try {
      const values = await this.#plan.run(inputs, undefined, binding, context);
      const results: Record<string, Tensor & HostValue> = {};
      try {
        for (const [at, name] of this.outputNames.entries()) {
          if (!targets.has(name)) continue;
          const value = await values[at].host();
          const isShared = value === this.#plan.graph.outputs[at].constant || Object.values(feeds).includes(value as never);
          results[name] = copyOut(value, targets.get(name), isShared) as Tensor & HostValue;
        }
      } finally {
        for (const value of values) value.release();
      }
      trace?.push({ name: 'run', kind: 'session', start, duration: performance.now() - start });
      return results;
    } catch (error) {
      if (OnnxTsError.is(error)) throw error;
      const sizes = binding.size > 0 ? ` (${bindingText(binding)})` : '';
      throw new OnnxTsError('INTERNAL', `the run failed${sizes}: ${(error as Error).message}.`, { cause: error });
    } finally {
      for (const input of inputs) input?.release();
    }
  }

  /** Output names that are wanted, with the tensor to write each into, if any. */
  #targets(fetches: Fetches | undefined): Map<string, Tensor | undefined> {
    if (fetches === undefined) return new Map(this.outputNames.map((name) => [name, undefined]));
    const entries: [string, Tensor | undefined][] = Array.isArray(fetches)
      ? fetches.map((name: string) => [name, undefined])
      : Object.entries(fetches).map(([name, tensor]) => [name, tensor ?? undefined]);
    for (const [name] of entries) {
      if (this.outputNames.includes(name)) continue;
      throw new OnnxTsError('INVALID_INPUT', `the model has no output "${name}".`, {
        hint: `Its outputs are ${this.outputNames.map((known) => `"${known}"`).join(', ')}.`,
      });
    }
    return new Map(entries);
  }

  /** What runs where, and why. */
  explain(): Explanation {
    return explainPlan(this.#plan, this.#notes);
  }

  /** Bytes that the providers hold for this session, weights included. */
  memory(): { readonly bytesInUse: number; readonly peakBytes: number } {
    let [bytesInUse, peakBytes] = [0, 0];
    for (const { memory } of this.#providers) {
      bytesInUse += memory.bytesInUse;
      peakBytes += memory.peakBytes;
    }
    return { bytesInUse, peakBytes };
  }

  startProfiling(): void {
    this.#trace ??= [];
  }

  /** The events so far in the form of the Chrome trace viewer and Perfetto; JSON.stringify it into a file. */
  endProfiling(): { readonly traceEvents: readonly Readonly<Record<string, unknown>>[] } {
    const events = this.#trace ?? [];
    this.#trace = undefined;
    const traceEvents = events.map((event) => ({
      name: event.name,
      cat: event.kind,
      ph: 'X',
      ts: event.start * 1000,
      dur: event.duration * 1000,
      pid: 1,
      tid: event.thread ?? 0,
    }));
    return { traceEvents };
  }

  /** Frees everything once the runs under way have ended. Later runs throw DISPOSED. */
  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#queue;
    this.#plan.dispose();
    for (const provider of this.#providers) await provider.dispose();
  }

  /** The name that onnxruntime gives `dispose`. */
  async release(): Promise<void> {
    await this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** See `InferenceSession.create`. */
export async function createSession(source: ModelSource, options: SessionOptions = {}): Promise<InferenceSession> {
  const { signal, onProgress } = options;
  throwIfAborted(signal);
  const opened = await openProviders(options);
  const providers = opened.map(({ provider }) => provider);
  let plan: GraphPlan | undefined;
  try {
    const model = await loadModel(source, {
      ...(options.externalData && { externalData: options.externalData }),
      ...(signal && { signal }),
      onBytes: (done, total, what) => onProgress?.({ phase: 'download', fraction: total && done / total, what }),
    });
    try {
      const { graph, fresh } = importModel(model.proto, model.weights);
      overrideDims(graph, options.freeDimensionOverrides ?? {});
      // Inputs with a default may be fed, but need not be.
      const inputs = graph.inputs.filter((value) => !value.constant).map((value) => metadataOf(value, value.type));
      const names = model.proto.graph!.output.map((info) => info.name ?? '');
      const registry = options.operators ? new OperatorRegistry([...allOperators(), ...options.operators]) : defaultRegistry();
      let randomCount = 0;
      const base = options.seed ?? Math.random() * 2 ** 32;
      const evaluator = new HostEvaluator(registry, () => base + randomCount++);
      // A composite with a kernel of its own stays whole.
      const keep = (node: GraphNode): boolean => providers.some((provider) => provider.supports(node).ok);
      prepareGraph(graph, { registry, fresh, evaluator, keep });
      plan = await GraphPlan.compile(
        graph,
        { registry, evaluator, providers, everythingOnProviders: options.placement === 'providers' },
        {
          ...(signal && { signal }),
          progress: (fraction, what) => onProgress?.({ phase: 'compile', fraction, what }),
        },
      );
      settleWeights(plan);
      const outputs = graph.outputs.map((value, at) => metadataOf({ ...value, name: names[at] }, value.type));
      return new InferenceSession({
        plan,
        providers,
        notes: opened.map(({ provider, note }) => ({ id: provider.id, device: provider.device.name, ...(note && { note }) })),
        inputs,
        outputs,
        profile: options.enableProfiling ?? false,
      });
    } finally {
      model.close();
    }
  } catch (error) {
    plan?.dispose();
    for (const provider of providers) await provider.dispose();
    throwIfAborted(signal);
    if (OnnxTsError.is(error)) throw error;
    const what = `the model could not be compiled: ${(error as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { cause: error });
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new OnnxTsError('ABORTED', 'the session was aborted while it was created.', { cause: signal.reason });
}

async function openProviders(options: SessionOptions) {
  const factories = options.providers ?? [];
  if (factories.length === 0) {
    throw new OnnxTsError('INVALID_INPUT', 'no provider was given.', {
      hint: "Pass one, for instance { providers: [cpu()] } with cpu from '@onnx-ts/cpu'.",
    });
  }
  const ids = new Set<string>();
  const opened: { provider: ExecutionProvider; note: string | undefined }[] = [];
  const refused: string[] = [];
  for (const factory of factories) {
    if (ids.has(factory.id)) throw new OnnxTsError('INVALID_INPUT', `the provider "${factory.id}" was given twice.`);
    ids.add(factory.id);
    const devices = await factory.discover(hostInfo());
    const device = devices.find((candidate) => candidate.usable);
    if (!device) {
      refused.push(`${factory.id}: ${devices.map((candidate) => candidate.reason).join('; ') || 'no device'}`);
      continue;
    }
    const { threads, memoryBudget } = options;
    const provider = await factory.open(device, {
      ...(threads !== undefined && { threads }),
      ...(memoryBudget !== undefined && { memoryBudget }),
      ...(options.enableProfiling && { profile: true }),
    });
    opened.push({ provider, note: provider.device.reason });
  }
  if (opened.length === 0) throw new OnnxTsError('PROVIDER', `no provider can be used here. ${refused.join(' ')}`);
  return opened;
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

function metadataOf(value: Value, type: ValueType | undefined): ValueMetadata {
  const { name } = value;
  if (type?.kind !== 'tensor') return { name, isTensor: false, kind: type?.kind ?? 'unknown' };
  return { name, isTensor: true, type: type.dtype, shape: type.shape?.map((dim) => dim.toJSON()) };
}

/** Weights that steps outside of providers still need are read now; the rest is on devices and let go. */
function settleWeights(plan: GraphPlan): void {
  const kept = new Set<Value>([...plan.graph.outputs, ...plan.graph.inputs]);
  for (const step of plan.steps) {
    if (step instanceof PartitionStep) continue;
    for (const operand of step.operands) kept.add(operand);
  }
  for (const value of kept) value.constant?.data;
  for (const step of plan.steps) {
    if (!(step instanceof PartitionStep)) continue;
    for (const node of step.nodes) for (const input of node.inputs) if (input && !kept.has(input)) input.constant?.dispose();
  }
}

/** Results belong to the caller: a constant or a fed tensor that is also an output is copied. */
function copyOut(value: HostValue, target: Tensor | undefined, isShared: boolean): HostValue {
  if (!Tensor.is(value)) return value;
  if (!target) return isShared ? new Tensor(value.type, value.data.slice() as TypedArray, value.dims) : value;
  if (target.type !== value.type || target.dims.join() !== value.dims.join()) {
    throw new OnnxTsError(
      'INVALID_INPUT',
      `the output is ${value.type} [${value.dims.join(', ')}], but the tensor to write it into is ${target.type} [${target.dims.join(', ')}].`,
    );
  }
  if (Array.isArray(target.data)) target.data.splice(0, target.data.length, ...(value.data as string[]));
  else target.data.set(value.data as TypedArray as never);
  return target;
}
