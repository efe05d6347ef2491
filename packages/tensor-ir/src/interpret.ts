// The reference interpreter: runs level 2 stages one after another, each into memory of its own, with no fusion. It is
// the oracle for every provider, so it is as plain as its speed allows.
//
// Sums and products of floats accumulate in double precision and are rounded once, when stored; a sum may take its terms
// in any order. Everything else follows the comments in expr.ts and stage.ts. Buffers are row-major: the physical order
// of a tensor is ignored.

import { Dim, type DimBinding } from './dim.ts';
import { isBigInteger, isFloat } from './dtype.ts';
import { type Axis, dimension, type Expr, substituteAxes } from './expr.ts';
import { ExprCompiler, type ExprScope, slotBound } from './interpret-expr.ts';
import { elementLoop, type FoldOp, foldOf, productLoop, type Step } from './interpret-fold.ts';
import { readAt, type Thunk, writerOf } from './interpret-memory.ts';
import { LoopNest } from './interpret-nest.ts';
import { binaryFunction, type ScalarValue } from './scalar-ops.ts';
import {
  type MapStage,
  type Program,
  type RecurrenceStage,
  type ReduceStage,
  type ScanStage,
  type ScatterStage,
  type Source,
  type Stage,
  sourcesOf,
} from './stage.ts';
import { allocateBuffer, countOf, entriesOf, type TensorBuffer } from './tensor-buffer.ts';
import type { TensorRef } from './tensor-ref.ts';

export interface InterpretOptions {
  /** Looked at before each stage. */
  readonly signal?: AbortSignal;
  /** Called for an index outside its range, which then counts as 0. Without it a RangeError is thrown. */
  onOutOfRange?(stage: Stage, value: number, size: number): void;
  /** Called with what a stage threw; throws what the caller is to get. */
  onFailure?(stage: Stage, error: unknown): never;
}

/**
 * Runs a program.
 * @param inputs a buffer for every input of the program
 * @param binding a value for every symbol
 * @returns a buffer for every output; it may share memory with an input or another output
 * @throws RangeError for inputs whose sizes do not fit, and for reads outside a tensor; SizeError
 */
export function interpretProgram(
  program: Program,
  inputs: ReadonlyMap<TensorRef, TensorBuffer>,
  binding: DimBinding,
  options: InterpretOptions = {},
): Map<TensorRef, TensorBuffer> {
  const buffers = new Map<Source, TensorBuffer>();
  for (const input of program.inputs) {
    const buffer = inputs.get(input);
    if (!buffer) throw new RangeError(`input ${input.name} is missing`);
    checkBuffer(input, buffer, binding);
    buffers.set(input, buffer);
  }
  const lastUse = new Map<Source, number>();
  program.stages.forEach((stage, at) => {
    for (const source of sourcesOf(stage)) lastUse.set(source, at);
  });
  for (const { source } of program.outputs) lastUse.set(source, Infinity);
  program.stages.forEach((stage, at) => {
    options.signal?.throwIfAborted();
    try {
      buffers.set(stage, interpretStage(stage, buffers, binding, options));
    } catch (error) {
      if (options.onFailure) options.onFailure(stage, error);
      throw error;
    }
    for (const source of sourcesOf(stage)) if (lastUse.get(source) === at) buffers.delete(source);
  });
  return new Map(
    program.outputs.map(({ tensor, source }) => {
      const buffer = buffers.get(source);
      if (!buffer) throw new RangeError(`output ${tensor.name} comes from something outside the program`);
      return [tensor, buffer];
    }),
  );
}

function checkBuffer(ref: TensorRef, buffer: TensorBuffer, binding: DimBinding): void {
  const dims = ref.shape.map((dim) => dim.evaluate(binding));
  if (buffer.dtype !== ref.dtype) throw new RangeError(`${ref.name} is ${ref.dtype}, its data ${buffer.dtype}`);
  if (dims.length !== buffer.dims.length || dims.some((dim, axis) => dim !== buffer.dims[axis])) {
    throw new RangeError(`${ref.name} has sizes [${dims.join(', ')}], its data [${buffer.dims.join(', ')}]`);
  }
  const entries = entriesOf(ref.dtype, countOf(dims));
  if (buffer.data.length !== entries) {
    throw new RangeError(`the data of ${ref.name} has ${buffer.data.length} entries instead of ${entries}`);
  }
}

/** Runs one stage. `buffers` holds everything it reads. */
export function interpretStage(
  stage: Stage,
  buffers: ReadonlyMap<Source, TensorBuffer>,
  binding: DimBinding,
  options: InterpretOptions = {},
): TensorBuffer {
  return new StageRun(stage, buffers, binding, options).run();
}

