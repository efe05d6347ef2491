// State of planning one function: the scopes being filled, the loops around the current point, and the local storage.

import {
  type Axis,
  childrenOf,
  Dim,
  type Expr,
  type IndexAnalysis,
  type Stage,
  substituteAxes,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import type { EmitContext } from '../emit/context.ts';
import type { Lanes } from '../emit/value-type.ts';
import type { Local } from '../wasm/function.ts';
import type { ArgumentWords } from './argument-words.ts';
import { type Binder, type Code, Scope, Value } from './scope.ts';

/** A local that starts as `initial` and grows by `step` with each step of the loop's axis. */
export interface Induction {
  readonly initial: Value;
  readonly step: Value;
  readonly stepConstant: number | undefined;
  readonly value: Value;
  local: Local | undefined;
}

/** A loop around the current point. */
export interface LoopFrame {
  readonly axis: Axis;
  readonly depth: number;
  /** Absent for the axes of the tile loop, which have counters of their own and no inductions. */
  readonly loop?: { readonly before: Scope; readonly begin: Value; readonly inductions: Map<string, Induction> };
  /** The counter of a tile loop. */
  readonly counter?: Value;
}

/** The vector loop around the current point. There is at most one. */
export interface VectorFrame {
  readonly axis: Axis;
  readonly lanes: Lanes;
  /** Vectors processed side by side in the code being planned. */
  copies: number;
  /** Only the first lane of one vector holds an element. */
  partial: boolean;
  /** The axis, and the variables and buffers that each lane has for itself. */
  readonly binders: Set<Binder>;
}

/** Which element of a vector loop's step is meant. */
export interface Position {
  readonly copy: number;
  readonly lane: number;
}

/** Variable as one scalar, or as one vector for each copy. */
export interface RegisterStorage {
  readonly tensor: TensorRef;
  readonly isVector: boolean;
  /** Assigned while code is written. */
  locals: Local[];
}

/** Row buffer: its place in the scratch memory. Per-lane buffers interleave the positions of a vector loop's step. */
export interface BufferStorage {
  readonly address: Value;
  readonly isPerLane: boolean;
}

export interface ErrorReporter {
  /** Stack: site number (i32) → nothing. */
  report(c: EmitContext): void;
}

export interface PlanOptions {
  readonly analysis: IndexAnalysis;
  readonly words: ArgumentWords;
  readonly reporter: ErrorReporter;
  readonly errorSites: ErrorSite[];
  /** What is computed, for error sites. */
  readonly stage?: Stage;
  /** Tensors and buffers that the phase writes: what is read from them depends on when. */
  readonly written: ReadonlySet<TensorRef>;
}

/** Where a kernel can find out that data is wrong. */
export interface ErrorSite {
  readonly kind: 'index-out-of-range';
  /** Name of the stage that found it. */
  readonly stage: string;
  /** Of that stage: the ONNX node. */
  readonly origin?: unknown;
}

export class Plan {
  readonly analysis: IndexAnalysis;
  readonly words: ArgumentWords;
  readonly options: PlanOptions;
  readonly root = new Scope('function');
  scope: Scope = this.root;
  readonly frames: LoopFrame[] = [];
  vector: VectorFrame | undefined;
  /** The most copies of any variant of the current vector loop. */
  widestCopies = 1;
  readonly registers = new Map<TensorRef, RegisterStorage>();
  readonly buffers = new Map<TensorRef, BufferStorage>();
  /** Bytes of scratch memory in use at the current point, and the most ever used. */
  scratchUsed = Dim.constant(0);
  scratchBytes = Dim.constant(0);
  /** Values of unrolled axes and of axes bound by `let`. */
  bound = new Map<Axis, Expr>();
  readonly #resolved = new Map<string, Map<Expr, Expr>>();
  readonly #versions = new Map<Binder, number>();
  readonly #binders = new Map<number, ReadonlySet<Binder>>();
  readonly #unsafe = new Map<number, boolean>();

  constructor(options: PlanOptions) {
    this.options = options;
    this.analysis = options.analysis;
    this.words = options.words;
  }

  /** The expression with bound axes replaced and indices simplified. */
  resolve(e: Expr): Expr {
    if (this.bound.size === 0) return e;
    // Bodies are planned several times with the same numbers for unrolled axes.
    const key = [...this.bound].map(([axis, value]) => `${axis.id}=${this.analysis.numbers.of(value)}`).join(' ');
    let known = this.#resolved.get(key);
    if (!known) {
      known = new Map();
      this.#resolved.set(key, known);
    }
    let resolved = known.get(e);
    if (!resolved) {
      resolved = this.analysis.simplify(substituteAxes(e, this.bound));
      known.set(e, resolved);
    }
    return resolved;
  }

  keyOf(e: Expr): string {
    let key = String(this.analysis.numbers.of(e));
    for (const binder of this.bindersOf(e)) {
      const version = this.#versions.get(binder);
      if (version !== undefined) key += `@${version}`;
    }
    return key;
  }

  /** Counters, variables and changing memory that an expression depends on. */
  bindersOf(e: Expr): ReadonlySet<Binder> {
    const number = this.analysis.numbers.of(e);
    const known = this.#binders.get(number);
    if (known) return known;
    const found = new Set<Binder>();
    if (e.kind === 'axis') found.add(e.axis);
    if (e.kind === 'load' && (e.index.length === 0 || this.options.written.has(e.source as TensorRef)))
      found.add(e.source);
    for (const child of childrenOf(e)) for (const binder of this.bindersOf(child)) found.add(binder);
    this.#binders.set(number, found);
    return found;
  }

  /** True for what reads memory or reports errors: it must not be evaluated where the program does not. */
  isUnsafe(e: Expr): boolean {
    const number = this.analysis.numbers.of(e);
    const known = this.#unsafe.get(number);
    if (known !== undefined) return known;
    const isRead = e.kind === 'load' && e.index.length > 0;
    const unsafe = isRead || e.kind === 'bounded' || childrenOf(e).some((child) => this.isUnsafe(child));
    this.#unsafe.set(number, unsafe);
    return unsafe;
  }

  /** Whether lanes of the current vector loop differ in this expression. */
  varies(e: Expr): boolean {
    return this.vector !== undefined && intersects(this.bindersOf(e), this.vector.binders);
  }

  placeFor(e: Expr): Scope {
    return this.scope.placeFor(this.bindersOf(e), !this.isUnsafe(e));
  }

  /** What was computed from the old content is not used for the new one. */
  changed(binder: Binder): void {
    this.#versions.set(binder, (this.#versions.get(binder) ?? 0) + 1);
  }

  /** Plans in another scope and comes back. */
  within<Result>(scope: Scope, body: () => Result): Result {
    const outer = this.scope;
    this.scope = scope;
    try {
      return body();
    } finally {
      this.scope = outer;
    }
  }

  /** A constant, or a word that the host computed. */
  dim(dim: Dim): Value {
    const { constant } = dim;
    if (constant !== undefined) return constantValue(constant);
    const key = `dim ${dim.key}`;
    return this.root.find(key) ?? this.root.define(key, this.#word(this.words.dim(dim)));
  }

  address(tensor: TensorRef): Value {
    const key = `tensor ${tensor.id}`;
    return this.root.find(key) ?? this.root.define(key, this.#word(this.words.tensor(tensor)));
  }

  site(): Value {
    return this.root.find('site') ?? this.root.define('site', this.#word(this.words.site()));
  }

  #word(index: number): Value {
    const code: Code = ({ f }) => {
      f.get(f.params[0]);
      f.load('i32.load', index * 4);
    };
    return new Value('i32', code, false);
  }
}

function intersects(a: ReadonlySet<Binder>, b: ReadonlySet<Binder>): boolean {
  for (const binder of a) if (b.has(binder)) return true;
  return false;
}

export function constantValue(value: number): Value {
  return new Value('i32', ({ f }) => f.i32Const(value), true, value);
}
