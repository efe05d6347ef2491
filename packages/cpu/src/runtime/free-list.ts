// The unused ranges of an address space, kept sorted and merged.

interface Range {
  begin: number;
  end: number;
}

export class FreeList {
  readonly #ranges: Range[] = [];

  /** The lowest part of the smallest range that holds `size`; undefined if none does. */
  take(size: number): number | undefined {
    let best = -1;
    let bestSize = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.#ranges.length; index++) {
      const { begin, end } = this.#ranges[index];
      const available = end - begin;
      if (available >= size && available < bestSize) {
        best = index;
        bestSize = available;
      }
    }
    if (best < 0) return undefined;
    const range = this.#ranges[best];
    const { begin } = range;
    range.begin += size;
    if (range.begin === range.end) this.#ranges.splice(best, 1);
    return begin;
  }

  /** Returns [begin, end), which must not overlap what is free already. */
  give(begin: number, end: number): void {
    const position = this.#firstFrom(begin);
    const before = this.#ranges[position - 1];
    const after = this.#ranges[position];
    const joinsBefore = before !== undefined && before.end === begin;
    const joinsAfter = after !== undefined && after.begin === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#ranges.splice(position, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.begin = begin;
    else this.#ranges.splice(position, 0, { begin, end });
  }

  /** Size of the range that ends at `end`; 0 if that address is not the end of one. */
  tail(end: number): number {
    const last = this.#ranges[this.#ranges.length - 1];
    return last?.end === end ? last.end - last.begin : 0;
  }

  get largest(): number {
    return this.#ranges.reduce((size, { begin, end }) => Math.max(size, end - begin), 0);
  }

  get rangeCount(): number {
    return this.#ranges.length;
  }

  /** Index of the first range that begins at `address` or later. */
  #firstFrom(address: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle].begin < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
