// What a stage is, read off its expression: index map, generator, contraction, window. Fusion and templates decide by it.

import { type Axis, type Expr, walk } from './expr.ts';
import { bodiesOf, type MapStage, type ReduceStage, type Source, type Stage } from './stage.ts';

const expensive = new Set(['exp', 'expm1', 'log', 'log1p', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan']);
const veryExpensive = new Set(['sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh', 'erf', 'sigmoid', 'pow']);

/** Rough cost of evaluating an expression once, in simple operations. Index arithmetic is free: most of it is hoisted. */
export function costOf(root: Expr): number {
  let cost = 0;
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    if (e.type === 'index' && e.kind !== 'bounded' && e.kind !== 'cast') {
      if (e.kind === 'binary' && (e.op === 'div' || e.op === 'mod')) cost += 2;
    } else if (e.kind === 'load') cost += 1;
    else if (e.kind === 'unary')
      cost += veryExpensive.has(e.op) ? 16 : expensive.has(e.op) ? 10 : e.op === 'sqrt' ? 4 : 1;
    else if (e.kind === 'binary')
      cost += e.op === 'pow' ? 24 : e.op === 'div' || e.op === 'mod' || e.op === 'rem' ? 4 : 1;
    else if (e.kind === 'select' || e.kind === 'compare' || e.kind === 'cast' || e.kind === 'bounded') cost += 1;
    switch (e.kind) {
      case 'load':
        e.index.forEach(visit);
        if (e.guard) {
          visit(e.guard);
          visit(e.fill!);
        }
        break;
      case 'unary':
      case 'test':
      case 'cast':
      case 'bitcast':
      case 'bounded':
        visit(e.x);
        break;
      case 'binary':
      case 'compare':
        visit(e.a);
        visit(e.b);
        break;
      case 'select':
        visit(e.condition);
        visit(e.whenTrue);
        visit(e.whenFalse);
        break;
    }
  };
  visit(root);
  return cost;
}

/** The one load that a map stage moves without computing, with an index free of data: Transpose, Slice, Expand. */
export function indexMapLoad(stage: Stage): Extract<Expr, { kind: 'load' }> | undefined {
  if (stage.kind !== 'map' || stage.body.kind !== 'load') return undefined;
  const load = stage.body;
  if (load.guard && load.fill?.kind !== 'const') return undefined;
  let readsData = false;
  for (const index of load.index) walk(index, (e) => (readsData ||= e.kind === 'load'));
  return readsData ? undefined : load;
}

/** True when a map stage reads no tensor at all. */
export function isGenerator(stage: Stage): boolean {
  if (stage.kind !== 'map') return false;
  let loads = false;
  walk(stage.body, (e) => (loads ||= e.kind === 'load'));
  return !loads;
}

export type Load = Extract<Expr, { kind: 'load' }>;

export function loadsOf(root: Expr): Load[] {
  const loads: Load[] = [];
  walk(root, (e) => e.kind === 'load' && loads.push(e));
  return loads;
}

/** Axes that occur anywhere in the given expressions. */
export function axesIn(roots: readonly Expr[]): Set<Axis> {
  const axes = new Set<Axis>();
  for (const root of roots) walk(root, (e) => e.kind === 'axis' && axes.add(e.axis));
  return axes;
}

/** The two factors of a sum of products, conversions around the loads looked through. */
export interface Product {
  readonly a: Load;
  readonly b: Load;
}

/** Recognises sum over (load × load), possibly with a conversion around either factor. */
export function productOfLoads(stage: Stage): Product | undefined {
  if (stage.kind !== 'reduce' || stage.op !== 'sum' || stage.body.kind !== 'binary' || stage.body.op !== 'mul') {
    return undefined;
  }
  const strip = (e: Expr): Expr => (e.kind === 'cast' ? strip(e.x) : e);
  const [a, b] = [strip(stage.body.a), strip(stage.body.b)];
  return a.kind === 'load' && b.kind === 'load' ? { a, b } : undefined;
}

/**
 * True when elements of what the stage reads are used many times: products over shared axes (matmul, convolution) and
 * sliding windows (an index that mixes result and reduction axes). What such a stage reads is worth having in memory.
 */
export function reusesOperands(stage: ReduceStage): boolean {
  const over = new Set(stage.over);
  const result = new Set(stage.axes);
  const loads = loadsOf(stage.body);
  const sized = (axis: Axis): boolean => !axis.size.is(1);
  for (const load of loads) {
    for (const index of load.index) {
      const axes = axesIn([index]);
      const mixes = [...axes].some((axis) => over.has(axis)) && [...axes].some((axis) => result.has(axis));
      if (mixes) return true;
    }
  }
  if (loads.length < 2) return false;
  // Some result axis that one of the loads does not follow means that its elements serve many results.
  return loads.some((load) => {
    const axes = axesIn(load.index);
    const misses = stage.axes.filter((axis) => sized(axis) && !axes.has(axis));
    const reads = stage.over.some((axis) => axes.has(axis));
    return reads && misses.length > 0;
  });
}

/** How a map stage reads a source of the same elements: its own axes in some order, each once. */
export function readsSameElements(stage: MapStage, source: Source): boolean {
  const loads = loadsOf(stage.body).filter((load) => load.source === source);
  if (loads.length === 0) return false;
  const key = (load: Load): string => load.index.map((e) => (e.kind === 'axis' ? e.axis.id : 'c')).join();
  if (loads.some((load) => load.guard || key(load) !== key(loads[0]))) return false;
  const used = new Set<Axis>();
  for (const [at, index] of loads[0].index.entries()) {
    if (index.kind === 'axis') {
      if (used.has(index.axis) || !index.axis.size.equals(source.shape[at])) return false;
      used.add(index.axis);
    } else if (!(index.kind === 'dim' && index.dim.is(0) && source.shape[at].is(1))) return false;
  }
  return stage.axes.every((axis) => used.has(axis) || axis.size.is(1));
}

/** True when `source` is read by `stage` only at the stage's own leading `rowRank` axes, in order. */
export function readsByRows(stage: Stage, source: Source, rowRank: number): boolean {
  for (const { axes, body } of bodiesOf(stage)) {
    for (const load of loadsOf(body)) {
      if (load.source !== source) continue;
      if (load.guard || load.index.length < rowRank) return false;
      for (let at = 0; at < rowRank; at++) {
        const index = load.index[at];
        const isRow = index.kind === 'axis' && index.axis === axes[at];
        const isUnit = index.kind === 'dim' && index.dim.is(0) && source.shape[at].is(1) && axes[at]?.size.is(1);
        if (!isRow && !isUnit) return false;
      }
    }
  }
  return true;
}

/** Names of all sizes that a stage depends on. */
export function symbolsOfStage(stage: Stage, into: Set<string> = new Set()): Set<string> {
  for (const dim of stage.shape) dim.symbols(into);
  if (stage.kind === 'segments') for (const { offset } of stage.segments) offset.symbols(into);
  if (stage.kind === 'scatter') stage.kept?.length.symbols(into);
  for (const { axes, body } of bodiesOf(stage)) {
    for (const axis of axes) axis.size.symbols(into);
    walk(body, (e) => {
      if (e.kind === 'dim') e.dim.symbols(into);
      else if (e.kind === 'bounded') e.size.symbols(into);
    });
  }
  return into;
}
