// Text of expressions: infix, with as few parentheses as possible, and large shared parts named once.

import type { Dim } from './dim.ts';
import type { ExprType } from './dtype.ts';
import { type Axis, type BinaryOp, type CompareOp, childrenOf, type Expr } from './expr.ts';
import { ExprNumbering } from './expr-number.ts';
import type { Source } from './stage.ts';

/** What to call things in text. */
export interface Naming {
  axis(axis: Axis): string;
  source(source: Source): string;
  dim(dim: Dim): Dim;
  /** Adds the type to each constant, so that the text alone says it. */
  readonly typedConstants: boolean;
  /** What a constant is called where its value does not matter; absent or undefined: the value is written. */
  constant?(type: ExprType, value: number | bigint): string | undefined;
}

/** An expression printed with the definitions that it needs first. */
export interface PrintedExprs {
  readonly texts: readonly string[];
  /** `name = text`, each using only earlier ones. */
  readonly definitions: readonly string[];
}

/** Shared parts of more nodes than this are printed once and named. */
const largestRepeat = 8;

const binarySigns: Readonly<Partial<Record<BinaryOp, readonly [sign: string, precedence: number]>>> = {
  mul: ['*', 12],
  div: ['/', 12],
  mod: ['%', 12],
  add: ['+', 11],
  sub: ['-', 11],
  shl: ['<<', 10],
  shr: ['>>', 10],
  and: ['&', 8],
  xor: ['^', 7],
  or: ['|', 6],
};

const compareSigns: Readonly<Record<CompareOp, string>> = { eq: '==', ne: '!=', lt: '<', le: '<=', gt: '>', ge: '>=' };

const comparePrecedence = 9;
const conditionalPrecedence = 3;
const unaryPrecedence = 14;
const primary = 20;

interface Text {
  readonly text: string;
  readonly precedence: number;
}

const atom = (text: string): Text => ({ text, precedence: primary });

/** A number in full: equal texts mean equal values. */
export function numberText(value: number | bigint): string {
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

/** Text of a stage's expressions, which may share parts. */
export function printExprs(roots: readonly Expr[], naming: Naming): PrintedExprs {
  const printer = new ExprPrinter(roots, naming);
  const texts = roots.map((root) => printer.print(root));
  return { texts, definitions: printer.definitions };
}

class ExprPrinter {
  readonly definitions: string[] = [];
  readonly #naming: Naming;
  readonly #numbering = new ExprNumbering();
  readonly #uses = new Map<number, number>();
  readonly #sizes = new Map<number, number>();
  readonly #texts = new Map<number, Text>();

  constructor(roots: readonly Expr[], naming: Naming) {
    this.#naming = naming;
    for (const root of roots) this.#count(root);
  }

  print(root: Expr): string {
    return this.#text(root).text;
  }

  #count(e: Expr): number {
    const number = this.#numbering.of(e);
    const uses = (this.#uses.get(number) ?? 0) + 1;
    this.#uses.set(number, uses);
    if (uses === 1) {
      let size = 1;
      for (const child of childrenOf(e)) size += this.#count(child);
      this.#sizes.set(number, size);
    }
    return this.#sizes.get(number)!;
  }

  #text(e: Expr): Text {
    const number = this.#numbering.of(e);
    const before = this.#texts.get(number);
    if (before) return before;
    let text = this.#print(e);
    if (this.#uses.get(number)! > 1 && this.#sizes.get(number)! > largestRepeat) {
      const name = `$${this.definitions.length}`;
      this.definitions.push(`${name} = ${text.text}`);
      text = atom(name);
    }
    this.#texts.set(number, text);
    return text;
  }

  /** Text as an operand, in parentheses when it binds less tightly than asked for. */
  #operand(e: Expr, precedence: number): string {
    const text = this.#text(e);
    return text.precedence < precedence ? `(${text.text})` : text.text;
  }

  #list(items: readonly Expr[]): string {
    return items.map((item) => this.#text(item).text).join(', ');
  }

  #print(e: Expr): Text {
    switch (e.kind) {
      case 'const': {
        const name = this.#naming.constant?.(e.type, e.value);
        if (name !== undefined) return atom(name);
        const value = e.type === 'bool' ? String(Boolean(e.value)) : numberText(e.value);
        if (this.#naming.typedConstants) return atom(`${value}:${e.type}`);
        return { text: value, precedence: value.startsWith('-') ? unaryPrecedence : primary };
      }
      case 'dim':
        return dimText(this.#naming.dim(e.dim));
      case 'axis':
        return atom(this.#naming.axis(e.axis));
      case 'load': {
        const guard = e.guard ? ` when ${this.#text(e.guard).text} else ${this.#text(e.fill!).text}` : '';
        return atom(`${this.#naming.source(e.source)}[${this.#list(e.index)}${guard}]`);
      }
      case 'unary':
        if (e.op === 'neg') return { text: `-${this.#operand(e.x, unaryPrecedence + 1)}`, precedence: unaryPrecedence };
        if (e.op === 'not') return { text: `!${this.#operand(e.x, unaryPrecedence)}`, precedence: unaryPrecedence };
        return atom(`${e.op}(${this.#list([e.x])})`);
      case 'test':
        return atom(`${e.op}(${this.#list([e.x])})`);
      case 'binary':
        return this.#binary(e);
      case 'compare': {
        const a = this.#operand(e.a, comparePrecedence + 1);
        const b = this.#operand(e.b, comparePrecedence + 1);
        return { text: `${a} ${compareSigns[e.op]} ${b}`, precedence: comparePrecedence };
      }
      case 'select': {
        const condition = this.#operand(e.condition, conditionalPrecedence + 1);
        const whenTrue = this.#operand(e.whenTrue, conditionalPrecedence + 1);
        const whenFalse = this.#operand(e.whenFalse, conditionalPrecedence);
        return { text: `${condition} ? ${whenTrue} : ${whenFalse}`, precedence: conditionalPrecedence };
      }
      case 'cast':
        return atom(`${e.saturate ? 'saturate.' : ''}${e.type}(${this.#list([e.x])})`);
      case 'bitcast':
        return atom(`bitcast.${e.type}(${this.#list([e.x])})`);
      case 'bounded': {
        const size = this.#naming.dim(e.size).toString();
        return atom(`${e.negative ? 'bounded' : 'bounded.nonnegative'}(${this.#list([e.x])}, ${size})`);
      }
    }
  }

  #binary(e: Extract<Expr, { kind: 'binary' }>): Text {
    const sign = binarySigns[e.op];
    if (!sign) return atom(`${e.op}(${this.#list([e.a, e.b])})`);
    // Chains of one associative sign read left to right; every other mixture on the right gets parentheses.
    const [text, precedence] = sign;
    const shown = e.type === 'bool' && (text === '&' || text === '|') ? text + text : text;
    return { text: `${this.#operand(e.a, precedence)} ${shown} ${this.#operand(e.b, precedence + 1)}`, precedence };
  }
}

function dimText(dim: Dim): Text {
  const text = dim.toString();
  if (dim.terms.length > 1) return { text, precedence: 11 };
  if (dim.constant !== undefined) return { text, precedence: dim.constant < 0 ? unaryPrecedence : primary };
  const [term] = dim.terms;
  return { text, precedence: term.coefficient === 1 && term.atoms.length === 1 ? primary : 12 };
}
