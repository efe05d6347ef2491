// The cache of GroupQueryAttention that holds only the newest positions: rows 0 … L − 1, in the order of their positions. L
// follows from the length T of the sequence alone, so it does not matter in which steps the tokens came.

import {
  add,
  and,
  type Dim,
  dimension,
  div,
  type Expr,
  ge,
  le,
  lt,
  mul,
  type Stage,
  select,
  sub,
} from '@onnx-ts/tensor-ir';
import type { LowerContext } from '../define.ts';
import type { CacheFormat, HeadReader } from './cache-format.ts';

interface SlidingSizes {
  readonly batch: Dim;
  readonly kvHeads: Dim;
  /** New positions. */
  readonly queries: Dim;
  /** Rows of the cache, before and after. */
  readonly past: Dim;
}

/** Lengths of the sequences with and without the new positions. */
interface SequenceLengths {
  total(batch: Expr): Expr;
  past(batch: Expr): Expr;
}

export class SlidingCache {
  readonly #sizes: SlidingSizes;
  readonly #lengths: SequenceLengths;
  readonly #window: number;

  /** @param window positions that must stay, at most the rows of the cache */
  constructor(sizes: SlidingSizes, lengths: SequenceLengths, window: number) {
    this.#sizes = sizes;
    this.#lengths = lengths;
    this.#window = window;
  }

  /** Positions that attention looks at: all rows of the past, then the new ones. */
  get keys(): Dim {
    return this.#sizes.past.add(this.#sizes.queries);
  }

  /** Rows in use when a sequence has the given length; a full cache drops as many positions as it has beyond the window. */
  #resident(length: Expr): Expr {
    const rows = dimension(this.#sizes.past);
    const step = dimension(this.#sizes.past.sub(this.#window - 1));
    const excess = sub(length, rows);
    const dropped = mul(div(sub(add(excess, step), 1), step), step);
    return select(le(length, rows), length, sub(length, dropped));
  }

  /** Position in the sequence of one of the `keys`; −1 for rows of the past that hold none. */
  position(batch: Expr, key: Expr): Expr {
    const rows = dimension(this.#sizes.past);
    const past = this.#lengths.past(batch);
    const resident = this.#resident(past);
    const old = select(lt(key, resident), add(sub(past, resident), key), -1);
    return select(lt(key, rows), old, add(past, sub(key, rows)));
  }

  /** `seen`: entries of all `keys`, [batch, key heads, keys, width]; `present`: the cache for the next step. */
  append(
    ctx: LowerContext,
    cache: number,
    { dtype, width }: CacheFormat,
    read: HeadReader,
  ): { readonly seen: Stage; readonly present: Stage } {
    const { batch, kvHeads, queries, past: rows } = this.#sizes;
    const seen = ctx.segments(dtype, [batch, kvHeads, this.keys, width], 2, [
      { length: rows, body: (index) => ctx.at(ctx.input(cache), index) },
      { length: queries, body: ([b, h, s, d]) => read(b, s, h, d) },
    ]);
    const present = ctx.map(dtype, [batch, kvHeads, rows, width], ([b, h, row, d]) => {
      const [total, past] = [this.#lengths.total(b), this.#lengths.past(b)];
      const position = add(sub(total, this.#resident(total)), row);
      const ofPast = sub(position, sub(past, this.#resident(past)));
      const ofNew = add(dimension(rows), sub(position, past));
      const key = select(lt(position, past), ofPast, ofNew);
      const isHeld = and(lt(position, total), and(ge(key, 0), lt(key, dimension(this.keys))));
      return ctx.at(seen, [b, h, key, d], { when: isHeld, otherwise: 0 });
    });
    return { seen, present };
  }
}
