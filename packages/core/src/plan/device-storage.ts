// Memory on a device that values of a run, of a state and of a caller share.

import { bitsOf, type DType } from '@onnx-ts/tensor-ir';
import type { DeviceBuffer, ExecutionProvider, Runs } from '../provider/contract.ts';

/** Space for `capacity` positions along an axis, of which a value takes the first ones. */
export interface Room {
  readonly axis: number;
  readonly capacity: number;
}

/** A buffer that is freed when its last user lets go of it. Whoever makes it is the first one. */
export class DeviceStorage {
  readonly provider: ExecutionProvider;
  readonly buffer: DeviceBuffer;
  /** Absent when elements lie side by side. */
  readonly room: Room | undefined;
  /**
   * Positions along the axis with room that belong to some value. Values never change: only the one that ends here can be
   * appended to in place, and only once.
   */
  filled: number;
  #users = 1;

  /**
   * @param memory bytes to allocate, or a buffer to take over
   * @throws OnnxTsError OUT_OF_MEMORY
   */
  constructor(provider: ExecutionProvider, memory: number | DeviceBuffer, room?: Room, filled = 0) {
    this.provider = provider;
    this.buffer = typeof memory === 'number' ? provider.memory.allocate(memory) : memory;
    this.room = room;
    this.filled = filled;
  }

  get isShared(): boolean {
    return this.#users > 1;
  }

  retain(): this {
    this.#users++;
    return this;
  }

  release(): void {
    if (--this.#users === 0) this.provider.memory.free(this.buffer);
  }
}

/** Where elements of these dims are when an axis has room. */
export function runsOf(dtype: DType, dims: readonly number[], { axis, capacity }: Room): Runs {
  let count = 1;
  for (let at = 0; at < axis; at++) count *= dims[at];
  let inner = bitsOf(dtype) / 8;
  for (let at = axis + 1; at < dims.length; at++) inner *= dims[at];
  return { count, bytes: (dims[axis] ?? 1) * inner, stride: capacity * inner };
}
