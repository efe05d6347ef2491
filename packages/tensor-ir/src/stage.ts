// Level 2, tensors: a stage says what every element of one tensor is. Operators append stages to a program; fusion later
// decides which stages are substituted into their consumers and which become kernels.

import { Dim, type DimLike } from './dim.ts';
import type { DType } from './dtype.ts';
import { type Axis, type Expr, elementAt, type IndexLike, newAxis, toIndex, walk } from './expr.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';

export type ReduceOp = 'sum' | 'prod' | 'max' | 'min' | 'and' | 'or' | 'argmax' | 'argmin';
export type CombineOp = 'set' | 'sum' | 'prod' | 'max' | 'min';

interface StageBase {
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** What the stage belongs to, for errors, profiles and explanations: the ONNX node. */
  readonly origin?: unknown;
}

/** out[axes] = body */
export interface MapStage extends StageBase {
  readonly kind: 'map';
  readonly axes: readonly Axis[];
  readonly body: Expr;
}

/**
 * out[axes] = op over `over` of body. Identities for an empty range: 0, 1, lowest, highest, true, false.
 * `argmax`/`argmin` give the position (int64) along the single `over` axis; ties go to the first, or to the last with
 * `selectLast`; NaN wins over everything. Float16 and bfloat16 accumulate in float32.
 */
export interface ReduceStage extends StageBase {
  readonly kind: 'reduce';
  readonly op: ReduceOp;
  readonly axes: readonly Axis[];
  readonly over: readonly Axis[];
  readonly body: Expr;
  readonly selectLast?: boolean;
}

/** Running sum or product of body along `axes[along]`. */
export interface ScanStage extends StageBase {
  readonly kind: 'scan';
  readonly op: 'sum' | 'prod';
  readonly axes: readonly Axis[];
  readonly along: number;
  readonly body: Expr;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

/** Concatenation: segment k fills out[…, offset_k + axes[along], …]. */
export interface SegmentsStage extends StageBase {
  readonly kind: 'segments';
  readonly along: number;
  /** Where the first segment begins: what is before it is in place. Absent means 0. See `appendInPlace`. */
  readonly begin?: Dim;
  readonly segments: readonly Segment[];
}

export interface Segment {
  readonly axes: readonly Axis[];
  readonly body: Expr;
  readonly offset: Dim;
}

/**
 * out = initial everywhere, then for every point of `axes`, in order: out[destination] = combine(out[destination], body).
 * Points whose guard is false are left out.
 */
export interface ScatterStage extends StageBase {
  readonly kind: 'scatter';
  /** What is in place: the elements before `length` along an axis, which `initialAxes` leave out. See `appendInPlace`. */
  readonly kept?: { readonly along: number; readonly length: Dim };
  readonly initialAxes: readonly Axis[];
  readonly initial: Expr;
  readonly axes: readonly Axis[];
  readonly destination: readonly Expr[];
  readonly body: Expr;
  readonly combine: CombineOp;
  readonly guard?: Expr;
}

/** The same elements in row-major order under another shape (Reshape). */
export interface ViewStage extends StageBase {
  readonly kind: 'view';
  readonly source: TensorRef | Stage;
}

/**
 * States that follow from each other, each made of parts of equal sizes: out[0, part, axes] = initial and
 * out[t + 1, part, axes] = next, which may read all of out[t]. LSTM has two parts, its hidden and its cell state.
 */
export interface RecurrenceStage extends StageBase {
  readonly kind: 'recurrence';
  /** t; its size is one less than that of the result's first axis. */
  readonly step: Axis;
  /** Stands for out[t] in `inner` and `next`: shape [part, axes]. It has no memory of its own. */
  readonly state: TensorRef;
  /** Computed anew in each step, in order; each may read those before it, the state, and the step. */
  readonly inner: readonly (MapStage | ReduceStage)[];
  readonly parts: readonly RecurrencePart[];
}

export interface RecurrencePart {
  readonly axes: readonly Axis[];
  /** Knows neither the step nor what is computed in it. */
  readonly initial: Expr;
  readonly next: Expr;
}

export type Stage = MapStage | ReduceStage | ScanStage | SegmentsStage | ScatterStage | ViewStage | RecurrenceStage;

/** What a program reads: memory, or an earlier stage. */
export type Source = TensorRef | Stage;

/** One ordered list of stages with the tensors they read and the ones they must leave in memory. */
export interface Program {
  readonly inputs: readonly TensorRef[];
  /** Every stage reads only inputs and earlier stages. */
  readonly stages: readonly Stage[];
  readonly outputs: readonly ProgramOutput[];
}

export interface ProgramOutput {
  readonly tensor: TensorRef;
  readonly source: Source;
}

let stageCount = 0;

const axisNames = 'ijklmnpqrstuvw';

export function axesFor(shape: readonly DimLike[], prefix = ''): Axis[] {
  return shape.map((size, at) => newAxis(prefix + (axisNames[at] ?? `a${at}`), size));
}

/** What the callback of `StageBuilder.recurrence` works with. */
export interface RecurrenceStep {
  readonly step: Expr;
  /** An element of the state before the step. */
  state(part: number, index: readonly IndexLike[]): Expr;
  /** Takes the maps and reductions that are computed in each step. */
  readonly builder: StageBuilder;
}

/** Collects the stages that operators emit. `origin` is stamped on every stage added after it is set. */
export class StageBuilder {
  readonly stages: Stage[] = [];
  origin: unknown;
  name = '';

