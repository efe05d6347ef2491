// How a product is shared among the invocations of a graphics processor: sizes alone, whatever language the kernel is
// written in afterwards.

import { type Axis, Dim, type Expr, productOf, walk } from '@onnx-ts/tensor-ir';
import type { Product } from './read-product.ts';

/** A workgroup loads blocks of both factors into its memory, from which its invocations compute tiles. */
export interface WorkgroupTiles {
  readonly kind: 'workgroup';
  /** The workgroup is a square of invocations. */
  readonly side: number;
  /** Results of an invocation along rows and along columns. */
  readonly width: number;
  /** Terms of the sum that are in workgroup memory at a time. */
  readonly depth: number;
}

/** For few rows or few columns: several invocations share the terms of a result. */
export interface SharedSums {
  readonly kind: 'sums';
  /** Invocations for each result, and results of a workgroup. Both are powers of 2. */
  readonly lanes: number;
  readonly results: number;
}

export type ProductSchedule = WorkgroupTiles | SharedSums;

/** A schedule for some of the sizes that a kernel may have. */
export interface ScheduledProduct {
  readonly schedule: ProductSchedule;
  /** Whether it is to be used, as 1 or 0, where that depends on sizes. */
  readonly applies?: Dim;
}

/** Rows or columns up to which invocations share sums. */
const fewLines = 4;

/** Terms below which a sum is not worth sharing. */
const fewTerms = 64;

/** Invocations of a workgroup of shared sums. */
const sumLanes = 64;

/** Results along a side below which a workgroup of the large tiles would stand idle. */
const smallSide = 48;

const one = Dim.constant(1);

/** One schedule, or several of which one applies. */
export function scheduleProduct(product: Product): ScheduledProduct[] {
  const [rows, columns, terms] = [product.rows, product.columns, product.terms].map(sizeOf);
  const tiles: WorkgroupTiles = {
    kind: 'workgroup',
    side: rows.atMost(smallSide) || columns.atMost(smallSide) ? 8 : 16,
    width: 4,
    depth: 16,
  };
  if (terms.atMost(fewTerms - 1)) return [{ schedule: rows.is(1) || columns.is(1) ? oneEach : tiles }];
  const sums = sharedSums(product);
  const lines = rows.min(columns);
  if (lines.atMost(fewLines)) return [{ schedule: sums }];
  if (lines.lowerBound > fewLines) return [{ schedule: tiles }];
  const isThin = Dim.constant(fewLines + 1)
    .sub(lines)
    .max(Dim.constant(0))
    .min(one);
  return [
    { schedule: sums, applies: isThin },
    { schedule: tiles, applies: one.sub(isThin) },
  ];
}

/** A sum by itself. */
const oneEach: SharedSums = { kind: 'sums', lanes: 1, results: sumLanes };

function sharedSums({ left, right, terms, columns, rows }: Product): SharedSums {
  // The factor that is read most decides: neighbours in memory are read by neighbours in the workgroup.
  const factor = sizeOf(columns).lowerBound >= sizeOf(rows).lowerBound ? right : left;
  const alongTerms = followsLast(factor, terms);
  const lanes = alongTerms ? 16 : 4;
  return { kind: 'sums', lanes, results: sumLanes / lanes };
}

/** Whether the last of the axes moves along the last index of what the factor reads. */
export function followsLast(factor: Expr, axes: readonly Axis[]): boolean {
  const last = axes.at(-1);
  let found: boolean | undefined;
  walk(factor, (e) => {
    if (found !== undefined || e.kind !== 'load' || e.source.kind !== 'tensor') return;
    const index = e.index.findLast((_, at) => !e.source.shape[at].is(1));
    if (!index) return;
    let contains = false;
    walk(index, (inner) => {
      contains ||= inner.kind === 'axis' && inner.axis === last;
    });
    found = contains;
  });
  return found ?? false;
}

export function sizeOf(axes: readonly Axis[]): Dim {
  return productOf(axes.map(({ size }) => size));
}
