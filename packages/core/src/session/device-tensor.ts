// Tensors whose elements stay in the memory of a provider, and what ends with the session that lent them.

import type { DType } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { RuntimeValue } from '../plan/runtime-value.ts';
import { type DeviceElements, type GpuBuffer, Tensor, type TensorData } from './tensor.ts';

/** Held by a session and by everything that it lends. It ends with the session, and with the device. */
export class Lease {
  #end: 'disposed' | 'lost' | undefined;

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  end(reason: 'disposed' | 'lost'): void {
    this.#end ??= reason;
  }

  /**
   * @param what was lent
   * @throws OnnxTsError DISPOSED when the session is gone, PROVIDER when its device was lost
   */
  check(what: string, hints: { readonly disposed?: string; readonly lost?: string } = {}): void {
    if (!this.#end) return;
    const hint = hints[this.#end];
    const options = hint === undefined ? {} : { hint };
    if (this.#end === 'lost') throw new OnnxTsError('PROVIDER', `${what} was lost with its device.`, options);
    throw new OnnxTsError('DISPOSED', `the session that ${what} belongs to was disposed.`, options);
  }
}

/** The elements of one tensor. They never change: a run that writes into the tensor gives it other ones. */
export class LentElements implements DeviceElements {
  readonly lease: Lease;
  readonly location: DeviceElements['location'];
  #value: RuntimeValue | undefined;

  /** @param value one user's part of it, which is taken over */
  constructor(value: RuntimeValue, lease: Lease, location: DeviceElements['location']) {
    this.lease = lease;
    this.location = location;
    this.#value = value;
  }

  /** @throws OnnxTsError DISPOSED or PROVIDER */
  get value(): RuntimeValue {
    const hint = 'Read it with getData() before, or let the output stay on the host.';
    this.lease.check('this tensor', { disposed: hint, lost: hint });
    if (!this.#value) throw new OnnxTsError('DISPOSED', 'this tensor was disposed.');
    return this.#value;
  }

  get gpuBuffer(): GpuBuffer | undefined {
    return this.value.native as GpuBuffer | undefined;
  }

  /** @param value one user's part of it, which is taken over */
  replace(value: RuntimeValue): void {
    this.free();
    this.#value = value;
  }

  async read(): Promise<TensorData> {
    const value = this.value.retain();
    try {
      return (await value.copy()).data;
    } finally {
      value.release();
    }
  }

  free(): void {
    // Memory of a session that is gone was freed with it.
    if (!this.lease.isOver) this.#value?.release();
    this.#value = undefined;
  }
}

/** Frees the memory of tensors that were dropped without being disposed. */
const dropped = new FinalizationRegistry<LentElements>((elements) => elements.free());

/**
 * @param value a tensor of numbers; one user's part of it, which is taken over
 * @param asked where the caller wants it: it is in a buffer of WebGPU only if a GPU has it
 */
export function lendTensor(value: RuntimeValue, lease: Lease, asked: DeviceElements['location'] = 'device'): Tensor {
  const location = value.storage?.provider.memory.nativeOf ? asked : 'device';
  const elements = new LentElements(value, lease, location);
  const tensor = Tensor.onDevice(value.dtype as Exclude<DType, 'string'>, value.dims!, elements);
  dropped.register(tensor, elements);
  return tensor;
}

/** The value of a tensor that this session lent; undefined for all others. @throws OnnxTsError DISPOSED */
export function lentValue(tensor: Tensor, lease: Lease): RuntimeValue | undefined {
  const elements = tensor.deviceElements;
  return elements instanceof LentElements && elements.lease === lease ? elements.value : undefined;
}
