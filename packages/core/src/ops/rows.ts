// Rows of a tensor: softmax and the norms treat some axes (the lane) as one vector and all others as independent rows.
// Their stages have the row axes first and the lane last, which is what lets fusion make one kernel of them.

import { type Dim, type DType, type Expr, productOf, type ReduceOp, type Stage } from '@onnx-ts/tensor-ir';
import type { LowerContext } from './define.ts';
import { flatten, unflatten } from './flat-index.ts';

export class Rows {
  readonly shape: readonly Dim[];
  readonly rowShape: readonly Dim[];
  readonly laneShape: readonly Dim[];
  readonly #ctx: LowerContext;
  readonly #rowAxes: readonly number[];
  readonly #laneAxes: readonly number[];

  /** @param laneAxes axes of `shape` that form one vector */
  constructor(ctx: LowerContext, shape: readonly Dim[], laneAxes: readonly number[]) {
    this.#ctx = ctx;
    this.shape = shape;
    this.#laneAxes = [...new Set(laneAxes)].sort((a, b) => a - b);
    this.#rowAxes = shape.map((_, axis) => axis).filter((axis) => !this.#laneAxes.includes(axis));
    this.rowShape = this.#rowAxes.map((axis) => shape[axis]);
    this.laneShape = this.#laneAxes.map((axis) => shape[axis]);
  }

  /** Elements in one row. */
  get length(): Dim {
    return productOf(this.laneShape);
  }

  /** Entries of a full index that belong to the row axes: the index of a per-row stage. */
  rowIndex(index: readonly Expr[]): readonly Expr[] {
    return this.#rowAxes.map((axis) => index[axis]);
  }

  /** One number for each row. The body receives an index into `shape`. */
  reduce(op: ReduceOp, dtype: DType, body: (index: readonly Expr[]) => Expr, name: string): Stage {
    return this.#ctx.reduce(op, dtype, this.rowShape, this.laneShape, (row, lane) => body(this.#join(row, lane)), {
      name,
    });
  }

  /** Position of each row's first maximum, counted through its lane axes in row-major order. */
  argmax(body: (index: readonly Expr[]) => Expr, name: string): Stage {
    return this.#ctx.reduce(
      'argmax',
      'int64',
      this.rowShape,
      [this.length],
      (row, [flat]) => body(this.#join(row, unflatten(flat, this.laneShape))),
      { name },
    );
  }

  /** Where a full index lies within its row. */
  lanePosition(index: readonly Expr[]): Expr {
    return flatten(
      this.#laneAxes.map((axis) => index[axis]),
      this.laneShape,
    );
  }

  /** One number for each row, from other such numbers. */
  mapRows(dtype: DType, body: (row: readonly Expr[]) => Expr, name: string): Stage {
    return this.#ctx.map(dtype, this.rowShape, body, name);
  }

  /** One number for each element, stored rows first; read it with `element`. */
  map(dtype: DType, body: (index: readonly Expr[]) => Expr, name?: string): Stage {
    const rank = this.rowShape.length;
    const shape = [...this.rowShape, ...this.laneShape];
    return this.#ctx.map(dtype, shape, (at) => body(this.#join(at.slice(0, rank), at.slice(rank))), name);
  }

  /** Number of a row, at a full index. */
  perRow(stage: Stage, index: readonly Expr[]): Expr {
    return this.#ctx.at(stage, this.rowIndex(index));
  }

  /** Element of a stage made by `map`, at a full index. */
  element(stage: Stage, index: readonly Expr[]): Expr {
    return this.#ctx.at(stage, [...this.rowIndex(index), ...this.#laneAxes.map((axis) => index[axis])]);
  }

  /** A stage made by `map` with its axes in the order of `shape` again. */
  restore(stage: Stage): Stage {
    const inOrder = [...this.#rowAxes, ...this.#laneAxes].every((axis, at) => axis === at);
    return inOrder ? stage : this.#ctx.map(stage.dtype, this.shape, (index) => this.element(stage, index), 'restore');
  }

  #join(row: readonly Expr[], lane: readonly Expr[]): readonly Expr[] {
    const index: Expr[] = [];
    this.#rowAxes.forEach((axis, at) => {
      index[axis] = row[at];
    });
    this.#laneAxes.forEach((axis, at) => {
      index[axis] = lane[at];
    });
    return index;
  }
}
