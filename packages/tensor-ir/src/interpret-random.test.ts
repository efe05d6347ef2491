// Random expressions: the compiled interpreter against a few lines that walk the tree for every element.

import { describe, expect, it } from 'vitest';
import { Dim, type DimBinding } from './dim.ts';
import type { DType, ExprType } from './dtype.ts';
import {
  type Axis,
  type BinaryOp,
  binary,
  bitcast,
  boundedIndex,
  type CompareOp,
  cast,
  compare,
  constant,
  dimension,
  type Expr,
  elementAt,
  select,
  toIndex,
  type UnaryOp,
  unary,
} from './expr.ts';
import { interpretStage } from './interpret.ts';
import { readAt } from './interpret-memory.ts';
import { bitcastFunction, castFunction, constantValue } from './scalar-casts.ts';
import { binaryFunction, compareFunction, type ScalarValue, testFunction, unaryFunction } from './scalar-ops.ts';
import { type Source, type Stage, StageBuilder } from './stage.ts';
import { allocateBuffer, type TensorBuffer } from './tensor-buffer.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyStage } from './verify.ts';

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function evaluate(
  e: Expr,
  axes: ReadonlyMap<Axis, number>,
  binding: DimBinding,
  buffers: ReadonlyMap<Source, TensorBuffer>,
): ScalarValue {
  const visit = (x: Expr): ScalarValue => evaluate(x, axes, binding, buffers);
  switch (e.kind) {
    case 'const':
      return constantValue(e.type, e.value);
    case 'dim':
      return e.dim.evaluate(binding);
    case 'axis':
      return axes.get(e.axis)!;
    case 'load': {
      if (e.guard && !visit(e.guard)) return visit(e.fill!);
      const buffer = buffers.get(e.source)!;
      let at = 0;
      e.index.forEach((x, axis) => {
        const index = visit(x) as number;
        expect(index).toBeGreaterThanOrEqual(0);
        expect(index).toBeLessThan(buffer.dims[axis]);
        at = at * buffer.dims[axis] + index;
      });
      return readAt(buffer, () => at)();
    }
    case 'unary':
      return unaryFunction(e.op, e.type)(visit(e.x) as never);
    case 'test':
      return testFunction(e.op)(visit(e.x) as number);
    case 'binary':
      return binaryFunction(e.op, e.type)(visit(e.a) as never, visit(e.b) as never);
    case 'compare':
      return compareFunction(e.op, e.a.type)(visit(e.a) as never, visit(e.b) as never);
    case 'select':
      return visit(visit(e.condition) ? e.whenTrue : e.whenFalse);
    case 'cast':
      return castFunction(e.x.type, e.type, e.saturate)(visit(e.x) as never);
    case 'bitcast':
      return bitcastFunction(e.x.type, e.type)(visit(e.x) as never);
    case 'bounded': {
      const x = Number(visit(e.x));
      const size = e.size.evaluate(binding);
      const at = e.negative && x < 0 ? x + size : x;
      return at >= 0 && at < size ? at : 0;
    }
  }
}

const types = ['float32', 'float16', 'int32', 'int64', 'uint8', 'bool'] as const;
type TestType = (typeof types)[number];

const unaryOps: Readonly<Record<TestType, readonly UnaryOp[]>> = {
  float32: ['neg', 'abs', 'exp', 'tanh', 'round', 'erf'],
  float16: ['neg', 'sqrt', 'sigmoid'],
  int32: ['neg', 'abs', 'sign', 'not'],
  int64: ['neg', 'not', 'popcount'],
  uint8: ['not', 'popcount'],
  bool: ['not'],
};

const arithmetic: readonly BinaryOp[] = ['add', 'sub', 'mul', 'div', 'min', 'max', 'mod', 'rem'];
const comparisons: readonly CompareOp[] = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'];

class Generator {
  readonly next: () => number;
  readonly tensors: readonly TensorRef[];
  #made: Expr[] = [];
  #axes: readonly Axis[] = [];

  constructor(next: () => number, tensors: readonly TensorRef[]) {
    this.next = next;
    this.tensors = tensors;
  }

