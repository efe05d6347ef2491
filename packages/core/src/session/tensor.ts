// The public tensor: element type, dims and a typed array, shaped like onnxruntime-common's `Tensor`.

import { allDTypes, byteLength, type DType } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** Elements of a tensor. float16 and bfloat16 are their bit patterns; bool is 0 or 1; packed types are packed bytes. */
export type TensorData = TypedArray | string[];

/** Accepted in place of `TensorData`. */
export type TensorDataLike = TensorData | ArrayLike<number> | ArrayLike<bigint> | ArrayLike<boolean> | ArrayBufferView;

type ArrayConstructor = {
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
};

const constructors: Readonly<Record<Exclude<DType, 'string'>, ArrayConstructor>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
  float8e4m3fn: Uint8Array,
  float8e4m3fnuz: Uint8Array,
  float8e5m2: Uint8Array,
  float8e5m2fnuz: Uint8Array,
  float8e8m0: Uint8Array,
  float6e2m3: Uint8Array,
  float6e3m2: Uint8Array,
  float4e2m1: Uint8Array,
  int4: Uint8Array,
  uint4: Uint8Array,
  int2: Uint8Array,
  uint2: Uint8Array,
} as Readonly<Record<Exclude<DType, 'string'>, ArrayConstructor>>;

/** The typed array that stores a tensor of this type. */
export function arrayTypeOf(dtype: Exclude<DType, 'string'>): ArrayConstructor {
  return constructors[dtype];
}

