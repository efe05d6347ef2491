// The box of loops that a stage runs over, with every expression evaluated in it, while its loops are being arranged.

import {
  type Axis,
  add,
  axesOf,
  childrenOf,
  Dim,
  dimension,
  type Expr,
  IndexAnalysis,
  type LinearForm,
  mul,
  newAxis,
  rebuild,
  substituteAxes,
  toIndex,
} from '@onnx-ts/tensor-ir';

/**
 * Axes in groups, each group from the slowest to the fastest loop, and `roots`: the expressions evaluated for each point.
 * Loads in roots have been flattened to linear offsets. Every change keeps what the roots mean; roots stay at their
 * places in the list.
 */
export class LoopDomain {
  readonly analysis: IndexAnalysis;
  groups: Axis[][];
  roots: Expr[];

  constructor(groups: readonly (readonly Axis[])[], roots: readonly Expr[], analysis = new IndexAnalysis()) {
    this.analysis = analysis;
    this.groups = groups.map((group) => [...group]);
    this.roots = roots.map((root) => analysis.simplify(root));
  }

  /** Splits, drops and merges axes until nothing changes. */
  arrange(): void {
    this.#dropUnitAxes();
    for (let guard = 0; guard < 16 && this.#splitOne(); guard++);
    this.#dropUnitAxes();
    while (this.#mergeOne());
  }

  substitute(values: ReadonlyMap<Axis, Expr>): void {
    this.roots = this.roots.map((root) => this.analysis.simplify(substituteAxes(root, values)));
  }

  /** Coefficient of an axis in an offset that is affine in that axis; undefined when the axis occurs otherwise. */
  coefficient(offset: Expr, axis: Axis): Dim | undefined {
    return coefficientIn(this.analysis, offset, axis);
  }

  #dropUnitAxes(): void {
    const zeros = new Map<Axis, Expr>();
    for (const group of this.groups) {
      for (const axis of group) if (axis.size.is(1)) zeros.set(axis, dimension(0));
    }
    if (zeros.size === 0) return;
    this.groups = this.groups.map((group) => group.filter((axis) => !zeros.has(axis)));
    this.substitute(zeros);
  }

  /** Splits an axis of which a quotient or remainder is taken by a divisor of its size. */
  #splitOne(): boolean {
    for (const form of this.#forms()) {
      for (const { atom } of form.terms) {
        if (atom.kind !== 'binary' || (atom.op !== 'div' && atom.op !== 'mod') || atom.b.kind !== 'dim') continue;
        for (const term of this.analysis.formOf(atom.a).terms) {
          if (term.atom.kind !== 'axis' || term.coefficient.lowerBound < 0) continue;
          const inner = atom.b.dim.divideExactly(term.coefficient);
          if (inner && this.#split(term.atom.axis, inner)) return true;
        }
      }
    }
    return false;
  }

  #split(axis: Axis, innerSize: Dim): boolean {
    if (innerSize.is(1) || innerSize.lowerBound < 0) return false;
    const outerSize = axis.size.divideExactly(innerSize);
    if (!outerSize || outerSize.is(1)) return false;
    const group = this.groups.find((candidate) => candidate.includes(axis));
    if (!group) return false;
    const at = group.indexOf(axis);
    // A fastest axis of a few elements would leave nothing to vectorise.
    if (at === group.length - 1 && innerSize.constant !== undefined && innerSize.constant < 8) return false;
    const outer = newAxis(`${axis.name}o`, outerSize);
    const inner = newAxis(`${axis.name}i`, innerSize);
    group.splice(at, 1, outer, inner);
    this.substitute(new Map([[axis, add(mul(toIndex(outer), dimension(innerSize)), toIndex(inner))]]));
    return true;
  }

  #mergeOne(): boolean {
    const forms = this.#forms();
    for (const group of this.groups) {
      for (let at = group.length - 1; at > 0; at--) {
        const [outer, inner] = [group[at - 1], group[at]];
        if (!forms.every((form) => movesAsOne(form, outer, inner))) continue;
        const merged = newAxis(outer.name + inner.name, outer.size.mul(inner.size));
        group.splice(at - 1, 2, merged);
        this.#replaceForms(outer, inner, merged);
        return true;
      }
    }
    return false;
  }

  /** In every index, `c · size(inner) · outer + c · inner` becomes `c · merged`. */
  #replaceForms(outer: Axis, inner: Axis, merged: Axis): void {
    const { analysis } = this;
    const done = new Map<Expr, Expr>();
    const visit = (e: Expr): Expr => {
      const known = done.get(e);
      if (known) return known;
      const result = e.type === 'index' ? index(e) : rebuild(e, visit);
      done.set(e, result);
      return result;
    };
    const index = (e: Expr): Expr => {
      const { base, terms } = analysis.formOf(e);
      const kept = terms.flatMap(({ atom, coefficient }) => {
        if (atom.kind !== 'axis') return [{ atom: rebuild(atom, visit), coefficient }];
        if (atom.axis === outer) return [];
        return [{ atom: atom.axis === inner ? toIndex(merged) : atom, coefficient }];
      });
      return analysis.expression({ base, terms: kept });
    };
    this.roots = this.roots.map((root) => analysis.simplify(visit(root)));
  }

  /** Every index expression that is not part of a larger sum. */
  #forms(): LinearForm[] {
    const forms: LinearForm[] = [];
    const seen = new Set<Expr>();
    const visit = (e: Expr): void => {
      if (seen.has(e)) return;
      seen.add(e);
      if (e.type !== 'index') {
        childrenOf(e).forEach(visit);
        return;
      }
      const form = this.analysis.formOf(e);
      forms.push(form);
      for (const { atom } of form.terms) childrenOf(atom).forEach(visit);
    };
    this.roots.forEach(visit);
    return forms;
  }
}

function movesAsOne({ terms }: LinearForm, outer: Axis, inner: Axis): boolean {
  const of = (axis: Axis): Dim =>
    terms.find(({ atom }) => atom.kind === 'axis' && atom.axis === axis)?.coefficient ?? Dim.constant(0);
  return of(outer).equals(of(inner).mul(inner.size));
}

export function coefficientIn(analysis: IndexAnalysis, offset: Expr, axis: Axis): Dim | undefined {
  let found = Dim.constant(0);
  for (const { atom, coefficient } of analysis.formOf(offset).terms) {
    if (atom.kind === 'axis') {
      if (atom.axis === axis) found = coefficient;
    } else if (axesOf(atom).has(axis)) return undefined;
  }
  return found;
}
