// Memory on the GPU, kept for reuse by size, and transfers.

import {
  type DeviceBuffer,
  type DeviceMemory,
  type Download,
  OnnxTsError,
  type Runs,
  type Tensor,
} from '@onnx-ts/core/provider';
import { GpuBuffer, granularity, type Piece } from './gpu-buffer.ts';
import { bufferUsage, mapMode, shaderStage } from './gpu-flags.ts';
import type { UsedLimits } from './gpu-limits.ts';

const usage = bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget;

/** Shaders count elements in 31 bits, and the largest elements have 8 bytes. */
const largestTensor = 2 ** 34;

export class GpuMemory implements DeviceMemory {
  bytesInUse = 0;
  peakBytes = 0;
  readonly #device: GPUDevice;
  readonly #limits: UsedLimits;
  readonly #budget: number;
  /** Buffers at rest, by size. */
  readonly #resting = new Map<number, GpuBuffer[]>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  /** Buffers of the caller that are known to be of this device. */
  readonly #adopted = new WeakMap<GPUBuffer, Promise<GpuBuffer>>();
  #restingBytes = 0;
  #count = 0;

  constructor(device: GPUDevice, limits: UsedLimits, budget = Infinity) {
    this.#device = device;
    this.#limits = limits;
    this.#budget = budget;
  }

  /** @throws OnnxTsError OUT_OF_MEMORY */
  allocate(byteLength: number): GpuBuffer {
    const size = roundedSize(byteLength);
    const known = this.#resting.get(size)?.pop();
    if (known) this.#restingBytes -= size;
    else this.#makeRoom(size);
    if (this.bytesInUse + size > this.#budget || size > largestTensor) {
      const limit = size > largestTensor ? `a tensor may have ${largestTensor}` : `${this.#budget} are allowed`;
      throw new OnnxTsError(
        'OUT_OF_MEMORY',
        `${byteLength} bytes are needed, ${this.bytesInUse} are in use, and ${limit}.`,
        { place: { provider: 'webgpu' }, hint: 'Use smaller inputs or a smaller model, or raise the memory budget.' },
      );
    }
    this.bytesInUse += size;
    this.peakBytes = Math.max(this.peakBytes, this.bytesInUse);
    return known ?? this.#create(size);
  }

