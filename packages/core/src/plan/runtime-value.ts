// A value while a model runs: on the host, on a device, or both. Copies are made when somebody needs them, and kept.

import type { DType } from '@onnx-ts/tensor-ir';
import { byteLength, clearPadding, type Dim, type DimBinding, shapeText } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { typeText, type ValueType } from '../graph/types.ts';
import type { HostValue } from '../ops/define.ts';
import type { DeviceBuffer, ExecutionProvider } from '../provider/contract.ts';
import { arrayTypeOf, elementCount, Tensor, type TypedArray } from '../session/tensor.ts';
import { DeviceStorage, type Room, runsOf } from './device-storage.ts';

/** Counts users: device memory is freed when the last one has released it. */
export class RuntimeValue {
  #host: HostValue | undefined;
  /** Where a provider made it, perhaps with room to grow. */
  #storage: DeviceStorage | undefined;
  /** A copy for those who want its elements side by side, on the provider that asked last. */
  #copy: DeviceStorage | undefined;
  readonly #dtype: DType | undefined;
  readonly #dims: readonly number[] | undefined;
  #users = 1;

  private constructor(
    host: HostValue | undefined,
    storage: DeviceStorage | undefined,
    dtype?: DType,
    dims?: readonly number[],
  ) {
    this.#host = host;
    this.#storage = storage;
    this.#dtype = dtype;
    this.#dims = dims;
  }

  static ofHost(value: HostValue): RuntimeValue {
    return Tensor.is(value)
      ? new RuntimeValue(value, undefined, value.type, value.dims)
      : new RuntimeValue(value, undefined);
  }

  /** @param storage one user's part of it, which the value takes over */
  static onDevice(storage: DeviceStorage, dtype: DType, dims: readonly number[]): RuntimeValue {
    return new RuntimeValue(undefined, storage, dtype, dims);
  }

  /** Sizes of a tensor; undefined for sequences and the like. */
  get dims(): readonly number[] | undefined {
    return this.#dims;
  }

  get dtype(): DType | undefined {
    return this.#dtype;
  }

  /** The value on the host, if it is there. */
  get onHost(): HostValue | undefined {
    return this.#host;
  }

  /** Where a provider made it. */
  get storage(): DeviceStorage | undefined {
    return this.#storage;
  }

  retain(): this {
    this.#users++;
    return this;
  }

  /** Whether the value has just so many users, and its memory none but the value. */
  hasOnly(users: number): boolean {
    return this.#users === users && this.#storage?.isShared !== true;
  }

