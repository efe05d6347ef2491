// Buffers on the GPU, kept for reuse by size, and transfers.

import { type DeviceBuffer, type DeviceMemory, OnnxTsError, type Tensor } from '@onnx-ts/core/provider';
import { bufferUsage, mapMode } from './gpu-flags.ts';

const usage = bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget;

/** Sizes are rounded up so that whole vectors can be read, and buffers find each other again. */
const granularity = 256;

export class GpuBuffer implements DeviceBuffer {
  readonly buffer: GPUBuffer;
  readonly byteLength: number;
  /** For caches of what refers to buffers. */
  readonly id: number;

  constructor(buffer: GPUBuffer, byteLength: number, id: number) {
    this.buffer = buffer;
    this.byteLength = byteLength;
    this.id = id;
  }
}

export class GpuMemory implements DeviceMemory {
  bytesInUse = 0;
  peakBytes = 0;
  readonly #device: GPUDevice;
  readonly #budget: number;
  /** Buffers at rest, by size. */
  readonly #resting = new Map<number, GpuBuffer[]>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  #restingBytes = 0;
  #count = 0;

  constructor(device: GPUDevice, budget = Infinity) {
    this.#device = device;
    this.#budget = budget;
  }

  /** @throws OnnxTsError OUT_OF_MEMORY */
  allocate(byteLength: number): GpuBuffer {
    const size = roundedSize(byteLength);
    const known = this.#resting.get(size)?.pop();
    if (!known) this.#makeRoom(size);
    const most = this.#device.limits.maxBufferSize;
    if (this.bytesInUse + size > this.#budget || size > most || !Number.isSafeInteger(size)) {
      const limit = size > most ? `a buffer may have ${most}` : `${this.#budget} are allowed`;
      throw new OnnxTsError(
        'OUT_OF_MEMORY',
        `${byteLength} bytes are needed, ${this.bytesInUse} are in use, and ${limit}.`,
        { place: { provider: 'webgpu' }, hint: 'Use smaller inputs or a smaller model, or raise the memory budget.' },
      );
    }
    this.bytesInUse += size;
    this.peakBytes = Math.max(this.peakBytes, this.bytesInUse);
    if (known) {
      this.#restingBytes -= size;
      return known;
    }
    const buffer = this.#device.createBuffer({ size, usage });
    return new GpuBuffer(buffer, size, this.#count++);
  }

  /** Buffers at rest give way to one that is needed. */
  #makeRoom(size: number): void {
    if (this.bytesInUse + this.#restingBytes + size <= this.#budget) return;
    this.trim();
  }

  free(buffer: DeviceBuffer): void {
    const given = buffer as GpuBuffer;
    this.bytesInUse -= given.byteLength;
    this.#restingBytes += given.byteLength;
    const list = this.#resting.get(given.byteLength);
    if (list) list.push(given);
    else this.#resting.set(given.byteLength, [given]);
  }

  /** Destroys the buffers that nobody holds. */
  trim(): void {
    for (const list of this.#resting.values()) for (const { buffer } of list) buffer.destroy();
    this.#resting.clear();
    this.#restingBytes = 0;
  }

  upload(tensor: Tensor, target: DeviceBuffer): void {
    const { byteLength } = tensor;
    if (byteLength === 0) return;
    const bytes = new Uint8Array(Math.ceil(byteLength / 4) * 4);
    tensor.copyBytesTo(bytes.subarray(0, byteLength));
    this.#device.queue.writeBuffer((target as GpuBuffer).buffer, 0, bytes);
  }

  async download(source: DeviceBuffer, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    if (byteLength === 0) return new Uint8Array(0);
    const size = roundedSize(byteLength);
    const staging =
      this.#staging.get(size)?.pop() ??
      this.#device.createBuffer({ size, usage: bufferUsage.mapRead | bufferUsage.copyTarget });
    const encoder = this.#device.createCommandEncoder();
    const copied = Math.ceil(byteLength / 4) * 4;
    encoder.copyBufferToBuffer((source as GpuBuffer).buffer, 0, staging, 0, copied);
    this.#device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapMode.read, 0, copied);
    } catch (cause) {
      throw new OnnxTsError('PROVIDER', `a result could not be read: ${(cause as Error).message}.`, {
        place: { provider: 'webgpu' },
        hint: 'The device may be lost: create the session again.',
        cause,
      });
    }
    const bytes = new Uint8Array(staging.getMappedRange(0, copied).slice(0, byteLength));
    staging.unmap();
    const list = this.#staging.get(size);
    if (list) list.push(staging);
    else this.#staging.set(size, [staging]);
    return bytes;
  }

  dispose(): void {
    this.trim();
    for (const list of this.#staging.values()) for (const buffer of list) buffer.destroy();
    this.#staging.clear();
  }
}

function roundedSize(byteLength: number): number {
  return Math.max(granularity, Math.ceil(byteLength / granularity) * granularity);
}
