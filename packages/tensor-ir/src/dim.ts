// Symbolic sizes. A `Dim` is a polynomial with integer coefficients over atoms; an atom is a symbol or a quotient,
// remainder, minimum, maximum or broadcast of two dims. Dims are immutable, always simplified, and equal exactly when
// their keys are equal.

export type DimLike = Dim | number | string;

type AtomKind = 'symbol' | 'floordiv' | 'ceildiv' | 'mod' | 'min' | 'max' | 'broadcast';

/** @internal */
export interface Atom {
  readonly kind: AtomKind;
  readonly key: string;
  readonly name?: string;
  readonly a?: Dim;
  readonly b?: Dim;
}

interface Term {
  readonly coefficient: number;
  /** Sorted by key; a square appears twice. */
  readonly atoms: readonly Atom[];
}

/** Values of symbols at run time. */
export type DimBinding = ReadonlyMap<string, number>;

function termKey(atoms: readonly Atom[]): string {
  return atoms.map((atom) => atom.key).join('*');
}

export class Dim {
  readonly key: string;
  /** @internal */
  readonly terms: readonly Term[];
  /** The value when it does not depend on any symbol. */
  readonly constant: number | undefined;
  /** Bounds once they were asked for: sizes nest, and each level asks for both bounds of those inside. */
  #lower: number | undefined;
  #upper: number | undefined;

  private constructor(terms: readonly Term[]) {
    this.terms = terms;
    // Most sizes of most models are plain numbers.
    const isNumber = terms.length === 0 || (terms.length === 1 && terms[0].atoms.length === 0);
    this.constant = isNumber ? (terms[0]?.coefficient ?? 0) : undefined;
    this.key = isNumber
      ? String(this.constant)
      : terms
          .map((term) => {
            const atoms = termKey(term.atoms);
            if (atoms === '') return String(term.coefficient);
            return term.coefficient === 1 ? atoms : `${term.coefficient}*${atoms}`;
          })
          .join(' + ')
          .replaceAll('+ -', '- ');
  }

  static constant(value: number): Dim {
    if (!Number.isSafeInteger(value)) throw new RangeError(`a dim must be a safe integer, not ${value}`);
    return Dim.#number(value);
  }

