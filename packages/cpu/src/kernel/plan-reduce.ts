// Plans the reductions of a loop nest.

import {
  and,
  type BinaryOp,
  binary,
  cast,
  compare,
  constant,
  type Expr,
  eq,
  type ForStatement,
  identityOf,
  isFloat,
  isNotANumber as isNaNExpr,
  newRegister,
  not,
  or,
  type ReduceOp,
  type Reduction,
  select,
  type TensorRef,
  variableValue,
} from '@onnx-ts/tensor-ir';
import { combiningOp, emitCombine, emitHorizontal, type LaneReduceOp } from '../emit/reduce-ops.ts';
import { emitBinaryScalar } from '../emit/scalar-ops.ts';
import { scalarOf } from '../emit/value-type.ts';
import { emitBinary, emitConst } from '../emit/vector-ops.ts';
import type { Plan, RegisterStorage } from './plan.ts';
import { planSet, planSetScalar, vectorShape } from './plan-loops.ts';
import { emitExtractScalar, scalarValue } from './plan-scalar.ts';
import { vectorValue } from './plan-vector.ts';
import { Value, type WriteContext } from './scope.ts';

/**
 * The running results of a nest. Where its innermost loop is a vector loop, lanes and copies have partial results of
 * their own, which are put together behind the nest; elsewhere the variables themselves are updated.
 */
export class Accumulators {
  /** Of the nest's vector loop, if it has one. */
  readonly shape: VectorShape | undefined;
  readonly #plan: Plan;
  readonly #reductions: readonly Reduction[];
  readonly #partial = new Map<Reduction, Partial>();

  constructor(plan: Plan, reductions: readonly Reduction[], vectorNest: ForStatement | undefined) {
    this.#plan = plan;
    this.#reductions = reductions;
    this.shape = vectorNest && vectorShape(plan, vectorNest);
  }

  open(): void {
    const { shape } = this;
    if (!shape) return;
    for (const reduction of this.#reductions) {
      const { op, variable, arg } = reduction;
      const partial: Partial = {
        result: laneRegister(newRegister(`${variable.name} lanes`, arg ? 'int32' : variable.dtype)),
        ...(arg && { best: laneRegister(newRegister(`${arg.best.name} lanes`, arg.best.dtype)) }),
      };
      this.#partial.set(reduction, partial);
      this.#plan.scope.step((c) => {
        if (arg) {
          fill(c, partial.best!, identityOf(op, arg.best.dtype), shape.copies);
          fill(c, partial.result, constant('int32', 0), shape.copies);
        } else fill(c, partial.result, identityOf(op, variable.dtype), shape.copies);
      });
    }
  }

  /** Plans the update, in the innermost body. */
  combine(): void {
    const plan = this.#plan;
    for (const reduction of this.#reductions) {
      const { variable, value, arg } = reduction;
      const partial = this.#partial.get(reduction);
      if (!partial) {
        if (arg) this.#updateArg(reduction, value, arg.position, variable, arg.best);
        else planSet(plan, variable, updateOf(reduction));
      } else if (plan.vector!.partial) this.#updateFromFirstLane(reduction);
      else {
        if (arg) {
          this.#bind(partial);
          const position = cast('int32', indexOf(arg.position));
          this.#updateArg(reduction, value, position, partial.result.tensor, partial.best!.tensor);
        } else this.#updateLanes(reduction, partial.result);
      }
    }
  }

  #bind({ result, best }: Partial): void {
    for (const storage of best ? [result, best] : [result]) {
      this.#plan.registers.set(storage.tensor, storage);
      this.#plan.vector!.binders.add(storage.tensor);
      this.#plan.scope.binders.add(storage.tensor);
      this.#plan.changed(storage.tensor);
    }
  }

  #updateLanes(reduction: Reduction, storage: RegisterStorage): void {
    const plan = this.#plan;
    const op = combiningOf(reduction);
    const value = plan.resolve(reduction.value);
    const { copies } = plan.vector!;
    const values = Array.from({ length: copies }, (_, copy) => vectorValue(plan, value, copy));
    plan.scope.step((c) => {
      for (const [copy, lanes] of values.entries()) {
        c.f.get(storage.locals[copy]);
        lanes.push(c);
        emitBinary(c, op, reduction.variable.dtype);
        c.f.set(storage.locals[copy]);
      }
    });
  }

  /** In the rest of a vector loop only the first lane counts: it goes straight into the variables. */
  #updateFromFirstLane(reduction: Reduction): void {
    const plan = this.#plan;
    const { variable, arg } = reduction;
    const value = plan.resolve(reduction.value);
    const element = newRegister('element', arg ? arg.best.dtype : variable.dtype);
    this.#declareScalar(element, vectorValue(plan, value, 0), 0);
    if (!arg) {
      planSetScalar(plan, variable, binary(combiningOf(reduction), variableValue(variable), variableValue(element)));
      return;
    }
    const position = newRegister('position', 'int64');
    const at = scalarValue(plan, plan.resolve(arg.position), { copy: 0, lane: 0 });
    this.#declareScalar(position, at);
    this.#updateArg(reduction, variableValue(element), variableValue(position), variable, arg.best, planSetScalar);
  }

  /** A scalar variable with the content of a value, or of one lane of it. */
  #declareScalar(tensor: TensorRef, value: Value, lane?: number): void {
    const plan = this.#plan;
    const storage: RegisterStorage = { tensor, isVector: false, locals: [] };
    plan.registers.set(tensor, storage);
    plan.scope.binders.add(tensor);
    plan.scope.step((c) => {
      storage.locals = [c.f.local(scalarOf(tensor.dtype), tensor.name)];
      value.push(c);
      if (lane !== undefined) emitExtractScalar(c, tensor.dtype, lane);
      c.f.set(storage.locals[0]);
    });
    plan.changed(tensor);
  }

  #updateArg(
    { op, arg }: Reduction,
    value: Expr,
    position: Expr,
    result: TensorRef,
    best: TensorRef,
    assign: typeof planSet = planSet,
  ): void {
    const better = isBetter(op, value, variableValue(best), arg!.selectLast);
    assign(this.#plan, result, select(better, position, variableValue(result)));
    assign(this.#plan, best, select(better, value, variableValue(best)));
  }

  /** Plans what puts the partial results into the variables, behind the nest. */
  close(): void {
    const plan = this.#plan;
    const { shape } = this;
    if (!shape) return;
    for (const [reduction, partial] of this.#partial) {
      if (reduction.arg) this.#closeArg(reduction, partial, shape);
      else this.#closeLanes(reduction, partial.result, shape);
      plan.changed(reduction.variable);
    }
  }

  #closeLanes({ op, variable }: Reduction, partial: RegisterStorage, shape: VectorShape): void {
    const target = this.#plan.registers.get(variable)!;
    this.#plan.scope.step((outer) => {
      const c = { ...outer, lanes: shape.lanes };
      const { f } = c;
      f.get(target.locals[0]);
      f.get(partial.locals[0]);
      for (const local of partial.locals.slice(1)) {
        f.get(local);
        emitCombine(c, op as LaneReduceOp, variable.dtype);
      }
      emitHorizontal(c, op as LaneReduceOp, variable.dtype);
      emitBinaryScalar(c, combiningOp(op as LaneReduceOp), variable.dtype);
      f.set(target.locals[0]);
    });
  }

  /** Lanes of equal values: the position decides, since lanes were not met in order. */
  #closeArg({ op, variable, arg }: Reduction, partial: Partial, shape: VectorShape): void {
    const plan = this.#plan;
    const { best, selectLast } = arg!;
    for (let copy = 0; copy < shape.copies; copy++) {
      for (let lane = 0; lane < shape.lanes; lane++) {
        const value = newRegister('lane', best.dtype);
        const place = newRegister('place', 'int32');
        this.#declareScalar(value, laneOf(partial.best!, copy), lane);
        this.#declareScalar(place, laneOf(partial.result, copy), lane);
        const position = cast('int64', variableValue(place));
        const [a, b] = [variableValue(value), variableValue(best)];
        const closer = compare(selectLast ? 'gt' : 'lt', position, variableValue(variable));
        const isTie = isFloat(a.type) ? or(eq(a, b), and(isNaNExpr(a), isNaNExpr(b))) : eq(a, b);
        const better = or(isBetter(op, a, b, false), and(isTie, closer));
        planSet(plan, variable, select(better, position, variableValue(variable)));
        planSet(plan, best, select(better, a, b));
      }
    }
  }
}

