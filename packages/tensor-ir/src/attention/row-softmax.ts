// Recognises a softmax over rows by its structure: a peak, the sum of powers above it, and powers divided by that sum.

import {
  type Axis,
  axesIn,
  constant,
  type Expr,
  ExprNumbering,
  type Kernel,
  type MapStage,
  type ReduceStage,
  rebuildStage,
  rewrite,
  type Stage,
  select,
  substituteAxes,
  toIndex,
} from '../index.ts';

/** All expressions are in terms of `rows` and `lane`; loads of `peak` and `total` in them are at the row itself. */
export interface RowSoftmax {
  readonly rows: readonly Axis[];
  readonly lane: Axis;
  readonly peak: ReduceStage;
  readonly total: ReduceStage;
  /** What the peak is taken of, and the exponents are measured from it. */
  readonly logit: Expr;
  /** What exponents are relative to: the peak, or something made of it. */
  readonly reference: Expr;
  /** exp(logit − reference) → the row's result. For a sum of weighted powers it gives the sum of weighted results. */
  readonly weigh: (power: Expr) => Expr;
}

export function readRowSoftmax(kernel: Kernel): RowSoftmax | undefined {
  if (kernel.class !== 'row' || kernel.outputs.length !== 1) return undefined;
  const inlined = new Map<Stage, MapStage>();
  const rebuilt = new Map<Stage, Stage>();
  for (const stage of kernel.stages) {
    const next = rebuildStage(stage, (source) => {
      const inline = inlined.get(source);
      if (inline) return { inline };
      const other = rebuilt.get(source);
      return other && { source: other };
    });
    if (next.kind === 'map') inlined.set(stage, next);
    else rebuilt.set(stage, next);
  }
  const result = inlined.get(kernel.outputs[0].stage);
  const [peak, total, ...others] = rebuilt.values();
  if (!result || others.length > 0 || result.axes.length !== kernel.rowRank + 1) return undefined;
  if (peak?.kind !== 'reduce' || peak.op !== 'max' || total?.kind !== 'reduce' || total.op !== 'sum') return undefined;
  const rows = result.axes.slice(0, kernel.rowRank);
  const lane = result.axes[kernel.rowRank];
  const onLane = (stage: ReduceStage): Expr | undefined => {
    const [over, ...more] = stage.over;
    if (!over || more.length > 0 || stage.axes.length !== rows.length || !over.size.equals(lane.size)) return undefined;
    const values = new Map<Axis, Expr>([[over, toIndex(lane)]]);
    for (const [at, axis] of stage.axes.entries()) values.set(axis, toIndex(rows[at]));
    return substituteAxes(stage.body, values);
  };
  const logit = onLane(peak);
  const power = onLane(total);
  if (!logit || !power || logit.type !== 'float32') return undefined;
  if (power.kind !== 'unary' || power.op !== 'exp' || power.x.kind !== 'binary' || power.x.op !== 'sub')
    return undefined;
  const numbers = new ExprNumbering();
  const reference = power.x.b;
  if (numbers.of(power.x.a) !== numbers.of(logit) || axesIn([reference]).has(lane)) return undefined;
  const weigh = weightOf(result.body, power, lane, numbers);
  return weigh && { rows, lane, peak, total, logit, reference, weigh };
}

/** The result as a function of the power, when it is linear in it. */
function weightOf(result: Expr, power: Expr, lane: Axis, numbers: ExprNumbering): ((power: Expr) => Expr) | undefined {
  if (numbers.of(result) === numbers.of(power)) return (e) => e;
  const isOfRow = (e: Expr): boolean => !axesIn([e]).has(lane);
  switch (result.kind) {
    case 'cast':
      return result.type === 'float32' || result.type === 'float16' || result.type === 'bfloat16'
        ? weightOf(result.x, power, lane, numbers)
        : undefined;
    case 'binary': {
      const { op, a, b } = result;
      if (op !== 'mul' && op !== 'div') return undefined;
      if (isOfRow(b)) return apply(weightOf(a, power, lane, numbers), (e) => ({ ...result, a: e }));
      if (op === 'mul' && isOfRow(a)) return apply(weightOf(b, power, lane, numbers), (e) => ({ ...result, b: e }));
      return undefined;
    }
    case 'select': {
      const { condition, whenTrue, whenFalse } = result;
      if (condition.kind !== 'test' || condition.op !== 'isnan') return undefined;
      if (whenTrue.kind !== 'const' || Number(whenTrue.value) !== 0) return undefined;
      if (numbers.of(condition.x) !== numbers.of(whenFalse)) return undefined;
      const inner = weightOf(whenFalse, power, lane, numbers);
      // 0 ÷ total is NaN exactly for the rows whose results are: those without a power above 0, and those with NaN.
      return apply(inner, (e) => {
        const isLost: Expr = { kind: 'test', type: 'bool', op: 'isnan', x: inner!(constant('float32', 0)) };
        return select(isLost, 0, e);
      });
    }
    default:
      return undefined;
  }
}

function apply(inner: ((e: Expr) => Expr) | undefined, outer: (e: Expr) => Expr): ((e: Expr) => Expr) | undefined {
  return inner && ((e) => outer(inner(e)));
}

/** Replaces loads of a stage, wherever they are. */
export function replaceLoads(root: Expr, replacements: ReadonlyMap<unknown, Expr>): Expr {
  return rewrite(root, (e) => (e.kind === 'load' ? replacements.get(e.source) : undefined));
}