  static #number(value: number): Dim {
    return value === 0 ? zero : new Dim([{ coefficient: value, atoms: [] }]);
  }

  static symbol(name: string): Dim {
    return new Dim([{ coefficient: 1, atoms: [{ kind: 'symbol', key: name, name }] }]);
  }

  static from(value: DimLike): Dim {
    if (typeof value === 'number') return Dim.constant(value);
    return typeof value === 'string' ? Dim.symbol(value) : value;
  }

  /** @internal */
  static collect(terms: Iterable<Term>): Dim {
    const sums = new Map<string, Term>();
    for (const term of terms) {
      const key = termKey(term.atoms);
      const before = sums.get(key);
      sums.set(key, before ? { coefficient: before.coefficient + term.coefficient, atoms: term.atoms } : term);
    }
    const kept = [...sums.entries()].filter(([, term]) => term.coefficient !== 0);
    // Highest degree first, constants last: also the order that polynomial division needs.
    kept.sort(([ka, a], [kb, b]) => b.atoms.length - a.atoms.length || (ka < kb ? -1 : ka > kb ? 1 : 0));
    return new Dim(kept.map(([, term]) => term));
  }

  static #atom(kind: AtomKind, a: Dim, b: Dim): Dim {
    const key = `${kind}(${a.key}, ${b.key})`;
    return new Dim([{ coefficient: 1, atoms: [{ kind, key, a, b }] }]);
  }

  /** The name when the dim is one bare symbol. */
  get symbolName(): string | undefined {
    const [term] = this.terms;
    return this.terms.length === 1 && term.coefficient === 1 && term.atoms.length === 1
      ? term.atoms[0].name
      : undefined;
  }

  equals(other: DimLike): boolean {
    return this.key === Dim.from(other).key;
  }

  is(value: number): boolean {
    return this.constant === value;
  }

  add(other: DimLike): Dim {
    const right = Dim.from(other);
    const [a, b] = [this.constant, right.constant];
    if (a === 0) return right;
    if (b === 0) return this;
    if (a !== undefined && b !== undefined) return Dim.#number(a + b);
    return Dim.collect([...this.terms, ...right.terms]);
  }

  negate(): Dim {
    return this.mul(-1);
  }

  sub(other: DimLike): Dim {
    return this.add(Dim.from(other).negate());
  }

  mul(other: DimLike): Dim {
    const right = Dim.from(other);
    if (this.constant !== undefined) return right.#times(this.constant);
    if (right.constant !== undefined) return this.#times(right.constant);
    const terms: Term[] = [];
    for (const a of this.terms) {
      for (const b of right.terms) {
        const atoms = [...a.atoms, ...b.atoms].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
        terms.push({ coefficient: a.coefficient * b.coefficient, atoms });
      }
    }
    return Dim.collect(terms);
  }

  #times(factor: number): Dim {
    if (factor === 1) return this;
    if (factor === 0) return zero;
    return new Dim(this.terms.map(({ coefficient, atoms }) => ({ coefficient: coefficient * factor, atoms })));
  }

  /** The quotient when `other` divides this dim for every value of the symbols; undefined when that is not certain. */
  divideExactly(other: DimLike): Dim | undefined {
    const divisor = Dim.from(other);
    if (divisor.terms.length === 0) return undefined;
    const [lead] = divisor.terms;
    let rest: Dim = this;
    const quotient: Term[] = [];
    for (let guard = 0; rest.terms.length > 0; guard++) {
      if (guard > 64) return undefined;
      const term = divideTerm(rest.terms[0], lead);
      if (!term) return undefined;
      quotient.push(term);
      rest = rest.sub(Dim.collect([term]).mul(divisor));
    }
    return Dim.collect(quotient);
  }

  /** Rounds toward negative infinity. A divisor of zero gives zero. */
  floorDiv(other: DimLike): Dim {
    const divisor = Dim.from(other);
    const exact = this.divideExactly(divisor);
    if (exact) return exact;
    const [a, b] = [this.constant, divisor.constant];
    if (a !== undefined && b !== undefined) return Dim.constant(b === 0 ? 0 : Math.floor(a / b));
    if (b !== undefined && b > 0) {
      const { multiple, rest } = this.#splitMultiple(b);
      if (multiple.terms.length > 0) return multiple.floorDiv(b).add(rest.floorDiv(b));
      const least = Math.floor(this.lowerBound / b);
      if (least === Math.floor(this.upperBound / b)) return Dim.constant(least);
      const inner = this.#asQuotient();
      if (inner) return inner.dividend.floorDiv(inner.divisor * b);
    }
    return Dim.#atom('floordiv', this, divisor);
  }

  /** Rounds toward positive infinity. A divisor of zero gives zero. */
  ceilDiv(other: DimLike): Dim {
    const divisor = Dim.from(other);
    const exact = this.divideExactly(divisor);
    if (exact) return exact;
    const [a, b] = [this.constant, divisor.constant];
    if (a !== undefined && b !== undefined) return Dim.constant(b === 0 ? 0 : Math.ceil(a / b));
    if (b !== undefined && b > 0) return this.add(b - 1).floorDiv(b);
    return Dim.#atom('ceildiv', this, divisor);
  }

  /** Result has the sign of the divisor. A divisor of zero gives zero. */
  mod(other: DimLike): Dim {
    const divisor = Dim.from(other);
    if (this.divideExactly(divisor)) return zero;
    const [a, b] = [this.constant, divisor.constant];
    if (a !== undefined && b !== undefined) return Dim.constant(b === 0 ? 0 : a - Math.floor(a / b) * b);
    if (b !== undefined && b > 0) {
      const { multiple, rest } = this.#splitMultiple(b);
      if (multiple.terms.length > 0) return rest.mod(b);
    }
    return Dim.#atom('mod', this, divisor);
  }

  min(other: DimLike): Dim {
    const right = Dim.from(other);
    if (this.atMost(right)) return this;
    if (right.atMost(this)) return right;
    return this.key < right.key ? Dim.#atom('min', this, right) : Dim.#atom('min', right, this);
  }

  max(other: DimLike): Dim {
    const right = Dim.from(other);
    if (this.atMost(right)) return right;
    if (right.atMost(this)) return this;
    return this.key < right.key ? Dim.#atom('max', this, right) : Dim.#atom('max', right, this);
  }

  /**
   * Size of the result when axes of these two sizes are broadcast together; a size of 1 gives way to the other. Where one
   * of them is the result whenever they fit, it is that one alone: whether they fit is for whoever binds sizes to check.
   */
  broadcast(other: DimLike): Dim {
    const right = Dim.from(other);
    if (this.is(1) || this.equals(right)) return right;
    if (right.is(1)) return this;
    if (this.constant !== undefined) return this;
    if (right.constant !== undefined) return right;
    const parts = new Map<string, Dim>();
    for (const part of [...this.#broadcastParts(), ...right.#broadcastParts()]) parts.set(part.key, part);
    for (const part of [...parts.values()]) {
      for (const rest of parts.values()) {
        if (rest === part || !part.#givesWayTo(rest)) continue;
        parts.delete(part.key);
        break;
      }
    }
    const sorted = [...parts.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return sorted.reduce((joint, part) => Dim.#atom('broadcast', joint, part));
  }

  /** The only factor of the only term. */
  get #bareAtom(): Atom | undefined {
    const [term] = this.terms;
    return this.terms.length === 1 && term.coefficient === 1 && term.atoms.length === 1 ? term.atoms[0] : undefined;
  }

  #broadcastParts(): readonly Dim[] {
    const atom = this.#bareAtom;
    return atom?.kind === 'broadcast' ? [...atom.a!.#broadcastParts(), ...atom.b!.#broadcastParts()] : [this];
  }

  /** True when broadcasting this together with `other`, if they fit, always gives `other`. */
  #givesWayTo(other: Dim): boolean {
    const atom = this.#bareAtom;
    if (atom?.kind === 'min') {
      // Where the other is 1, so is this.
      const bound = atom.a!.equals(other) ? atom.b! : atom.b!.equals(other) ? atom.a! : undefined;
      if (bound && bound.lowerBound >= 1) return true;
    }
    return this.#isClampedAtOne(other);
  }

  /** True when this is `other` with a bound below, and where that counts, this is 1 or `other` is not. */
  #isClampedAtOne(other: Dim): boolean {
    for (const [at, { coefficient, atoms }] of this.terms.entries()) {
      if (atoms.length !== 1 || coefficient <= 0) continue;
      const clamp = clampIn(atoms[0]);
      if (!clamp) continue;
      const rest = Dim.collect(this.terms.filter((_, term) => term !== at));
      if (rest.constant === undefined || !rest.add(clamp.free.#times(coefficient)).equals(other)) continue;
      const [clamped, below] = [clamp.least, clamp.below].map((value) => rest.constant! + coefficient * value);
      if (clamped === 1 || below < 1) return true;
    }
    return false;
  }

  /** Least value, given that every symbol is at least 0. */
  get lowerBound(): number {
    this.#lower ??= this.#bound(-1);
    return this.#lower;
  }

  /** Greatest value, given that every symbol is at least 0. */
  get upperBound(): number {
    this.#upper ??= this.#bound(1);
    return this.#upper;
  }

  /** True when this ≤ other for all symbols ≥ 0. */
  atMost(other: DimLike): boolean {
    return Dim.from(other).sub(this).lowerBound >= 0;
  }

  /** True when the dim is a multiple of `n` for every value of the symbols. */
  isMultipleOf(n: number): boolean {
    return this.terms.every((term) => term.coefficient % n === 0);
  }

  /** Names of all symbols inside, in order of appearance. */
  symbols(into: Set<string> = new Set()): Set<string> {
    for (const term of this.terms) {
      for (const atom of term.atoms) {
        if (atom.name !== undefined) into.add(atom.name);
        atom.a?.symbols(into);
        atom.b?.symbols(into);
      }
    }
    return into;
  }

  /**
   * The number for concrete symbols.
   * @throws RangeError when a symbol has no value, or when two broadcast sizes do not fit.
   */
  evaluate(binding: DimBinding): number {
    let sum = 0;
    for (const term of this.terms) {
      let product = term.coefficient;
      for (const atom of term.atoms) product *= evaluateAtom(atom, binding);
      sum += product;
    }
    return sum;
  }

  /** Replaces symbols by dims. */
  substitute(values: ReadonlyMap<string, Dim>): Dim {
    let touched = false;
    for (const name of this.symbols()) touched ||= values.has(name);
    if (!touched) return this;
    let sum: Dim = zero;
    for (const term of this.terms) {
      let product = Dim.constant(term.coefficient);
      for (const atom of term.atoms) product = product.mul(substituteAtom(atom, values));
      sum = sum.add(product);
    }
    return sum;
  }

  toString(): string {
    return this.key;
  }

  toJSON(): number | string {
    return this.constant ?? this.key;
  }

  /** Splits into a part whose coefficients are multiples of n and the rest. */
  #splitMultiple(n: number): { multiple: Dim; rest: Dim } {
    const multiple: Term[] = [];
    const rest: Term[] = [];
    for (const term of this.terms) {
      const remainder = term.coefficient - Math.floor(term.coefficient / n) * n;
      if (remainder === 0) multiple.push(term);
      else if (term.atoms.length === 0) {
        multiple.push({ coefficient: term.coefficient - remainder, atoms: [] });
        rest.push({ coefficient: remainder, atoms: [] });
      } else rest.push(term);
    }
    return { multiple: Dim.collect(multiple), rest: Dim.collect(rest) };
  }

  /** Reads `floordiv(a, c) + d` with constants c > 0 and d as one quotient. */
  #asQuotient(): { dividend: Dim; divisor: number } | undefined {
    const [term, rest] = this.terms;
    if (this.terms.length > 2 || (rest && rest.atoms.length > 0)) return undefined;
    if (term.coefficient !== 1 || term.atoms.length !== 1) return undefined;
    const [atom] = term.atoms;
    const divisor = atom.b?.constant;
    if (atom.kind !== 'floordiv' || divisor === undefined || divisor <= 0) return undefined;
    return { dividend: atom.a!.add((rest?.coefficient ?? 0) * divisor), divisor };
  }

  #bound(sign: 1 | -1): number {
    let sum = 0;
    for (const term of this.terms) {
      let low = term.coefficient;
      let high = term.coefficient;
      for (const atom of term.atoms) {
        const range = atomRange(atom);
        const corners = [low, high].flatMap((x) =>
          [range.low, range.high].map((y) => (x === 0 || y === 0 ? 0 : x * y)),
        );
        low = Math.min(...corners);
        high = Math.max(...corners);
      }
      sum += sign < 0 ? low : high;
    }
    return sum;
  }
}

