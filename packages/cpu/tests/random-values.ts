// Random tensors and random expressions over given axes.

import {
  type Axis,
  add,
  allocateBuffer,
  and,
  type BinaryOp,
  binary,
  boundedIndex,
  cast,
  compare,
  constant,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  elementAt,
  encodeFloat,
  ge,
  isBigInteger,
  isFloat,
  isInteger,
  isSmallFloat,
  isUnsigned,
  lt,
  mod,
  mul,
  newTensorRef,
  type Operand,
  select,
  sub,
  type TensorBuffer,
  type TensorRef,
  toIndex,
  type UnaryOp,
  unary,
} from '@onnx-ts/tensor-ir';
import type { Random } from './random.ts';

const sizes = [1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33, 70];

/** Makes the parts of one kernel and remembers its params, their data and the values of its symbols. */
export class ValueMaker {
  readonly random: Random;
  readonly binding = new Map<string, number>();
  readonly inputs = new Map<TensorRef, TensorBuffer>();
  /** Largest size of an axis. */
  limit = 70;
  /** Whether floats may be NaN or infinite, and often equal. */
  hasSpecials = false;
  /** Whether indices from data may be out of range. */
  allowErrors = true;
  /** Whether sizes may be 0. */
  allowEmpty = true;

  constructor(random: Random) {
    this.random = random;
  }

  get params(): TensorRef[] {
    return [...this.inputs.keys()];
  }

  valueOf(dim: Dim): number {
    return dim.evaluate(this.binding);
  }

  size(limit = this.limit): Dim {
    const { random } = this;
    const value = this.allowEmpty && random.chance(0.03) ? 0 : random.pick(sizes.filter((size) => size <= limit));
    return random.chance(0.4) ? this.symbol(value) : Dim.constant(value);
  }

  symbol(value: number): Dim {
    const name = `N${this.binding.size}`;
    this.binding.set(name, value);
    return Dim.symbol(name);
  }

  shape(rank: number, limit?: number): Dim[] {
    return Array.from({ length: rank }, () => this.size(limit));
  }

  order(rank: number): { order?: readonly number[] } {
    if (rank < 2 || this.random.chance(0.6)) return {};
    return { order: this.random.shuffled(Array.from({ length: rank }, (_, at) => at)) };
  }

  tensor(dtype: DType, shape: readonly Dim[], values?: () => number): TensorRef {
    const tensor = newTensorRef(`t${this.inputs.size}`, dtype, shape, this.order(shape.length));
    const buffer = allocateBuffer(
      dtype,
      shape.map((dim) => this.valueOf(dim)),
    );
    const { data } = buffer;
    for (let i = 0; i < data.length; i++) data[i] = this.#element(dtype, values) as never;
    this.inputs.set(tensor, buffer);
    return tensor;
  }

  #element(dtype: DType, values: (() => number) | undefined): number | bigint {
    const { random } = this;
    if (values) return isBigInteger(dtype) ? BigInt(values()) : values();
    if (isSmallFloat(dtype)) return encodeFloat(dtype, this.#float());
    if (isFloat(dtype)) return this.#float();
    if (dtype === 'bool') return random.int(2);
    if (random.chance(0.7)) {
      const small = random.int(9) - (isUnsigned(dtype) ? 0 : 4);
      return isBigInteger(dtype) ? BigInt(small) : small;
    }
    if (isBigInteger(dtype)) return (BigInt(random.int(2 ** 31)) << 33n) + BigInt(random.int(2 ** 31));
    return random.int(2 ** 32);
  }

