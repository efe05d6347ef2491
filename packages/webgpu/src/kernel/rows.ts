// Reductions, alone or with the maps around them on the same rows: softmax, normalisations, top values.
//
// A long row belongs to a workgroup, whose invocations share its elements; a short row belongs to one invocation. Maps over
// a row that others read are computed where they are read.

import {
  type Axis,
  type Expr,
  type Kernel,
  type Load,
  type MapStage,
  productOf,
  type ReduceStage,
  type Stage,
  substituteAxes,
} from '@onnx-ts/tensor-ir';
import type { Scope, StageReader } from '../emit/scope.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, perInvocation, perWorkgroup, unravel } from './dispatch.ts';
import { loopOver, reduceSerially, reduceTogether, strided } from './reduction.ts';

/** Elements of a row up to which one invocation does all of it. Barriers are costly where they are only imitated. */
const shortRow = { hardware: 32, software: 512 };

type RowStage = MapStage | ReduceStage;

class RowKernel {
  readonly #kernel: Kernel;
  readonly #rank: number;
  readonly #together: boolean;
  /** Numbers of the row at hand, by stage. */
  readonly #numbers = new Map<Stage, string>();
  /** Bodies of maps at an index: the same index gives the same expression, so that it is computed once. */
  readonly #bodies = new Map<Load, Expr>();

  constructor(kernel: Kernel, rank: number, target: ShaderTarget) {
    this.#kernel = kernel;
    this.#rank = rank;
    this.#together = kernel.stages.some((stage) => {
      const lane = productOf(laneOf(stage as RowStage, rank).map(({ size }) => size));
      return lane.constant === undefined || lane.constant > shortRow[target.isSoftware ? 'software' : 'hardware'];
    });
  }

  dispatch(target: ShaderTarget): Dispatch {
    const stages = this.#kernel.stages as readonly RowStage[];
    const widest = stages.find(
      (stage) => stage.axes.length + (stage.kind === 'reduce' ? stage.over.length : 0) >= this.#rank,
    )!;
    const rows = [...widest.axes, ...(widest.kind === 'reduce' ? widest.over : [])].slice(0, this.#rank);
    const body = (scope: Scope, point: string): void => {
      for (const stage of stages) {
        unravel(scope, stage.axes.slice(0, this.#rank), point);
        this.#emit(scope, stage);
      }
    };
    const launch = this.#together ? perWorkgroup : perInvocation;
    return launch(target, countOf(rows), body, this.#read, stages[0].origin, this.#kernel.outputs.length);
  }

  #emit(scope: Scope, stage: RowStage): void {
    const output = this.#kernel.outputs.find((candidate) => candidate.stage === stage);
    const lane = stage.axes.slice(this.#rank);
    scope.origin = stage.origin;
    if (lane.length === 0 || lane.every(({ size }) => size.is(1))) {
      for (const axis of lane) scope.bindAxis(axis, '0i');
      const value = this.#number(scope, stage);
      this.#numbers.set(stage, value);
      if (!output) return;
      const write = (inner: Scope): void => inner.write(output.tensor, this.#offset(inner, stage), value);
      if (this.#together) scope.block('if (lane == 0u)', write);
      else write(scope);
      return;
    }
    if (!output) return;
    const store = (inner: Scope): void => {
      const value = stage.kind === 'map' ? inner.value(stage.body) : reduceSerially(inner, stage);
      inner.write(output.tensor, this.#offset(inner, stage), value);
    };
    if (this.#together) strided(scope, lane, store);
    else scope.block('', (block) => loopOver(block, lane, store));
  }

  #number(scope: Scope, stage: RowStage): string {
    if (stage.kind === 'map') return scope.value(stage.body);
    return this.#together ? reduceTogether(scope, stage) : reduceSerially(scope, stage);
  }

  #offset(scope: Scope, stage: RowStage): string {
    return scope.offsetOf(
      stage.shape,
      stage.axes.map((axis) => scope.axis(axis)),
    );
  }

  readonly #read: StageReader = (load, scope) => {
    const stage = load.source as RowStage;
    const number = this.#numbers.get(stage);
    if (number !== undefined) return number;
    let body = this.#bodies.get(load);
    if (!body) {
      body = substituteAxes(stage.body, new Map(stage.axes.map((axis, at) => [axis, load.index[at]])));
      this.#bodies.set(load, body);
    }
    return stage.kind === 'map' ? scope.value(body) : reduceSerially(scope, { ...stage, body });
  };
}

function laneOf(stage: RowStage, rank: number): readonly Axis[] {
  return [...stage.axes, ...(stage.kind === 'reduce' ? stage.over : [])].slice(rank);
}

export function dispatchRows(kernel: Kernel, target: ShaderTarget): Dispatch[] {
  return [new RowKernel(kernel, kernel.rowRank, target).dispatch(target)];
}

/** Terms from which a reduction is worth a workgroup. */
const longReduction = { hardware: 128, software: 4096 };

/** A reduction by itself: a workgroup for each result where it is long, one invocation where it is not. */
export function dispatchReduce(kernel: Kernel, target: ShaderTarget): Dispatch[] {
  const [stage] = kernel.stages as readonly ReduceStage[];
  const { tensor } = kernel.outputs[0];
  const terms = productOf(stage.over.map(({ size }) => size));
  const long = longReduction[target.isSoftware ? 'software' : 'hardware'];
  const together = terms.lowerBound >= long || (terms.constant === undefined && terms.upperBound > long);
  const body = (scope: Scope, point: string): void => {
    unravel(scope, stage.axes, point);
    if (!together) return scope.write(tensor, point, reduceSerially(scope, stage));
    const value = reduceTogether(scope, stage);
    scope.block('if (lane == 0u)', (inner) => inner.write(tensor, point, value));
  };
  return [(together ? perWorkgroup : perInvocation)(target, countOf(stage.axes), body, undefined, stage.origin)];
}
