// Tensors whose elements stay in the memory of a provider, and what ends with the session that lent them.

import type { DType } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { RuntimeValue } from '../plan/runtime-value.ts';
import { type DeviceElements, Tensor, type TensorData } from './tensor.ts';

/** Held by a session and by everything that it lends. */
export class Lease {
  isOver = false;
}

/** The elements of one tensor. They never change: a run that writes into the tensor gives it other ones. */
export class LentElements implements DeviceElements {
  readonly lease: Lease;
  #value: RuntimeValue | undefined;

  /** @param value one user's part of it, which is taken over */
  constructor(value: RuntimeValue, lease: Lease) {
    this.lease = lease;
    this.#value = value;
  }

  /** @throws OnnxTsError DISPOSED */
  get value(): RuntimeValue {
    if (this.lease.isOver) {
      throw new OnnxTsError('DISPOSED', 'the session that this tensor belongs to was disposed.', {
        hint: 'Read it with getData() before, or let the output stay on the host.',
      });
    }
    if (!this.#value) throw new OnnxTsError('DISPOSED', 'this tensor was disposed.');
    return this.#value;
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

/** @param value a tensor of numbers; one user's part of it, which is taken over */
export function lendTensor(value: RuntimeValue, lease: Lease): Tensor {
  const elements = new LentElements(value, lease);
  const tensor = Tensor.onDevice(value.dtype as Exclude<DType, 'string'>, value.dims!, elements);
  dropped.register(tensor, elements);
  return tensor;
}

/** The value of a tensor that this session lent; undefined for all others. @throws OnnxTsError DISPOSED */
export function lentValue(tensor: Tensor, lease: Lease): RuntimeValue | undefined {
  const elements = tensor.deviceElements;
  return elements instanceof LentElements && elements.lease === lease ? elements.value : undefined;
}
