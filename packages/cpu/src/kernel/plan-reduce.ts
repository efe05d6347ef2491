// Plans the reductions of a loop nest.

import {
  add,
  and,
  type BinaryOp,
  binary,
  compare,
  type Expr,
  type ForStatement,
  identityOf,
  isFloat,
  isNaN as isNaNExpr,
  not,
  or,
  type Reduction,
  type ReduceOp,
  select,
  valueOf,
} from '@onnx-ts/tensor-ir';
import { emitBinaryScalar } from '../emit/scalar-ops.ts';
import { emitBinary, emitConst } from '../emit/vector-ops.ts';
import type { Local } from '../wasm/function.ts';
import type { Plan } from './plan.ts';
import { planSet, vectorShape } from './plan-loops.ts';
import { emitExtractScalar } from './plan-scalar.ts';
import { vectorValue } from './plan-vector.ts';
import type { Value } from './scope.ts';

const combining: Readonly<Partial<Record<ReduceOp, BinaryOp>>> = {
  sum: 'add',
  prod: 'mul',
  max: 'max',
  min: 'min',
  and: 'and',
  or: 'or',
};

/**
 * The running results of a nest. Where its innermost loop is a vector loop, lanes and copies have partial results of
 * their own, which are put together behind the nest; elsewhere the variables themselves are updated.
 */
export class Accumulators {
  /** Of the nest's vector loop, if it has one. */
  readonly shape: { readonly lanes: 2 | 4; readonly copies: number } | undefined;
  readonly #plan: Plan;
  readonly #reductions: readonly Reduction[];
  readonly #locals = new Map<Reduction, Local[]>();

  constructor(plan: Plan, reductions: readonly Reduction[], vectorNest: ForStatement | undefined) {
    this.#plan = plan;
    this.#reductions = reductions;
    this.shape = vectorNest && vectorShape(plan, vectorNest);
  }

  open(): void {
    const { shape } = this;
    if (!shape) return;
    this.#plan.scope.step((c) => {
      for (const reduction of this.#reductions) {
        const locals = c.f.locals(shape.copies, 'v128', reduction.variable.name);
        const identity = identityOf(reduction.op, reduction.variable.dtype);
        for (const local of locals) {
          if (identity.kind === 'const') emitConst(c, identity.type, identity.value);
          c.f.set(local);
        }
        this.#locals.set(reduction, locals);
      }
    });
  }

  /** Plans the update, in the innermost body. */
  combine(): void {
    for (const reduction of this.#reductions) {
      if (reduction.arg) this.#updateArg(reduction);
      else if (!this.shape) {
        planSet(this.#plan, reduction.variable, combined(reduction, valueOf(reduction.variable), reduction.value));
      } else this.#updateLanes(reduction);
    }
  }

  #updateLanes(reduction: Reduction): void {
    const plan = this.#plan;
    const { variable } = reduction;
    const op = combining[reduction.op]!;
    const value = plan.resolve(reduction.value);
    const { copies, partial } = plan.vector!;
    if (partial) {
      const storage = plan.registers.get(variable)!;
      const lanes = vectorValue(plan, value, 0);
      plan.scope.step((c) => {
        c.f.get(storage.locals[0]);
        lanes.push(c);
        emitExtractScalar(c, variable.dtype, 0);
        emitBinaryScalar(c, op, variable.dtype);
        c.f.set(storage.locals[0]);
      });
      plan.changed(variable);
      return;
    }
    const values: Value[] = Array.from({ length: copies }, (_, copy) => vectorValue(plan, value, copy));
    plan.scope.step((c) => {
      const locals = this.#locals.get(reduction)!;
      for (const [copy, lanes] of values.entries()) {
        c.f.get(locals[copy]);
        lanes.push(c);
        emitBinary(c, op, variable.dtype);
        c.f.set(locals[copy]);
      }
    });
  }

  #updateArg({ op, value, variable, arg }: Reduction): void {
    const { best, position, selectLast } = arg!;
    const before = valueOf(best);
    const wins = compare(op === 'argmax' ? (selectLast ? 'ge' : 'gt') : selectLast ? 'le' : 'lt', value, before);
    const nan = isNaNExpr(value);
    const better = isFloat(value.type) ? or(and(wins, not(isNaNExpr(before))), selectLast ? nan : and(nan, not(isNaNExpr(before)))) : wins;
    planSet(this.#plan, variable, select(better, position, valueOf(variable)));
    planSet(this.#plan, best, select(better, value, before));
  }

  /** Plans what puts the partial results into the variables, behind the nest. */
  close(): void {
    const plan = this.#plan;
    const { shape } = this;
    if (!shape) return;
    for (const reduction of this.#reductions) {
      const { variable } = reduction;
      const op = combining[reduction.op]!;
      const storage = plan.registers.get(variable)!;
      plan.scope.step((outer) => {
        const c = { ...outer, lanes: shape.lanes };
        const { f } = c;
        const locals = this.#locals.get(reduction)!;
        f.get(locals[0]);
        for (const local of locals.slice(1)) {
          f.get(local);
          emitBinary(c, op, variable.dtype);
        }
        f.scope(() => {
          const total = f.local('v128');
          f.set(total);
          for (let lane = 0; lane < shape.lanes; lane++) {
            f.get(storage.locals[0]);
            f.get(total);
            emitExtractScalar(c, variable.dtype, lane);
            emitBinaryScalar(c, op, variable.dtype);
            f.set(storage.locals[0]);
          }
        });
      });
      plan.changed(variable);
    }
  }
}

function combined({ op }: Reduction, a: Expr, b: Expr): Expr {
  return op === 'sum' ? add(a, b) : binary(combining[op]!, a, b);
}
