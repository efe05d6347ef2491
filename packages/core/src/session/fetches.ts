// Which outputs a run is asked for, in all the forms that `run` accepts, and how results become the caller's own.

import { byteLength } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { HostValue } from '../ops/define.ts';
import { DeviceStorage } from '../plan/device-storage.ts';
import { RuntimeValue } from '../plan/runtime-value.ts';
import type { ExecutionProvider } from '../provider/contract.ts';
import { type Lease, LentElements, lendTensor } from './device-tensor.ts';
import { rememberReader } from './foreign-feeds.ts';
import type { RunOptions } from './options.ts';
import { SessionState } from './state.ts';
import { CallersElements, elementCount, Tensor, type TensorData, type TypedArray } from './tensor.ts';

/** A tensor of this or another library to write a result into. */
export type FetchTarget = Tensor | { readonly type: string; readonly data: unknown; readonly dims: readonly number[] };

/** Names of outputs, or by name a tensor to write the output into (null for a new one). */
export type Fetches = readonly string[] | Readonly<Record<string, FetchTarget | null>>;

export interface RunRequest {
  /** Output names that are wanted, with the tensor to write each into, if any. */
  readonly targets: ReadonlyMap<string, FetchTarget | undefined>;
  readonly signal: AbortSignal | undefined;
  readonly state: SessionState | undefined;
}

/**
 * Reads the arguments of `run` after the feeds: fetches, options, or both.
 * @throws OnnxTsError INVALID_INPUT for names that are no outputs
 */
export function readRequest(
  outputNames: readonly string[],
  fetches: Fetches | RunOptions | undefined,
  options: RunOptions | undefined,
): RunRequest {
  if (fetches !== undefined && (typeof fetches !== 'object' || fetches === null || Tensor.is(fetches))) {
    throw new OnnxTsError(
      'INVALID_INPUT',
      'fetches must be an array of output names or an object from names to tensors.',
    );
  }
  const isFetches = fetches !== undefined && (options !== undefined || looksLikeFetches(fetches, outputNames));
  const { signal, state } = options ?? (isFetches ? {} : ((fetches as RunOptions | undefined) ?? {}));
  if (state !== undefined && !(state instanceof SessionState)) {
    throw new OnnxTsError('INVALID_INPUT', 'the state must come from session.createState().');
  }
  const results = state ? outputNames.filter((name) => !state.holds(name)) : outputNames;
  const wanted = isFetches ? (fetches as Fetches) : results;
  const entries = Array.isArray(wanted)
    ? wanted.map((name: string): [string, FetchTarget | undefined] => [name, undefined])
    : Object.entries(wanted as Readonly<Record<string, FetchTarget | null>>).map(
        ([name, target]): [string, FetchTarget | undefined] => [name, target ?? undefined],
      );
  for (const [name, target] of entries) {
    if (!outputNames.includes(name)) {
      throw new OnnxTsError('INVALID_INPUT', `the model has no output "${name}".`, {
        hint: `Its outputs are ${outputNames.map((known) => `"${known}"`).join(', ')}.`,
      });
    }
    if (target !== undefined && !(typeof target === 'object' && 'dims' in target && 'data' in target)) {
      throw new OnnxTsError('INVALID_INPUT', 'a fetch must be a tensor to write into, or null.', {
        place: { value: name },
      });
    }
  }
  return { targets: new Map(entries), signal, state };
}

/** As onnxruntime tells the two apart: an object that has a tensor or null under the name of an output is fetches. */
function looksLikeFetches(given: Fetches | RunOptions, outputNames: readonly string[]): boolean {
  if (Array.isArray(given)) return true;
  const entries = given as Readonly<Record<string, unknown>>;
  return outputNames.some((name) => Object.hasOwn(entries, name) && typeof entries[name] === 'object');
}

/** Hands out results, none of which shares memory with another, with a feed or with a constant. */
export class ResultWriter {
  readonly #constants: ReadonlySet<unknown>;
  readonly #shared: Set<unknown>;
  readonly #lease: Lease;
  /** The provider whose buffers callers can work on with. */
  readonly #gpu: ExecutionProvider | undefined;
  /** What was read ahead, each for one result. */
  #fetched = new Map<RuntimeValue, Tensor>();

  /**
   * Memory is arrays of strings, and the buffers of typed arrays.
   * @param constants memory that results must not be in
   * @param shared further memory of that kind; what results are in is added
   */
  constructor(
    constants: ReadonlySet<unknown>,
    shared: Set<unknown>,
    lease: Lease,
    providers: readonly ExecutionProvider[],
  ) {
    this.#constants = constants;
    this.#shared = shared;
    this.#lease = lease;
    this.#gpu = providers.find(({ memory }) => memory.adopt);
  }

  /** Reads values together that `write` will be asked for without a target. */
  async readAhead(values: readonly RuntimeValue[]): Promise<void> {
    if (values.length > 1) this.#fetched = await RuntimeValue.copyTogether(values);
  }