  #create(size: number): GpuBuffer {
    const { bufferBytes } = this.#limits;
    const buffers: GPUBuffer[] = [];
    for (let at = 0; at < size; at += bufferBytes) {
      buffers.push(this.#device.createBuffer({ size: Math.min(bufferBytes, size - at), usage }));
    }
    return new GpuBuffer(buffers, bufferBytes, size, this.#count++);
  }

  /** Buffers at rest give way to one that is needed. */
  #makeRoom(size: number): void {
    if (this.bytesInUse + this.#restingBytes + size <= this.#budget) return;
    this.trim();
  }

  free(buffer: DeviceBuffer): void {
    const given = buffer as GpuBuffer;
    if (!given.isOwned) return;
    this.bytesInUse -= given.byteLength;
    this.#restingBytes += given.byteLength;
    const list = this.#resting.get(given.byteLength);
    if (list) list.push(given);
    else this.#resting.set(given.byteLength, [given]);
  }

  /** Destroys the buffers that nobody holds. */
  trim(): void {
    for (const list of this.#resting.values()) for (const buffer of list) buffer.destroy();
    this.#resting.clear();
    this.#restingBytes = 0;
  }

  upload(tensor: Tensor, target: DeviceBuffer, runs?: Runs): void {
    const { byteLength } = tensor;
    if (byteLength === 0) return;
    const { partBytes } = this.#limits;
    const { count, bytes, stride } = runs ?? { count: 1, bytes: byteLength, stride: byteLength };
    // Large tensors come in parts, so that no second copy of the whole is made.
    const room = new Uint8Array(wordsOf(Math.min(bytes, partBytes)));
    for (let run = 0; run < count; run++) {
      for (let at = 0; at < bytes; at += partBytes) {
        const part = room.subarray(0, Math.min(partBytes, bytes - at));
        tensor.readBytes(run * bytes + at, part);
        let from = 0;
        for (const { buffer, offset, size } of (target as GpuBuffer).pieces(run * stride + at, wordsOf(part.length))) {
          this.#device.queue.writeBuffer(buffer, offset, room, from, size);
          from += size;
        }
      }
    }
  }

  async download(source: DeviceBuffer, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    const from = source as GpuBuffer;
    const bytes = new Uint8Array(byteLength);
    checkUsage(from, bufferUsage.copySource, 'COPY_SRC', 'it cannot be read');
    let at = 0;
    for (const piece of from.pieces(0, wordsOf(byteLength))) {
      const part = bytes.subarray(at, at + piece.size);
      await this.#read(piece, part);
      at += part.length;
    }
    return bytes;
  }

  async downloadAll(sources: readonly Download[]): Promise<Uint8Array<ArrayBuffer>[]> {
    let total = 0;
    const places = sources.map(({ source, byteLength }) => {
      checkUsage(source as GpuBuffer, bufferUsage.copySource, 'COPY_SRC', 'it cannot be read');
      const at = total;
      total += roundedSize(byteLength);
      return at;
    });
    if (total > this.#limits.partBytes) {
      const results: Uint8Array<ArrayBuffer>[] = [];
      for (const { source, byteLength } of sources) results.push(await this.download(source, byteLength));
      return results;
    }
    const encode = (encoder: GPUCommandEncoder, staging: GPUBuffer): void => {
      for (const [at, { source, byteLength }] of sources.entries()) {
        let offset = places[at];
        for (const piece of (source as GpuBuffer).pieces(0, wordsOf(byteLength))) {
          if (piece.size > 0) encoder.copyBufferToBuffer(piece.buffer, piece.offset, staging, offset, piece.size);
          offset += piece.size;
        }
      }
    };
    return this.#stage(total, encode, (bytes) =>
      sources.map(({ byteLength }, at) => bytes.slice(places[at], places[at] + byteLength)),
    );
  }

  async #read({ buffer, offset, size }: Piece, target: Uint8Array): Promise<void> {
    if (size === 0) return;
    await this.#stage(
      size,
      (encoder, staging) => encoder.copyBufferToBuffer(buffer, offset, staging, 0, size),
      (bytes) => target.set(bytes.subarray(0, target.length)),
    );
  }

  /** Copies to a buffer that the host sees, and lets the host read there. */
  async #stage<T>(
    size: number,
    encode: (encoder: GPUCommandEncoder, staging: GPUBuffer) => void,
    read: (bytes: Uint8Array<ArrayBuffer>) => T,
  ): Promise<T> {
    const staged = stagingSize(size);
    const staging =
      this.#staging.get(staged)?.pop() ??
      this.#device.createBuffer({ size: staged, usage: bufferUsage.mapRead | bufferUsage.copyTarget });
    const encoder = this.#device.createCommandEncoder();
    encode(encoder, staging);
    this.#device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapMode.read, 0, size);
    } catch (cause) {
      throw new OnnxTsError('PROVIDER', `a result could not be read: ${(cause as Error).message}.`, {
        place: { provider: 'webgpu' },
        hint: 'The device may be lost: create the session again.',
        cause,
      });
    }
    const result = read(new Uint8Array(staging.getMappedRange(0, size)));
    staging.unmap();
    const list = this.#staging.get(staged);
    if (list) list.push(staging);
    else this.#staging.set(staged, [staging]);
    return result;
  }

  /** Runs of a copy that are several begin and end with whole words; a single one may end within one. */
  copy(source: DeviceBuffer, from: Runs, target: DeviceBuffer, to: Runs): void {
    if (from.count === 0 || from.bytes === 0) return;
    checkUsage(source as GpuBuffer, bufferUsage.copySource, 'COPY_SRC', 'it cannot be copied');
    const encoder = this.#device.createCommandEncoder();
    for (let run = 0; run < from.count; run++) {
      const size = wordsOf(from.bytes);
      encodeCopy(encoder, source as GpuBuffer, run * from.stride, target as GpuBuffer, run * to.stride, size);
    }
    this.#device.queue.submit([encoder.finish()]);
  }

  async adopt(memory: unknown, byteLength: number, access: 'read' | 'write'): Promise<GpuBuffer> {
    const native = memory as GPUBuffer;
    if (typeof native?.size !== 'number' || typeof native.usage !== 'number') throw unusable('it is no GPUBuffer');
    if (native.mapState !== 'unmapped') throw unusable('it is mapped', 'Call its unmap() first.');
    let known = this.#adopted.get(native);
    if (!known) {
      known = this.#wrap(native);
      this.#adopted.set(native, known);
    }
    const wrapped = await known;
    if (wordsOf(byteLength) > native.size) {
      throw unusable(`${wordsOf(byteLength)} bytes are needed, and it has ${native.size}`);
    }
    if (access === 'write') {
      checkUsage(wrapped, bufferUsage.copyTarget, 'COPY_DST', 'it cannot be written');
      return wrapped;
    }
    const canBind = (native.usage & bufferUsage.storage) !== 0;
    if (canBind && wrapped.byteLength >= Math.max(16, byteLength)) return wrapped;
    if ((native.usage & bufferUsage.copySource) === 0) {
      throw unusable(
        canBind
          ? 'its size is no multiple of 16 bytes, and without the usage COPY_SRC it cannot be copied'
          : 'it has neither the usage STORAGE nor COPY_SRC',
      );
    }
    const copy = this.allocate(byteLength);
    const all: Runs = { count: 1, bytes: byteLength, stride: byteLength };
    this.copy(wrapped, all, copy, all);
    return copy;
  }

  nativeOf(buffer: DeviceBuffer): GPUBuffer | undefined {
    const given = buffer as GpuBuffer;
    return given.isSingle ? given.buffer : undefined;
  }

  /** A buffer does not tell its device: one of another device is found out by what validation says. */
  async #wrap(native: GPUBuffer): Promise<GpuBuffer> {
    const device = this.#device;
    device.pushErrorScope('validation');
    if (native.usage & bufferUsage.storage) {
      const entry: GPUBindGroupLayoutEntry = {
        binding: 0,
        visibility: shaderStage.compute,
        buffer: { type: 'read-only-storage' },
      };
      const layout = device.createBindGroupLayout({ entries: [entry] });
      const size = Math.min(native.size - (native.size % 4), this.#limits.partBytes);
      device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: native, size } }] });
    } else {
      const other = device.createBuffer({ size: 16, usage });
      const encoder = device.createCommandEncoder();
      if (native.usage & bufferUsage.copySource) encoder.copyBufferToBuffer(native, 0, other, 0, 4);
      else encoder.copyBufferToBuffer(other, 0, native, 0, 4);
      encoder.finish();
      other.destroy();
    }
    const problem = await device.popErrorScope();
    if (problem) {
      throw unusable(
        `the device of the session does not take it (${problem.message.split('\n')[0]})`,
        'Create the session with webgpu({ device }) of the device that made the buffer.',
      );
    }
    const whole = native.size - (native.size % 16);
    return new GpuBuffer([native], native.size, whole, this.#count++, false);
  }

  dispose(): void {
    this.trim();
    for (const list of this.#staging.values()) for (const buffer of list) buffer.destroy();
    this.#staging.clear();
  }
}

