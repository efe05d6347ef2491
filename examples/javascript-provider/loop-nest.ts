// Loops over axes, and where the values of expressions are remembered.

import type { Axis } from '@onnx-ts/tensor-ir';

/** The point that the loops are at. */
export class Point {
  /** Counts points, so that what was computed for one is not taken for another. */
  turn = 0;
  readonly #values: Int32Array;
  readonly #slots: ReadonlyMap<Axis, number>;

  readonly #outer: ReadonlyMap<Axis, () => number>;

  /** @param outer axes of loops around these */
  constructor(axes: readonly Axis[], outer: ReadonlyMap<Axis, () => number> = new Map()) {
    this.#outer = outer;
    this.#values = new Int32Array(axes.length);
    this.#slots = new Map(axes.map((axis, at) => [axis, at]));
  }

  /** A function that gives where an axis is. */
  reader(axis: Axis): () => number {
    const outer = this.#outer.get(axis);
    if (outer) return outer;
    const [values, slot] = [this.#values, this.#slotOf(axis)];
    return () => values[slot];
  }

  /**
   * Runs `body` at every point of some axes, the last of which moves fastest.
   * @param sizes of the axes
   */
  loop(axes: readonly Axis[], sizes: readonly number[], body: () => void, isReverse = false): () => void {
    const values = this.#values;
    return axes.reduceRight(
      (inner, axis, at) => {
        const [slot, size] = [this.#slotOf(axis), sizes[at]];
        if (isReverse) {
          return () => {
            for (values[slot] = size - 1; values[slot] >= 0; values[slot]--) inner();
          };
        }
        return () => {
          for (values[slot] = 0; values[slot] < size; values[slot]++) inner();
        };
      },
      () => {
        this.turn++;
        body();
      },
    );
  }

  #slotOf(axis: Axis): number {
    const slot = this.#slots.get(axis);
    if (slot === undefined) throw new Error(`the axis ${axis.name} is in no loop`);
    return slot;
  }
}
