// Loops of the reference interpreter: nested counters that keep affine functions of the axes up to date by addition.

import type { Axis } from './expr.ts';
import { SizeError } from './tensor-buffer.ts';

/** constant + Σ coefficient × axis */
export interface AffineForm {
  readonly constant: number;
  readonly axes: ReadonlyMap<Axis, number>;
}

interface Level {
  readonly axis: Axis;
  readonly size: number;
  /** Runs from the last value to the first. */
  readonly reverse: boolean;
}

const int32Limit = 2 ** 31 - 1;

/** Steps that a nest may have in all. */
const mostPoints = 2 ** 40;

/**
 * A nest over the axes whose size is not 1, outermost first; axes of size 1 are the constant 0. A slot is an entry of
 * `values` that always equals an affine form of the current point. `ticks[d]` changes whenever loop d (1 is outermost)
 * or one around it moves on; `ticks[0]` never does.
 */
export class LoopNest {
  readonly values: Int32Array;
  readonly ticks: Int32Array;
  readonly isEmpty: boolean;
  readonly #levels: readonly Level[];
  readonly #depths: ReadonlyMap<Axis, number>;
  readonly #known: ReadonlySet<Axis>;
  readonly #forms: AffineForm[] = [];
  readonly #slots = new Map<string, number>();

  /**
   * @param capacity most slots that will be asked for
   * @throws SizeError for a nest that would not end within hours
   */
  constructor(
    axes: readonly { readonly axis: Axis; readonly size: number; readonly reverse?: boolean }[],
    capacity: number,
  ) {
    const points = axes.reduce((product, { size }) => product * size, 1);
    if (points > mostPoints) throw new SizeError(`the loops have ${points} steps, which is too many`);
    this.#levels = axes
      .filter(({ size }) => size !== 1)
      .map(({ axis, size, reverse = false }) => ({ axis, size, reverse }));
    this.#depths = new Map(this.#levels.map(({ axis }, at) => [axis, at + 1]));
    this.#known = new Set(axes.map(({ axis }) => axis));
    this.isEmpty = axes.some(({ size }) => size === 0);
    this.values = new Int32Array(capacity);
    this.ticks = new Int32Array(this.#levels.length + 1);
  }

  /** Number of loops. */
  get depth(): number {
    return this.#levels.length;
  }

  /** Loop that runs an axis, counted from 1; 0 for an axis of size 1. */
  depthOf(axis: Axis): number {
    if (!this.#known.has(axis)) throw new Error(`axis ${axis.name} is not in scope`);
    return this.#depths.get(axis) ?? 0;
  }

  sizeAt(depth: number): number {
    return this.#levels[depth - 1].size;
  }

  sizeOf(axis: Axis): number {
    const depth = this.depthOf(axis);
    return depth === 0 ? 1 : this.sizeAt(depth);
  }

  /** Least and greatest value of a form over the whole nest; both are attained. */
  rangeOf(form: AffineForm): { low: number; high: number } {
    let low = form.constant;
    let high = form.constant;
    for (const [axis, coefficient] of form.axes) {
      const last = coefficient * (this.sizeOf(axis) - 1);
      low += Math.min(0, last);
      high += Math.max(0, last);
    }
    return { low, high };
  }

  /** The entry of `values` that holds a form, or undefined when its values do not fit 32 bits. */
  slotFor(form: AffineForm): number | undefined {
    const { low, high } = this.rangeOf(form);
    if (this.isEmpty) return this.#newSlot({ constant: 0, axes: new Map() });
    return low >= -int32Limit && high <= int32Limit ? this.#newSlot(form) : undefined;
  }

  #newSlot(form: AffineForm): number {
    const parts = [...form.axes].map(([axis, coefficient]) => `${this.depthOf(axis)}:${coefficient}`).sort();
    const key = `${form.constant} ${parts.join(' ')}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = this.#forms.length;
      if (slot >= this.values.length) throw new Error('the loop nest has no slot left');
      this.#forms.push(form);
      this.#slots.set(key, slot);
    }
    return slot;
  }

  /** How much a slot grows in one step of a loop. */
  strideAt(slot: number, depth: number): number {
    const { axis, reverse } = this.#levels[depth - 1];
    const coefficient = this.#forms[slot].axes.get(axis) ?? 0;
    return reverse ? -coefficient : coefficient;
  }

  /** Sets all slots to the first point. Call before running the loops. */
  reset(): void {
    this.#forms.forEach((form, slot) => {
      let start = form.constant;
      for (const { axis, size, reverse } of this.#levels) {
        if (reverse) start += (form.axes.get(axis) ?? 0) * (size - 1);
      }
      this.values[slot] = start;
    });
  }

  #steps(depth: number): { slots: Int32Array; strides: Int32Array } {
    const moving = this.#forms.map((_, slot) => slot).filter((slot) => this.strideAt(slot, depth) !== 0);
    return { slots: Int32Array.from(moving), strides: Int32Array.from(moving, (slot) => this.strideAt(slot, depth)) };
  }

  /** Loops `from`..`to` (inclusive, counted from 1) around a body. Make them after all slots are known. */
  loops(from: number, to: number, body: () => void): () => void {
    let run = body;
    for (let depth = to; depth >= from; depth--) run = this.#loop(depth, run);
    return run;
  }

  #loop(depth: number, body: () => void): () => void {
    const { values, ticks } = this;
    const { slots, strides } = this.#steps(depth);
    const size = this.sizeAt(depth);
    return () => {
      for (let i = 0; i < size; i++) {
        ticks[depth]++;
        body();
        for (let s = 0; s < slots.length; s++) values[slots[s]] += strides[s];
      }
      for (let s = 0; s < slots.length; s++) values[slots[s]] -= size * strides[s];
    };
  }

  /** Loops that pass a running value through the body. */
  folds<T>(from: number, to: number, body: (sum: T) => T): (sum: T) => T {
    let run = body;
    for (let depth = to; depth >= from; depth--) run = this.#fold(depth, run);
    return run;
  }

  #fold<T>(depth: number, body: (sum: T) => T): (sum: T) => T {
    const { values, ticks } = this;
    const { slots, strides } = this.#steps(depth);
    const size = this.sizeAt(depth);
    return (start) => {
      let sum = start;
      for (let i = 0; i < size; i++) {
        ticks[depth]++;
        sum = body(sum);
        for (let s = 0; s < slots.length; s++) values[slots[s]] += strides[s];
      }
      for (let s = 0; s < slots.length; s++) values[slots[s]] -= size * strides[s];
      return sum;
    };
  }

  /** The innermost loop of a float sum, with the addition inside so that the running value stays unboxed. */
  sumLoop(depth: number, term: () => number): (sum: number) => number {
    const { values, ticks } = this;
    const { slots, strides } = this.#steps(depth);
    const size = this.sizeAt(depth);
    return (start) => {
      let sum = start;
      for (let i = 0; i < size; i++) {
        ticks[depth]++;
        sum += term();
        for (let s = 0; s < slots.length; s++) values[slots[s]] += strides[s];
      }
      for (let s = 0; s < slots.length; s++) values[slots[s]] -= size * strides[s];
      return sum;
    };
  }
}
