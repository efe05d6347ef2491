// Index arithmetic: what an index expression is as a sum of axes with symbolic coefficients, and where in memory a load
// reads. Quotients and remainders by dims are simplified with the ranges of the axes, and the pairs that come from
// reshapes are put together again, so that most index maps turn out to be affine.

import { Dim, type DimLike } from './dim.ts';
import {
  type Axis,
  add,
  binary,
  type CompareOp,
  childrenOf,
  compare,
  constant,
  dimension,
  type Expr,
  mul,
  rewrite,
  walk,
} from './expr.ts';
import { ExprNumbering } from './expr-number.ts';
import type { TensorRef } from './tensor-ref.ts';

/** `coefficient · atom`, where the atom is an axis or an index expression that is no sum, for instance a quotient. */
export interface LinearTerm {
  readonly atom: Expr;
  readonly coefficient: Dim;
}

/** `base + Σ coefficient · atom`; no two terms have equal atoms and no coefficient is zero. */
export interface LinearForm {
  readonly base: Dim;
  readonly terms: readonly LinearTerm[];
}

/** Index is `base + Σ coefficient · axis`. */
export interface AffineIndex {
  readonly base: Dim;
  readonly coefficients: ReadonlyMap<Axis, Dim>;
}

const zero = Dim.constant(0);
const one = Dim.constant(1);

/** Elements between neighbours along each logical axis. */
export function stridesOf(tensor: Pick<TensorRef, 'shape' | 'order' | 'room'>): readonly Dim[] {
  const order = tensor.order ?? tensor.shape.map((_, axis) => axis);
  const sizes = tensor.room ?? tensor.shape;
  const strides: Dim[] = Array.from({ length: order.length }, () => one);
  let stride = one;
  for (const axis of [...order].reverse()) {
    strides[axis] = stride;
    stride = stride.mul(sizes[axis]);
  }
  return strides;
}

/**
 * Analyses index expressions; results are remembered, so one instance serves a whole kernel. Axes are taken to lie in
 * [0, size), which holds wherever a body is evaluated.
 */
export class IndexAnalysis {
  readonly numbers: ExprNumbering;
  readonly #forms = new Map<number, LinearForm>();
  readonly #normal = new Map<Expr, Expr>();

  constructor(numbers: ExprNumbering = new ExprNumbering()) {
    this.numbers = numbers;
  }

  /** Any index expression as a sum. */
  formOf(e: Expr): LinearForm {
    const number = this.numbers.of(e);
    const known = this.#forms.get(number);
    if (known) return known;
    const form = this.#build(e);
    this.#forms.set(number, form);
    return form;
  }

  /** The form when all its atoms are axes. */
  affine(e: Expr): AffineIndex | undefined {
    const { base, terms } = this.formOf(e);
    const coefficients = new Map<Axis, Dim>();
    for (const { atom, coefficient } of terms) {
      if (atom.kind !== 'axis') return undefined;
      coefficients.set(atom.axis, coefficient);
    }
    return { base, coefficients };
  }

  /** Position of an element from the start of the tensor, in elements. */
  offsetOf(tensor: Pick<TensorRef, 'shape' | 'order' | 'room'>, index: readonly Expr[]): LinearForm {
    const strides = stridesOf(tensor);
    let sum: LinearForm = { base: zero, terms: [] };
    for (const [axis, e] of index.entries()) {
      // The only element of an axis of size 1 is element 0, whatever the expression says. Checks have to stay.
      if (tensor.shape[axis].is(1) && !isChecked(e)) continue;
      sum = this.sum(sum, this.scale(this.formOf(e), strides[axis]));
    }
    return sum;
  }

  sum(a: LinearForm, b: LinearForm): LinearForm {
    return this.#recombine(a.base.add(b.base), [...a.terms, ...b.terms]);
  }

  scale(form: LinearForm, factor: DimLike): LinearForm {
    const by = Dim.from(factor);
    if (by.is(0)) return { base: zero, terms: [] };
    const terms = form.terms.map(({ atom, coefficient }) => ({ atom, coefficient: coefficient.mul(by) }));
    return { base: form.base.mul(by), terms };
  }

  expression(form: LinearForm): Expr {
    let sum: Expr | undefined;
    for (const { atom, coefficient } of form.terms) {
      const term = mul(atom, dimension(coefficient));
      sum = sum ? add(sum, term) : term;
    }
    if (!sum) return dimension(form.base);
    return form.base.is(0) ? sum : add(sum, dimension(form.base));
  }