  /** An expression over some axes. Parts are used several times now and then. */
  body(type: ExprType, axes: readonly Axis[], depth: number): Expr {
    this.#axes = axes;
    this.#made = [];
    return this.#expr(type, depth);
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)];
  }

  #expr(type: ExprType, depth: number): Expr {
    if (this.next() < 0.2) {
      const same = this.#made.filter((e) => e.type === type);
      if (same.length > 0) return this.pick(same);
    }
    const e = type === 'index' ? this.#index(depth) : this.#value(type as TestType, depth);
    this.#made.push(e);
    return e;
  }

  #index(depth: number): Expr {
    const below = (): Expr => this.#expr('index', depth - 1);
    const kind = depth <= 0 ? Math.floor(this.next() * 3) : Math.floor(this.next() * 10);
    switch (kind) {
      case 0:
        return dimension(Math.floor(this.next() * 5));
      case 1:
        return dimension('n');
      case 2:
      case 3:
        return toIndex(this.pick(this.#axes));
      case 4:
        return binary(this.pick(['add', 'sub']), below(), below());
      case 5:
        return binary('mul', below(), dimension(Math.floor(this.next() * 4)));
      case 6:
        return binary(this.pick(['div', 'mod']), below(), dimension(1 + Math.floor(this.next() * 4)));
      case 7:
        return binary(this.pick(['min', 'max', 'mod', 'div']), below(), below());
      case 8:
        return boundedIndex(this.#expr(this.pick(['int64', 'int32', 'index']), depth - 1), 4);
      default:
        return select(this.#expr('bool', depth - 1), below(), below());
    }
  }

  #load(type: TestType, depth: number): Expr {
    const source = this.pick(this.tensors.filter((tensor) => tensor.dtype === type));
    const index = source.shape.map((size) => {
      const axis = this.#axes.find((candidate) => candidate.size.equals(size) && this.next() < 0.7);
      return axis ? toIndex(axis) : binary('mod', this.#expr('index', depth - 1), dimension(size));
    });
    if (this.next() < 0.6) return elementAt(source, index);
    // A window that may leave the tensor, as at the borders of a convolution.
    const moved = index.map((x) => binary('sub', x, dimension(1)));
    const when = moved
      .map((x, axis) => binary('and', compare('ge', x, dimension(0)), compare('lt', x, dimension(source.shape[axis]))))
      .reduce((a, b) => binary('and', a, b));
    return elementAt(source, moved, { when, otherwise: this.#expr(type, depth - 1) });
  }

  #value(type: TestType, depth: number): Expr {
    const below = (of: ExprType = type): Expr => this.#expr(of, depth - 1);
    const kind = depth <= 0 ? 0 : Math.floor(this.next() * 10);
    if (kind === 0) return constant(type, type === 'bool' ? this.next() < 0.5 : Math.floor(this.next() * 7));
    if (kind <= 3) return this.#load(type, depth);
    if (kind === 4) return unary(this.pick(unaryOps[type]), below());
    if (kind === 5) return select(below('bool'), below(), below());
    if (kind === 6 && type === 'int32') return bitcast('int32', below('float32'));
    if (type === 'bool') {
      if (kind === 6) return { kind: 'test', type, op: this.pick(['isnan', 'isposinf']), x: below('float32') };
      if (kind === 7) return binary(this.pick(['and', 'or', 'xor']), below(), below());
      const of = this.pick([...types.slice(0, 5), 'index'] as const);
      return compare(this.pick(comparisons), below(of), below(of));
    }
    if (kind <= 7) return cast(type, below(this.pick([...types, 'index'])), { saturate: this.next() < 0.5 });
    return binary(this.pick(arithmetic), below(), below());
  }
}

function fill(buffer: TensorBuffer, next: () => number): void {
  const { dtype, data } = buffer;
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(next() * 12) - 6;
    if (dtype === 'int64') (data as BigInt64Array)[i] = BigInt(x);
    else if (dtype === 'float16') (data as Uint16Array)[i] = Math.floor(next() * 65536);
    else if (dtype === 'bool') (data as Uint8Array)[i] = x > 0 ? 1 : 0;
    else (data as Int32Array)[i] = dtype === 'float32' && next() < 0.05 ? NaN : x / (dtype === 'float32' ? 4 : 1);
  }
}

/** Every point of the axes, the last fastest. */
function* points(axes: readonly Axis[], binding: DimBinding): PointIterator {
  const sizes = axes.map((axis) => axis.size.evaluate(binding));
  const count = sizes.reduce((a, b) => a * b, 1);
  for (let flat = 0; flat < count; flat++) {
    let rest = flat;
    const at = new Map<Axis, number>();
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      at.set(axes[axis], rest % sizes[axis]);
      rest = Math.floor(rest / sizes[axis]);
    }
    yield at;
  }
}
type PointIterator = globalThis.Generator<Map<Axis, number>>;

const binding = new Map([
  ['n', 3],
  ['one', 1],
]);
const shapes = [['n', 4], [2, 'one', 'n'], [4], ['one', 5], [2, 'n', 4], []] as const;

describe.each(Array.from({ length: 60 }, (_, seed) => seed))('seed %d', (seed) => {
  const next = random(seed);
  const tensors = types.flatMap((dtype) =>
    [['n', 4], [5], [2, 'one', 'n']].map((shape, at) => newTensorRef(`${dtype}_${at}`, dtype, shape.map(Dim.from))),
  );
  const buffers = new Map<Source, TensorBuffer>(
    tensors.map((tensor) => {
      const buffer = allocateBuffer(
        tensor.dtype,
        tensor.shape.map((dim) => dim.evaluate(binding)),
      );
      fill(buffer, next);
      return [tensor, buffer];
    }),
  );
  const generator = new Generator(next, tensors);

  function stored(dtype: DType, values: readonly ScalarValue[]): TensorBuffer['data'] {
    // Constants in a map stage would be stored by the code under test: round and wrap by a cast that is tested elsewhere.
    const buffer = allocateBuffer(dtype, [values.length]);
    values.forEach((value, at) => {
      if (dtype === 'float16') {
        (buffer.data as Uint16Array)[at] = bitcastFunction('float16', 'uint16')(value as never) as number;
      } else if (dtype === 'bool') (buffer.data as Uint8Array)[at] = value ? 1 : 0;
      else (buffer.data as Float32Array)[at] = value as number;
    });
    return buffer.data;
  }

  const run = (stage: Stage): TensorBuffer => {
    verifyStage(stage, new Set(tensors));
    return interpretStage(stage, buffers, binding, { onOutOfRange: () => {} });
  };

  it('maps', () => {
    for (let round = 0; round < 12; round++) {
      const dtype = generator.pick(types);
      const shape = generator.pick(shapes.slice(0, 5));
      const stage = new StageBuilder().map(dtype, shape, (index) =>
        generator.body(
          dtype,
          index.map((e) => (e as Extract<Expr, { kind: 'axis' }>).axis),
          5,
        ),
      );
      const expected = [...points(stage.axes, binding)].map((at) => evaluate(stage.body, at, binding, buffers));
      expect(run(stage).data).toEqual(stored(dtype, expected));
    }
  });

  it('reduces', () => {
    for (let round = 0; round < 8; round++) {
      const dtype = generator.pick(['int32', 'int64', 'uint8'] as const);
      const op = generator.pick(['sum', 'prod', 'max', 'and'] as const);
      const over = generator.pick(shapes);
      const stage = new StageBuilder().reduce(op, dtype, generator.pick(shapes), over, (index, inner) => {
        const axes = [...index, ...inner].map((e) => (e as Extract<Expr, { kind: 'axis' }>).axis);
        return axes.length === 0 ? constant(dtype, 3) : generator.body(dtype, axes, 4);
      });
      const step = binaryFunction(({ sum: 'add', prod: 'mul', max: 'max', and: 'and' } as const)[op], dtype);
      const expected = [...points(stage.axes, binding)].map((outer) =>
        [...points(stage.over, binding)]
          .map((inner) => evaluate(stage.body, new Map([...outer, ...inner]), binding, buffers))
          .reduce((a, b) => step(a as never, b as never)),
      );
      expect(run(stage).data).toEqual(stored(dtype, expected));
    }
  });

  it('sums products of floats', () => {
    for (let round = 0; round < 8; round++) {
      const shape = generator.pick(shapes);
      const over = generator.pick(shapes.slice(0, 5));
      const stage = new StageBuilder().reduce('sum', 'float32', shape, over, (index, inner) => {
        const axes = [...index, ...inner].map((e) => (e as Extract<Expr, { kind: 'axis' }>).axis);
        const factor = (): Expr =>
          cast('float32', generator.body(generator.pick(['float32', 'float16'] as const), axes, 2));
        return next() < 0.2 ? factor() : binary('mul', factor(), factor());
      });
      const expected = [...points(stage.axes, binding)].map((outer) =>
        Math.fround(
          [...points(stage.over, binding)]
            .map((inner) => evaluate(stage.body, new Map([...outer, ...inner]), binding, buffers) as number)
            .reduce((a, b) => a + b),
        ),
      );
      const data = run(stage).data as Float32Array;
      expected.forEach((value, at) => {
        if (Number.isFinite(value))
          expect(Math.abs(data[at] - value)).toBeLessThanOrEqual(1e-6 * Math.abs(value) + 1e-6);
        else expect(data[at]).toBe(value);
      });
    }
  });
});
