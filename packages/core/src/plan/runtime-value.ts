// A value while a model runs: on the host, on a device, or both. Copies are made when somebody needs them, and kept.

import type { DType } from '@onnx-ts/tensor-ir';
import { byteLength, type Dim, type DimBinding, shapeText } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { typeText, type ValueType } from '../graph/types.ts';
import type { HostValue } from '../ops/define.ts';
import type { DeviceBuffer, ExecutionProvider } from '../provider/contract.ts';
import { arrayTypeOf, elementCount, Tensor } from '../session/tensor.ts';

interface OnDevice {
  readonly buffer: DeviceBuffer;
  readonly provider: ExecutionProvider;
}

/** Counts users: the device buffer is freed when the last one has released it. */
export class RuntimeValue {
  #host: HostValue | undefined;
  #device: OnDevice | undefined;
  readonly #dtype: DType | undefined;
  readonly #dims: readonly number[] | undefined;
  #users = 1;

  private constructor(
    host: HostValue | undefined,
    device: OnDevice | undefined,
    dtype?: DType,
    dims?: readonly number[],
  ) {
    this.#host = host;
    this.#device = device;
    this.#dtype = dtype;
    this.#dims = dims;
  }

  static ofHost(value: HostValue): RuntimeValue {
    return Tensor.is(value)
      ? new RuntimeValue(value, undefined, value.type, value.dims)
      : new RuntimeValue(value, undefined);
  }

  static onDevice(
    provider: ExecutionProvider,
    buffer: DeviceBuffer,
    dtype: DType,
    dims: readonly number[],
  ): RuntimeValue {
    return new RuntimeValue(undefined, { buffer, provider }, dtype, dims);
  }

  /** Sizes of a tensor; undefined for sequences and the like. */
  get dims(): readonly number[] | undefined {
    return this.#dims;
  }

  get dtype(): DType | undefined {
    return this.#dtype;
  }

  get isOnHost(): boolean {
    return this.#host !== undefined;
  }

  retain(): this {
    this.#users++;
    return this;
  }

  release(): void {
    if (--this.#users > 0) return;
    if (this.#device) this.#device.provider.memory.free(this.#device.buffer);
    this.#device = undefined;
  }

  /** The value on the host, downloaded on first use. */
  async host(): Promise<HostValue> {
    if (this.#host === undefined) {
      const { buffer, provider } = this.#device!;
      const dtype = this.#dtype as Exclude<DType, 'string'>;
      const bytes = await provider.memory.download(buffer, byteLength(dtype, elementCount(this.#dims!)));
      this.#host = new Tensor(dtype, new (arrayTypeOf(dtype))(bytes.buffer), this.#dims);
    }
    return this.#host;
  }

  /** The value in a device's memory, uploaded on first use. The buffer belongs to this value. */
  async device(provider: ExecutionProvider): Promise<DeviceBuffer> {
    if (this.#device?.provider === provider) return this.#device.buffer;
    const tensor = await this.host();
    if (!Tensor.is(tensor)) throw new OnnxTsError('INTERNAL', 'only tensors can be moved to a device.');
    const buffer = provider.memory.allocate(tensor.byteLength);
    await provider.memory.upload(tensor, buffer);
    if (this.#device) this.#device.provider.memory.free(this.#device.buffer);
    this.#device = { buffer, provider };
    return buffer;
  }
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
    solve(dim, dims[axis], binding);
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
