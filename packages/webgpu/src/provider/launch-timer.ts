// When the launches of one run began and ended, by the clock of the GPU.

import { GpuBuffer } from './gpu-buffer.ts';
import { bufferUsage } from './gpu-flags.ts';
import type { GpuMemory } from './gpu-memory.ts';

/** Queries that a set may have. */
const largestSet = 4096;

export class LaunchTimer {
  readonly #memory: GpuMemory;
  readonly #count: number;
  readonly #sets: readonly GPUQuerySet[];
  readonly #results: GpuBuffer;

  /** @param count launches */
  constructor(gpu: GPUDevice, memory: GpuMemory, count: number) {
    this.#memory = memory;
    this.#count = count;
    const sets: GPUQuerySet[] = [];
    for (let left = 2 * count; left > 0; left -= largestSet) {
      sets.push(gpu.createQuerySet({ type: 'timestamp', count: Math.min(left, largestSet) }));
    }
    this.#sets = sets;
    const size = 16 * count;
    const buffer = gpu.createBuffer({ size, usage: bufferUsage.queryResolve | bufferUsage.copySource });
    this.#results = new GpuBuffer([buffer], size, size, -1);
  }

  /** For the pass that has nothing but that launch. */
  writes(launch: number): GPUComputePassTimestampWrites {
    const first = 2 * launch;
    const at = first % largestSet;
    return {
      querySet: this.#sets[Math.floor(first / largestSet)],
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    };
  }

  /** After all passes. */
  resolve(encoder: GPUCommandEncoder): void {
    for (const [at, set] of this.#sets.entries()) {
      encoder.resolveQuerySet(set, 0, set.count, this.#results.buffer, at * largestSet * 8);
    }
  }

  /** Milliseconds from the beginning of the first launch on: of each launch its beginning and its end. */
  async read(): Promise<Float64Array> {
    const { buffer } = await this.#memory.download(this.#results, 16 * this.#count);
    const nanoseconds = new BigUint64Array(buffer);
    return Float64Array.from(nanoseconds, (time) => Number(BigInt.asIntN(64, time - nanoseconds[0])) / 1e6);
  }

  dispose(): void {
    for (const set of this.#sets) set.destroy();
    this.#results.destroy();
  }
}
