// Where every random case comes from: a sequence of small choices. A case that fails is made smaller by making choices
// smaller and building it anew, so generators put the simplest alternative first.

/** xoshiro128**, seeded by splitmix32. */
export class Generator {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    let mix = seed >>> 0;
    this.#state = Uint32Array.from({ length: 4 }, () => {
      mix = (mix + 0x9e3779b9) >>> 0;
      let z = mix;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    });
  }

  /** 32 random bits. */
  next(): number {
    const s = this.#state;
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** In [0, 1). */
  uniform(): number {
    return this.next() / 2 ** 32;
  }

  /** Integer in [0, count). */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** Integer in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Standard normal distribution (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

/** The choices that make up a case. All are recorded; a record can be played back, also one that somebody has changed. */
export class Draws {
  readonly choices: number[] = [];
  readonly #given: readonly number[] | undefined;
  readonly #generator: Generator;

  private constructor(seed: number, given: readonly number[] | undefined) {
    this.#generator = new Generator(seed);
    this.#given = given;
  }

  static seeded(seed: number): Draws {
    return new Draws(seed, undefined);
  }

  /** Choices that are missing or too large for their place are taken as the simplest or the largest possible one. */
  static replay(choices: readonly number[]): Draws {
    return new Draws(0, choices);
  }

  /** Integer in [0, count); 0 is the simplest. */
  below(count: number): number {
    const choice = this.#given
      ? Math.min(this.#given[this.choices.length] ?? 0, Math.max(0, count - 1))
      : this.#generator.below(count);
    this.choices.push(choice);
    return choice;
  }

  /** Integer in [low, high]; `low` is the simplest. */
  between(low: number, high: number): number {
    return low + this.below(Math.max(1, high - low + 1));
  }

  /** True about once in `count` times; false is the simplest. */
  oneIn(count: number): boolean {
    return this.below(count) === count - 1;
  }

  /** True half of the time. */
  coin(): boolean {
    return this.below(2) === 1;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** As `pick`, more often among the first few. */
  pickEarly<T>(items: readonly T[]): T {
    return items[Math.min(this.below(items.length), this.below(items.length))];
  }

  /** The value half of the time, else undefined. */
  maybe<T>(make: () => T): T | undefined {
    return this.coin() ? make() : undefined;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    const result: T[] = [];
    while (rest.length > 0) result.push(...rest.splice(this.below(rest.length), 1));
    return result;
  }

  /** A few of the items, in their order; at least `least`. */
  some<T>(items: readonly T[], least = 0): T[] {
    const kept = items.map(() => this.coin());
    for (let at = 0; at < items.length && kept.filter(Boolean).length < least; at++) kept[at] = true;
    return items.filter((_, at) => kept[at]);
  }

  /** A generator for many values that are not worth recording one by one. */
  generator(): Generator {
    return new Generator(this.below(2 ** 31));
  }
}

const sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 130, 257, 1000];

export interface ShapeOptions {
  readonly minRank?: number;
  readonly maxRank?: number;
  /** Elements at most. */
  readonly budget?: number;
  /** Least size of an axis; with 0, once in a while an axis is empty. */
  readonly least?: number;
}

/** One size of at most `most`. */
export function drawSize(draws: Draws, most: number, least = 1): number {
  const allowed = sizes.filter((size) => size >= least && size <= Math.max(most, least));
  return allowed.length > 0 ? draws.pickEarly(allowed) : least;
}

export function drawShape(draws: Draws, options: ShapeOptions = {}): number[] {
  const { minRank = 0, maxRank = 6, budget = 2000, least = 0 } = options;
  const ranks = [2, 1, 3, 4, 0, 5, 6].filter((rank) => rank >= minRank && rank <= maxRank);
  const rank = draws.pickEarly(ranks);
  let rest = budget;
  const shape = Array.from({ length: rank }, () => {
    const size = drawSize(draws, rest, Math.max(1, least));
    rest = Math.floor(rest / size);
    return size;
  });
  // Large sizes are not always in front.
  const result = draws.shuffled(shape);
  if (least === 0 && rank > 0 && draws.oneIn(16)) result[draws.below(rank)] = 0;
  return result;
}

/** Shapes that can be broadcast to a common one, which comes first. */
export function drawBroadcastable(draws: Draws, count: number, options: ShapeOptions = {}): number[][] {
  const whole = drawShape(draws, options);
  return [whole, ...Array.from({ length: count }, () => drawStretchable(draws, whole))];
}

/** A shape that can be stretched to the given one: axes dropped in front, others of size 1. */
export function drawStretchable(draws: Draws, whole: readonly number[]): number[] {
  if (draws.below(3) === 0) return [...whole];
  const kept = whole.slice(draws.below(whole.length + 1));
  return kept.map((size) => (draws.below(3) === 2 ? 1 : size));
}

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
