// Where computed values live while a function is planned. Planning fills scopes with instructions to be written later, so
// that a value asked for inside a loop can still be placed in front of it.
//
// A planned function is written twice. The draft counts how often each value is used and where; the final writing leaves
// out what nobody uses and computes what is used once right there, on the stack.

import type { EmitContext } from '../emit/context.ts';
import type { Local } from '../wasm/function.ts';
import type { ValueType } from '../wasm/types.ts';

export interface WriteContext extends EmitContext {
  readonly uses: UseTracker;
}

/** Writes instructions. As a value: pushes it. As a step: leaves the stack as it was. */
export type Code = (c: WriteContext) => void;

/** Where writing stands. */
export class UseTracker {
  readonly isDraft: boolean;
  /** Grows with each step that may change memory or variables. */
  changes = 0;
  /** Number of the scope being written; a scope that is written twice gets two numbers. */
  scope = 0;
  #scopes = 0;

  constructor(isDraft: boolean) {
    this.isDraft = isDraft;
  }

  inScope(body: () => void): void {
    const outer = this.scope;
    this.scope = ++this.#scopes;
    body();
    this.scope = outer;
  }
}

/** Something computed once and used any number of times, in the scope that defined it and the ones inside. */
export class Value {
  readonly type: ValueType;
  readonly isFree: boolean;
  /** The number, for constants. */
  readonly constant: number | undefined;
  /** A scope computes it. */
  isPlaced = false;
  readonly #compute: Code;
  #local: Local | undefined;
  /** From the draft: number of uses, and whether the only one can compute the value itself. */
  #uses = 0;
  #canMove = true;
  #scope = 0;
  #changes = 0;

  /** @param isFree the code is written again at each use: a constant, or a local that exists anyway */
  constructor(type: ValueType, compute: Code, isFree: boolean, constant?: number) {
    this.type = type;
    this.#compute = compute;
    this.isFree = isFree;
    this.constant = constant;
  }

  /** Called where the value is placed. */
  define(c: WriteContext): void {
    if (this.isFree) return;
    const { uses } = c;
    if (uses.isDraft) {
      this.#scope = uses.scope;
      this.#changes = uses.changes;
    } else if (this.#uses === 0 || this.#isMoved()) return;
    this.#compute(c);
    this.#local = c.f.local(this.type);
    c.f.set(this.#local);
  }

  push(c: WriteContext): void {
    const { uses } = c;
    if (this.isFree || (!uses.isDraft && this.#isMoved())) {
      this.#compute(c);
      return;
    }
    if (!this.#local) throw new Error('a value is used before it is defined');
    if (uses.isDraft) {
      this.#uses++;
      if (uses.scope !== this.#scope || uses.changes !== this.#changes) this.#canMove = false;
    }
    c.f.get(this.#local);
  }

  #isMoved(): boolean {
    return this.#uses === 1 && this.#canMove;
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
    this.#steps.push((c) => {
      code(c);
      c.uses.changes++;
    });
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
  emit(c: WriteContext): void {
    c.uses.inScope(() => {
      for (const step of this.#steps) step(c);
    });
  }
}
