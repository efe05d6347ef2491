// Reads the stages of a row kernel: where each one's result is kept, and which can share a loop.

import {
  type Axis,
  childrenOf,
  type Expr,
  elementAtOffset,
  type IndexAnalysis,
  type Kernel,
  type MapStage,
  newRegister,
  newRowBuffer,
  productOf,
  type ReduceStage,
  type Reduction,
  type Stage,
  type Statement,
  stridesOf,
  substituteAxes,
  type TensorRef,
  toIndex,
  variableValue,
  walk,
} from '@onnx-ts/tensor-ir';
import { elementCost } from './cost.ts';
import { flatten, offsetIn, type StageLoad } from './flatten.ts';
import { inOrder } from './map.ts';
import { byStride, reduceVariables } from './reduce.ts';

/** What happens at each point of a piece's loops, or (`set`) once after them. */
export type RowStep =
  | { readonly kind: 'store'; readonly tensor: TensorRef; readonly offset: Expr; readonly value: Expr }
  | { readonly kind: 'reduce'; readonly reduction: Reduction }
  /** A reduction of its own at each point, whose result is stored. */
  | {
      readonly kind: 'nested';
      readonly over: readonly Axis[];
      readonly declare: readonly Statement[];
      readonly reduction: Reduction;
      readonly tensor: TensorRef;
      readonly offset: Expr;
      readonly value: Expr;
    }
  | { readonly kind: 'set'; readonly variable: TensorRef; readonly value: Expr };

/** A loop nest inside a row. */
export interface RowPiece {
  readonly axes: readonly Axis[];
  readonly declare: readonly Statement[];
  readonly steps: readonly RowStep[];
}

export interface Rows {
  readonly rows: readonly Axis[];
  readonly pieces: readonly RowPiece[];
}

export function readRows(analysis: IndexAnalysis, kernel: Kernel): Rows {
  return new RowReader(analysis, kernel).read();
}

/** How the elements of a stage are read by later ones. */
type Place = (index: readonly Expr[]) => Expr;

class RowReader {
  readonly #analysis: IndexAnalysis;
  readonly #kernel: Kernel;
  readonly #rows: readonly Axis[];
  readonly #places = new Map<Stage, Place>();
  readonly #pieces: RowPiece[] = [];
  /** The stage that the last piece stores, with its value at the piece's axes: a loop over the same points can join. */
  #open: { readonly stage: Stage | undefined; readonly value: Expr; readonly axes: readonly Axis[] } | undefined;
  /** Variables that the open piece is still computing. */
  readonly #pending = new Set<TensorRef>();

  constructor(analysis: IndexAnalysis, kernel: Kernel) {
    this.#analysis = analysis;
    this.#kernel = kernel;
    this.#rows = axesOfStage(kernel.stages[0]).slice(0, kernel.rowRank);
  }