const zero = Dim.collect([]);

/**
 * Reads `max(c, x)`, or `floordiv(max(c, x), n)`, with constants: what it would be without the bound (`free`), its least
 * value, and the greatest value that `free` has where the bound counts (`below`).
 */
function clampIn({ kind, a, b }: Atom): { free: Dim; least: number; below: number } | undefined {
  if (kind === 'max') {
    const [bound, free] = a!.constant !== undefined ? [a!.constant, b!] : [b!.constant, a!];
    return bound === undefined ? undefined : { free, least: bound, below: bound - 1 };
  }
  const [term] = a?.terms ?? [];
  const divisor = b?.constant;
  if (kind !== 'floordiv' || divisor === undefined || divisor <= 0) return undefined;
  if (a!.terms.length !== 1 || term.coefficient !== 1 || term.atoms.length !== 1) return undefined;
  const inner = clampIn(term.atoms[0]);
  return (
    inner && {
      free: inner.free.floorDiv(divisor),
      least: Math.floor(inner.least / divisor),
      below: Math.floor(inner.below / divisor),
    }
  );
}

function divideTerm(a: Term, b: Term): Term | undefined {
  if (a.coefficient % b.coefficient !== 0) return undefined;
  const atoms = [...a.atoms];
  for (const atom of b.atoms) {
    const at = atoms.findIndex((candidate) => candidate.key === atom.key);
    if (at < 0) return undefined;
    atoms.splice(at, 1);
  }
  return { coefficient: a.coefficient / b.coefficient, atoms };
}

