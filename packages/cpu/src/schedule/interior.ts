// Borders: loads whose guards hold everywhere but near the ends of a loop. The loop is cut there, so that its inside runs
// without guards.

import {
  type Axis,
  and,
  axesOf,
  beginOf,
  div,
  type Expr,
  endOf,
  ge,
  type IndexAnalysis,
  type LinearForm,
  type LoopHeader,
  max,
  min,
  rewrite,
  type Statement,
  select,
  walk,
} from '@onnx-ts/tensor-ir';
import { estimate } from './cost.ts';

/**
 * A nest over `loops`, whose last loop is cut into a beginning, an inside without guards, and an end.
 * @param over axes of loops inside, for all of whose values guards have to hold
 * @param values what the body evaluates
 * @param bodyFor the body for other values in the same places
 */
export function cutLoop(
  analysis: IndexAnalysis,
  loops: readonly LoopHeader[],
  over: readonly Axis[],
  values: readonly Expr[],
  bodyFor: (values: readonly Expr[]) => readonly Statement[],
): Statement[] {
  const loop = loops[loops.length - 1];
  const nest = (inner: readonly LoopHeader[], body: readonly Statement[]): Statement => ({
    kind: 'for',
    loops: inner,
    reductions: [],
    body,
  });
  const inside = new Inside(analysis, loop.axis, over, values);
  if (!inside.isWorthIt) return [nest(loops, bodyFor(values))];
  const { begin, low, high, end } = inside.bounds(loop);
  const guarded = bodyFor(values);
  const pieces: Statement[] = [];
  if (low !== begin) pieces.push(nest([{ ...loop, begin, end: low }], guarded));
  pieces.push(nest([{ ...loop, begin: low, end: high }], bodyFor(inside.values)));
  if (high !== end) pieces.push(nest([{ ...loop, begin: high, end }], guarded));
  return loops.length === 1 ? pieces : [nest(loops.slice(0, -1), pieces)];
}

class Inside {
  /** The values without the guards that hold inside. */
  readonly values: readonly Expr[];
  readonly isWorthIt: boolean;
  readonly #analysis: IndexAnalysis;
  readonly #lane: Axis;
  readonly #over: readonly Axis[];
  readonly #lower: Expr[] = [];
  readonly #upper: Expr[] = [];
  /** Conditions that are the same for the whole loop. */
  readonly #uniform: Expr[] = [];
  readonly #met = new Set<number>();

  constructor(analysis: IndexAnalysis, lane: Axis, over: readonly Axis[], values: readonly Expr[]) {
    this.#analysis = analysis;
    this.#lane = lane;
    this.#over = over;
    const open = new Set<Expr>();
    for (const value of values) {
      walk(value, (e) => {
        if (e.kind !== 'load' || !e.guard) return;
        const needs = conjunctsOf(e.guard).map((condition) => this.#constraint(condition));
        if (needs.some((need) => !need)) return;
        open.add(e.guard);
        for (const need of needs) if (need) this.#require(need);
      });
    }
    this.values = values.map((value) =>
      rewrite(value, (e) => (e.kind === 'load' && e.guard && open.has(e.guard) ? plain(e) : undefined)),
    );
    const isCut = this.#lower.length + this.#upper.length > 0;
    this.isWorthIt = isCut ? estimate(lane.size) >= 8 : this.#uniform.length > 0;
  }

  bounds(loop: LoopHeader): { begin: Expr; low: Expr; high: Expr; end: Expr } {
    const [begin, end] = [beginOf(loop), endOf(loop)];
    let low =
      this.#lower.length === 0
        ? begin
        : min(
            this.#lower.reduce((a, b) => max(a, b), begin),
            end,
          );
    let high =
      this.#upper.length === 0
        ? end
        : max(
            this.#upper.reduce((a, b) => min(a, b), end),
            low,
          );
    if (this.#uniform.length > 0) {
      const isInside = this.#uniform.reduce((a, b) => and(a, b));
      if (low !== begin) low = select(isInside, low, begin);
      high = select(isInside, high, begin);
    }
    return { begin, low, high, end };
  }

  /** The condition as form ≥ 0, if the loop can be cut by it. */
  #constraint(condition: Expr): LinearForm | undefined {
    if (condition.kind !== 'compare' || condition.a.type !== 'index') return undefined;
    const analysis = this.#analysis;
    const [a, b] = [analysis.formOf(condition.a), analysis.formOf(condition.b)];
    const difference = (x: LinearForm, y: LinearForm, less: number): LinearForm => {
      const form = analysis.sum(x, analysis.scale(y, -1));
      return { base: form.base.sub(less), terms: form.terms };
    };
    switch (condition.op) {
      case 'ge':
        return this.#usable(difference(a, b, 0));
      case 'gt':
        return this.#usable(difference(a, b, 1));
      case 'le':
        return this.#usable(difference(b, a, 0));
      case 'lt':
        return this.#usable(difference(b, a, 1));
      default:
        return undefined;
    }
  }