  #float(): number {
    if (this.hasSpecials)
      return this.random.pick([0, -0, 1, 1, -1, 0.5, Infinity, -Infinity, this.random.chance(0.3) ? NaN : 2]);
    return Math.fround(this.random.next() * 4 - 2);
  }

  /** An element of a new tensor of `dtype` at a place that depends on the axes. */
  access(dtype: DType, axes: readonly Axis[]): Expr {
    const { random } = this;
    if (random.chance(0.1)) {
      const reshaped = this.#reshaped(dtype, axes);
      if (reshaped) return reshaped;
    }
    const chosen = axes.filter(() => random.chance(0.8));
    const order = random.chance(0.3) ? random.shuffled(chosen) : chosen;
    const shape: Dim[] = [];
    const index: Expr[] = [];
    let guard: Expr | undefined;
    for (const axis of order) {
      const dim = this.#dimension(axis);
      shape.push(dim.size);
      index.push(dim.index);
      if (dim.guard) guard = guard ? and(guard, dim.guard) : dim.guard;
    }
    if (random.chance(0.1)) {
      const at = random.int(index.length + 1);
      const size = 1 + random.int(3);
      shape.splice(at, 0, Dim.constant(size));
      index.splice(at, 0, dimension(random.int(size)));
    }
    const tensor = this.tensor(dtype, shape);
    const otherwise = isInteger(dtype) || dtype === 'bool' ? 1 : 0.5;
    return elementAt(tensor, index, guard && { when: guard, otherwise: constant(dtype, otherwise) });
  }

  #dimension(axis: Axis): { size: Dim; index: Expr; guard?: Expr } {
    const { random } = this;
    const i = toIndex(axis);
    const value = this.valueOf(axis.size);
    switch (random.int(15)) {
      case 0:
        return { size: axis.size, index: sub(dimension(axis.size.sub(1)), i) };
      case 1: {
        const offset = random.int(3);
        return { size: axis.size.add(offset + random.int(3)), index: add(i, offset) };
      }
      case 2: {
        const offset = random.int(2);
        return { size: axis.size.mul(2).add(offset), index: add(mul(i, 2), offset) };
      }
      case 3: {
        const pad = random.int(4);
        const size = this.random.chance(0.5)
          ? this.symbol(Math.max(0, value - random.int(5)))
          : Dim.constant(Math.max(1, value - 2));
        const index = sub(i, pad);
        return { size, index, guard: and(ge(index, 0), lt(index, dimension(size))) };
      }
      case 4:
        return { size: axis.size.add(1).floorDiv(2), index: div(i, 2) };
      case 5:
        return { size: Dim.constant(3), index: mod(i, 3) };
      case 6: {
        const size = Dim.constant(1 + random.int(6));
        const count = Number(size.constant);
        const type = random.pick<DType>(['int32', 'int64']);
        const far = this.allowErrors && random.chance(0.05) ? 3 : 0;
        const places = this.tensor(type, [axis.size], () => random.int(2 * count + far) - count);
        return { size, index: boundedIndex(cast('index', elementAt(places, [i])), size) };
      }
      case 7: {
        // Broadcast, or not, as only the sizes at run time tell.
        const size = this.symbol(random.chance(0.5) ? value : 1);
        return { size, index: mul(i, dimension(size.sub(1).max(0).min(1))) };
      }
      default:
        return { size: axis.size, index: i };
    }
  }

  /** The elements of all axes, seen through another shape. */
  #reshaped(dtype: DType, axes: readonly Axis[]): Expr | undefined {
    const total = axes.reduce((count, axis) => count.mul(axis.size), Dim.constant(1)).constant;
    if (total === undefined || total < 2) return undefined;
    let flat: Expr = dimension(0);
    for (const axis of axes) flat = add(mul(flat, dimension(axis.size)), toIndex(axis));
    const shape: number[] = [];
    let rest = total;
    for (const factor of [2, 3, 5, 7, 4, 8]) {
      if (rest % factor === 0 && this.random.chance(0.5)) {
        shape.push(factor);
        rest /= factor;
      }
    }
    const dims = this.random.shuffled([...shape, rest]);
    const index: Expr[] = [];
    let inner = 1;
    for (const size of [...dims].reverse()) {
      index.unshift(mod(div(flat, inner), size));
      inner *= size;
    }
    const order = this.random.shuffled(dims.map((_, at) => at));
    const tensor = this.tensor(
      dtype,
      order.map((at) => Dim.constant(dims[at])),
    );
    return elementAt(
      tensor,
      order.map((at) => index[at]),
    );
  }

  /** A random value of `dtype` at each point of the axes. `leaf` may supply some of the elements. */
  expression(dtype: DType, axes: readonly Axis[], depth: number, leaf?: (dtype: DType) => Expr | undefined): Expr {
    const { random } = this;
    const of = (type: DType): Expr => this.expression(type, axes, depth - 1, leaf);
    if (depth <= 0) return this.#leaf(dtype, axes, leaf);
    switch (random.int(9)) {
      case 0: {
        const type = random.pick<DType>(['float32', 'int32', 'int64', dtype]);
        return select(this.#condition(type, of), of(dtype), of(dtype));
      }
      case 1:
        return this.#converted(dtype, axes, of);
      case 2:
        return unary(random.pick(unaryOps(dtype)), of(dtype));
      case 3:
        return binary(random.pick(binaryOps(dtype)), of(dtype), this.#literal(dtype));
      case 4:
        return this.#leaf(dtype, axes, leaf);
      default:
        return binary(random.pick(binaryOps(dtype)), of(dtype), of(dtype));
    }
  }

  #leaf(dtype: DType, axes: readonly Axis[], leaf?: (dtype: DType) => Expr | undefined): Expr {
    const given = this.random.chance(0.6) ? leaf?.(dtype) : undefined;
    return (
      given ?? (this.random.chance(0.1) ? constant(dtype, this.#literal(dtype) as number) : this.access(dtype, axes))
    );
  }

  #literal(dtype: DType): Operand {
    if (dtype === 'bool') return this.random.chance(0.5);
    if (isFloat(dtype)) return this.random.pick([0.5, 1, -0.25, 2]);
    const value = 1 + this.random.int(5);
    return isBigInteger(dtype) ? BigInt(value) : value;
  }

  #condition(type: DType, of: (type: DType) => Expr): Expr {
    // Floats come from inputs alone, so that rounding cannot turn a comparison around.
    const op = this.random.pick(['lt', 'le', 'gt', 'ge', 'eq', 'ne'] as const);
    if (isFloat(type)) return compare('lt', this.access('float32', []), 0.25);
    if (type === 'bool') return of('bool');
    return compare(op, of(type), of(type));
  }

  #converted(dtype: DType, axes: readonly Axis[], of: (type: DType) => Expr): Expr {
    const { random } = this;
    if (isFloat(dtype)) {
      if (random.chance(0.4) && axes.length > 0) return cast(dtype, mul(toIndex(random.pick(axes)), 2));
      return cast(dtype, of(random.pick<DType>(['int8', 'uint8', 'bool'])));
    }
    if (random.chance(0.3) && axes.length > 0) return cast(dtype, add(toIndex(random.pick(axes)), 1));
    return cast(dtype, of(random.pick<DType>(['int32', 'int64', 'uint8', 'int16', 'bool'])));
  }
}

function unaryOps(dtype: DType): readonly UnaryOp[] {
  if (dtype === 'bool') return ['not'];
  if (isFloat(dtype)) return ['neg', 'abs', 'tanh', 'sigmoid', 'sin'];
  return isUnsigned(dtype) ? ['not', 'abs'] : ['neg', 'abs', 'not', 'sign'];
}

function binaryOps(dtype: DType): readonly BinaryOp[] {
  if (dtype === 'bool') return ['and', 'or', 'xor'];
  if (isFloat(dtype)) return ['add', 'sub', 'mul', 'min', 'max'];
  return ['add', 'sub', 'mul', 'min', 'max', 'and', 'or', 'xor', 'div', 'rem', 'mod'];
}
