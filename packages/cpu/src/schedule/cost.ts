// Rough costs, to choose loops and to cut work into tiles. Units: nanoseconds of one thread.

import { type Axis, type Dim, type Expr, type IndexAnalysis, walk } from '@onnx-ts/tensor-ir';
import { coefficientIn } from './domain.ts';

/** A size with all symbols at a middling value. */
export function estimate(dim: Dim): number {
  const { constant } = dim;
  if (constant !== undefined) return constant;
  const binding = new Map([...dim.symbols()].map((name) => [name, 128]));
  try {
    return dim.evaluate(binding);
  } catch {
    return 128;
  }
}

const heavy = new Set<string>(
  'exp expm1 log log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf sigmoid'.split(' '),
);

/** Nanoseconds for one element of some expressions in vector code whose fastest axis is `lane`. */
export function elementCost(analysis: IndexAnalysis, roots: readonly Expr[], lane: Axis | undefined): number {
  let cost = 0;
  const seen = new Set<Expr>();
  for (const root of roots) {
    walk(root, (e) => {
      if (seen.has(e)) return;
      seen.add(e);
      if (e.kind === 'load' && e.index.length === 1) cost += 0.1 * loadWeight(analysis, e.index[0], lane);
      else if (e.kind === 'unary') cost += heavy.has(e.op) ? 1.2 : 0.08;
      else if (e.kind === 'binary' && e.type !== 'index') cost += e.op === 'pow' ? 4 : e.op === 'div' ? 0.4 : 0.08;
      else if (e.kind === 'bounded') cost += 1;
      else if (e.kind !== 'const' && e.type !== 'index') cost += 0.08;
    });
  }
  return cost;
}

/** Cost of a load relative to one of consecutive elements. */
function loadWeight(analysis: IndexAnalysis, offset: Expr, lane: Axis | undefined): number {
  if (!lane) return 2;
  const stride = coefficientIn(analysis, offset, lane);
  if (!stride) return 8;
  switch (stride.constant) {
    case 0:
      return 0.25;
    case 1:
      return 1;
    case -1:
      return 1.3;
    case 2:
      return 2.2;
    default:
      return 5;
  }
}

/** How much longer a loop takes in lanes because the last iterations go one by one. */
export function laneWaste(axis: Axis): number {
  const size = estimate(axis.size);
  return size <= 0 ? 1 : ((Math.floor(size / 4) + (size % 4)) * 4) / size;
}

/** Sum of the weights of all loads in some expressions. */
export function loadWeights(analysis: IndexAnalysis, roots: readonly Expr[], lane: Axis | undefined): number {
  let weight = 0;
  const seen = new Set<Expr>();
  for (const root of roots) {
    walk(root, (e) => {
      if (seen.has(e)) return;
      seen.add(e);
      if (e.kind === 'load' && e.index.length === 1) weight += loadWeight(analysis, e.index[0], lane);
    });
  }
  return weight;
}
