// Checks loop programs: what is used is declared, types fit, bounds of unrolled loops are constants.

import { Dim } from './dim.ts';
import type { DType } from './dtype.ts';
import { type Axis, type Expr, rewrite } from './expr.ts';
import { beginOf, endOf, type LoopHeader, type LoopPhase, type Reduction, type Statement } from './loops.ts';
import { printPhase } from './print-loops.ts';
import type { Source } from './stage.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyExpr } from './verify-expr.ts';

export interface VerifyPhaseOptions {
  /** Tensors in memory that the phase may read, and those that it may write (and read). */
  readonly params: readonly TensorRef[];
  readonly outputs: readonly TensorRef[];
}

/** @throws Error that names the first problem and shows the phase */
export function verifyPhase(phase: LoopPhase, { params, outputs }: VerifyPhaseOptions): void {
  const fail = (problem: string): never => {
    throw new Error(`phase ${phase.name}: ${problem}\n${printPhase(phase)}`);
  };
  const scope = new LoopScope(fail, new Set([...params, ...outputs]), new Set(outputs));
  for (const axis of phase.parallel) scope.bind(axis);
  scope.block(phase.body);
}

class LoopScope {
  readonly #fail: (problem: string) => never;
  readonly #memory: ReadonlySet<TensorRef>;
  readonly #writable: ReadonlySet<TensorRef>;
  #axes = new Set<Axis>();
  #registers = new Set<TensorRef>();
  #buffers = new Set<TensorRef>();
  #isInVector = false;
  /** Tensors under the linear shape by which loops address them. */
  readonly #flat = new Map<TensorRef, TensorRef>();

  constructor(fail: (problem: string) => never, memory: ReadonlySet<TensorRef>, writable: ReadonlySet<TensorRef>) {
    this.#fail = fail;
    this.#memory = memory;
    this.#writable = writable;
  }

  bind(axis: Axis): void {
    if (this.#axes.has(axis)) this.#fail(`axis ${axis.name} is bound twice`);
    this.#axes.add(axis);
  }

  block(body: readonly Statement[]): void {
    const [axes, registers, buffers] = [this.#axes, this.#registers, this.#buffers];
    this.#axes = new Set(axes);
    this.#registers = new Set(registers);
    this.#buffers = new Set(buffers);
    for (const statement of body) this.#statement(statement);
    this.#axes = axes;
    this.#registers = registers;
    this.#buffers = buffers;
  }

  #statement(statement: Statement): void {
    switch (statement.kind) {
      case 'block':
        this.block(statement.body);
        break;
      case 'for':
        this.#for(statement.loops, statement.reductions, statement.body);
        break;
      case 'let':
        this.#index(statement.value, `value of ${statement.axis.name}`);
        this.bind(statement.axis);
        break;
      case 'set':
        this.#variable(statement.variable);
        this.#expr(statement.value, `value of ${statement.variable.name}`, statement.variable.dtype);
        break;
      case 'store': {
        const { tensor, offset, value } = statement;
        if (!this.#writable.has(tensor) && !this.#buffers.has(tensor)) this.#fail(`${tensor.name} may not be written`);
        this.#index(offset, `offset in ${tensor.name}`);
        this.#expr(value, `value for ${tensor.name}`, tensor.dtype);
        break;
      }
      case 'if':
        this.#expr(statement.condition, 'condition', 'bool');
        this.block(statement.body);
        break;
      case 'alloc':
        this.#alloc(statement.tensor, statement.scope, statement.initial);
    }
  }

  #for(loops: readonly LoopHeader[], reductions: readonly Reduction[], body: readonly Statement[]): void {
    const [axes, isInVector] = [this.#axes, this.#isInVector];
    this.#axes = new Set(axes);
    for (const [at, loop] of loops.entries()) {
      const { mode, axis } = loop;
      for (const bound of [beginOf(loop), endOf(loop)]) this.#index(bound, `bounds of ${axis.name}`);
      if (mode === 'parallel') this.#fail(`${axis.name} is parallel inside a phase`);
      if (
        mode === 'unroll' &&
        [beginOf(loop), endOf(loop)].some((e) => e.kind !== 'dim' || e.dim.constant === undefined)
      ) {
        this.#fail(`${axis.name} is unrolled, but its bounds are no constants`);
      }
      if (mode === 'vector') {
        if (at < loops.length - 1) this.#fail(`${axis.name} is a vector loop, but not the innermost of its nest`);
        if (this.#isInVector) this.#fail(`${axis.name} is a vector loop inside a vector loop`);
        this.#isInVector = true;
      }
      this.bind(axis);
    }
    for (const reduction of reductions) this.#reduction(reduction);
    this.block(body);
    this.#axes = axes;
    this.#isInVector = isInVector;
  }

  #reduction({ variable, op, value, arg }: Reduction): void {
    const isArg = op === 'argmax' || op === 'argmin';
    if (isArg !== (arg !== undefined)) this.#fail(`${op} of ${variable.name} ${isArg ? 'needs' : 'has no'} position`);
    this.#variable(variable);
    if (!arg) {
      this.#expr(value, `value of ${variable.name}`, variable.dtype);
      return;
    }
    this.#variable(arg.best);
    this.#expr(value, `value of ${arg.best.name}`, arg.best.dtype);
    this.#expr(arg.position, `position of ${variable.name}`, 'int32');
    if (variable.dtype !== 'int32') this.#fail(`position ${variable.name} is ${variable.dtype}`);
  }

  #alloc(tensor: TensorRef, scope: 'register' | 'row', initial: Expr | undefined): void {
    if (tensor.shape.length !== (scope === 'register' ? 0 : 1)) this.#fail(`${tensor.name} has the wrong rank`);
    if (scope === 'row' && initial) this.#fail(`buffer ${tensor.name} has a first value`);
    if (initial) this.#expr(initial, `first value of ${tensor.name}`, tensor.dtype);
    (scope === 'register' ? this.#registers : this.#buffers).add(tensor);
  }

  #variable(variable: TensorRef): void {
    if (!this.#registers.has(variable)) this.#fail(`variable ${variable.name} is not declared`);
  }

  #index(e: Expr, what: string): void {
    this.#expr(e, what, 'index');
  }

  #expr(e: Expr, what: string, type: DType | 'index'): void {
    if (e.type !== type) this.#fail(`${what} is ${e.type} instead of ${type}`);
    const sources = new Set<Source>();
    const flat = rewrite(e, (x) => {
      if (x.kind !== 'load') return undefined;
      if (x.source.kind !== 'tensor') return this.#fail(`${what} reads the stage ${x.source.name}`);
      const source = this.#readable(x.source, x.index.length, what);
      sources.add(source);
      return { ...x, source };
    });
    verifyExpr(flat, what, { axes: this.#axes, sources, fail: (at, problem) => this.#fail(`${at}: ${problem}`) });
  }

  #readable(tensor: TensorRef, indices: number, what: string): TensorRef {
    if (indices === 0) {
      if (!this.#registers.has(tensor)) this.#fail(`${what} reads ${tensor.name}, which is no variable here`);
      return tensor;
    }
    if (!this.#memory.has(tensor) && !this.#buffers.has(tensor))
      this.#fail(`${what} reads ${tensor.name}, which is not there`);
    let flat = this.#flat.get(tensor);
    if (!flat) {
      // Of unknown size: the loop around may run over a part of its axis only.
      flat = newTensorRef(tensor.name, tensor.dtype, [Dim.symbol(`size of ${tensor.name}`)]);
      this.#flat.set(tensor, flat);
    }
    return flat;
  }
}
