// Stages as plain JavaScript: loops around the functions of their expressions.

import {
  type Axis,
  allocateBuffer,
  binaryFunction,
  type DimBinding,
  type Expr,
  type FoldOp,
  foldOf,
  isBigInteger,
  type RecurrenceStage,
  type ReduceStage,
  readAt,
  type ScalarValue,
  type ScanStage,
  type ScatterStage,
  type Source,
  type Stage,
  type TensorBuffer,
  writerOf,
} from '@onnx-ts/tensor-ir';
import { ExpressionCompiler } from './expressions.ts';
import { Point } from './loop-nest.ts';

/** What stages of a kernel are compiled for. */
export interface StageScope {
  readonly dims: DimBinding;
  /** Axes of loops around the stage. */
  readonly outer?: ReadonlyMap<Axis, () => number>;
  bufferOf(source: Source): TensorBuffer;
  /** @param origin the node to blame, where it is known */
  outOfRange(origin: unknown): never;
}

/** A function that computes all elements of a stage, into `out`. Views have no elements of their own. */
export function compileStage(
  stage: Exclude<Stage, { kind: 'view' }>,
  out: TensorBuffer,
  scope: StageScope,
): () => void {
  return new StageCompiler(stage, out, scope).compile();
}

class StageCompiler {
  readonly #stage: Exclude<Stage, { kind: 'view' }>;
  readonly #out: TensorBuffer;
  readonly #scope: StageScope;
  readonly #write: (at: number, value: ScalarValue) => void;

  constructor(stage: Exclude<Stage, { kind: 'view' }>, out: TensorBuffer, scope: StageScope) {
    this.#stage = stage;
    this.#out = out;
    this.#scope = scope;
    this.#write = writerOf(out);
  }

  compile(): () => void {
    const stage = this.#stage;
    switch (stage.kind) {
      case 'map':
        return this.#fill(stage.axes, stage.body);
      case 'segments': {
        const fills = stage.segments.map(({ axes, body, offset }) =>
          this.#fill(axes, body, { along: stage.along, by: offset.evaluate(this.#scope.dims) }),
        );
        return () => fills.forEach(call);
      }
      case 'reduce':
        return stage.op === 'argmax' || stage.op === 'argmin' ? this.#findBest(stage) : this.#reduce(stage, stage.op);
      case 'scan':
        return this.#scan(stage);
      case 'scatter':
        return this.#scatter(stage);
      case 'recurrence':
        return this.#recurrence(stage);
    }
  }

  #sizes(axes: readonly Axis[]): number[] {
    return axes.map((axis) => axis.size.evaluate(this.#scope.dims));
  }

  #open(
    axes: readonly Axis[],
    roots: readonly Expr[],
  ): { readonly point: Point; readonly compiler: ExpressionCompiler } {
    const { dims, outer, bufferOf, outOfRange } = this.#scope;
    const point = new Point(axes, outer);
    const blame = (origin: unknown): never => outOfRange(origin ?? this.#stage.origin);
    return { point, compiler: new ExpressionCompiler({ point, dims, bufferOf, outOfRange: blame }, roots) };
  }

  /** Position in the result of the element that axes stand for. */
  #position(point: Point, axes: readonly Axis[], shift?: { along: number; by: number }): () => number {
    const { dims } = this.#out;
    const readers = axes.map((axis) => point.reader(axis));
    const strides = dims.map((_, at) => dims.slice(at + 1).reduce((product, size) => product * size, 1));
    const start = shift ? shift.by * strides[shift.along] : 0;
    return () => {
      let sum = start;
      for (let at = 0; at < readers.length; at++) sum += readers[at]() * strides[at];
      return sum;
    };
  }