  read(): Rows {
    for (const stage of this.#kernel.stages) {
      if (stage.kind === 'map') this.#map(stage);
      else if (stage.kind === 'reduce') this.#reduce(stage);
      else throw new TypeError(`a row kernel has no ${stage.kind} stages`);
    }
    return { rows: this.#rows, pieces: this.#pieces };
  }

  #map(stage: MapStage): void {
    const body = this.#body(stage);
    const lanes = stage.axes.slice(this.#kernel.rowRank);
    if (lanes.length === 0) {
      this.#rowValue(stage, body, []);
      return;
    }
    const outputs = this.#outputs(stage);
    if (outputs.length === 0 && this.#isInlined(stage, body)) {
      this.#places.set(stage, (index) => this.#at(stage, body, index));
      return;
    }
    const tensor =
      outputs[0] ?? newRowBuffer(stage.name || 'row', stage.dtype, productOf(stage.shape.slice(this.#kernel.rowRank)));
    const axes = outputs[0] ? this.#laneOrder(stage, outputs[0]) : byStride(this.#analysis, lanes, body);
    const index = this.#index(stage);
    const stores = (outputs.length > 0 ? outputs : [tensor]).map((target) => ({
      kind: 'store' as const,
      tensor: target,
      offset: this.#offset(target, stage, index),
      value: body,
    }));
    const declare: Statement[] = outputs.length > 0 ? [] : [{ kind: 'alloc', tensor, scope: 'row' }];
    this.#pieces.push({ axes, declare, steps: stores });
    this.#open = { stage, value: body, axes };
    this.#pending.clear();
    this.#places.set(stage, (at) => elementAtOffset(tensor, this.#offset(tensor, stage, at)));
  }

  #reduce(stage: ReduceStage): void {
    const { rowRank } = this.#kernel;
    const lanes = stage.axes.slice(rowRank);
    if (lanes.length > 0) {
      this.#reduceInRow(stage, lanes);
      return;
    }
    const joined = this.#joins(stage);
    const body = joined ?? this.#body(stage);
    const { reduction, declare, result } = reduceVariables(stage, body);
    const steps: RowStep[] = [{ kind: 'reduce', reduction: this.#positioned(reduction, stage, joined !== undefined) }];
    if (joined) {
      const last = this.#pieces.pop()!;
      this.#pieces.push({ axes: last.axes, declare: [...last.declare, ...declare], steps: [...last.steps, ...steps] });
    } else {
      const axes = byStride(this.#analysis, stage.over, body);
      this.#pieces.push({ axes, declare, steps });
      this.#open = { stage: undefined, value: body, axes: stage.over };
      this.#pending.clear();
    }
    this.#pending.add(reduction.variable);
    if (reduction.arg) this.#pending.add(reduction.arg.best);
    this.#places.set(stage, () => result);
    this.#storeRowValue(stage, result);
  }

  /** The position of an argmax in terms of the axes of the loop it joined. */
  #positioned(reduction: Reduction, stage: ReduceStage, isJoined: boolean): Reduction {
    if (!reduction.arg || !isJoined) return reduction;
    const values = new Map(stage.over.map((axis, at) => [axis, toIndex(this.#open!.axes[at])]));
    return { ...reduction, arg: { ...reduction.arg, position: substituteAxes(reduction.arg.position, values) } };
  }

  #reduceInRow(stage: ReduceStage, lanes: readonly Axis[]): void {
    const body = this.#body(stage);
    const { reduction, declare, result } = reduceVariables(stage, body);
    const [output] = this.#outputs(stage);
    const tensor =
      output ?? newRowBuffer(stage.name || 'row', stage.dtype, productOf(stage.shape.slice(this.#kernel.rowRank)));
    const offset = this.#offset(tensor, stage, this.#index(stage));
    const over = byStride(this.#analysis, stage.over, body);
    const nested = { kind: 'nested' as const, over, declare, reduction, tensor, offset, value: result };
    const axes = output ? this.#laneOrder(stage, output) : lanes;
    this.#pieces.push({ axes, declare: output ? [] : [{ kind: 'alloc', tensor, scope: 'row' }], steps: [nested] });
    this.#open = undefined;
    this.#pending.clear();
    this.#places.set(stage, (at) => elementAtOffset(tensor, this.#offset(tensor, stage, at)));
  }

  /** One number for the whole row. */
  #rowValue(stage: MapStage, value: Expr, axes: readonly Axis[]): void {
    const variable = newRegister(stage.name || 'value', stage.dtype);
    this.#pieces.push({ axes, declare: [], steps: [{ kind: 'set', variable, value }] });
    this.#open = undefined;
    this.#pending.clear();
    this.#places.set(stage, () => variableValue(variable));
    this.#storeRowValue(stage, variableValue(variable));
  }

  #storeRowValue(stage: Stage, value: Expr): void {
    for (const tensor of this.#outputs(stage)) {
      const offset = offsetIn(this.#analysis, tensor, this.#index(stage));
      this.#pieces.push({ axes: [], declare: [], steps: [{ kind: 'store', tensor, offset, value }] });
      this.#open = undefined;
      this.#pending.clear();
    }
  }

  /**
   * The body of a reduction over the points of the open piece, in terms of its axes; undefined when it cannot share that
   * loop: it reads the open stage elsewhere than at the same point, or a variable that the loop is still computing.
   */
  #joins(stage: ReduceStage): Expr | undefined {
    const open = this.#open;
    if (!open) return undefined;
    const lanes = open.stage ? axesOfStage(open.stage).slice(this.#kernel.rowRank) : open.axes;
    if (lanes.length !== stage.over.length || !lanes.every((axis, at) => axis.size.equals(stage.over[at].size)))
      return undefined;
    let fits = true;
    const values = new Map(stage.over.map((axis, at) => [axis, toIndex(lanes[at])]));
    const body = this.#flat(stage, (load) => {
      if (load.source !== open.stage) return undefined;
      const isSame = load.index
        .slice(this.#kernel.rowRank)
        .every((e, at) => e.kind === 'axis' && e.axis === stage.over[at]);
      if (!isSame) fits = false;
      return substituteAxes(open.value, new Map(lanes.map((axis, at) => [axis, toIndex(stage.over[at])])));
    });
    walk(body, (e) => {
      if (e.kind === 'load' && e.source.kind === 'tensor' && this.#pending.has(e.source)) fits = false;
    });
    return fits ? substituteAxes(body, values) : undefined;
  }

  /** The stage's body over the shared row axes, flat. */
  #body(stage: MapStage | ReduceStage): Expr {
    return this.#flat(stage, () => undefined);
  }

  #flat(stage: MapStage | ReduceStage, special: (load: StageLoad) => Expr | undefined): Expr {
    const body = flatten(this.#analysis, stage.body, (load) => {
      const value = special(load);
      if (value) return value;
      const place = this.#places.get(load.source);
      if (!place) throw new TypeError(`stage ${load.source.name} is read before it is computed`);
      return place(load.index);
    });
    return substituteAxes(body, this.#rowValues(stage));
  }

  /** Stage axes that stand for rows → the shared ones. */
  #rowValues(stage: Stage): Map<Axis, Expr> {
    return new Map(this.#rows.map((row, at) => [axesOfStage(stage)[at], toIndex(row)]));
  }

  #index(stage: Stage): Expr[] {
    return axesOfStage(stage).map((axis, at) => toIndex(this.#rows[at] ?? axis));
  }

  #at(stage: MapStage, body: Expr, index: readonly Expr[]): Expr {
    const lanes = stage.axes.slice(this.#kernel.rowRank);
    return substituteAxes(body, new Map(lanes.map((axis, at) => [axis, index[this.#kernel.rowRank + at]])));
  }

  /** Offset in a tensor, or in a buffer that holds one row. */
  #offset(tensor: TensorRef, stage: Stage, index: readonly Expr[]): Expr {
    if (this.#outputs(stage).includes(tensor)) return offsetIn(this.#analysis, tensor, index);
    const shape = stage.shape.slice(this.#kernel.rowRank);
    const analysis = this.#analysis;
    const strides = stridesOf({ shape });
    return analysis.expression(
      index
        .slice(this.#kernel.rowRank)
        .map((e, at) => analysis.scale(analysis.formOf(e), strides[at]))
        .reduce((sum, form) => analysis.sum(sum, form)),
    );
  }

  #laneOrder(stage: MapStage | ReduceStage, tensor: TensorRef): Axis[] {
    const rows = new Set(stage.axes.slice(0, this.#kernel.rowRank));
    return inOrder(stage.axes, tensor).filter((axis) => !rows.has(axis));
  }

  #outputs(stage: Stage): TensorRef[] {
    return this.#kernel.outputs.filter((output) => output.stage === stage).map(({ tensor }) => tensor);
  }

  /** Cheap values, and values read once by one stage, are computed where they are read. */
  #isInlined(stage: MapStage, body: Expr): boolean {
    if (elementCost(this.#analysis, [body], undefined) < 0.7) return true;
    let readers = 0;
    for (const other of this.#kernel.stages) readers += readsOf(other, stage);
    return readers <= 1;
  }
}

function readsOf(reader: Stage, stage: Stage): number {
  if (reader.kind !== 'map' && reader.kind !== 'reduce') return 0;
  let count = 0;
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    if (e.kind === 'load' && e.source === stage) {
      // A reduction inside the row evaluates its body once per point of both kinds of axes.
      count += reader.kind === 'reduce' && reader.axes.length + reader.over.length > stage.shape.length ? 2 : 1;
    }
    childrenOf(e).forEach(visit);
  };
  visit(reader.body);
  return count;
}

function axesOfStage(stage: Stage): readonly Axis[] {
  if (stage.kind !== 'map' && stage.kind !== 'reduce') throw new TypeError(`a row kernel has no ${stage.kind} stages`);
  return stage.axes;
}