  /** One element for each index: the body receives an index expression per dimension. */
  map(dtype: DType, shape: readonly DimLike[], body: (index: readonly Expr[]) => Expr, name?: string): MapStage {
    const axes = axesFor(shape);
    const value = body(axes.map(toIndex));
    return this.#push({ ...this.#base(dtype, shape, name), kind: 'map', axes, body: this.#checked(value, dtype) });
  }

  /** Reduction of body over a box of sizes `over`. For argmax and argmin the result is int64. */
  reduce(
    op: ReduceOp,
    dtype: DType,
    shape: readonly DimLike[],
    over: readonly DimLike[],
    body: (index: readonly Expr[], inner: readonly Expr[]) => Expr,
    options: { readonly selectLast?: boolean; readonly name?: string } = {},
  ): ReduceStage {
    const axes = axesFor(shape);
    const inner = axesFor(over, 'r');
    const value = body(axes.map(toIndex), inner.map(toIndex));
    const isArg = op === 'argmax' || op === 'argmin';
    return this.#push({
      ...this.#base(dtype, shape, options.name),
      kind: 'reduce',
      op,
      axes,
      over: inner,
      body: isArg ? value : this.#checked(value, dtype),
      ...(options.selectLast && { selectLast: true }),
    });
  }

  scan(
    op: 'sum' | 'prod',
    dtype: DType,
    shape: readonly DimLike[],
    along: number,
    body: (index: readonly Expr[]) => Expr,
    options: { readonly exclusive?: boolean; readonly reverse?: boolean } = {},
  ): ScanStage {
    const axes = axesFor(shape);
    return this.#push({
      ...this.#base(dtype, shape),
      kind: 'scan',
      op,
      axes,
      along,
      body: this.#checked(body(axes.map(toIndex)), dtype),
      exclusive: options.exclusive ?? false,
      reverse: options.reverse ?? false,
    });
  }

  /** Concatenation along one axis of parts that agree on the other sizes. */
  segments(
    dtype: DType,
    shape: readonly DimLike[],
    along: number,
    parts: readonly { readonly length: DimLike; readonly body: (index: readonly Expr[]) => Expr }[],
  ): SegmentsStage {
    let offset = Dim.constant(0);
    const segments = parts.map(({ length, body }) => {
      const axes = axesFor(shape.map((size, axis) => (axis === along ? length : size)));
      const segment = { axes, body: this.#checked(body(axes.map(toIndex)), dtype), offset };
      offset = offset.add(length);
      return segment;
    });
    return this.#push({ ...this.#base(dtype, shape), kind: 'segments', along, segments });
  }

  scatter(
    dtype: DType,
    shape: readonly DimLike[],
    initial: (index: readonly Expr[]) => Expr,
    points: readonly DimLike[],
    update: (index: readonly Expr[]) => { destination: readonly Expr[]; value: Expr; guard?: Expr },
    combine: CombineOp = 'set',
  ): ScatterStage {
    const initialAxes = axesFor(shape);
    const axes = axesFor(points, 'u');
    const { destination, value, guard } = update(axes.map(toIndex));
    return this.#push({
      ...this.#base(dtype, shape),
      kind: 'scatter',
      initialAxes,
      initial: this.#checked(initial(initialAxes.map(toIndex)), dtype),
      axes,
      destination,
      body: this.#checked(value, dtype),
      combine,
      ...(guard && { guard }),
    });
  }

  /**
   * States of shape [steps + 1, parts, sizes].
   * @param initial one for each part
   * @param next gives each part of the state that follows
   */
  recurrence(
    dtype: DType,
    steps: DimLike,
    sizes: readonly DimLike[],
    initial: readonly ((index: readonly Expr[]) => Expr)[],
    next: (before: RecurrenceStep) => readonly ((index: readonly Expr[]) => Expr)[],
  ): RecurrenceStage {
    const step = newAxis('t', steps);
    const state = newTensorRef('state', dtype, [Dim.constant(initial.length), ...sizes.map(Dim.from)]);
    const builder = new StageBuilder();
    builder.name = this.name;
    builder.origin = this.origin;
    const bodies = next({
      step: toIndex(step),
      state: (part, index) => elementAt(state, [part, ...index]),
      builder,
    });
    const parts = bodies.map((body, part): RecurrencePart => {
      const axes = axesFor(sizes);
      const index = axes.map(toIndex);
      return { axes, initial: this.#checked(initial[part](index), dtype), next: this.#checked(body(index), dtype) };
    });
    const inner = builder.stages.map((stage) => {
      if (stage.kind === 'map' || stage.kind === 'reduce') return stage;
      throw new TypeError(`a step of a recurrence has maps and reductions, no ${stage.kind}`);
    });
    const shape = [step.size.add(1), parts.length, ...sizes];
    return this.#push({ ...this.#base(dtype, shape), kind: 'recurrence', step, state, inner, parts });
  }

  /** The caller vouches that both shapes have the same number of elements. */
  view(source: Source, shape: readonly DimLike[]): ViewStage {
    return this.#push({ ...this.#base(source.dtype, shape), kind: 'view', source });
  }

  #base(dtype: DType, shape: readonly DimLike[], name?: string): StageBase {
    return {
      id: stageCount++,
      name: [this.name, name].filter(Boolean).join('.'),
      dtype,
      shape: shape.map(Dim.from),
      ...(this.origin !== undefined && { origin: this.origin }),
    };
  }

  /** The body of a stage, with checks of indices named after this builder's origin. */
  #checked(value: Expr, dtype: DType): Expr {
    if (this.origin !== undefined) {
      walk(value, (e) => {
        if (e.kind === 'bounded') e.origin ??= this.origin;
      });
    }
    return checked(value, dtype);
  }

  #push<T extends Stage>(stage: T): T {
    this.stages.push(stage);
    return stage;
  }
}