/** An axis as an expression. */
const at = (axis: Axis): Expr => ({ kind: 'axis', type: 'index', axis });

class StageRun {
  readonly #stage: Stage;
  readonly #buffers: ReadonlyMap<Source, TensorBuffer>;
  readonly #binding: DimBinding;
  readonly #options: InterpretOptions;
  readonly #dims: readonly number[];

  constructor(
    stage: Stage,
    buffers: ReadonlyMap<Source, TensorBuffer>,
    binding: DimBinding,
    options: InterpretOptions,
  ) {
    this.#stage = stage;
    this.#buffers = buffers;
    this.#binding = binding;
    this.#options = options;
    this.#dims = stage.shape.map((dim) => dim.evaluate(binding));
  }

  run(): TensorBuffer {
    const stage = this.#stage;
    if (stage.kind === 'view') {
      const source = this.#buffer(stage.source);
      if (countOf(source.dims) !== countOf(this.#dims)) {
        throw new RangeError(
          `stage ${stage.name} views [${source.dims.join(', ')}] as [${this.#dims.join(', ')}], which has another number of elements`,
        );
      }
      return { ...source, dims: this.#dims };
    }
    const out = allocateBuffer(stage.dtype, this.#dims);
    switch (stage.kind) {
      case 'map':
        this.#fill(out, stage.axes, stage.body);
        break;
      case 'segments':
        for (const { axes, body, offset } of stage.segments) {
          this.#fill(out, axes, body, { along: stage.along, offset: offset.evaluate(this.#binding) });
        }
        break;
      case 'reduce':
        if (stage.op === 'argmax' || stage.op === 'argmin') this.#argReduce(stage, out);
        else this.#reduce(stage, out);
        break;
      case 'scan':
        this.#scan(stage, out);
        break;
      case 'scatter':
        this.#fill(
          out,
          stage.initialAxes,
          stage.initial,
          stage.kept && { along: stage.kept.along, offset: stage.kept.length.evaluate(this.#binding) },
        );
        this.#scatter(stage, out);
        break;
      case 'recurrence':
        this.#recurrence(stage, out);
        break;
    }
    return out;
  }

  #buffer(source: Source): TensorBuffer {
    const buffer = this.#buffers.get(source);
    if (!buffer) throw new RangeError(`stage ${this.#stage.name} reads ${source.name}, which is not known`);
    return buffer;
  }

  #sizeOf(axis: Axis): number {
    return axis.size.evaluate(this.#binding);
  }

  /** A nest and a compiler for expressions over it. `extra` are more slots that the caller will ask for. */
  #open(
    axes: readonly { readonly axis: Axis; readonly reverse?: boolean }[],
    roots: readonly Expr[],
  ): { nest: LoopNest; compiler: ExprCompiler } {
    const sized = axes.map(({ axis, reverse }) => ({ axis, size: this.#sizeOf(axis), ...(reverse && { reverse }) }));
    const nest = new LoopNest(sized, slotBound(roots) + axes.length + 2);
    const scope: ExprScope = {
      stage: this.#stage,
      binding: this.#binding,
      nest,
      buffer: (source) => this.#buffer(source),
      outOfRange: (value, size) => this.#outOfRange(value, size),
    };
    return { nest, compiler: new ExprCompiler(scope, roots) };
  }

  #outOfRange(value: number, size: number): void {
    if (this.#options.onOutOfRange) this.#options.onOutOfRange(this.#stage, value, size);
    else throw new RangeError(`stage ${this.#stage.name}: index ${value} is out of range for a size of ${size}`);
  }

  /** Flat position of the element that the axes stand for, in the result. */
  #position(nest: LoopNest, axes: readonly Axis[], segment?: { along: number; offset: number }): number {
    const terms = new Map<Axis, number>();
    let constant = 0;
    let stride = 1;
    for (let axis = this.#dims.length - 1; axis >= 0; axis--) {
      const size = this.#sizeOf(axes[axis]);
      const offset = segment?.along === axis ? segment.offset : 0;
      if (offset + size > this.#dims[axis] || (!segment && size !== this.#dims[axis])) {
        throw new RangeError(
          `stage ${this.#stage.name}: axis ${axis} runs to ${offset + size}, the size is ${this.#dims[axis]}`,
        );
      }
      if (size !== 1) terms.set(axes[axis], stride);
      constant += offset * stride;
      stride *= this.#dims[axis];
    }
    const slot = nest.slotFor({ constant, axes: terms });
    if (slot === undefined) throw new RangeError(`stage ${this.#stage.name} has too many elements for the interpreter`);
    return slot;
  }

  /** out[axes] = body */
  #fill(out: TensorBuffer, axes: readonly Axis[], body: Expr, segment?: { along: number; offset: number }): void {
    const { nest, compiler } = this.#open(
      axes.map((axis) => ({ axis })),
      [body],
    );
    const slot = this.#position(nest, axes, segment);
    if (nest.isEmpty) return;
    const value = compiler.compile(body);
    nest.reset();
    nest.loops(1, nest.depth, storeAt(out, nest.values, slot, value))();
  }

  #reduce(stage: ReduceStage, out: TensorBuffer): void {
    const { axes, body } = stage;
    // The longest loop innermost: the order of terms does not matter, see the top of this file.
    const over = [...stage.over].sort((a, b) => this.#sizeOf(a) - this.#sizeOf(b));
    const { nest, compiler } = this.#open(
      [...axes, ...over].map((axis) => ({ axis })),
      [body],
    );
    const slot = this.#position(nest, axes);
    if (this.#dims.includes(0)) return;
    const { identity, step } = foldOf(stage.op as FoldOp, stage.dtype);
    if (nest.isEmpty) {
      const write = writerOf(out);
      for (let i = 0; i < countOf(this.#dims); i++) write(i, identity);
      return;
    }
    const outer = axes.filter((axis) => nest.depthOf(axis) > 0).length;
    const isFloatSum = stage.op === 'sum' && isFloat(stage.dtype);
    const fold =
      (isFloatSum && outer < nest.depth && this.#productSum(nest, compiler, body, outer)) ||
      this.#plainFold(nest, compiler.compile(body), outer, isFloatSum, step);
    nest.reset();
    nest.loops(
      1,
      outer,
      storeAt(out, nest.values, slot, () => fold(identity)),
    )();
  }

  #plainFold(
    nest: LoopNest,
    term: Thunk,
    outer: number,
    isFloatSum: boolean,
    step: Step,
  ): (sum: ScalarValue) => ScalarValue {
    if (isFloatSum && outer < nest.depth) {
      const inner = nest.sumLoop(nest.depth, term as Thunk<number>);
      return nest.folds(outer + 1, nest.depth - 1, inner) as (sum: ScalarValue) => ScalarValue;
    }
    return nest.folds<ScalarValue>(outer + 1, nest.depth, (sum) => step(sum, term()));
  }

  /** Sum of one load of floats, or of the products of two, whose innermost loop needs no closures. */
  #productSum(
    nest: LoopNest,
    compiler: ExprCompiler,
    body: Expr,
    outer: number,
  ): ((sum: ScalarValue) => ScalarValue) | undefined {
    const size = nest.sizeAt(nest.depth);
    let inner: (sum: number) => number;
    if (body.kind === 'binary' && body.op === 'mul' && body.type !== 'float64') {
      const a = compiler.streaming(body.a);
      const b = a && compiler.streaming(body.b);
      if (!b) return undefined;
      inner = productLoop(a, b, size);
    } else {
      const a = compiler.streaming(body);
      if (!a) return undefined;
      inner = elementLoop(a, size);
    }
    return nest.folds(outer + 1, nest.depth - 1, inner) as (sum: ScalarValue) => ScalarValue;
  }

  #argReduce(stage: ReduceStage, out: TensorBuffer): void {
    if (stage.over.length !== 1) throw new Error(`stage ${stage.name}: ${stage.op} needs exactly one axis`);
    const [over] = stage.over;
    const { nest, compiler } = this.#open(
      [...stage.axes, over].map((axis) => ({ axis })),
      [stage.body],
    );
    const slot = this.#position(nest, stage.axes);
    if (nest.isEmpty) return;
    const value = compiler.compile(stage.body) as Thunk<number>;
    const place = compiler.compile(at(over)) as Thunk<number>;
    const wins = stage.op === 'argmax' ? (a: number, b: number) => a > b : (a: number, b: number) => a < b;
    const last = stage.selectLast ?? false;
    let best: number | undefined;
    let where = 0;
    const look = (): void => {
      const x = value();
      if (best === undefined || replaces(x, best)) {
        best = x;
        where = place();
      }
    };
    const replaces = (x: number, held: number): boolean => {
      if (Number.isNaN(x)) return !Number.isNaN(held) || last;
      return wins(x, held) || (last && x === held);
    };
    const outer = stage.axes.filter((axis) => nest.depthOf(axis) > 0).length;
    const row = nest.loops(outer + 1, nest.depth, look);
    const isBig = isBigInteger(stage.dtype);
    nest.reset();
    nest.loops(
      1,
      outer,
      storeAt(out, nest.values, slot, () => {
        best = undefined;
        row();
        return isBig ? BigInt(where) : where;
      }),
    )();
  }

  #scan(stage: ScanStage, out: TensorBuffer): void {
    const { axes, along, body, exclusive, reverse } = stage;
    const others = axes.filter((_, axis) => axis !== along);
    const { nest, compiler } = this.#open(
      [...others.map((axis) => ({ axis })), { axis: axes[along], reverse }],
      [body],
    );
    const slot = this.#position(nest, axes);
    if (nest.isEmpty) return;
    const { identity, step } = foldOf(stage.op, stage.dtype);
    const value = compiler.compile(body);
    const write = writerOf(out);
    const { values } = nest;
    let sum = identity;
    const move = (): void => {
      if (exclusive) write(values[slot], sum);
      sum = step(sum, value());
      if (!exclusive) write(values[slot], sum);
    };
    const outer = others.filter((axis) => nest.depthOf(axis) > 0).length;
    const row = nest.loops(outer + 1, nest.depth, move);
    nest.reset();
    nest.loops(1, outer, () => {
      sum = identity;
      row();
    })();
  }

  /** Runs its maps and reductions as stages of their own, with the step as a known size. */
  #recurrence(stage: RecurrenceStage, out: TensorBuffer): void {
    const dims = this.#dims.slice(1);
    const count = countOf(dims);
    const state = (step: number): TensorBuffer => ({
      dtype: stage.dtype,
      dims,
      data: (out.data as Float32Array).subarray(step * count, (step + 1) * count),
    });
    const turn = Dim.symbol(`step of ${stage.name}`);
    const atTurn = new Map([[stage.step, dimension(turn)]]);
    const asMap = (part: number, body: Expr): MapStage => {
      const { id, name, dtype, shape, origin, parts } = stage;
      return { id, name, dtype, shape: shape.slice(2), origin, kind: 'map', axes: parts[part].axes, body };
    };
    const buffers = new Map(this.#buffers);
    let binding = this.#binding;
    const run = (inner: Stage): TensorBuffer => interpretStage(inner, buffers, binding, this.#options);
    const write = (step: number, parts: readonly TensorBuffer[]): void => {
      const target = state(step).data as Float32Array;
      for (const [part, { data }] of parts.entries()) target.set(data as Float32Array, part * (count / parts.length));
    };
    const initial = stage.parts.map((part, at) => run(asMap(at, part.initial)));
    write(0, initial);
    const inner = stage.inner.map((own) => ({ own, held: { ...own, body: substituteAxes(own.body, atTurn) } }));
    const next = stage.parts.map((part, at) => asMap(at, substituteAxes(part.next, atTurn)));
    const steps = this.#dims[0] - 1;
    for (let step = 0; step < steps; step++) {
      this.#options.signal?.throwIfAborted();
      binding = new Map([...this.#binding, [`step of ${stage.name}`, step]]);
      buffers.set(stage.state, state(step));
      for (const { own, held } of inner) buffers.set(own, run(held));
      write(step + 1, next.map(run));
    }
  }

  #scatter(stage: ScatterStage, out: TensorBuffer): void {
    const roots = [stage.body, ...stage.destination, ...(stage.guard ? [stage.guard] : [])];
    const { nest, compiler } = this.#open(
      stage.axes.map((axis) => ({ axis })),
      roots,
    );
    if (nest.isEmpty) return;
    const place = compiler.offset(stage.destination, this.#dims, 'the result');
    const value = compiler.compile(stage.body);
    const guard = stage.guard && compiler.compile(stage.guard);
    const write = writerOf(out);
    let target = 0;
    const before = readAt(out, () => target);
    const combine = scatterStep(stage);
    nest.reset();
    nest.loops(1, nest.depth, () => {
      if (guard && !guard()) return;
      target = place();
      write(target, combine ? combine(before(), value()) : value());
    })();
  }
}

function storeAt(out: TensorBuffer, values: Int32Array, slot: number, value: Thunk): () => void {
  if (out.dtype === 'float32') {
    const data = out.data as Float32Array;
    return () => {
      data[values[slot]] = value() as number;
    };
  }
  const write = writerOf(out);
  return () => write(values[slot], value());
}

function scatterStep(stage: ScatterStage): Step | undefined {
  if (stage.combine === 'set') return undefined;
  const op = ({ sum: 'add', prod: 'mul', max: 'max', min: 'min' } as const)[stage.combine];
  return binaryFunction(op, stage.dtype) as Step;
}