/** Copies whole words, across the buffers that either side consists of. */
export function encodeCopy(
  encoder: GPUCommandEncoder,
  source: GpuBuffer,
  from: number,
  target: GpuBuffer,
  to: number,
  byteLength: number,
): void {
  let done = 0;
  for (const read of source.pieces(from, byteLength)) {
    let at = read.offset;
    for (const write of target.pieces(to + done, read.size)) {
      encoder.copyBufferToBuffer(read.buffer, at, write.buffer, write.offset, write.size);
      at += write.size;
      done += write.size;
    }
  }
}

function checkUsage(buffer: GpuBuffer, needed: number, name: string, what: string): void {
  if ((buffer.buffer.usage & needed) === 0) throw unusable(`without the usage ${name} ${what}`);
}

function unusable(what: string, hint?: string): OnnxTsError {
  return new OnnxTsError('INVALID_INPUT', `${what}.`, { place: { provider: 'webgpu' }, ...(hint && { hint }) });
}

/** Bytes in whole words. */
function wordsOf(byteLength: number): number {
  return Math.ceil(byteLength / 4) * 4;
}

/** Powers of two: few buffers for many sizes. */
function stagingSize(byteLength: number): number {
  return 2 ** Math.ceil(Math.log2(roundedSize(byteLength)));
}

function roundedSize(byteLength: number): number {
  return Math.max(granularity, Math.ceil(byteLength / granularity) * granularity);
}
