// Reads that could leave their tensor. Most are proven from shapes alone; what is left is compared once the sizes of a run
// are bound, so that no kernel ever reads what is not there. Indices that come from data are checked where they are read.

import {
  type Axis,
  bodiesOf,
  type Dim,
  type DimBinding,
  type Expr,
  IndexAnalysis,
  type Program,
  walk,
} from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode } from '../graph/graph.ts';
import { placeOf } from '../ops/context.ts';

/** A read of `first` to `last` along an axis of a tensor. */
export interface ReadCheck {
  readonly node: GraphNode | undefined;
  readonly tensor: string;
  readonly axis: number;
  readonly first: Dim;
  readonly last: Dim;
  readonly size: Dim;
  /** Sizes of the loops around it: nothing is read when one of them is 0. */
  readonly loops: readonly Dim[];
}

type Load = Extract<Expr, { kind: 'load' }>;

/** The reads of a program that cannot be proven to stay inside. */
export function unprovenReads(program: Program): ReadCheck[] {
  const checks: ReadCheck[] = [];
  for (const stage of program.stages) {
    const analysis = new IndexAnalysis();
    for (const { axes, body } of bodiesOf(stage)) {
      const loads = new Set<Load>();
      walk(body, (e) => {
        if (e.kind === 'load' && !e.guard) loads.add(e);
      });
      for (const load of loads) {
        for (const [axis, index] of load.index.entries()) {
          const size = load.source.shape[axis];
          // Most reads go along an axis of the very size: no need to work that out.
          if (index.kind === 'axis' && index.axis.size.key === size.key) continue;
          const range = rangeOf(index, analysis);
          if (!range || (range.first.lowerBound >= 0 && range.last.add(1).atMost(size))) continue;
          const node = stage.origin as GraphNode | undefined;
          checks.push({
            node,
            tensor: load.source.name,
            axis,
            ...range,
            size,
            loops: axes.map((loop: Axis) => loop.size),
          });
        }
      }
    }
  }
  return checks;
}

/** Least and greatest value of an index that is a sum of axes; undefined for others. Both are attained. */
function rangeOf(index: Expr, analysis: IndexAnalysis): { readonly first: Dim; readonly last: Dim } | undefined {
  const affine = analysis.affine(index);
  if (!affine) return undefined;
  let first = affine.base;
  let last = affine.base;
  for (const [axis, coefficient] of affine.coefficients) {
    const reach = coefficient.mul(axis.size.sub(1));
    if (coefficient.lowerBound >= 0) last = last.add(reach);
    else if (coefficient.upperBound <= 0) first = first.add(reach);
    else return undefined;
  }
  return { first, last };
}

/**
 * @param binding absent for what is wrong whatever the sizes
 * @throws OnnxTsError INVALID_MODEL, or with a binding INVALID_INPUT, naming the node
 */
export function checkReads(checks: readonly ReadCheck[], binding?: DimBinding): void {
  for (const { node, tensor, axis, first, last, size, loops } of checks) {
    const value = (dim: Dim): number | undefined => (binding ? dim.evaluate(binding) : dim.constant);
    const [from, to, length] = [first, last, size].map(value);
    if (from === undefined || to === undefined || length === undefined) continue;
    if (from >= 0 && to < length) continue;
    if (!loops.every((loop) => (value(loop) ?? 0) > 0)) continue;
    const what = `it would read "${tensor}" from ${from} to ${to} along axis ${axis}, which has the size ${length}.`;
    throw new OnnxTsError(binding ? 'INVALID_INPUT' : 'INVALID_MODEL', what, {
      ...(node && { place: placeOf(node) }),
      hint: 'The sizes of its inputs do not fit each other.',
    });
  }
}
