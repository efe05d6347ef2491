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
import { combiningOp, emitHorizontal, type LaneReduceOp } from '../emit/reduce-ops.ts';
import { emitBinaryScalar } from '../emit/scalar-ops.ts';
import { scalarOf } from '../emit/value-type.ts';
import { emitBinary, emitConst } from '../emit/vector-ops.ts';
import type { Local } from '../wasm/function.ts';
import type { Plan, RegisterStorage } from './plan.ts';
import { planSet, planSetScalar, scratchPlace, vectorShape } from './plan-loops.ts';
import { emitExtractScalar, scalarValue } from './plan-scalar.ts';
import { vectorValue } from './plan-vector.ts';
import { Value, type WriteContext } from './scope.ts';

/**
 * The running results of a nest. Where its innermost loop is a vector loop, lanes have partial results of their own, which
 * are put together behind the nest; elsewhere the variables themselves are updated. Vectors side by side have partial
 * results of their own as well, as long as a loop over them runs. Those end in memory, next to each other: engines that join
 * pairs of vectors begin with pairs that are stored so.
 */
export class Accumulators {
  /** Of the nest's vector loop, if it has one. */
  readonly shape: VectorShape | undefined;
  readonly #plan: Plan;
  readonly #reductions: readonly Reduction[];
  readonly #partial = new Map<Reduction, Partial>();
  readonly #sideBySide = new Map<Reduction, Partial>();

  constructor(plan: Plan, reductions: readonly Reduction[], vectorNest: ForStatement | undefined) {
    this.#plan = plan;
    this.#reductions = reductions;
    this.shape = vectorNest && vectorShape(plan, vectorNest);
  }

  open(): void {
    if (this.shape) this.#declare(this.#partial, 1);
  }

  /** In front of a loop over vectors side by side. */
  openSideBySide(): void {
    this.#declare(this.#sideBySide, this.shape!.copies);
  }

