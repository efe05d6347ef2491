// Tensor expressions as plain JavaScript: a function for each node, which calls those of its operands. No text is compiled,
// so that it works where `eval` and `new Function` are forbidden. What each operation means comes with @onnx-ts/tensor-ir.

import {
  type Axis,
  binaryFunction,
  bitcastFunction,
  castFunction,
  childrenOf,
  compareFunction,
  constantValue,
  type Dim,
  type DimBinding,
  type Expr,
  readAt,
  type ScalarValue,
  type Source,
  type TensorBuffer,
  testFunction,
  unaryFunction,
} from '@onnx-ts/tensor-ir';
import type { Point } from './loop-nest.ts';

type Value<T = ScalarValue> = () => T;
type Unary = (x: ScalarValue) => ScalarValue;
type Binary = (a: ScalarValue, b: ScalarValue) => ScalarValue;

/** What expressions of a stage are compiled for. */
export interface Scope {
  readonly point: Point;
  readonly dims: DimBinding;
  bufferOf(source: Source): TensorBuffer;
  /** Called for an index that was read from data and is out of range. */
  outOfRange(origin: unknown): never;
}

export class ExpressionCompiler {
  readonly #scope: Scope;
  readonly #values = new Map<Expr, Value>();
  readonly #uses = new Map<Expr, number>();

  /** @param roots all that `compile` will be asked for: what they share is computed once for each point */
  constructor(scope: Scope, roots: readonly Expr[]) {
    this.#scope = scope;
    for (const root of roots) this.#count(root);
  }

  compile(e: Expr): Value {
    let value = this.#values.get(e);
    if (!value) {
      value = this.#remembered(e, this.#valueOf(e));
      this.#values.set(e, value);
    }
    return value;
  }

  /** Position of an element in a tensor of row-major order. */
  offset(index: readonly Expr[], dims: readonly number[]): Value<number> {
    let fixed = 0;
    let stride = 1;
    const terms: { readonly at: Value<number>; readonly stride: number }[] = [];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const e = index[axis];
      if (e.kind === 'dim') fixed += this.#size(e.dim) * stride;
      else terms.push({ at: this.compile(e) as Value<number>, stride });
      stride *= dims[axis];
    }
    const [first, second] = terms;
    if (!first) return () => fixed;
    if (!second) return () => fixed + first.at() * first.stride;
    if (terms.length === 2) return () => fixed + first.at() * first.stride + second.at() * second.stride;
    return () => {
      let sum = fixed;
      for (const term of terms) sum += term.at() * term.stride;
      return sum;
    };
  }

  #count(e: Expr): void {
    const uses = (this.#uses.get(e) ?? 0) + 1;
    this.#uses.set(e, uses);
    if (uses === 1) for (const child of childrenOf(e)) this.#count(child);
  }

  /** What is used twice is computed once a point. */
  #remembered(e: Expr, value: Value): Value {
    if (this.#uses.get(e) === 1 || e.kind === 'axis' || e.kind === 'const' || e.kind === 'dim') return value;
    const { point } = this.#scope;
    let turn = -1;
    let last: ScalarValue = 0;
    return () => {
      if (turn !== point.turn) {
        last = value();
        turn = point.turn;
      }
      return last;
    };
  }

  #size(dim: Dim): number {
    return dim.evaluate(this.#scope.dims);
  }

  #valueOf(e: Expr): Value {
    switch (e.kind) {
      case 'const': {
        const value = constantValue(e.type, e.value);
        return () => value;
      }
      case 'dim': {
        const size = this.#size(e.dim);
        return () => size;
      }
      case 'axis':
        return this.#axis(e.axis);
      case 'load':
        return this.#load(e);
      case 'unary':
        return this.#applied(unaryFunction(e.op, e.type) as Unary, e.x);
      case 'test':
        return this.#applied(testFunction(e.op) as Unary, e.x);
      case 'cast':
        return this.#applied(castFunction(e.x.type, e.type, e.saturate) as Unary, e.x);
      case 'bitcast':
        return this.#applied(bitcastFunction(e.x.type, e.type) as Unary, e.x);
      case 'binary':
        return this.#appliedToTwo(binaryFunction(e.op, e.type) as Binary, e.a, e.b);
      case 'compare':
        return this.#appliedToTwo(compareFunction(e.op, e.a.type) as Binary, e.a, e.b);
      case 'select': {
        const [condition, yes, no] = [e.condition, e.whenTrue, e.whenFalse].map((part) => this.compile(part));
        return () => (condition() ? yes() : no());
      }
      case 'bounded':
        return this.#bounded(e);
    }
  }

  #axis(axis: Axis): Value {
    return this.#scope.point.reader(axis);
  }

  #applied(f: Unary, operand: Expr): Value {
    const x = this.compile(operand);
    return () => f(x());
  }

  #appliedToTwo(f: Binary, left: Expr, right: Expr): Value {
    const [a, b] = [this.compile(left), this.compile(right)];
    return () => f(a(), b());
  }

  #load(e: Extract<Expr, { kind: 'load' }>): Value {
    const buffer = this.#scope.bufferOf(e.source);
    const read = readAt(buffer, this.offset(e.index, buffer.dims));
    if (!e.guard || !e.fill) return read;
    const [guard, fill] = [this.compile(e.guard), this.compile(e.fill)];
    return () => (guard() ? read() : fill());
  }

  #bounded(e: Extract<Expr, { kind: 'bounded' }>): Value {
    const [size, x] = [this.#size(e.size), this.compile(e.x)];
    return () => {
      const given = Number(x());
      const at = e.negative && given < 0 ? given + size : given;
      return at >= 0 && at < size ? at : this.#scope.outOfRange(e.origin);
    };
  }
}
