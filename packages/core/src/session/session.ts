// The public session: a model, compiled for the providers at hand, that runs on tensors.

import { OnnxTsError } from '../errors.ts';
import type { Value } from '../graph/graph.ts';
import type { HostValue } from '../ops/define.ts';
import { pause } from '../plan/breathe.ts';
import type { RuntimeValue } from '../plan/runtime-value.ts';
import type { RunContext, TraceEvent } from '../provider/contract.ts';
import { Lease } from './device-tensor.ts';
import { type ExplainOptions, type Explanation, explainPlan } from './explanation.ts';
import { bindFeeds, bindingText, type Feed } from './feeds.ts';
import { type Fetches, memoryOf, ResultWriter, type RunRequest, readRequest } from './fetches.ts';
import { areElsewhere, type PlacedFeeds, placeFeeds } from './foreign-feeds.ts';
import type { ModelSource } from './load-model.ts';
import type { ValueMetadata } from './metadata.ts';
import { disposeAll, disposeQuietly } from './open-providers.ts';
import type { RunOptions, SessionOptions } from './options.ts';
import { prepareSession, type SessionParts } from './prepare-session.ts';
import { recipeOf } from './recovery.ts';
import { SessionState, type StateOptions } from './state.ts';
import { Tensor } from './tensor.ts';
import { type ChromeTrace, chromeTrace } from './trace.ts';

export class InferenceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly ValueMetadata[];
  readonly outputMetadata: readonly ValueMetadata[];
  #parts: SessionParts;
  /** Outputs that stay on their device. */
  #keptValues: ReadonlyMap<Value, number>;
  #lease = new Lease();
  readonly #rebuild: () => Promise<SessionParts>;
  /** A device was lost and the parts are disposed. */
  #isBroken = false;
  #trace: TraceEvent[] | undefined;
  /** Runs queue up: a provider's buffers belong to one run at a time. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  /** @internal Use `create`. */
  constructor(parts: SessionParts, rebuild: () => Promise<SessionParts>) {
    this.#parts = parts;
    this.#rebuild = rebuild;
    this.inputMetadata = parts.inputs;
    this.outputMetadata = parts.outputs;
    this.inputNames = parts.inputs.map((input) => input.name);
    this.outputNames = parts.outputs.map((output) => output.name);
    this.#keptValues = this.#findKept(parts);
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
   *
   * When the device of a provider is lost, the session is made again from its source, on another device or with the other
   * providers that it was given, and the run is repeated. Only tensors and states on the device are lost with it.
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
    const result = this.#queue.then(() => this.#runOrRecover(feeds, request));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #runOrRecover(
    feeds: Readonly<Record<string, Feed>>,
    request: RunRequest,
  ): Promise<Record<string, Tensor & HostValue>> {
    let isNew = false;
    try {
      if (!this.#disposal && this.#isLost()) {
        await this.#recover();
        isNew = true;
      }
      return await this.#runNow(feeds, request);
    } catch (error) {
      // What fails because of a lost device is heard of before the loss.
      await pause();
      if (isNew || this.#disposal || this.#isBroken || !this.#isLost()) throw error;
      await this.#recover();
      return this.#runNow(feeds, request);
    }
  }

  #isLost(): boolean {
    return this.#isBroken || this.#parts.providers.some(({ isLost }) => isLost);
  }

  /**
   * Makes the session again, on another device or with the providers that are left.
   * @throws OnnxTsError PROVIDER when it cannot be; the next run tries again
   */
  async #recover(): Promise<void> {
    const { plan, providers } = this.#parts;
    const lost = providers.find(({ isLost }) => isLost)?.id;
    if (!this.#isBroken) {
      this.#isBroken = true;
      this.#lease.end('lost');
      plan.dispose();
      // A provider whose device is lost may fail at that too; what matters is whether the session can be made again.
      await disposeQuietly(providers);
    }
    try {
      this.#parts = await this.#rebuild();
    } catch (cause) {
      const what = `the device was lost, and the session cannot be made again: ${(cause as Error).message}`;
      const hint = 'Run again later, or create a session with another device or provider.';
      throw new OnnxTsError('PROVIDER', what, { place: lost === undefined ? {} : { provider: lost }, hint, cause });
    }
    this.#keptValues = this.#findKept(this.#parts);
    this.#lease = new Lease();
    this.#isBroken = false;
  }

  #findKept({ plan, kept }: SessionParts): ReadonlyMap<Value, number> {
    return new Map(plan.graph.outputs.flatMap((value, at) => (kept.has(this.outputNames[at]) ? [[value, 0]] : [])));
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
    const { plan, providers, constants, kept } = this.#parts;
    const trace = this.#trace;
    const start = performance.now();
    const binding = new Map<string, number>();
    let inputs: readonly (RuntimeValue | undefined)[] = [];
    let outputs: readonly RuntimeValue[] = [];
    let placed: PlacedFeeds | undefined;
    try {
      if (areElsewhere(feeds, this.#lease)) placed = await placeFeeds(feeds, this.#lease, providers);
      const near = placed?.feeds ?? feeds;
      inputs = bindFeeds(plan.graph, near, binding, this.#lease, state, placed?.adopted);
      const context: RunContext = { ...(signal && { signal }), ...(trace && { trace: (event) => trace.push(event) }) };
      outputs = await plan.run(inputs, undefined, binding, context, this.#keptBy(state), state?.yielded());
      const writer = new ResultWriter(constants, memoryOfFeeds(inputs), this.#lease, providers);
      const isFresh = (name: string): boolean => targets.has(name) && !targets.get(name) && !kept.has(name);
      await writer.readAhead(outputs.filter((_, at) => isFresh(this.outputNames[at])));
      const results: Record<string, Tensor & HostValue> = {};
      for (const [at, name] of this.outputNames.entries()) {
        if (!targets.has(name)) continue;
        const result = await writer.write(name, outputs[at], targets.get(name), kept.get(name));
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
      placed?.release();
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
    return new SessionState(this.#parts.plan, this.outputNames, options, this.#lease);
  }

  /**
   * What runs where, and why.
   * @throws OnnxTsError when `dims` do not fit the model
   */
  explain(options?: ExplainOptions): Explanation {
    return explainPlan(this.#parts.plan, this.#parts.notes, options);
  }

  /** Bytes that the providers hold for this session, weights included. */
  memory(): { readonly bytesInUse: number; readonly peakBytes: number } {
    let [bytesInUse, peakBytes] = [0, 0];
    for (const { memory } of this.#parts.providers) {
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
    if (this.#isBroken) return;
    this.#lease.end('disposed');
    this.#parts.plan.dispose();
    await disposeAll(this.#parts.providers);
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
  return new InferenceSession(await prepareSession(source, options), recipeOf(source, options));
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
