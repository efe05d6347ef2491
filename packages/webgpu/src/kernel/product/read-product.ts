// What a sum of products is made of: which axes belong to which factor.

import { type Axis, axesIn, type DType, type Expr, type Kernel, type ReduceStage } from '@onnx-ts/tensor-ir';

/** head[batch, row, column] = Σ over terms of left[batch, row, term] · right[batch, column, term] */
export interface Product {
  readonly head: ReduceStage;
  readonly left: Expr;
  readonly right: Expr;
  /** Axes that both factors know, or neither. None of the axes here has size 1. */
  readonly batch: readonly Axis[];
  /** Axes of which `right` knows nothing. */
  readonly rows: readonly Axis[];
  /** Axes of which `left` knows nothing. The last axis of the result is among them, where it belongs to one factor. */
  readonly columns: readonly Axis[];
  readonly terms: readonly Axis[];
}

/** Types whose products and sums are single operations, and need no wrapping. */
const types = new Set<DType>(['float32', 'float16', 'bfloat16', 'int32', 'uint32']);

/** undefined where the head of a contraction is no such sum */
export function readProduct({ stages: [head] }: Kernel): Product | undefined {
  if (head.kind !== 'reduce' || head.op !== 'sum' || !types.has(head.dtype)) return undefined;
  if (head.body.kind !== 'binary' || head.body.op !== 'mul') return undefined;
  const { a, b } = head.body;
  const sized = head.axes.filter(({ size }) => !size.is(1));
  const [inA, inB] = [axesIn([a]), axesIn([b])];
  const onlyA = sized.filter((axis) => inA.has(axis) && !inB.has(axis));
  const onlyB = sized.filter((axis) => inB.has(axis) && !inA.has(axis));
  const batch = sized.filter((axis) => inA.has(axis) === inB.has(axis));
  const terms = head.over.filter(({ size }) => !size.is(1));
  const last = sized.at(-1);
  const isTurned = last !== undefined && onlyA.includes(last);
  return isTurned
    ? { head, left: b, right: a, batch, rows: onlyB, columns: onlyA, terms }
    : { head, left: a, right: b, batch, rows: onlyA, columns: onlyB, terms };
}
