// Level 2, tensors: a stage says what every element of one tensor is. Operators append stages to a program; fusion later
// decides which stages are substituted into their consumers and which become kernels.

import { Dim, type DimLike } from './dim.ts';
import type { DType } from './dtype.ts';
import { type Axis, type Expr, newAxis, toIndex } from './expr.ts';
import type { TensorRef } from './tensor-ref.ts';

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

export type Stage = MapStage | ReduceStage | ScanStage | SegmentsStage | ScatterStage | ViewStage;

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

/** Collects the stages that operators emit. `origin` is stamped on every stage added after it is set. */
export class StageBuilder {
  readonly stages: Stage[] = [];
  origin: unknown;
  name = '';

  /** One element for each index: the body receives an index expression per dimension. */
  map(dtype: DType, shape: readonly DimLike[], body: (index: readonly Expr[]) => Expr, name?: string): MapStage {
    const axes = axesFor(shape);
    const value = body(axes.map(toIndex));
    return this.#push({ ...this.#base(dtype, shape, name), kind: 'map', axes, body: checked(value, dtype) });
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
      body: isArg ? value : checked(value, dtype),
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
      body: checked(body(axes.map(toIndex)), dtype),
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
      const segment = { axes, body: checked(body(axes.map(toIndex)), dtype), offset };
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
      initial: checked(initial(initialAxes.map(toIndex)), dtype),
      axes,
      destination,
      body: checked(value, dtype),
      combine,
      ...(guard && { guard }),
    });
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
    case 'view':
      return [];
  }
}

/** Tensors and stages that a stage reads, each once. */
export function sourcesOf(stage: Stage): Set<Source> {
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
  return found;
}