  #usable(form: LinearForm): LinearForm | undefined {
    for (const { atom, coefficient } of form.terms) {
      if (atom.kind !== 'axis') {
        const axes = axesOf(atom);
        if (axes.has(this.#lane) || this.#over.some((axis) => axes.has(axis))) return undefined;
      } else if (atom.axis === this.#lane) {
        if (!coefficient.constant) return undefined;
      } else if (this.#over.includes(atom.axis) && coefficient.lowerBound < 0 && coefficient.upperBound > 0)
        return undefined;
    }
    return form;
  }

  #require(form: LinearForm): void {
    const least = this.#leastOver(form);
    const number = this.#analysis.numbers.of(this.#analysis.expression(least));
    if (this.#met.has(number)) return;
    this.#met.add(number);
    const lane = least.terms.find(({ atom }) => atom.kind === 'axis' && atom.axis === this.#lane);
    const rest = this.#analysis.expression({ base: least.base, terms: least.terms.filter((term) => term !== lane) });
    const step = lane?.coefficient.constant;
    if (step === undefined) {
      const holds = this.#analysis.simplify(ge(rest, 0));
      if (holds.kind !== 'const' || !holds.value) this.#uniform.push(holds);
    } else if (step > 0) {
      // lane ≥ −rest / step, rounded up.
      const needed = this.#negated(rest);
      this.#lower.push(step === 1 ? needed : div(max(this.#sum(needed, step - 1), 0), step));
    } else {
      // lane ≤ rest / −step, rounded down; the bound is exclusive.
      const limit = this.#sum(rest, -step);
      this.#upper.push(step === -1 ? limit : div(max(limit, 0), -step));
    }
  }

  /** The form at the values of the inner axes where it is least. */
  #leastOver(form: LinearForm): LinearForm {
    let { base } = form;
    const terms = form.terms.filter(({ atom, coefficient }) => {
      if (atom.kind !== 'axis' || !this.#over.includes(atom.axis)) return true;
      if (coefficient.upperBound <= 0) base = base.add(coefficient.mul(atom.axis.size.sub(1)));
      return false;
    });
    return { base, terms };
  }

  #negated(e: Expr): Expr {
    return this.#analysis.expression(this.#analysis.scale(this.#analysis.formOf(e), -1));
  }

  #sum(e: Expr, more: number): Expr {
    const form = this.#analysis.formOf(e);
    return this.#analysis.expression({ base: form.base.add(more), terms: form.terms });
  }
}

function conjunctsOf(guard: Expr): Expr[] {
  return guard.kind === 'binary' && guard.op === 'and' ? [...conjunctsOf(guard.a), ...conjunctsOf(guard.b)] : [guard];
}

function plain({ guard: _, fill: __, ...load }: Expr & { kind: 'load' }): Expr {
  return load;
}