function checked(value: Expr, dtype: DType): Expr {
  if (value.type !== dtype) throw new TypeError(`the body is ${value.type}, the stage ${dtype}: cast it`);
  return value;
}

/** Expressions evaluated over the stage's own axes, with those axes. Views have none. */
export function bodiesOf(stage: Stage): readonly { readonly axes: readonly Axis[]; readonly body: Expr }[] {
  switch (stage.kind) {
    case 'map':
    case 'scan':
      return [{ axes: stage.axes, body: stage.body }];
    case 'reduce':
      return [{ axes: [...stage.axes, ...stage.over], body: stage.body }];
    case 'segments':
      return stage.segments;
    case 'scatter':
      return [
        { axes: stage.initialAxes, body: stage.initial },
        { axes: stage.axes, body: stage.body },
        ...stage.destination.map((body) => ({ axes: stage.axes, body })),
        ...(stage.guard ? [{ axes: stage.axes, body: stage.guard }] : []),
      ];
    case 'recurrence':
      return [
        ...stage.parts.map(({ axes, initial }) => ({ axes, body: initial })),
        ...stage.inner.flatMap(bodiesOf).map(({ axes, body }) => ({ axes: [stage.step, ...axes], body })),
        ...stage.parts.map(({ axes, next }) => ({ axes: [stage.step, ...axes], body: next })),
      ];
    case 'view':
      return [];
  }
}

/** Of stages that were asked about: stages never change, and fusion asks many times. */
const knownSources = new WeakMap<Stage, ReadonlySet<Source>>();

/** Tensors and stages that a stage reads, each once. */
export function sourcesOf(stage: Stage): ReadonlySet<Source> {
  const known = knownSources.get(stage);
  if (known) return known;
  const found = findSources(stage);
  knownSources.set(stage, found);
  return found;
}

function findSources(stage: Stage): Set<Source> {
  const found = new Set<Source>();
  if (stage.kind === 'view') found.add(stage.source);
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    switch (e.kind) {
      case 'load':
        found.add(e.source);
        e.index.forEach(visit);
        if (e.guard) {
          visit(e.guard);
          visit(e.fill!);
        }
        break;
      case 'unary':
      case 'test':
      case 'cast':
      case 'bitcast':
      case 'bounded':
        visit(e.x);
        break;
      case 'binary':
      case 'compare':
        visit(e.a);
        visit(e.b);
        break;
      case 'select':
        visit(e.condition);
        visit(e.whenTrue);
        visit(e.whenFalse);
        break;
    }
  };
  for (const { body } of bodiesOf(stage)) visit(body);
  if (stage.kind === 'recurrence') for (const own of [stage.state, ...stage.inner]) found.delete(own);
  return found;
}
