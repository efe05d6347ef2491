// The linear memory of a provider: weights, arenas, step programs and the control block of its threads.

import { RESERVED_BYTES } from './control-block.ts';
import { FreeList } from './free-list.ts';

export const PAGE_BYTES = 65536;

/** The largest maximum that WebAssembly knows, for the import of the memory by modules. */
export const MAXIMUM_PAGES = 65536;

/** What every address returned by `allocate` is a multiple of: a cache line. */
export const ALIGNMENT = 64;

export interface LinearMemoryOptions {
  /** Whether workers can use it. */
  readonly shared: boolean;
  /** Bytes that the memory may grow to; default and upper limit: one page less than 4 GiB. */
  readonly budget?: number;
  /** Bytes it has from the start. */
  readonly initial?: number;
}

/** An allocation went past the user's budget, or past what the engine gives. The memory is as it was before. */
export class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError';
  readonly requested: number;
  readonly inUse: number;
  readonly limit: number;

  constructor(requested: number, inUse: number, limit: number, largestFree: number) {
    super(
      `cannot allocate ${megabytes(requested)} of WebAssembly memory: ${megabytes(inUse)} of at most ${megabytes(limit)} ` +
        `are in use, and the largest free block has ${megabytes(largestFree)}`,
    );
    this.requested = requested;
    this.inUse = inUse;
    this.limit = limit;
  }
}

/**
 * One WebAssembly.Memory and the allocator of its blocks. Only this class may grow it.
 * The first RESERVED_BYTES hold the control block, and the last page below 4 GiB stays unused, so that the end of a
 * block, and a vector read a little past it, is always an address.
 */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Bytes that the memory can have at most. */
  readonly limit: number;
  readonly #free = new FreeList();
  readonly #sizes = new Map<number, number>();
  #bytes!: Uint8Array;
  #words!: Int32Array;
  #view!: DataView;
  #bytesInUse = 0;
  #peakBytes = 0;

  constructor(options: LinearMemoryOptions) {
    const { shared, initial = PAGE_BYTES } = options;
    const wanted = Math.min(options.budget ?? Number.POSITIVE_INFINITY, (MAXIMUM_PAGES - 1) * PAGE_BYTES);
    const { memory, maximum } = createMemory(Math.ceil(initial / PAGE_BYTES), Math.ceil(wanted / PAGE_BYTES), shared);
    this.memory = memory;
    this.shared = shared;
    this.limit = Math.min(wanted, maximum * PAGE_BYTES);
    this.#refresh();
    this.#free.give(RESERVED_BYTES, this.reservedBytes);
  }

  /** The whole memory. Fetch it anew after any allocation: growth replaces it. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** The whole memory as i32 words; see `bytes`. */
  get words(): Int32Array {
    return this.#words;
  }

  /** The whole memory; see `bytes`. */
  get view(): DataView {
    return this.#view;
  }

  /** Bytes in allocated blocks, with what rounding adds. */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** The most that `bytesInUse` has been. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Bytes that the memory has now. It never shrinks. */
  get reservedBytes(): number {
    return this.#bytes.byteLength;
  }

  /**
   * Address of a block of at least `bytes`, aligned to ALIGNMENT, with arbitrary content. The caller frees it.
   * May replace the views. Throws OutOfMemoryError.
   */
  allocate(bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`not a size in bytes: ${bytes}`);
    const size = Math.max(ALIGNMENT, roundUp(bytes, ALIGNMENT));
    let address = this.#free.take(size);
    if (address === undefined) {
      this.#grow(size);
      address = this.#free.take(size)!;
    }
    this.#sizes.set(address, size);
    this.#bytesInUse += size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytesInUse);
    return address;
  }

  /** Frees a block by the address that `allocate` returned. */
  free(address: number): void {
    const size = this.#sizes.get(address);
    if (size === undefined) throw new Error(`no block was allocated at address ${address}, or it is free already`);
    this.#sizes.delete(address);
    this.#bytesInUse -= size;
    this.#free.give(address, address + size);
  }

  /**
   * Grows the memory at once to what is to be allocated soon: each step of growth has a cost, and leaves views for the
   * garbage collector. Nothing happens when that is more than the memory can have; allocations will tell.
   */
  reserve(bytes: number): void {
    const end = this.reservedBytes;
    const pages = Math.ceil((bytes - this.#free.tail(end)) / PAGE_BYTES);
    if (pages <= 0 || pages > (this.limit - end) / PAGE_BYTES || !this.#tryGrow(pages)) return;
    this.#free.give(end, this.reservedBytes);
  }

  /** Makes a free block of `size` bytes at the end of the memory. */
  #grow(size: number): void {
    const end = this.reservedBytes;
    const missing = size - this.#free.tail(end);
    const available = Math.floor((this.limit - end) / PAGE_BYTES);
    const needed = Math.ceil(missing / PAGE_BYTES);
    // A step of growth has a cost of its own, so small requests grow the memory by more than they need.
    const generous = Math.min(available, Math.max(needed, Math.ceil(Math.min(end / 4, 16 << 20) / PAGE_BYTES)));
    if (needed > available || !(this.#tryGrow(generous) || this.#tryGrow(needed))) {
      throw new OutOfMemoryError(size, this.#bytesInUse, this.limit, this.#free.largest);
    }
    this.#free.give(end, this.reservedBytes);
  }

  #tryGrow(pages: number): boolean {
    try {
      this.memory.grow(pages);
    } catch {
      return false;
    }
    this.#refresh();
    return true;
  }

  #refresh(): void {
    const { buffer } = this.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
    this.#view = new DataView(buffer);
  }
}

/** Engines reserve address space for the maximum, and small devices refuse a large one: then halve it. */
function createMemory(
  initial: number,
  maximum: number,
  shared: boolean,
): { memory: WebAssembly.Memory; maximum: number } {
  for (let pages = Math.max(initial, maximum); ; pages = Math.max(initial, pages >>> 1)) {
    try {
      return { memory: new WebAssembly.Memory({ initial, maximum: pages, shared }), maximum: pages };
    } catch (error) {
      if (pages === initial) throw error;
    }
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${bytes} bytes` : `${(bytes / 1e6).toFixed(1)} MB`;
}