  /** The expression with every index inside simplified, and comparisons of indices decided where ranges allow it. */
  simplify(root: Expr): Expr {
    return rewrite(
      root,
      (e) => {
        if (e.kind === 'compare' && e.a.type === 'index') return this.#decide(e.op, e.a, e.b);
        if (e.kind === 'binary' && e.type === 'bool') return simplifyLogic(e.op, e.a, e.b);
        if (e.kind === 'select' && e.condition.kind === 'const') return e.condition.value ? e.whenTrue : e.whenFalse;
        if (e.kind === 'load' && e.guard?.kind === 'const') {
          if (!e.guard.value) return e.fill;
          const { guard: _, fill: __, ...plain } = e;
          return plain;
        }
        return e.type === 'index' && e.kind === 'binary' ? this.expression(this.formOf(e)) : undefined;
      },
      this.#normal,
    );
  }

  /** Greatest value over all axes, when it can be said. */
  maximum(form: LinearForm): Dim | undefined {
    return this.#bound(form, true);
  }

  /** Least value over all axes, when it can be said. */
  minimum(form: LinearForm): Dim | undefined {
    return this.#bound(form, false);
  }

  #decide(op: CompareOp, a: Expr, b: Expr): Expr | undefined {
    const difference = this.sum(this.formOf(a), this.scale(this.formOf(b), -1));
    const low = this.minimum(difference)?.lowerBound ?? -Infinity;
    const high = this.maximum(difference)?.upperBound ?? Infinity;
    const verdict = decideSign(op, low, high);
    if (verdict !== undefined) return constant('bool', verdict);
    const [left, right] = [this.expression(this.formOf(a)), this.expression(this.formOf(b))];
    return compare(op, left, right);
  }

  #build(e: Expr): LinearForm {
    if (e.kind === 'dim') return { base: e.dim, terms: [] };
    if (e.kind === 'axis') {
      return e.axis.size.is(1) ? { base: zero, terms: [] } : { base: zero, terms: [{ atom: e, coefficient: one }] };
    }
    if (e.kind === 'binary' && e.type === 'index') {
      const a = this.formOf(e.a);
      const b = this.formOf(e.b);
      switch (e.op) {
        case 'add':
          return this.sum(a, b);
        case 'sub':
          return this.sum(a, this.scale(b, -1));
        case 'mul':
          if (a.terms.length === 0) return this.scale(b, a.base);
          if (b.terms.length === 0) return this.scale(a, b.base);
          break;
        case 'div':
          if (b.terms.length === 0) return this.#quotient(a, b.base);
          break;
        case 'mod':
          if (b.terms.length === 0) return this.#remainder(a, b.base);
          break;
      }
      return atomForm(binary(e.op, this.expression(a), this.expression(b)));
    }
    return atomForm(e);
  }

  /** Truncating division; simplified only where the dividend cannot be negative. */
  #quotient(a: LinearForm, divisor: Dim): LinearForm {
    if (divisor.is(1)) return a;
    if (divisor.lowerBound < 0 || !this.#isNatural(a)) return this.#opaque('div', a, divisor);
    if (a.terms.length === 0) return { base: a.base.floorDiv(divisor), terms: [] };
    const { whole, rest } = this.#split(a, divisor);
    if (!this.#isNatural(rest)) return this.#opaque('div', a, divisor);
    if (this.#isBelow(rest, divisor)) return whole;
    return this.sum(whole, this.#restQuotient(rest, divisor));
  }

  #restQuotient(rest: LinearForm, divisor: Dim): LinearForm {
    const common = this.#commonFactor(rest, divisor);
    if (common) return this.#quotient(common.multiple, common.divisor);
    const inner = singleAtom(rest);
    if (inner?.kind === 'binary' && inner.b.kind === 'dim') {
      const form = this.formOf(inner.a);
      // (x / a) / b = x / ab, and (x mod ab) / b = (x / b) mod a.
      if (inner.op === 'div' && this.#isNatural(form)) return this.#quotient(form, inner.b.dim.mul(divisor));
      if (inner.op === 'mod' && this.#isNatural(form)) {
        const times = inner.b.dim.divideExactly(divisor);
        if (times) return this.#remainder(this.#quotient(form, divisor), times);
      }
    }
    return this.#opaque('div', rest, divisor);
  }

  #remainder(a: LinearForm, divisor: Dim): LinearForm {
    if (divisor.is(1)) return { base: zero, terms: [] };
    if (divisor.lowerBound < 0) return this.#opaque('mod', a, divisor);
    if (a.terms.length === 0) return { base: a.base.mod(divisor), terms: [] };
    const { rest } = this.#split(a, divisor);
    if (!this.#isNatural(rest)) return this.#opaque('mod', a, divisor);
    if (this.#isBelow(rest, divisor)) return rest;
    const common = this.#commonFactor(rest, divisor);
    if (common)
      return this.sum(this.scale(this.#remainder(common.multiple, common.divisor), common.factor), common.rest);
    const inner = singleAtom(rest);
    if (
      inner?.kind === 'binary' &&
      inner.op === 'mod' &&
      inner.b.kind === 'dim' &&
      inner.b.dim.divideExactly(divisor)
    ) {
      return this.#remainder(this.formOf(inner.a), divisor);
    }
    return this.#opaque('mod', rest, divisor);
  }

  #opaque(op: 'div' | 'mod', a: LinearForm, divisor: Dim): LinearForm {
    const e = binary(op, this.expression(a), dimension(divisor));
    return e.kind === 'binary' ? atomForm(e) : this.formOf(e);
  }

  /** a = whole · divisor + rest. */
  #split(a: LinearForm, divisor: Dim): { whole: LinearForm; rest: LinearForm } {
    const whole: LinearTerm[] = [];
    const rest: LinearTerm[] = [];
    for (const { atom, coefficient } of a.terms) {
      const quotient = coefficient.divideExactly(divisor);
      if (quotient) whole.push({ atom, coefficient: quotient });
      else rest.push({ atom, coefficient });
    }
    let wholeBase = a.base.divideExactly(divisor);
    let restBase = wholeBase ? zero : a.base;
    const [value, by] = [a.base.constant, divisor.constant];
    if (value !== undefined && by !== undefined && by > 0) {
      wholeBase = Dim.constant(Math.floor(value / by));
      restBase = Dim.constant(value - Math.floor(value / by) * by);
    }
    return { whole: { base: wholeBase ?? zero, terms: whole }, rest: { base: restBase, terms: rest } };
  }

  /** form = factor · multiple + rest with 0 ≤ rest < factor, where factor divides the divisor. */
  #commonFactor(
    form: LinearForm,
    by: Dim,
  ): { factor: Dim; multiple: LinearForm; rest: LinearForm; divisor: Dim } | undefined {
    for (const { coefficient: factor } of form.terms) {
      if (factor.is(1) || factor.lowerBound < 0) continue;
      const divisor = by.divideExactly(factor);
      if (!divisor) continue;
      const { whole: multiple, rest } = this.#split(form, factor);
      if (this.#isNatural(rest) && this.#isBelow(rest, factor)) return { factor, multiple, rest, divisor };
    }
    return undefined;
  }

  #isNatural(form: LinearForm): boolean {
    return (this.minimum(form)?.lowerBound ?? -1) >= 0;
  }

  #isBelow(form: LinearForm, limit: Dim): boolean {
    const maximum = this.maximum(form);
    // An axis of size 0 is never evaluated, so a size may be taken to be at least 1 and the maximum to be a real one.
    return maximum?.add(1).atMost(limit) === true;
  }

  #bound(form: LinearForm, upper: boolean): Dim | undefined {
    let sum = form.base;
    for (const { atom, coefficient } of form.terms) {
      const rises = coefficient.lowerBound >= 0;
      if (!rises && coefficient.upperBound > 0) return undefined;
      const limit = this.#atomBound(atom, upper === rises);
      if (!limit) return undefined;
      sum = sum.add(limit.mul(coefficient));
    }
    return sum;
  }

  #atomBound(atom: Expr, upper: boolean): Dim | undefined {
    if (atom.kind === 'axis') return upper ? atom.axis.size.sub(1) : zero;
    if (atom.kind === 'bounded') return upper ? atom.size.sub(1) : zero;
    if (atom.kind !== 'binary' || atom.type !== 'index') return undefined;
    if (atom.op === 'mod' && atom.b.kind === 'dim' && atom.b.dim.lowerBound >= 0) {
      return upper ? atom.b.dim.sub(1) : zero;
    }
    if (atom.op === 'div' && atom.b.kind === 'dim' && atom.b.dim.lowerBound >= 0) {
      const form = this.formOf(atom.a);
      if (!this.#isNatural(form)) return undefined;
      return upper ? this.maximum(form)?.floorDiv(atom.b.dim) : zero;
    }
    if (atom.op === 'min' || atom.op === 'max') {
      const sides = [atom.a, atom.b].map((side) => this.#bound(this.formOf(side), upper));
      if (sides[0] && sides[1]) return atom.op === 'min' ? sides[0].min(sides[1]) : sides[0].max(sides[1]);
      // A minimum is at most either side.
      return (atom.op === 'min') === upper ? (sides[0] ?? sides[1]) : undefined;
    }
    return undefined;
  }

  /** Adds up equal atoms, and x mod m with m · (x / m) to x. */
  #recombine(base: Dim, terms: readonly LinearTerm[]): LinearForm {
    const sums = new Map<number, LinearTerm>();
    for (const term of terms) {
      const number = this.numbers.of(term.atom);
      const before = sums.get(number);
      sums.set(number, before ? { atom: term.atom, coefficient: before.coefficient.add(term.coefficient) } : term);
    }
    const kept = [...sums.entries()].filter(([, term]) => term.coefficient.terms.length > 0);
    for (const [number, { atom, coefficient }] of kept) {
      if (atom.kind !== 'binary' || atom.op !== 'mod' || atom.b.kind !== 'dim') continue;
      const modulus = atom.b.dim;
      for (const [other, candidate] of kept) {
        if (candidate.atom.kind !== 'binary' || !candidate.coefficient.equals(coefficient.mul(modulus))) continue;
        const joined = this.#join(atom.a, modulus, candidate.atom);
        if (!joined) continue;
        const others = kept.filter(([n]) => n !== number && n !== other).map(([, term]) => term);
        const whole = this.scale(joined, coefficient);
        return this.#recombine(base.add(whole.base), [...others, ...whole.terms]);
      }
    }
    // One order for equal sums: axes as they were made, then the rest.
    const rank = (atom: Expr): number => (atom.kind === 'axis' ? atom.axis.id : Infinity);
    kept.sort(([na, a], [nb, b]) => (rank(a.atom) === rank(b.atom) ? na - nb : rank(a.atom) - rank(b.atom)));
    return { base, terms: kept.map(([, term]) => term) };
  }

  /** x from x mod m and x / m, or x mod mk from x mod m and (x / m) mod k. */
  #join(x: Expr, modulus: Dim, other: Expr & { kind: 'binary' }): LinearForm | undefined {
    const form = this.formOf(x);
    if (!this.#isNatural(form)) return undefined;
    const quotient = this.#quotient(form, modulus);
    const same = (e: Expr): boolean => this.#equal(this.formOf(e), quotient);
    if (other.op === 'div' && same(other)) return form;
    if (other.op === 'mod' && other.b.kind === 'dim' && same(other.a)) {
      return this.#remainder(form, modulus.mul(other.b.dim));
    }
    return undefined;
  }

  #equal(a: LinearForm, b: LinearForm): boolean {
    return this.numbers.of(this.expression(a)) === this.numbers.of(this.expression(b));
  }
}