  /** out[axes] = body */
  #fill(axes: readonly Axis[], body: Expr, shift?: { along: number; by: number }): () => void {
    const { point, compiler } = this.#open(axes, [body]);
    const [position, value, write] = [this.#position(point, axes, shift), compiler.compile(body), this.#write];
    return point.loop(axes, this.#sizes(axes), () => write(position(), value()));
  }

  #reduce({ axes, over, body, dtype }: ReduceStage, op: FoldOp): () => void {
    const { point, compiler } = this.#open([...axes, ...over], [body]);
    const { identity, step } = foldOf(op, dtype);
    const [position, value, write] = [this.#position(point, axes), compiler.compile(body), this.#write];
    let sum = identity;
    const inner = point.loop(over, this.#sizes(over), () => {
      sum = step(sum, value());
    });
    return point.loop(axes, this.#sizes(axes), () => {
      sum = identity;
      inner();
      write(position(), sum);
    });
  }

  /** Position of the greatest or the least; NaN comes before all others. */
  #findBest({ axes, over, body, op, selectLast = false, dtype }: ReduceStage): () => void {
    const { point, compiler } = this.#open([...axes, ...over], [body]);
    const [position, value, write] = [this.#position(point, axes), compiler.compile(body), this.#write];
    const place = point.reader(over[0]);
    let best: number | undefined;
    let found = 0;
    const replaces = (x: number, held: number): boolean => {
      if (Number.isNaN(held)) return selectLast && Number.isNaN(x);
      return Number.isNaN(x) || (op === 'argmax' ? x > held : x < held) || (selectLast && x === held);
    };
    const inner = point.loop(over, this.#sizes(over), () => {
      const x = value() as number;
      if (best !== undefined && !replaces(x, best)) return;
      best = x;
      found = place();
    });
    return point.loop(axes, this.#sizes(axes), () => {
      best = undefined;
      found = 0;
      inner();
      write(position(), isBigInteger(dtype) ? BigInt(found) : found);
    });
  }

  #scan({ axes, along, body, op, exclusive, reverse, dtype }: ScanStage): () => void {
    const { point, compiler } = this.#open(axes, [body]);
    const { identity, step } = foldOf(op, dtype);
    const [position, value, write] = [this.#position(point, axes), compiler.compile(body), this.#write];
    const others = axes.filter((_, at) => at !== along);
    let sum = identity;
    const inner = point.loop(
      [axes[along]],
      this.#sizes([axes[along]]),
      () => {
        const next = step(sum, value());
        write(position(), exclusive ? sum : next);
        sum = next;
      },
      reverse,
    );
    return point.loop(others, this.#sizes(others), () => {
      sum = identity;
      inner();
    });
  }

  #scatter(stage: ScatterStage): () => void {
    const start = this.#fill(stage.initialAxes, stage.initial);
    const { axes, destination, body, combine, guard } = stage;
    const { point, compiler } = this.#open(axes, [body, ...destination, ...(guard ? [guard] : [])]);
    const place = compiler.offset(destination, this.#out.dims);
    const [value, isWanted, write] = [compiler.compile(body), guard && compiler.compile(guard), this.#write];
    const names = { sum: 'add', prod: 'mul', max: 'max', min: 'min' } as const;
    const join =
      combine === 'set'
        ? undefined
        : (binaryFunction(names[combine], stage.dtype) as (a: ScalarValue, b: ScalarValue) => ScalarValue);
    let target = 0;
    const before = readAt(this.#out, () => target);
    const update = point.loop(axes, this.#sizes(axes), () => {
      if (isWanted && !isWanted()) return;
      target = place();
      write(target, join ? join(before(), value()) : value());
    });
    return () => {
      start();
      update();
    };
  }

  /** Its steps one after the other: each reads the state that the one before has left. */
  #recurrence(stage: RecurrenceStage): () => void {
    const { dtype, origin } = stage;
    const [states, parts, ...sizes] = this.#out.dims;
    const state = allocateBuffer(dtype, [parts, ...sizes]);
    const next = allocateBuffer(dtype, [parts, ...sizes]);
    const buffers = new Map<Source, TensorBuffer>([[stage.state, state]]);
    let step = 0;
    const scope: StageScope = {
      ...this.#scope,
      outer: new Map([[stage.step, () => step]]),
      bufferOf: (source) => buffers.get(source) ?? this.#scope.bufferOf(source),
    };
    const inner = stage.inner.map((own) => {
      const buffer = allocateBuffer(
        own.dtype,
        own.shape.map((dim) => dim.evaluate(scope.dims)),
      );
      buffers.set(own, buffer);
      return compileStage(own, buffer, scope);
    });
    const count = state.data.length / parts;
    const part = (at: number, body: Expr, target: TensorBuffer): (() => void) => {
      const { axes } = stage.parts[at];
      const shape = axes.map((axis) => axis.size);
      const data = (target.data as Float32Array).subarray(at * count, (at + 1) * count);
      const map = { id: stage.id, name: stage.name, dtype, shape, origin, kind: 'map' as const, axes, body };
      return compileStage(map, { dtype, dims: sizes, data }, scope);
    };
    const start = stage.parts.map(({ initial }, at) => part(at, initial, state));
    const update = stage.parts.map((own, at) => part(at, own.next, next));
    const result = this.#out.data as Float32Array;
    const [now, later] = [state.data as Float32Array, next.data as Float32Array];
    return () => {
      start.forEach(call);
      result.set(now, 0);
      for (step = 0; step < states - 1; step++) {
        inner.forEach(call);
        update.forEach(call);
        now.set(later);
        result.set(now, (step + 1) * now.length);
      }
    };
  }
}

function call(run: () => void): void {
  run();
}
