// Loops of a recurrence that no template takes: one thread walks the steps, with what each step computes in scratch memory.

import {
  type Axis,
  add,
  dimension,
  type Expr,
  elementAt,
  elementAtOffset,
  type ForStatement,
  type IndexAnalysis,
  loadsOf,
  type MapStage,
  newRowBuffer,
  productOf,
  type RecurrenceStage,
  type ReduceStage,
  rewrite,
  type Stage,
  type Statement,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { elementCost } from './cost.ts';
import { flatten, offsetIn } from './flatten.ts';
import { byStride, chooseLane, laneLoops, reduceVariables } from './reduce.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { serialLoops, sizeOfLoops } from './tiles.ts';

/** @param tensor all states, one after another */
export function scheduleRecurrence(
  analysis: IndexAnalysis,
  stage: RecurrenceStage,
  tensor: TensorRef,
): ScheduledPhase[] {
  return [new RecurrenceLoops(analysis, stage, tensor).phase()];
}

class RecurrenceLoops {
  readonly #analysis: IndexAnalysis;
  readonly #stage: RecurrenceStage;
  readonly #tensor: TensorRef;
  readonly #buffers = new Map<Stage, TensorRef>();
  readonly #roots: Expr[] = [];

  constructor(analysis: IndexAnalysis, stage: RecurrenceStage, tensor: TensorRef) {
    this.#analysis = analysis;
    this.#stage = stage;
    this.#tensor = tensor;
    for (const own of stage.inner) {
      this.#buffers.set(own, newRowBuffer(own.name || own.kind, own.dtype, productOf(own.shape)));
    }
  }

  phase(): ScheduledPhase {
    const { parts, inner, step, name } = this.#stage;
    const first = parts.map(({ axes, initial }, part) => this.#fill(dimension(0), part, axes, initial));
    const each = [
      ...inner.map((own) => (own.kind === 'map' ? this.#map(own) : this.#reduce(own))),
      ...parts.map(({ axes, next }, part) => this.#fill(add(toIndex(step), 1), part, axes, next)),
    ];
    const points = inner
      .map((own) => sizeOfLoops([...own.axes, ...(own.kind === 'reduce' ? own.over : [])]))
      .reduce((sum, size) => sum.add(size), productOf(this.#stage.shape.slice(1)));
    return {
      name: name || 'recurrence',
      stage: this.#stage,
      independent: false,
      parallel: [],
      body: [
        ...first,
        ...[...this.#buffers.values()].map((buffer): Statement => ({ kind: 'alloc', tensor: buffer, scope: 'row' })),
        { kind: 'for', loops: serialLoops([step]), reductions: [], body: each },
      ],
      cost: {
        points: points.mul(step.size),
        pointCost: elementCost(this.#analysis, this.#roots, undefined) / Math.max(1, this.#roots.length),
      },
    };
  }

  #fill(step: Expr, part: number, axes: readonly Axis[], body: Expr): ForStatement {
    const place = [step, dimension(part), ...axes.map(toIndex)];
    const value = this.#flat(body);
    const store: Statement = {
      kind: 'store',
      tensor: this.#tensor,
      offset: offsetIn(this.#analysis, this.#tensor, place),
      value,
    };
    return { kind: 'for', loops: laneLoops(axes, axes[axes.length - 1]), reductions: [], body: [store] };
  }

  #map(stage: MapStage): Statement {
    const { axes, body } = stage;
    const store = this.#store(stage, this.#flat(body));
    if (axes.length === 0) return store;
    return { kind: 'for', loops: laneLoops(axes, axes[axes.length - 1]), reductions: [], body: [store] };
  }

  #reduce(stage: ReduceStage): Statement {
    const body = this.#flat(stage.body);
    const { reduction, declare, result } = reduceVariables(stage, body);
    const over = byStride(this.#analysis, stage.over, body);
    const lane = chooseLane(this.#analysis, stage.axes, over, reduction.value);
    const isInside = lane !== undefined && over.includes(lane);
    const nest: ForStatement = {
      kind: 'for',
      loops: laneLoops(over, isInside ? lane : undefined),
      reductions: [reduction],
      body: [],
    };
    const each = [...declare, nest, this.#store(stage, result)];
    if (stage.axes.length === 0) return { kind: 'block', body: each };
    return { kind: 'for', loops: laneLoops(stage.axes, isInside ? undefined : lane), reductions: [], body: each };
  }

  #store(stage: MapStage | ReduceStage, value: Expr): Statement {
    const buffer = this.#buffers.get(stage)!;
    return { kind: 'store', tensor: buffer, offset: this.#offset(stage, stage.axes.map(toIndex)), value };
  }

  #offset(stage: Stage, index: readonly Expr[]): Expr {
    return this.#analysis.expression(this.#analysis.offsetOf(stage, index));
  }

  /** The state is where the step before has left it; what is computed in the step is in its buffer. */
  #flat(root: Expr): Expr {
    const { state, step } = this.#stage;
    const held = rewrite(root, (e) =>
      e.kind === 'load' && e.source === state ? elementAt(this.#tensor, [toIndex(step), ...e.index]) : undefined,
    );
    const flat = flatten(this.#analysis, held, (load) => {
      const buffer = this.#buffers.get(load.source);
      if (!buffer) throw new TypeError(`stage ${load.source.name} is no part of the recurrence`);
      return elementAtOffset(buffer, this.#offset(load.source, load.index));
    });
    const simple = this.#analysis.simplify(flat);
    if (loadsOf(simple).length > 0) this.#roots.push(simple);
    return simple;
  }
}