function atomForm(atom: Expr): LinearForm {
  return { base: zero, terms: [{ atom, coefficient: one }] };
}

function singleAtom(form: LinearForm): Expr | undefined {
  const [term] = form.terms;
  return form.terms.length === 1 && form.base.is(0) && term.coefficient.is(1) ? term.atom : undefined;
}

function isChecked(root: Expr): boolean {
  let found = false;
  walk(root, (e) => {
    found ||= e.kind === 'bounded';
  });
  return found;
}

function decideSign(op: CompareOp, low: number, high: number): boolean | undefined {
  switch (op) {
    case 'lt':
      return high < 0 ? true : low >= 0 ? false : undefined;
    case 'le':
      return high <= 0 ? true : low > 0 ? false : undefined;
    case 'gt':
      return low > 0 ? true : high <= 0 ? false : undefined;
    case 'ge':
      return low >= 0 ? true : high < 0 ? false : undefined;
    case 'eq':
      return low === 0 && high === 0 ? true : low > 0 || high < 0 ? false : undefined;
    case 'ne':
      return low > 0 || high < 0 ? true : low === 0 && high === 0 ? false : undefined;
  }
}

function simplifyLogic(op: string, a: Expr, b: Expr): Expr | undefined {
  const [left, right] = [a, b].map((e) => (e.kind === 'const' ? Boolean(e.value) : undefined));
  if (op === 'and') {
    if (left === false || right === false) return constant('bool', false);
    return left === true ? b : right === true ? a : undefined;
  }
  if (op === 'or') {
    if (left === true || right === true) return constant('bool', true);
    return left === false ? b : right === false ? a : undefined;
  }
  return undefined;
}

/** Axes that an expression depends on. */
export function axesOf(root: Expr, found: Set<Axis> = new Set()): Set<Axis> {
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    if (e.kind === 'axis') found.add(e.axis);
    childrenOf(e).forEach(visit);
  };
  visit(root);
  return found;
}