  release(): void {
    if (--this.#users > 0) return;
    this.#storage?.release();
    this.#copy?.release();
    this.#storage = undefined;
    this.#copy = undefined;
  }

  /** The value on the host, downloaded on first use. */
  async host(): Promise<HostValue> {
    this.#host ??= await this.#download();
    return this.#host;
  }

  /** A tensor with elements of its own on the host. Only for tensors of numbers. */
  async copy(): Promise<Tensor> {
    if (!Tensor.is(this.#host)) return this.#download();
    const { type, data, dims } = this.#host;
    return new Tensor(type, data.slice() as TypedArray, dims);
  }

  /** Tensors as `copy` gives them, of those values that devices read together. */
  static async copyTogether(values: readonly RuntimeValue[]): Promise<Map<RuntimeValue, Tensor>> {
    const byProvider = new Map<ExecutionProvider, RuntimeValue[]>();
    for (const value of new Set(values)) {
      const storage = value.#storage;
      if (value.#host !== undefined || !storage?.provider.memory.downloadAll || hasGaps(storage, value.#dims!))
        continue;
      const list = byProvider.get(storage.provider);
      if (list) list.push(value);
      else byProvider.set(storage.provider, [value]);
    }
    const copies = new Map<RuntimeValue, Tensor>();
    for (const [{ memory }, list] of byProvider) {
      const sources = list.map((value) => {
        return { source: value.#storage!.buffer, byteLength: byteLength(value.#dtype!, elementCount(value.#dims!)) };
      });
      const all = await memory.downloadAll!(sources);
      for (const [at, value] of list.entries()) copies.set(value, value.#tensorOf(all[at]));
    }
    return copies;
  }

  /** @param bytes all of its elements, in an array of their own */
  #tensorOf(bytes: Uint8Array<ArrayBuffer>): Tensor {
    const dtype = this.#dtype as Exclude<DType, 'string'>;
    clearPadding(dtype, bytes, elementCount(this.#dims!));
    return new Tensor(dtype, new (arrayTypeOf(dtype))(bytes.buffer), this.#dims!);
  }

  async #download(): Promise<Tensor> {
    const dtype = this.#dtype as Exclude<DType, 'string'>;
    const dims = this.#dims!;
    const bytes = byteLength(dtype, elementCount(dims));
    const storage = this.#storage!;
    const { memory } = storage.provider;
    if (!hasGaps(storage, dims)) return this.#tensorOf(await memory.download(storage.buffer, bytes));
    const target = memory.read ? new Uint8Array(bytes) : await this.#downloadDense(storage, bytes);
    memory.read?.(storage.buffer, target, runsOf(dtype, dims, storage.room!));
    return this.#tensorOf(target);
  }

  /** Elements that do not lie side by side, out of memory that the host does not see: brought together there first. */
  async #downloadDense({ provider }: DeviceStorage, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const dense = new DeviceStorage(provider, bytes);
    try {
      await this.copyTo(dense);
      return await provider.memory.download(dense.buffer, bytes);
    } finally {
      dense.release();
    }
  }

  /** Fills an array of the host with the bytes of the tensor. */
  async readInto(target: Uint8Array): Promise<void> {
    const storage = this.#storage;
    if (this.#host !== undefined || !storage) {
      ((await this.host()) as Tensor).copyBytesTo(target);
      return;
    }
    const { memory } = storage.provider;
    if (!memory.read) ((await this.#download()) as Tensor).copyBytesTo(target);
    else if (!hasGaps(storage, this.#dims!)) memory.read(storage.buffer, target);
    else memory.read(storage.buffer, target, runsOf(this.#dtype!, this.#dims!, storage.room!));
    clearPadding(this.#dtype!, target, elementCount(this.#dims!));
  }

  /** The elements side by side in a device's memory, brought there on first use. The buffer belongs to this value. */
  device(provider: ExecutionProvider): DeviceBuffer | Promise<DeviceBuffer> {
    const storage = this.#storage;
    if (storage?.provider === provider && !hasGaps(storage, this.#dims!)) return storage.buffer;
    if (this.#copy?.provider === provider) return this.#copy.buffer;
    return this.#bring(provider);
  }

  async #bring(provider: ExecutionProvider): Promise<DeviceBuffer> {
    if (this.#storage?.provider !== provider && !Tensor.is(await this.host())) {
      throw new OnnxTsError('INTERNAL', 'only tensors can be moved to a device.');
    }
    const bytes = byteLength(this.#dtype!, elementCount(this.#dims!));
    const copy = new DeviceStorage(provider, bytes);
    await this.copyTo(copy);
    this.#copy?.release();
    this.#copy = copy;
    return copy.buffer;
  }

  /**
   * What the device's own API calls the memory that has the elements side by side; undefined where it has no such thing.
   * Elements with gaps between them are copied, which such devices do at once.
   */
  get native(): unknown {
    const storage = this.#storage;
    const { memory } = storage?.provider ?? {};
    if (!storage || !memory?.nativeOf) return undefined;
    if (!hasGaps(storage, this.#dims!)) return memory.nativeOf(storage.buffer);
    if (this.#copy?.provider !== storage.provider) {
      const copy = new DeviceStorage(storage.provider, byteLength(this.#dtype!, elementCount(this.#dims!)));
      void this.copyTo(copy);
      this.#copy?.release();
      this.#copy = copy;
    }
    return memory.nativeOf(this.#copy.buffer);
  }

  /** Writes the elements to where they belong in memory that has been made for them. */
  async copyTo(target: DeviceStorage): Promise<void> {
    const { provider, buffer, room } = target;
    const { memory } = provider;
    const [dtype, dims, storage] = [this.#dtype!, this.#dims!, this.#storage];
    const axis = room?.axis ?? storage?.room?.axis ?? 0;
    const dense: Room = { axis, capacity: dims[axis] ?? 1 };
    const isAlike = storage?.provider === provider && (storage.room ?? dense).axis === axis;
    if (!isAlike || !memory.copy) {
      const tensor = (await this.host()) as Tensor;
      await (room ? memory.upload(tensor, buffer, runsOf(dtype, dims, room)) : memory.upload(tensor, buffer));
      return;
    }
    await memory.copy(
      storage.buffer,
      runsOf(dtype, dims, storage.room ?? dense),
      buffer,
      runsOf(dtype, dims, room ?? dense),
    );
  }

  /** Positions that the value could have in its place: see `extend`. 0 when it cannot grow there. */
  capacityOn(provider: ExecutionProvider, axis: number): number {
    const storage = this.#storage;
    if (storage?.provider !== provider || storage.room?.axis !== axis) return 0;
    return storage.filled === this.#dims![axis] ? storage.room.capacity : 0;
  }

  /**
   * A longer value that begins with this one: the rest is for the caller to write. It shares the memory if that is allowed,
   * has just the capacity that is asked for and nothing after this value; otherwise this one is copied.
   * @throws OnnxTsError OUT_OF_MEMORY
   */
  extend(
    provider: ExecutionProvider,
    dims: readonly number[],
    room: Room,
    canShare = true,
  ): RuntimeValue | Promise<RuntimeValue> {
    const { axis, capacity } = room;
    // No memory at all has no capacity either, which an empty result may ask for.
    if (!canShare || !this.#storage || this.capacityOn(provider, axis) !== capacity) {
      return this.#move(provider, dims, room);
    }
    const storage = this.#storage.retain();
    storage.filled = dims[axis];
    return new RuntimeValue(undefined, storage, this.#dtype, dims);
  }

  async #move(provider: ExecutionProvider, dims: readonly number[], room: Room): Promise<RuntimeValue> {
    const { axis, capacity } = room;
    const bytes = byteLength(this.#dtype!, elementCount(dims.with(axis, capacity)));
    const storage = new DeviceStorage(provider, bytes, room, dims[axis]);
    try {
      if (this.#dims![axis] > 0) await this.copyTo(storage);
    } catch (error) {
      storage.release();
      throw error;
    }
    return new RuntimeValue(undefined, storage, this.#dtype, dims);
  }

  /** The first positions along an axis, in the same memory. Takes over one user's part of this value. */
  prefix(axis: number, length: number): RuntimeValue {
    const dims = this.#dims!.with(axis, length);
    const storage = this.#storage;
    if (storage?.room?.axis !== axis) {
      throw new OnnxTsError('UNSUPPORTED', 'this value lies where it cannot be cut in its place.');
    }
    const result = new RuntimeValue(undefined, storage.retain(), this.#dtype, dims);
    this.release();
    // Nobody has what is behind any more.
    if (!storage.isShared) storage.filled = length;
    return result;
  }

  /** Undoes `extend`: what this value has more than `before` may be written anew. */
  retract(before: RuntimeValue, axis: number): void {
    const storage = this.#storage;
    if (storage && storage === before.#storage && storage.filled === this.#dims![axis]) {
      storage.filled = before.#dims![axis];
    }
  }
}

/** Whether elements of these dims do not lie side by side. */
function hasGaps({ room }: DeviceStorage, dims: readonly number[]): boolean {
  if (!room || room.capacity === dims[room.axis]) return false;
  for (let at = 0; at < room.axis; at++) if (dims[at] !== 1) return true;
  return false;
}

/**
 * Learns the symbols of a shape from concrete sizes.
 * @throws OnnxTsError when a size contradicts the type or what is bound already
 */
export function bindShape(
  shape: readonly Dim[],
  dims: readonly number[],
  binding: Map<string, number>,
  fail: (what: string) => never,
): void {
  if (shape.length !== dims.length)
    fail(`its rank must be ${shape.length} (${shapeText(shape)}), not ${dims.length} ([${dims.join(', ')}]).`);
  for (const [axis, dim] of shape.entries()) {
    const name = dim.symbolName;
    if (name !== undefined && !binding.has(name)) binding.set(name, dims[axis]);
  }
  for (const [axis, dim] of shape.entries()) {
    const name = dim.symbolName;
    const known = name === undefined ? dim.constant : binding.get(name);
    if (known === dims[axis]) continue;
    if (known === undefined) solve(dim, dims[axis], binding);
    let expected: number;
    try {
      expected = dim.evaluate(binding);
    } catch {
      continue;
    }
    if (expected === dims[axis]) continue;
    const meaning = dim.constant === undefined ? ` (${dim} is ${expected} elsewhere)` : '';
    fail(`axis ${axis} must have size ${expected}${meaning}, but the dims are [${dims.join(', ')}].`);
  }
}

/** A size like `past + 1` tells `past` when nothing else did. */
function solve(dim: Dim, size: number, binding: Map<string, number>): void {
  const unknown = [...dim.symbols()].filter((name) => !binding.has(name));
  if (unknown.length !== 1) return;
  const [name] = unknown;
  const at = (value: number): number => dim.evaluate(new Map([...binding, [name, value]]));
  const slope = at(1) - at(0);
  if (slope === 0 || at(2) - at(1) !== slope) return;
  const value = (size - at(0)) / slope;
  if (Number.isInteger(value) && value >= 0) binding.set(name, value);
}

/** Sizes of a type for bound symbols. */
export function concreteDims(type: ValueType | undefined, binding: DimBinding, what: string): readonly number[] {
  if (type?.kind !== 'tensor' || !type.shape) {
    throw new OnnxTsError('INTERNAL', `${what} has no shape: ${typeText(type)}.`);
  }
  return type.shape.map((dim) => {
    const size = dim.evaluate(binding);
    if (size < 0) throw new OnnxTsError('INVALID_INPUT', `${what} would have the size ${dim} = ${size}.`);
    return size;
  });
}