function atomRange(atom: Atom): { low: number; high: number } {
  if (atom.kind === 'symbol') return { low: 0, high: Infinity };
  const a = atom.a!;
  const b = atom.b!;
  switch (atom.kind) {
    case 'min':
      return { low: Math.min(a.lowerBound, b.lowerBound), high: Math.min(a.upperBound, b.upperBound) };
    case 'max':
      return { low: Math.max(a.lowerBound, b.lowerBound), high: Math.max(a.upperBound, b.upperBound) };
    case 'broadcast':
      return { low: Math.min(a.lowerBound, b.lowerBound), high: Math.max(a.upperBound, b.upperBound) };
    case 'mod':
      return b.lowerBound > 0 ? { low: 0, high: Math.max(0, b.upperBound - 1) } : { low: -Infinity, high: Infinity };
    default: {
      const divisor = b.constant;
      if (divisor !== undefined && divisor > 0) {
        const round = atom.kind === 'floordiv' ? Math.floor : Math.ceil;
        return { low: round(a.lowerBound / divisor), high: round(a.upperBound / divisor) };
      }
      return a.lowerBound >= 0 && b.lowerBound >= 0
        ? { low: 0, high: a.upperBound }
        : { low: -Infinity, high: Infinity };
    }
  }
}

/** @internal The value of an atom that is no symbol. @throws RangeError for sizes that cannot be broadcast together */
export function combine(kind: Exclude<AtomKind, 'symbol'>, a: number, b: number): number {
  switch (kind) {
    case 'floordiv':
      return b === 0 ? 0 : Math.floor(a / b);
    case 'ceildiv':
      return b === 0 ? 0 : Math.ceil(a / b);
    case 'mod':
      return b === 0 ? 0 : a - Math.floor(a / b) * b;
    case 'min':
      return Math.min(a, b);
    case 'max':
      return Math.max(a, b);
    case 'broadcast':
      if (a !== b && a !== 1 && b !== 1) throw new RangeError(`sizes ${a} and ${b} cannot be broadcast together`);
      return a === 1 ? b : a;
  }
}