/** Entries that a tensor's data array has: elements, pairs for complex, bytes for packed types. */
export function dataLength(dtype: DType, count: number): number {
  if (dtype === 'string') return count;
  return byteLength(dtype, count) / constructors[dtype].BYTES_PER_ELEMENT;
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

const marker = Symbol.for('onnx-ts.tensor');

/** Bytes in a file of the model: of external data, or with the location '' the model's own. */
export interface WeightPlace {
  readonly location: string;
  readonly offset: number;
}

/** Bytes of a tensor that are fetched when somebody asks: weights stay in their file until they reach their place. */
export interface TensorBytes {
  readonly byteLength: number;
  /** Fills `target` with the bytes from `offset` on; elements are little-endian and row-major. */
  read(target: Uint8Array, offset: number): void;
  /** The bytes themselves when they are in memory already. */
  readonly view?: Uint8Array;
  /** Where they are, of weights that can be found there again. */
  readonly weight?: WeightPlace;
  /** Told of each read, so that what was made from it can be made again when it changes. */
  readonly onRead?: (offset: number, length: number) => void;
}

/** The browser's type where there is one, so that tensors work without it, too. */
export type GpuBuffer = typeof globalThis extends { GPUBuffer: { prototype: infer Native } }
  ? Native
  : { readonly size: number; readonly usage: number; readonly mapState: string; destroy(): void };

/** Elements in the memory of a provider. */
export interface DeviceElements {
  readonly location: 'device' | 'gpu-buffer';
  /** The buffer that they lie in, side by side, from its beginning on; undefined where they are in none. */
  readonly gpuBuffer?: GpuBuffer | undefined;
  /** A copy on the host. @throws OnnxTsError DISPOSED when the session that they belong to is gone */
  read(): Promise<TensorData>;
  /** Called once; the memory is used again. */
  free(): void;
}

/**
 * Where the elements of a tensor are: on the host (`cpu`), in the memory of the provider that made them (`device`), in a
 * buffer of WebGPU that the caller gave or asked for (`gpu-buffer`), or nowhere, after `dispose` (`none`).
 */
export type TensorLocation = 'cpu' | 'device' | 'gpu-buffer' | 'none';

/** What `Tensor.fromGpuBuffer` needs to know beside the buffer. */
export interface GpuBufferOptions {
  /** float32 when absent. */
  readonly dataType?: Exclude<DType, 'string'>;
  readonly dims: readonly number[];
  /** Gives the elements for `getData`. Without it they can be read once a session has used the tensor. */
  readonly download?: () => Promise<TensorData>;
  /** Called by the tensor's `dispose`. The buffer is the caller's: nothing else destroys it. */
  readonly dispose?: () => void;
}

export class Tensor {
  readonly type: DType;
  dims: readonly number[];
  readonly [marker] = true;
  #data: TensorData | undefined;
  #bytes: TensorBytes | undefined;
  /** As `#bytes`, but kept when the elements have been read. */
  #source: TensorBytes | undefined;
  #device: DeviceElements | undefined;

  /** @internal A tensor whose data is read on first use. `bytes.byteLength` must fit type and dims. */
  static fromBytes(type: Exclude<DType, 'string'>, dims: readonly number[], bytes: TensorBytes): Tensor {
    const tensor = new Tensor(type, new constructors[type](0), [0]);
    tensor.dims = dims;
    tensor.#data = undefined;
    tensor.#bytes = bytes;
    tensor.#source = bytes;
    return tensor;
  }

  /**
   * A tensor of what is in a buffer of WebGPU, as `fromGpuBuffer` of onnxruntime. Sessions whose GPU device made the buffer
   * read it where it is, in the order of their device's queue; as a fetch of `run` it is written.
   * @param buffer elements from its beginning on, little-endian and row-major: bool and 8 bits as bytes, 64 bits low word
   *   first. It needs the usage STORAGE or COPY_SRC to be fed, COPY_DST to be written, and COPY_SRC to be read
   * @throws OnnxTsError INVALID_INPUT when it is smaller than the tensor
   */
  static fromGpuBuffer(buffer: GpuBuffer, options: GpuBufferOptions): Tensor {
    const { dataType = 'float32', dims } = options;
    const tensor = Tensor.onDevice(dataType, [...dims], new CallersElements(buffer, options));
    const bytes = tensor.byteLength;
    if (typeof buffer?.size !== 'number') throw bad('fromGpuBuffer wants a GPUBuffer');
    if (buffer.size < bytes) {
      throw bad(
        `a ${dataType} tensor of dims [${dims.join(', ')}] needs ${bytes} bytes, the buffer has ${buffer.size}`,
      );
    }
    return tensor;
  }

  /** @internal A tensor whose elements stay on a device. */
  static onDevice(type: Exclude<DType, 'string'>, dims: readonly number[], elements: DeviceElements): Tensor {
    const tensor = new Tensor(type, new constructors[type](0), [0]);
    tensor.dims = dims;
    tensor.#data = undefined;
    tensor.#device = elements;
    return tensor;
  }

  /**
   * @param type element type
   * @param data typed array of the type's storage (bigint arrays for 64-bit integers, `Uint16Array` or `Float16Array`
   *   for float16), or any array of numbers, bigints, booleans or strings, which is converted
   * @param dims sizes; absent means one axis of all elements
   * @throws OnnxTsError INVALID_INPUT when data and dims disagree or the data does not suit the type
   */
  constructor(type: DType, data: TensorDataLike, dims?: readonly number[]);
  /** The type follows from the array; numbers become float32, booleans bool, strings string. */
  constructor(data: TensorDataLike, dims?: readonly number[]);
  constructor(first: DType | TensorDataLike, second?: TensorDataLike | readonly number[], third?: readonly number[]) {
    const typed = typeof first === 'string';
    const type = typed ? first : dtypeOf(first);
    const source = (typed ? second : first) as TensorDataLike | undefined;
    const dims = typed ? third : (second as readonly number[] | undefined);
    if (!allDTypes.includes(type)) throw bad(`"${type}" is not an element type`, `Use one of ${allDTypes.join(', ')}.`);
    if (source === undefined || source === null) throw bad('a tensor needs data');
    const data = toStorage(type, source);
    this.type = type;
    this.dims = dims ? [...dims] : [type === 'complex64' || type === 'complex128' ? data.length / 2 : data.length];
    if (!this.dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw bad(`dims must be integers of at least 0, not [${this.dims.join(', ')}]`);
    }
    const expected = dataLength(type, elementCount(this.dims));
    if (data.length !== expected) {
      throw bad(
        `a ${type} tensor of dims [${this.dims.join(', ')}] needs ${expected} entries, the data has ${data.length}`,
      );
    }
    this.#data = data;
  }

  /** Recognises tensors of any copy of the package. */
  static is(value: unknown): value is Tensor {
    return typeof value === 'object' && value !== null && marker in value;
  }

  /** Number of elements. */
  get size(): number {
    return elementCount(this.dims);
  }

  get location(): TensorLocation {
    if (this.#device) return this.#device.location;
    return this.#data || this.#bytes ? 'cpu' : 'none';
  }

  /** @internal Where a weight's elements are in the files of the model; undefined for other tensors. */
  get weight(): WeightPlace | undefined {
    return this.#source?.weight;
  }

  /**
   * The buffer of WebGPU that has the elements of a tensor on a GPU, side by side from its beginning on. It belongs to the
   * tensor: it is used again once the tensor is disposed, so what reads it has to be submitted before. Do not write into it:
   * fed tensors and states may share it.
   * @throws OnnxTsError INVALID_INPUT when they are elsewhere, DISPOSED when the session that holds them is gone
   */
  get gpuBuffer(): GpuBuffer {
    const buffer = this.#device?.gpuBuffer;
    if (buffer !== undefined) return buffer;
    if (this.location === 'none') throw new OnnxTsError('DISPOSED', 'this tensor was disposed');
    throw bad(
      'the elements of this tensor are in no buffer of WebGPU.',
      "Ask for one: createSession(…, { preferredOutputLocation: 'gpu-buffer' }) with the WebGPU provider.",
    );
  }

  /** @internal What holds the elements of a tensor that is on a device. */
  get deviceElements(): DeviceElements | undefined {
    return this.#device;
  }

  /**
   * The elements of a tensor on the host; see `getData` for others.
   * @throws OnnxTsError DISPOSED after `dispose`, INVALID_INPUT when they are on a device
   */
  get data(): TensorData {
    this.#source?.onRead?.(0, this.#source.byteLength);
    if (!this.#data && this.#bytes) {
      this.#data = this.#load(this.#bytes);
      this.#bytes = undefined;
    }
    if (this.#device) throw bad('the elements of this tensor are on a device.', 'Use await tensor.getData().');
    if (!this.#data) throw new OnnxTsError('DISPOSED', 'this tensor was disposed');
    return this.#data;
  }

  #load(bytes: TensorBytes): TensorData {
    const Storage = constructors[this.type as Exclude<DType, 'string'>];
    const { view } = bytes;
    if (view && view.byteOffset % Storage.BYTES_PER_ELEMENT === 0) {
      return new Storage(view.buffer, view.byteOffset, view.byteLength / Storage.BYTES_PER_ELEMENT);
    }
    const target = new Uint8Array(bytes.byteLength);
    bytes.read(target, 0);
    return new Storage(target.buffer);
  }

  /** Bytes the elements take. @throws OnnxTsError for strings, which have no fixed size */
  get byteLength(): number {
    if (this.type === 'string') throw bad('a string tensor has no byte length');
    return byteLength(this.type, this.size);
  }

  /** Copies the elements, little-endian and row-major, without keeping a second copy of weights that are in a file. */
  copyBytesTo(target: Uint8Array): void {
    this.readBytes(0, target.subarray(0, this.byteLength));
  }

  /** @internal Fills `target` with bytes of the elements from `offset` on. */
  readBytes(offset: number, target: Uint8Array): void {
    this.#source?.onRead?.(offset, target.byteLength);
    if (this.#bytes) {
      this.#bytes.read(target, offset);
      return;
    }
    const data = (this.#data ?? this.data) as TypedArray;
    target.set(new Uint8Array(data.buffer, data.byteOffset + offset, target.byteLength));
  }

  /** The data as float32 or other numbers; 64-bit integers as numbers (exact up to 2^53). */
  toNumberArray(): number[] {
    if (this.type === 'string') throw bad('a string tensor has no numbers');
    return Array.from(this.data as ArrayLike<number | bigint>, Number);
  }

  /**
   * The elements, wherever they are. Those on a device are copied anew by each call.
   * @param releaseData disposes the tensor
   * @throws OnnxTsError DISPOSED after `dispose`, or when the session that holds them is gone
   */
  async getData(releaseData = false): Promise<TensorData> {
    const data = this.#device ? await this.#device.read() : this.data;
    if (releaseData) this.dispose();
    return data;
  }

  /** A tensor on the same data with other dims. */
  reshape(dims: readonly number[]): Tensor {
    return new Tensor(this.type, this.data, dims);
  }

  /** Lets go of the elements, and frees their memory if it is a device's. */
  dispose(): void {
    this.#data = undefined;
    this.#bytes = undefined;
    this.#source = undefined;
    this.#device?.free();
    this.#device = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Elements in a buffer that the caller has made. */
export class CallersElements implements DeviceElements {
  readonly location = 'gpu-buffer';
  readonly gpuBuffer: GpuBuffer;
  /** How a session that has used the buffer reads it. */
  reader: (() => Promise<TensorData>) | undefined;
  readonly #dispose: (() => void) | undefined;

  constructor(gpuBuffer: GpuBuffer, { download, dispose }: GpuBufferOptions) {
    this.gpuBuffer = gpuBuffer;
    this.reader = download;
    this.#dispose = dispose;
  }

  async read(): Promise<TensorData> {
    if (this.reader) return this.reader();
    throw bad(
      'no session has used this buffer yet, and a buffer does not tell its device.',
      'Pass fromGpuBuffer the option download, or copy the buffer with the API of the device.',
    );
  }

  free(): void {
    this.#dispose?.();
  }
}

function bad(what: string, hint?: string): OnnxTsError {
  return new OnnxTsError('INVALID_INPUT', what, hint ? { hint } : {});
}

function dtypeOf(data: unknown): DType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof Int8Array) return 'int8';
  if (data instanceof Int16Array) return 'int16';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return 'uint8';
  if (data instanceof Uint16Array) return 'uint16';
  if (data instanceof Uint32Array) return 'uint32';
  if (data instanceof BigUint64Array) return 'uint64';
  if (isFloat16Array(data)) return 'float16';
  if (Array.isArray(data)) {
    const [head] = data;
    if (typeof head === 'string') return 'string';
    if (typeof head === 'boolean') return 'bool';
    if (typeof head === 'bigint') return 'int64';
    return 'float32';
  }
  throw bad('cannot tell the element type of this data', 'Pass it as first argument: new Tensor(type, data, dims).');
}

function isFloat16Array(data: unknown): data is ArrayBufferView & ArrayLike<number> {
  return Object.prototype.toString.call(data) === '[object Float16Array]';
}

function toStorage(type: DType, source: TensorDataLike): TensorData {
  if (type === 'string') {
    if (!Array.isArray(source) || !source.every((item) => typeof item === 'string')) {
      throw bad('a string tensor needs an array of strings');
    }
    return source as string[];
  }
  const Storage = constructors[type];
  if (source instanceof Storage) return source;
  if (type === 'float16' && isFloat16Array(source)) {
    return new Uint16Array(source.buffer, source.byteOffset, source.byteLength / 2);
  }
  if (type === 'uint8' && source instanceof Uint8ClampedArray) {
    return new Uint8Array(source.buffer, source.byteOffset, source.length);
  }
  const target = new Storage(lengthOf(source));
  const isBig = target instanceof BigInt64Array || target instanceof BigUint64Array;
  if (ArrayBuffer.isView(source) && !(isBig && (source instanceof Int32Array || source instanceof Uint32Array))) {
    throw bad(`${Object.prototype.toString.call(source).slice(8, -1)} cannot store ${type}`, `Use ${Storage.name}.`);
  }
  if (type === 'float16' || type === 'bfloat16' || /^float[864]e/.test(type)) {
    throw bad(`a ${type} tensor needs its bit patterns in a ${Storage.name}`, 'Or use a float32 tensor and a Cast.');
  }
  const items = source as ArrayLike<number | bigint | boolean>;
  for (let i = 0; i < items.length; i++) {
    const item = items[i];
    if (typeof item !== 'number' && typeof item !== 'bigint' && typeof item !== 'boolean') {
      throw bad(`entry ${i} of the data is not a number`);
    }
    if (isBig) {
      if (typeof item === 'number' && !Number.isInteger(item)) throw bad(`entry ${i}, ${item}, is not an integer`);
      target[i] = BigInt(item);
    } else (target as Float64Array)[i] = type === 'bool' ? Number(Boolean(item)) : Number(item);
  }
  return target;
}

function lengthOf(source: unknown): number {
  const length = (source as { length?: unknown }).length;
  if (typeof length !== 'number') throw bad('tensor data must be an array or a typed array');
  return length;
}
