// Memory of providers that work on plain typed arrays.

import { OnnxTsError } from '../errors.ts';
import type { Tensor } from '../session/tensor.ts';
import type { DeviceBuffer, DeviceMemory } from './contract.ts';

export class HostBuffer implements DeviceBuffer {
  readonly bytes: Uint8Array;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  get byteLength(): number {
    return this.bytes.byteLength;
  }
}

/** For providers that compute in JavaScript. */
export class HostMemory implements DeviceMemory {
  bytesInUse = 0;
  peakBytes = 0;
  readonly #provider: string;
  readonly #budget: number;

  constructor(provider: string, budget: number = Infinity) {
    this.#provider = provider;
    this.#budget = budget;
  }

  allocate(byteLength: number): HostBuffer {
    if (this.bytesInUse + byteLength > this.#budget || byteLength > 2 ** 40) {
      const what = `${byteLength} bytes are needed and ${this.bytesInUse} are in use, of ${this.#budget} allowed.`;
      throw new OnnxTsError('OUT_OF_MEMORY', what, { place: { provider: this.#provider } });
    }
    let buffer: HostBuffer;
    try {
      buffer = new HostBuffer(byteLength);
    } catch (cause) {
      throw new OnnxTsError('OUT_OF_MEMORY', `${byteLength} bytes cannot be allocated.`, {
        place: { provider: this.#provider },
        cause,
      });
    }
    this.bytesInUse += byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bytesInUse);
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    this.bytesInUse -= buffer.byteLength;
  }

  upload(tensor: Tensor, target: DeviceBuffer): void {
    tensor.copyBytesTo((target as HostBuffer).bytes);
  }

  download(source: DeviceBuffer, byteLength: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array((source as HostBuffer).bytes.subarray(0, byteLength));
  }
}