interface VectorShape {
  readonly lanes: 2 | 4;
  readonly copies: number;
}

/** Results of lanes and copies: of the reduction, or (argmax) of the positions in 32 bits and of the values. */
interface Partial {
  readonly result: RegisterStorage;
  readonly best?: RegisterStorage;
}

function laneRegister(tensor: TensorRef): RegisterStorage {
  return { tensor, isVector: true, locals: [] };
}

function laneOf(storage: RegisterStorage, copy: number): Value {
  return new Value('v128', ({ f }) => f.get(storage.locals[copy]), true);
}

function fill(c: WriteContext, storage: RegisterStorage, identity: Expr, copies: number): void {
  storage.locals = c.f.locals(copies, 'v128', storage.tensor.name);
  for (const local of storage.locals) {
    if (identity.kind === 'const') emitConst(c, identity.type, identity.value);
    c.f.set(local);
  }
}

/** Whether a value met later replaces the best so far. NaN wins over everything but an earlier NaN. */
function isBetter(op: ReduceOp, value: Expr, best: Expr, selectLast: boolean): Expr {
  const wins = compare(op === 'argmax' ? (selectLast ? 'ge' : 'gt') : selectLast ? 'le' : 'lt', value, best);
  if (!isFloat(value.type)) return wins;
  const nan = isNaNExpr(value);
  // A comparison with NaN is false: once the best is NaN, only NaN can replace it.
  return or(wins, selectLast ? nan : and(nan, not(isNaNExpr(best))));
}

/** The index behind a position. */
function indexOf(position: Expr): Expr {
  return position.kind === 'cast' && position.x.type === 'index' ? position.x : position;
}

const updates = new WeakMap<Reduction, Expr>();

/** The variable's next value: the same expression each time, so that what is found out about it is found again. */
function updateOf(reduction: Reduction): Expr {
  let update = updates.get(reduction);
  if (!update) {
    update = binary(combiningOf(reduction), variableValue(reduction.variable), reduction.value);
    updates.set(reduction, update);
  }
  return update;
}

function combiningOf({ op }: Reduction): BinaryOp {
  return combiningOp(op as LaneReduceOp);
}