  #declare(partials: Map<Reduction, Partial>, copies: number): void {
    for (const reduction of this.#reductions) {
      const { op, variable, arg } = reduction;
      const skipsNaN = copies > 1 && (op === 'max' || op === 'min') && isFloat(variable.dtype);
      const partial: Partial = {
        result: laneRegister(newRegister(`${variable.name} lanes`, arg ? 'int32' : variable.dtype)),
        ...(arg && { best: laneRegister(newRegister(`${arg.best.name} lanes`, arg.best.dtype)) }),
        ...(skipsNaN && { notNumbers: laneRegister(newRegister('not a number', 'int32')) }),
      };
      partials.set(reduction, partial);
      this.#plan.scope.step((c) => {
        const zero = constant('int32', 0);
        if (arg) {
          fill(c, partial.best!, identityOf(op, arg.best.dtype), copies);
          fill(c, partial.result, zero, copies);
        } else fill(c, partial.result, identityOf(op, variable.dtype), copies);
        if (partial.notNumbers) fill(c, partial.notNumbers, zero, copies);
      });
    }
  }

  /** Plans the update, in the innermost body. */
  combine(): void {
    const plan = this.#plan;
    for (const reduction of this.#reductions) {
      const { variable, value, arg } = reduction;
      const partials = plan.vector && plan.vector.copies > 1 ? this.#sideBySide : this.#partial;
      const partial = partials.get(reduction);
      if (!partial) {
        if (arg) this.#updateArg(reduction, value, arg.position, variable, arg.best);
        else planSet(plan, variable, updateOf(reduction));
      } else if (plan.vector!.partial) this.#updateFromFirstLane(reduction);
      else if (!arg) this.#updateLanes(reduction, partial);
      else {
        this.#bind(partial);
        const { result, best } = partial;
        this.#updateArg(reduction, value, this.#positions(arg.position), result.tensor, best!.tensor);
      }
    }
  }

  #bind({ result, best }: Partial): void {
    for (const storage of best ? [result, best] : [result]) this.#bindLanes(storage);
  }

  #bindLanes(storage: RegisterStorage): void {
    this.#plan.registers.set(storage.tensor, storage);
    this.#plan.vector!.binders.add(storage.tensor);
    this.#plan.scope.binders.add(storage.tensor);
    this.#plan.changed(storage.tensor);
  }

  /**
   * The positions of lanes, as far as lanes keep them: of vectors side by side all lanes keep that of the first one, which
   * is one number for all of them.
   */
  #positions(position: Expr): Expr {
    const plan = this.#plan;
    const index = indexOf(position);
    if (plan.vector!.copies === 1 || this.#stepOf(position) === undefined) return cast('int32', index);
    const first = newRegister('first position', 'int32');
    this.#declareScalar(first, scalarValue(plan, plan.resolve(index), { copy: 0, lane: 0 }));
    return variableValue(first);
  }

  /** How much positions grow from lane to lane; undefined when that is not a fixed number. */
  #stepOf(position: Expr): number | undefined {
    const { analysis, vector } = this.#plan;
    const { terms } = analysis.formOf(this.#plan.resolve(indexOf(position)));
    const varying = terms.filter(({ atom }) => this.#plan.varies(atom));
    const [{ atom, coefficient } = varying[0], ...others] = varying;
    if (!atom || others.length > 0 || atom.kind !== 'axis' || atom.axis !== vector!.axis) return undefined;
    return coefficient.constant;
  }

  #updateLanes(reduction: Reduction, { result, notNumbers }: Partial): void {
    const plan = this.#plan;
    const value = plan.resolve(reduction.value);
    const values = Array.from({ length: plan.vector!.copies }, (_, copy) => vectorValue(plan, value, copy));
    plan.scope.step((c) => {
      for (const [copy, lanes] of values.entries()) {
        const best = result.locals[copy];
        if (notNumbers) emitPassOver(c, reduction, lanes, best, notNumbers.locals[copy]);
        else {
          c.f.get(best);
          lanes.push(c);
          emitBinary(c, combiningOf(reduction), reduction.variable.dtype);
          c.f.set(best);
        }
      }
    });
  }

  /** Behind a loop over vectors side by side: puts their results into those of single vectors. */
  closeSideBySide(): void {
    for (const [reduction, partial] of this.#sideBySide) {
      const target = this.#partial.get(reduction)!;
      const stored = this.#store(partial);
      if (reduction.arg) this.#mergeArgs(reduction, target, stored);
      else this.#mergeLanes(reduction, target.result, stored);
    }
  }

  /** @returns what pushes the vectors of a copy again */
  #store({ result, best, notNumbers }: Partial): StoredPartial {
    const { copies } = this.shape!;
    const groups = [result, best ?? notNumbers].filter((storage) => storage !== undefined);
    const place = scratchPlace(this.#plan, groups.length * copies * vectorBytes);
    this.#plan.scope.step((c) => {
      for (const [at, { locals }] of groups.entries()) {
        for (const [copy, local] of locals.entries()) {
          place.push(c);
          c.f.get(local);
          c.f.store('v128.store', (at * copies + copy) * vectorBytes, 4);
        }
      }
    });
    const load =
      (at: number) =>
      (c: WriteContext, copy: number): void => {
        place.push(c);
        c.f.load('v128.load', (at * copies + copy) * vectorBytes, 4);
      };
    return { result: load(0), ...(best && { best: load(1) }), ...(notNumbers && { notNumbers: load(1) }) };
  }

  #mergeLanes(reduction: Reduction, target: RegisterStorage, stored: StoredPartial): void {
    const { copies } = this.shape!;
    this.#plan.scope.step((c) => {
      const [sum] = target.locals;
      for (let copy = 0; copy < copies; copy++) {
        c.f.get(sum);
        stored.result(c, copy);
        if (stored.notNumbers) {
          stored.notNumbers(c, copy);
          c.f.op('v128.or');
        }
        emitBinary(c, combiningOf(reduction), reduction.variable.dtype);
        c.f.set(sum);
      }
    });
  }

  #mergeArgs({ op, arg }: Reduction, into: Partial, stored: StoredPartial): void {
    const plan = this.#plan;
    const vector = plan.vector!;
    const { copies, lanes } = this.shape!;
    const step = this.#stepOf(arg!.position);
    // From here on single vectors are combined.
    vector.copies = 1;
    for (let copy = 0; copy < copies; copy++) {
      const value = laneRegister(newRegister('vector', arg!.best.dtype));
      const place = laneRegister(newRegister('places', 'int32'));
      const mask = laneRegister(newRegister('better', 'bool'));
      plan.scope.step((c) => {
        for (const storage of [value, place, mask]) storage.locals = c.f.locals(1, 'v128', storage.tensor.name);
        stored.best!(c, copy);
        c.f.set(value.locals[0]);
        stored.result(c, copy);
        if (step !== undefined) {
          c.f.lanesConst(
            'i32x4',
            [0, 1, 2, 3].map((lane) => step * (copy * lanes + lane)),
          );
          c.f.op('i32x4.add');
        }
        c.f.set(place.locals[0]);
      });
      this.#bind(into);
      for (const storage of [value, place, mask]) this.#bindLanes(storage);
      const [a, b] = [variableValue(value.tensor), variableValue(into.best!.tensor)];
      const [at, best] = [variableValue(place.tensor), variableValue(into.result.tensor)];
      const better = isBetterOrCloser(op, a, b, compare(arg!.selectLast ? 'gt' : 'lt', at, best));
      planSet(plan, mask.tensor, better);
      planSet(plan, into.result.tensor, select(variableValue(mask.tensor), at, best));
      planSet(plan, into.best!.tensor, select(variableValue(mask.tensor), a, b));
    }
    vector.copies = copies;
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
    const position = newRegister('position', 'int32');
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
      emitHorizontal(c, op as LaneReduceOp, variable.dtype);
      emitBinaryScalar(c, combiningOp(op as LaneReduceOp), variable.dtype);
      f.set(target.locals[0]);
    });
  }

  /** Lanes of equal values: the position decides, since lanes were not met in order. */
  #closeArg({ op, variable, arg }: Reduction, partial: Partial, shape: VectorShape): void {
    const plan = this.#plan;
    const { best, selectLast } = arg!;
    for (let lane = 0; lane < shape.lanes; lane++) {
      const value = newRegister('lane', best.dtype);
      const place = newRegister('place', 'int32');
      this.#declareScalar(value, vectorOf(partial.best!), lane);
      this.#declareScalar(place, vectorOf(partial.result), lane);
      const position = variableValue(place);
      const [a, b] = [variableValue(value), variableValue(best)];
      const closer = compare(selectLast ? 'gt' : 'lt', position, variableValue(variable));
      const better = isBetterOrCloser(op, a, b, closer);
      planSet(plan, variable, select(better, position, variableValue(variable)));
      planSet(plan, best, select(better, a, b));
    }
  }
}

