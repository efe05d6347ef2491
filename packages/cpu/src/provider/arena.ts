// The memory for intermediate results: one block, shared by all partitions of a provider, since they run one at a time.

import type { WasmMemory } from './cpu-provider.ts';

export class Arena {
  readonly #memory: WasmMemory;
  #address = 0;
  #bytes = 0;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** Address of at least so many bytes. It changes when the arena has to grow; contents are lost then. */
  reserve(bytes: number): number {
    if (bytes > this.#bytes || this.#address === 0) {
      const before = this.#address;
      // A text that grows by a token at a time asks for a little more each time.
      const generous = before === 0 ? bytes : Math.ceil(bytes * 1.25);
      // Freed first, so that the two need not fit side by side.
      this.#address = 0;
      this.#bytes = 0;
      if (before !== 0) this.#memory.linear.free(before);
      this.#address = this.#memory.allocateBlock(generous);
      this.#bytes = generous;
    }
    return this.#address;
  }
}
