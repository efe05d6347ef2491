// Where computed values live while a function is planned. Planning fills scopes with instructions to be written later, so
// that a value asked for inside a loop can still be placed in front of it.

import type { EmitContext } from '../emit/context.ts';
import type { Local } from '../wasm/function.ts';
import type { ValueType } from '../wasm/types.ts';

/** Writes instructions. As a value: pushes it. As a step: leaves the stack as it was. */
export type Code = (c: EmitContext) => void;

/** Something computed once and used any number of times, in the scope that defined it and the ones inside. */
export class Value {
  readonly type: ValueType;
  readonly #compute: Code;
  readonly isFree: boolean;
  /** A scope computes it. */
  isPlaced = false;
  #local: Local | undefined;
  /** The number, for constants. */
  readonly constant: number | undefined;

  /** @param isFree the code is written again at each use: a constant, or a local that exists anyway */
  constructor(type: ValueType, compute: Code, isFree: boolean, constant?: number) {
    this.type = type;
    this.#compute = compute;
    this.isFree = isFree;
    this.constant = constant;
  }

  /** Called once, where the value is defined. */
  define(c: EmitContext): void {
    if (this.isFree) return;
    this.#compute(c);
    this.#local = c.f.local(this.type);
    c.f.set(this.#local);
  }

  push(c: EmitContext): void {
    if (this.isFree) this.#compute(c);
    else if (this.#local) c.f.get(this.#local);
    else throw new Error('a value is used before it is defined');
  }
}

/**
 * - `function`: the whole function;
 * - `before`: in front of a loop, run when the loop runs at least once;
 * - `body`: a loop's body;
 * - `branch`: code that may be skipped.
 */
export type ScopeKind = 'function' | 'before' | 'body' | 'branch';

/** What a value can depend on: counters, variables and buffers, each bound by some scope. */
export type Binder = object;

export class Scope {
  readonly kind: ScopeKind;
  readonly parent: Scope | undefined;
  /** Things whose content is only known, or changes, inside this scope. */
  readonly binders = new Set<Binder>();
  /** For `before`: the loop is known to run, so what it surely evaluates may also be evaluated further out. */
  readonly surelyRuns: boolean;
  readonly #values = new Map<string, Value>();
  readonly #steps: Code[] = [];

  constructor(kind: ScopeKind, parent?: Scope, surelyRuns = false) {
    this.kind = kind;
    this.parent = parent;
    this.surelyRuns = surelyRuns;
  }

  step(code: Code): void {
    this.#steps.push(code);
  }

  define(key: string, value: Value): Value {
    this.#values.set(key, value);
    value.isPlaced = true;
    this.#steps.push((c) => value.define(c));
    return value;
  }

  /** A value of this scope or one around it. */
  find(key: string): Value | undefined {
    for (let scope: Scope | undefined = this; scope; scope = scope.parent) {
      const value = scope.#values.get(key);
      if (value) return value;
    }
    return undefined;
  }

  /**
   * The outermost scope where something that depends on `binders` can be computed.
   * @param isSafe it may be computed even where the program would not do so: it reads no memory and reports no error
   */
  placeFor(binders: ReadonlySet<Binder>, isSafe: boolean): Scope {
    let place: Scope = this;
    for (let scope: Scope = this; scope.parent; scope = scope.parent) {
      for (const binder of scope.binders) if (binders.has(binder)) return place;
      if (!isSafe && (scope.kind === 'branch' || (scope.kind === 'before' && !scope.surelyRuns))) return place;
      place = scope.parent;
    }
    return place;
  }

  /** Writes the steps. Locals stay taken until the enclosing `FunctionBuilder.scope` ends. */
  emit(c: EmitContext): void {
    for (const step of this.#steps) step(c);
  }
}
