/** Keeps the most recently used entries; `drop` is called for each one that leaves. */
export class LruCache<V> {
  readonly #entries = new Map<string, V>();
  readonly #capacity: number;
  readonly #drop: (value: V) => void;

  constructor(capacity: number, drop: (value: V) => void) {
    this.#capacity = capacity;
    this.#drop = drop;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#capacity) return;
    const [oldest] = this.#entries;
    this.#entries.delete(oldest[0]);
    this.#drop(oldest[1]);
  }

  /** Takes the entry that was used longest ago out, for another use, when another one would push it out. */
  evict(): V | undefined {
    if (this.#entries.size < this.#capacity) return undefined;
    const [[key, value]] = this.#entries;
    this.#entries.delete(key);
    return value;
  }

  clear(): void {
    for (const value of this.#entries.values()) this.#drop(value);
    this.#entries.clear();
  }
}