  /**
   * @param kept leaves the result on the device that made it, if there is one, or brings it to the GPU
   * @throws OnnxTsError INVALID_INPUT when the target has another type or other dims
   */
  async write(
    name: string,
    value: RuntimeValue,
    target: FetchTarget | undefined,
    kept: 'device' | 'gpu-buffer' | undefined,
  ): Promise<HostValue> {
    if (target === undefined) {
      if (kept === 'gpu-buffer' && this.#gpu && value.storage?.provider !== this.#gpu && isPlain(value)) {
        return lendTensor(await copyOn(this.#gpu, value), this.#lease, kept);
      }
      if (kept && value.storage) return lendTensor(value.retain(), this.#lease, kept);
      // A tensor that was lent may have the same value: what it remembers is not the caller's.
      if (value.onHost !== undefined) return this.#own(value.onHost);
      const fetched = this.#fetched.get(value);
      this.#fetched.delete(value);
      return fetched ?? value.copy();
    }
    checkTarget(name, value, target);
    const elements = Tensor.is(target) ? target.deviceElements : undefined;
    if (elements instanceof CallersElements) await this.#writeBuffer(name, value, target as Tensor, elements);
    else if (elements) this.#giveElements(name, value, target as Tensor);
    else await copyInto(value, target);
    return target as Tensor;
  }

  async #writeBuffer(name: string, value: RuntimeValue, target: Tensor, elements: CallersElements): Promise<void> {
    const gpu = this.#gpu;
    try {
      if (!gpu) throw new OnnxTsError('INVALID_INPUT', 'no provider of the session is a GPU.');
      const buffer = await gpu.memory.adopt!(elements.gpuBuffer, target.byteLength, 'write');
      const storage = new DeviceStorage(gpu, buffer);
      try {
        await value.copyTo(storage);
      } finally {
        storage.release();
      }
      rememberReader(elements, target, gpu.memory);
    } catch (cause) {
      if (!OnnxTsError.is(cause) || cause.code !== 'INVALID_INPUT') throw cause;
      const what = `the result cannot be written into the GPU buffer: ${cause.message}`;
      throw new OnnxTsError('INVALID_INPUT', what, { place: { value: name }, cause });
    }
  }

  #giveElements(name: string, value: RuntimeValue, target: Tensor): void {
    const elements = target.deviceElements;
    if (!(elements instanceof LentElements) || elements.lease !== this.#lease) {
      throw new OnnxTsError('INVALID_INPUT', 'the tensor to write it into belongs to another session.', {
        place: { value: name },
        hint: 'Pass a tensor that this session gave, or one on the host.',
      });
    }
    elements.replace(value.retain());
  }

  #own(value: HostValue | undefined): HostValue {
    if (Tensor.is(value)) return this.#ownTensor(value);
    if (value?.kind === 'sequence') return { ...value, items: value.items.map((item) => this.#own(item)) };
    if (value?.kind === 'optional' && value.value) return { kind: 'optional', value: this.#own(value.value) };
    return value!;
  }

  #ownTensor(tensor: Tensor): Tensor {
    const memory = memoryOf(tensor.data);
    if (!this.#shared.has(memory) && !this.#constants.has(memory)) {
      this.#shared.add(memory);
      return tensor;
    }
    return new Tensor(tensor.type, tensor.data.slice() as TensorData, tensor.dims);
  }
}

/** A tensor of numbers. */
function isPlain({ dtype }: RuntimeValue): boolean {
  return dtype !== undefined && dtype !== 'string';
}

async function copyOn(provider: ExecutionProvider, value: RuntimeValue): Promise<RuntimeValue> {
  const storage = new DeviceStorage(provider, byteLength(value.dtype!, elementCount(value.dims!)));
  try {
    await value.copyTo(storage);
  } catch (error) {
    storage.release();
    throw error;
  }
  return RuntimeValue.onDevice(storage, value.dtype!, value.dims!);
}

/** What two tensors share if they share memory. */
export function memoryOf(data: TensorData): unknown {
  return Array.isArray(data) ? data : data.buffer;
}

function checkTarget(name: string, value: RuntimeValue, target: FetchTarget): void {
  const { dtype, dims } = value;
  if (!dims) {
    throw new OnnxTsError('INVALID_INPUT', 'the output is no tensor, so no tensor can take it.', {
      place: { value: name },
    });
  }
  if (target.type === dtype && target.dims.join() === dims.join()) return;
  const [got, want] = [`${dtype}[${dims.join(', ')}]`, `${target.type}[${target.dims.join(', ')}]`];
  throw new OnnxTsError('INVALID_INPUT', `the output is ${got}, but the tensor to write it into is ${want}.`, {
    place: { value: name },
  });
}

async function copyInto(value: RuntimeValue, target: FetchTarget): Promise<void> {
  if (value.dtype === 'string') {
    const { data } = (await value.host()) as Tensor;
    for (const [at, text] of (data as string[]).entries()) (target.data as string[])[at] = text;
    return;
  }
  // Byte by byte: a Float16Array holds what is bit patterns here.
  const { buffer, byteOffset, byteLength } = target.data as TypedArray;
  await value.readInto(new Uint8Array(buffer, byteOffset, byteLength));
}
