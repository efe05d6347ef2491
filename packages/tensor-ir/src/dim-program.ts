// Many dims evaluated at once: what they have in common is computed once, and symbols are looked up once. For sizes that
// change from run to run.

import { type Atom, combine, type Dim, type DimBinding } from './dim.ts';

type Operator = Exclude<Atom['kind'], 'symbol'>;

const operators: readonly Operator[] = ['floordiv', 'ceildiv', 'mod', 'min', 'max', 'broadcast'];

const sum = -1;

export class DimProgram {
  readonly #symbols: { readonly name: string; readonly slot: number }[] = [];
  /**
   * What to compute, in order. A sum: −1, its slot, how many terms; for each its coefficient, how many factors, their
   * slots. Others: number of the operator, slot, slots of both operands.
   */
  readonly #code: number[] = [];
  /** Slots of symbols, atoms and dims by their keys. */
  readonly #slots = new Map<string, number>();
  readonly #positions = new Map<string, number>();
  /** For each position its slot. */
  readonly #results: number[] = [];
  #values = new Float64Array(0);

  /** Where `evaluate` puts the value of a dim. Equal dims have one position; positions count from 0. */
  position(dim: Dim): number {
    const known = this.#positions.get(dim.key);
    if (known !== undefined) return known;
    this.#positions.set(dim.key, this.#results.length);
    return this.#results.push(this.#slotOf(dim)) - 1;
  }

  /**
   * The values of all positions.
   * @throws RangeError as `Dim.evaluate` does
   */
  evaluate(binding: DimBinding): Float64Array {
    if (this.#values.length !== this.#slots.size) this.#values = new Float64Array(this.#slots.size);
    const values = this.#values;
    for (const { name, slot } of this.#symbols) {
      const value = binding.get(name);
      if (value === undefined) throw new RangeError(`dim ${name} has no value`);
      values[slot] = value;
    }
    this.#compute(values);
    const results = new Float64Array(this.#results.length);
    for (let at = 0; at < results.length; at++) results[at] = values[this.#results[at]];
    return results;
  }

  #compute(values: Float64Array): void {
    const code = this.#code;
    for (let at = 0; at < code.length; ) {
      const operator = code[at++];
      const slot = code[at++];
      if (operator !== sum) {
        values[slot] = combine(operators[operator], values[code[at]], values[code[at + 1]]);
        at += 2;
        continue;
      }
      let total = 0;
      for (let terms = code[at++]; terms > 0; terms--) {
        let product = code[at++];
        for (let factors = code[at++]; factors > 0; factors--) product *= values[code[at++]];
        total += product;
      }
      values[slot] = total;
    }
  }

  #slotOf(dim: Dim): number {
    const known = this.#slots.get(dim.key);
    if (known !== undefined) return known;
    if (dim.terms.length === 1 && dim.terms[0].coefficient === 1 && dim.terms[0].atoms.length === 1) {
      return this.#slotOfAtom(dim.terms[0].atoms[0]);
    }
    const code: number[] = [];
    for (const { coefficient, atoms } of dim.terms) {
      code.push(coefficient, atoms.length, ...atoms.map((atom) => this.#slotOfAtom(atom)));
    }
    const slot = this.#newSlot(dim.key);
    this.#code.push(sum, slot, dim.terms.length, ...code);
    return slot;
  }

  #slotOfAtom(atom: Atom): number {
    const known = this.#slots.get(atom.key);
    if (known !== undefined) return known;
    if (atom.kind === 'symbol') {
      const slot = this.#newSlot(atom.key);
      this.#symbols.push({ name: atom.name!, slot });
      return slot;
    }
    const operands = [this.#slotOf(atom.a!), this.#slotOf(atom.b!)];
    const slot = this.#newSlot(atom.key);
    this.#code.push(operators.indexOf(atom.kind), slot, ...operands);
    return slot;
  }

  #newSlot(key: string): number {
    const slot = this.#slots.size;
    this.#slots.set(key, slot);
    return slot;
  }
}
