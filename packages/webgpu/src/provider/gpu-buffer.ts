// Memory on the GPU: one buffer of WebGPU or, beyond what one may have, several. Tensors lie in it from the beginning on.

import type { DeviceBuffer } from '@onnx-ts/core/provider';

/**
 * Sizes are rounded up so that whole vectors can be read, and buffers find each other again; bindings start at multiples.
 */
export const granularity = 256;

/** Bytes of one buffer of WebGPU. */
export interface Piece {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

export class GpuBuffer implements DeviceBuffer {
  readonly byteLength: number;
  /** For caches of what refers to buffers. */
  readonly id: number;
  /** False for buffers that the caller has made. */
  readonly isOwned: boolean;
  readonly #buffers: readonly GPUBuffer[];
  /** Of each buffer but the last. */
  readonly #bytesEach: number;

  constructor(buffers: readonly GPUBuffer[], bytesEach: number, byteLength: number, id: number, isOwned = true) {
    this.#buffers = buffers;
    this.#bytesEach = bytesEach;
    this.byteLength = byteLength;
    this.id = id;
    this.isOwned = isOwned;
  }

  /** The buffer of memory that is in a single one, as all small ones are. */
  get buffer(): GPUBuffer {
    return this.#buffers[0];
  }

  get isSingle(): boolean {
    return this.#buffers.length === 1;
  }

  /** A stretch of it. */
  pieces(offset: number, byteLength: number): Piece[] {
    if (this.isSingle) return [{ buffer: this.buffer, offset, size: byteLength }];
    const pieces: Piece[] = [];
    for (let at = offset; at < offset + byteLength; ) {
      const index = Math.floor(at / this.#bytesEach);
      const start = at - index * this.#bytesEach;
      const size = Math.min(this.#bytesEach - start, offset + byteLength - at);
      pieces.push({ buffer: this.#buffers[index], offset: start, size });
      at += size;
    }
    return pieces;
  }

  /** What to bind for a tensor that a shader sees in so many parts. */
  bindings(parts: number, partBytes: number): GPUBufferBinding[] {
    return Array.from({ length: parts }, (_, part) => {
      // A shader may have a part for what turns out to be empty: it is never read.
      const offset = part === 0 ? 0 : Math.min(part * partBytes, this.byteLength - granularity);
      return this.pieces(offset, Math.min(partBytes, this.byteLength - offset))[0];
    });
  }

  destroy(): void {
    if (this.isOwned) for (const buffer of this.#buffers) buffer.destroy();
  }
}