interface VectorShape {
  readonly lanes: 2 | 4;
  readonly copies: number;
}

/** Results of lanes: of the reduction, or (argmax) of the positions in 32 bits and of the values. */
interface Partial {
  readonly result: RegisterStorage;
  readonly best?: RegisterStorage;
  /** Masks: where a NaN was met. The result is then that of the other elements. */
  readonly notNumbers?: RegisterStorage;
}

/** What pushes the vectors of one copy. */
type StoredPartial = { readonly [part in keyof Partial]: (c: WriteContext, copy: number) => void };

const vectorBytes = 16;

function laneRegister(tensor: TensorRef): RegisterStorage {
  return { tensor, isVector: true, locals: [] };
}

function vectorOf(storage: RegisterStorage): Value {
  return new Value('v128', ({ f }) => f.get(storage.locals[0]), true);
}

/** Minimum or maximum of what are numbers, and a mask of what are none: less work than to carry NaN along. */
function emitPassOver(c: WriteContext, reduction: Reduction, value: Value, best: Local, notNumbers: Local): void {
  const { f } = c;
  const { op, variable } = reduction;
  const shape = variable.dtype === 'float64' ? 'f64x2' : 'f32x4';
  f.scope(() => {
    const x = f.local('v128', 'x');
    value.push(c);
    f.set(x);
    f.get(notNumbers);
    f.get(x);
    f.get(x);
    f.op(`${shape}.ne`);
    f.op('v128.or');
    f.set(notNumbers);
    // Gives the best where the element is NaN.
    f.get(best);
    f.get(x);
    f.op(op === 'max' ? `${shape}.pmax` : `${shape}.pmin`);
    f.set(best);
  });
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
  // A comparison with NaN is false: once the best is NaN, only NaN can replace it.
  if (selectLast) return or(wins, isNaNExpr(value));
  return and(not(compare(op === 'argmax' ? 'le' : 'ge', value, best)), not(isNaNExpr(best)));
}

/** The same for values that were not met in order: of equal ones, the one closer to the wanted end counts. */
function isBetterOrCloser(op: ReduceOp, a: Expr, b: Expr, closer: Expr): Expr {
  const isTie = isFloat(a.type) ? or(eq(a, b), and(isNaNExpr(a), isNaNExpr(b))) : eq(a, b);
  return or(isBetter(op, a, b, false), and(isTie, closer));
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
