// The public session: a model, compiled for the providers at hand, that runs on tensors.

import { OnnxTsError } from '../errors.ts';
import type { Value } from '../graph/graph.ts';
import type { HostValue } from '../ops/define.ts';
import type { GraphPlan } from '../plan/graph-plan.ts';
import type { RuntimeValue } from '../plan/runtime-value.ts';
import type { ExecutionProvider, RunContext, TraceEvent } from '../provider/contract.ts';
import { Lease } from './device-tensor.ts';
import { type ExplainOptions, type Explanation, explainPlan } from './explanation.ts';
import { areElsewhere, bindFeeds, bindingText, bringHome, type Feed } from './feeds.ts';
import { type Fetches, memoryOf, ResultWriter, type RunRequest, readRequest } from './fetches.ts';
import type { ModelSource } from './load-model.ts';
import type { ValueMetadata } from './metadata.ts';
import type { RunOptions, SessionOptions } from './options.ts';
import { prepareSession, type SessionParts } from './prepare-session.ts';
import { SessionState, type StateOptions } from './state.ts';
import { Tensor } from './tensor.ts';
import { type ChromeTrace, chromeTrace } from './trace.ts';

export class InferenceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly ValueMetadata[];
  readonly outputMetadata: readonly ValueMetadata[];
  readonly #plan: GraphPlan;
  readonly #providers: readonly ExecutionProvider[];
  readonly #notes: Explanation['providers'];
  readonly #constants: ReadonlySet<unknown>;
  /** Outputs that stay on their device, by name and as values. */
  readonly #kept: ReadonlySet<string>;
  readonly #keptValues: ReadonlyMap<Value, number>;
  readonly #lease = new Lease();
  #trace: TraceEvent[] | undefined;
  /** Runs queue up: a provider's buffers belong to one run at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  /** @internal Use `create`. */
  constructor(parts: SessionParts) {
    this.#plan = parts.plan;
    this.#providers = parts.providers;
    this.#notes = parts.notes;
    this.#constants = parts.constants;
    this.inputMetadata = parts.inputs;
    this.outputMetadata = parts.outputs;
    this.inputNames = parts.inputs.map((input) => input.name);
    this.outputNames = parts.outputs.map((output) => output.name);
    this.#kept = parts.kept;
    this.#keptValues = new Map(
      this.#plan.graph.outputs.flatMap((value, at) => (this.#kept.has(this.outputNames[at]) ? [[value, 0]] : [])),
    );
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
    if (typeof second !== 'number') return createSession(source, second);
    return createSession(partOf(source as ArrayBufferLike, second, byteLength), fourth);
  }

  /**
   * Runs the model once. Calls queue up.
   * @param feeds tensors by input name; inputs with a default may be left out
   * @param fetches names of the outputs wanted (all when absent), or tensors to write them into
   * @throws OnnxTsError INVALID_INPUT, OUT_OF_RANGE, OUT_OF_MEMORY, ABORTED …; the session stays usable
   */
  run(feeds: Readonly<Record<string, Feed>>, options?: RunOptions): Promise<Record<string, Tensor & HostValue>>;
  run(
    feeds: Readonly<Record<string, Feed>>,
    fetches: Fetches,
    options?: RunOptions,
  ): Promise<Record<string, Tensor & HostValue>>;
  async run(
    feeds: Readonly<Record<string, Feed>>,
    fetches?: Fetches | RunOptions,
    options?: RunOptions,
  ): Promise<Record<string, Tensor & HostValue>> {
    const request = readRequest(this.outputNames, fetches, options);
    const result = this.#queue.then(() => this.#runNow(feeds, request));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #runNow(
    feeds: Readonly<Record<string, Feed>>,
    { targets, signal, state }: RunRequest,
  ): Promise<Record<string, Tensor & HostValue>> {
    if (this.#disposal) throw new OnnxTsError('DISPOSED', 'this session was disposed.');
    state?.checkUse();
    if (state && state.lease !== this.#lease) {
      throw new OnnxTsError('INVALID_INPUT', 'the state belongs to another session.');
    }
    if (signal?.aborted)
      throw new OnnxTsError('ABORTED', 'the run was aborted before it began.', { cause: signal.reason });
    const trace = this.#trace;
    const start = performance.now();
    const binding = new Map<string, number>();
    let inputs: readonly (RuntimeValue | undefined)[] = [];
    let outputs: readonly RuntimeValue[] = [];
    try {
      const near = areElsewhere(feeds, this.#lease) ? await bringHome(feeds, this.#lease) : feeds;
      inputs = bindFeeds(this.#plan.graph, near, binding, this.#lease, state);
      const context: RunContext = { ...(signal && { signal }), ...(trace && { trace: (event) => trace.push(event) }) };
      outputs = await this.#plan.run(inputs, undefined, binding, context, this.#keptBy(state));
      const writer = new ResultWriter(this.#constants, memoryOfFeeds(inputs), this.#lease);
      const results: Record<string, Tensor & HostValue> = {};
      for (const [at, name] of this.outputNames.entries()) {
        if (!targets.has(name)) continue;
        const result = await writer.write(name, outputs[at], targets.get(name), this.#kept.has(name));
        results[name] = result as Tensor & HostValue;
      }
      state?.advance(outputs);
      trace?.push({ name: 'run', kind: 'session', start, duration: performance.now() - start });
      return results;
    } catch (error) {
      if (OnnxTsError.is(error)) throw error;
      if (signal?.aborted) throw new OnnxTsError('ABORTED', 'the run was aborted.', { cause: signal.reason });
      const sizes = binding.size > 0 ? ` (${bindingText(binding)})` : '';
      throw new OnnxTsError('INTERNAL', `the run failed${sizes}: ${(error as Error).message}.`, { cause: error });
    } finally {
      for (const value of [...inputs, ...outputs]) value?.release();
    }
  }

  #keptBy(state: SessionState | undefined): ReadonlyMap<Value, number> {
    if (!state) return this.#keptValues;
    return this.#keptValues.size === 0 ? state.kept : new Map([...this.#keptValues, ...state.kept]);
  }

  /**
   * A state for a sequence of runs of which each continues the one before: `run(feeds, { state })`. It holds what the model
   * hands on, such as past keys and values, in the memory where they are computed; they are neither fed nor results.
   * @throws OnnxTsError INVALID_INPUT when the model has nothing to hand on, or `pairs` do not fit it
   */
  createState(options: StateOptions = {}): SessionState {
    if (this.#disposal) throw new OnnxTsError('DISPOSED', 'this session was disposed.');
    return new SessionState(this.#plan, this.outputNames, options, this.#lease);
  }

  /**
   * What runs where, and why.
   * @throws OnnxTsError when `dims` do not fit the model
   */
  explain(options?: ExplainOptions): Explanation {
    return explainPlan(this.#plan, this.#notes, options);
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

  /** Ends the recording and gives the events so far. */
  endProfiling(): ChromeTrace {
    const events = this.#trace ?? [];
    this.#trace = undefined;
    return chromeTrace(events);
  }

  /** Frees everything once the run under way has ended. Runs that have not begun, and later ones, throw DISPOSED. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#disposeNow();
    return this.#disposal;
  }

  async #disposeNow(): Promise<void> {
    await this.#queue;
    this.#lease.isOver = true;
    this.#plan.dispose();
    for (const provider of this.#providers) await provider.dispose();
  }

  /** The name that onnxruntime gives `dispose`. */
  release(): Promise<void> {
    return this.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** See `InferenceSession.create`. */
export async function createSession(source: ModelSource, options: SessionOptions = {}): Promise<InferenceSession> {
  return new InferenceSession(await prepareSession(source, options));
}

/** @throws OnnxTsError INVALID_INPUT when the buffer ends before the part does */
function partOf(buffer: ArrayBufferLike, byteOffset: number, byteLength: number | undefined): Uint8Array {
  try {
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (cause) {
    const what = `the buffer of ${buffer.byteLength} bytes has no ${byteLength ?? ''} bytes at ${byteOffset}.`;
    throw new OnnxTsError('INVALID_INPUT', what, { cause });
  }
}

/** Feeds that are on the host still, which are all that were not taken over by a device. */
function memoryOfFeeds(inputs: readonly (RuntimeValue | undefined)[]): Set<unknown> {
  const memory = new Set<unknown>();
  const add = (value: HostValue | undefined): void => {
    if (Tensor.is(value)) memory.add(memoryOf(value.data));
    else if (value?.kind === 'sequence') value.items.forEach(add);
    else if (value?.kind === 'optional') add(value.value);
  };
  for (const input of inputs) add(input?.onHost);
  return memory;
}