function evaluateAtom(atom: Atom, binding: DimBinding): number {
  if (atom.kind === 'symbol') {
    const value = binding.get(atom.name!);
    if (value === undefined) throw new RangeError(`dim ${atom.name} has no value`);
    return value;
  }
  return combine(atom.kind, atom.a!.evaluate(binding), atom.b!.evaluate(binding));
}

function substituteAtom(atom: Atom, values: ReadonlyMap<string, Dim>): Dim {
  if (atom.kind === 'symbol') return values.get(atom.name!) ?? Dim.symbol(atom.name!);
  const a = atom.a!.substitute(values);
  const b = atom.b!.substitute(values);
  switch (atom.kind) {
    case 'floordiv':
      return a.floorDiv(b);
    case 'ceildiv':
      return a.ceilDiv(b);
    case 'mod':
      return a.mod(b);
    case 'min':
      return a.min(b);
    case 'max':
      return a.max(b);
    case 'broadcast':
      return a.broadcast(b);
  }
}

/** Product of sizes; 1 for none. */
export function productOf(dims: readonly Dim[]): Dim {
  return dims.reduce((product, dim) => product.mul(dim), Dim.constant(1));
}

export function dimsEqual(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim.equals(b[axis]));
}

export function shapeText(shape: readonly DimLike[]): string {
  return `[${shape.map((dim) => Dim.from(dim).toString()).join(', ')}]`;
}
