// Compiles expressions of the reference interpreter into nested closures over a loop nest. Index arithmetic becomes
// affine slots of the nest; what does not change in the inner loops, or is used twice, is computed once.

import type { Dim, DimBinding } from './dim.ts';
import { type ExprType, integerRange, isBigInteger, isInteger } from './dtype.ts';
import { childrenOf, type Expr } from './expr.ts';
import { combineForms, constantForm, type IndexForm, type Interval, isConstantForm } from './interpret-forms.ts';
import { readAt, readAtSlot, readInt64AsNumber, type Thunk } from './interpret-memory.ts';
import type { AffineForm, LoopNest } from './interpret-nest.ts';
import { decodeTable } from './number-formats.ts';
import { bitcastFunction, castFunction, constantValue } from './scalar-casts.ts';
import { binaryFunction, compareFunction, type ScalarValue, testFunction, unaryFunction } from './scalar-ops.ts';
import type { Source, Stage } from './stage.ts';
import type { TensorBuffer } from './tensor-buffer.ts';

export interface ExprScope {
  /** The stage that the expression belongs to, for errors. */
  readonly stage: Stage;
  readonly binding: DimBinding;
  readonly nest: LoopNest;
  buffer(source: Source): TensorBuffer;
  /** Called for a `bounded` index outside its range; the value is then 0. */
  outOfRange(value: number, size: number): void;
}

type Load = Extract<Expr, { kind: 'load' }>;

/** Where a load reads, if its offset is affine in the innermost loop and nothing needs checking there. */
export interface StreamingLoad {
  readonly data: Float32Array;
  /** Offset at the current point of the outer loops. */
  readonly offset: Thunk<number>;
  readonly stride: number;
  readonly guard?: Thunk<boolean>;
  readonly fill?: Thunk<number>;
}

/** Slots that expressions may need: a bound for `LoopNest`. */
export function slotBound(roots: readonly Expr[]): number {
  const seen = new Set<Expr>();
  let count = 4;
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    count += e.kind === 'load' ? e.index.length + 2 : 2;
    childrenOf(e).forEach(visit);
  };
  roots.forEach(visit);
  return count;
}

export class ExprCompiler {
  readonly #scope: ExprScope;
  readonly #nest: LoopNest;
  readonly #thunks = new Map<Expr, Thunk>();
  readonly #depths = new Map<Expr, number>();
  readonly #forms = new Map<Expr, IndexForm>();
  readonly #ranges = new Map<Expr, Interval>();
  readonly #uses = new Map<Expr, number>();
  /** Deepest loop in which a node's value is asked for. */
  readonly #askedAt = new Map<Expr, number>();

  /** @param roots every expression that `compile` will be called with, to see what they share */
  constructor(scope: ExprScope, roots: readonly Expr[]) {
    this.#scope = scope;
    this.#nest = scope.nest;
    for (const root of roots) this.#count(root, this.#nest.depth);
  }

  /** A function that gives the value at the current point of the nest. */
  compile(e: Expr): Thunk {
    let thunk = this.#thunks.get(e);
    if (!thunk) {
      thunk = e.type === 'index' ? this.#index(e) : this.#cached(e, this.#value(e));
      this.#thunks.set(e, thunk);
    }
    return thunk;
  }

  /** How a load of floats streams through the innermost loop, or undefined when it is not that simple. */
  streaming(value: Expr): StreamingLoad | undefined {
    const { depth } = this.#nest;
    const e = value.kind === 'cast' && value.type === 'float32' && isHalf(value.x.type) ? value.x : value;
    if (e.kind !== 'load' || (e.type !== 'float32' && !isHalf(e.type)) || depth === 0) return undefined;
    if (e.guard && (this.depthOf(e.guard) >= depth || this.depthOf(e.fill!) >= depth)) return undefined;
    const { form, checks, buffer } = this.#address(e);
    if (checks.some((check) => check.depth >= depth)) return undefined;
    for (const other of form.others.keys()) if (this.depthOf(other) >= depth) return undefined;
    const slot = this.#nest.slotFor(form);
    if (slot === undefined) return undefined;
    return {
      data: float32Of(buffer),
      offset: this.#checked(this.#sum(form), checks),
      stride: this.#nest.strideAt(slot, depth),
      ...(e.guard && { guard: this.compile(e.guard) as Thunk<boolean>, fill: this.compile(e.fill!) as Thunk<number> }),
    };
  }

  /** The flat offset of an element of a tensor with these sizes; `checks` throw for indices outside. */
  offset(index: readonly Expr[], dims: readonly number[], describe: string): Thunk<number> {
    const { form, checks } = this.#flatten(index, dims, describe);
    return this.#checked(this.#sum(form), checks);
  }

  /** Deepest loop on which an expression depends; 0 for none. */
  depthOf(e: Expr): number {
    let depth = this.#depths.get(e);
    if (depth === undefined) {
      depth = e.kind === 'axis' ? this.#nest.depthOf(e.axis) : 0;
      for (const child of childrenOf(e)) depth = Math.max(depth, this.depthOf(child));
      this.#depths.set(e, depth);
    }
    return depth;
  }

  #count(e: Expr, askedAt: number): void {
    this.#askedAt.set(e, Math.max(askedAt, this.#askedAt.get(e) ?? 0));
    const uses = (this.#uses.get(e) ?? 0) + 1;
    this.#uses.set(e, uses);
    if (uses > 1) return;
    const depth = this.depthOf(e);
    for (const child of childrenOf(e)) this.#count(child, depth);
  }

  #dim(dim: Dim): number {
    return dim.evaluate(this.#scope.binding);
  }

  /** Remembers values that stay the same in inner loops or are asked for more than once. */
  #cached(e: Expr, thunk: Thunk): Thunk {
    const depth = this.depthOf(e);
    const invariant = depth < (this.#askedAt.get(e) ?? 0);
    const shared = (this.#uses.get(e) ?? 0) > 1;
    if (e.kind === 'const' || !(invariant || shared) || isCheap(e)) return thunk;
    const { ticks } = this.#nest;
    let stamp = -1;
    let value: ScalarValue = 0;
    return () => {
      if (stamp !== ticks[depth]) {
        value = thunk();
        stamp = ticks[depth];
      }
      return value;
    };
  }

  #value(e: Expr): Thunk {
    switch (e.kind) {
      case 'const': {
        const value = constantValue(e.type, e.value);
        return () => value;
      }
      case 'load':
        return this.#load(e);
      case 'unary': {
        const f = unaryFunction(e.op, e.type) as (x: ScalarValue) => ScalarValue;
        const x = this.compile(e.x);
        return () => f(x());
      }
      case 'test': {
        const f = testFunction(e.op);
        const x = this.compile(e.x) as Thunk<number>;
        return () => f(x());
      }
      case 'binary':
        return this.#binary(e);
      case 'compare':
        return this.#compare(e);
      case 'select': {
        const condition = this.compile(e.condition);
        const whenTrue = this.compile(e.whenTrue);
        const whenFalse = this.compile(e.whenFalse);
        return () => (condition() ? whenTrue() : whenFalse());
      }
      case 'cast': {
        const f = castFunction(e.x.type, e.type, e.saturate) as (x: ScalarValue) => ScalarValue;
        const x = this.compile(e.x);
        return () => f(x());
      }
      case 'bitcast': {
        const f = bitcastFunction(e.x.type, e.type) as (x: ScalarValue) => ScalarValue;
        const x = this.compile(e.x);
        return () => f(x());
      }
      case 'dim':
      case 'axis':
      case 'bounded':
        return this.#index(e);
    }
  }

  #binary(e: Extract<Expr, { kind: 'binary' }>): Thunk {
    const { op, type } = e;
    if (type === 'float32') {
      const a = this.compile(e.a) as Thunk<number>;
      const b = this.compile(e.b) as Thunk<number>;
      if (op === 'add') return () => Math.fround(a() + b());
      if (op === 'sub') return () => Math.fround(a() - b());
      if (op === 'mul') return () => Math.fround(a() * b());
      if (op === 'div') return () => Math.fround(a() / b());
    }
    if (type === 'int32') {
      const a = this.compile(e.a) as Thunk<number>;
      const b = this.compile(e.b) as Thunk<number>;
      if (op === 'add') return () => (a() + b()) | 0;
      if (op === 'sub') return () => (a() - b()) | 0;
      if (op === 'mul') return () => Math.imul(a(), b());
    }
    if (type === 'bool') {
      const a = this.compile(e.a) as Thunk<boolean>;
      const b = this.compile(e.b) as Thunk<boolean>;
      if (op === 'and') return () => a() && b();
      if (op === 'or') return () => a() || b();
    }
    const f = binaryFunction(op, type) as (a: ScalarValue, b: ScalarValue) => ScalarValue;
    const a = this.compile(e.a);
    const b = this.compile(e.b);
    return () => f(a(), b());
  }

  #compare(e: Extract<Expr, { kind: 'compare' }>): Thunk<boolean> {
    const type = e.a.type;
    if (type === 'index') {
      const affine = this.#compareAffine(e);
      if (affine) return affine;
    }
    const f = compareFunction(e.op, type) as (a: ScalarValue, b: ScalarValue) => boolean;
    const a = this.compile(e.a);
    const b = this.compile(e.b);
    return () => f(a(), b());
  }

  /** a < b as a − b < 0, which is one slot. */
  #compareAffine(e: Extract<Expr, { kind: 'compare' }>): Thunk<boolean> | undefined {
    const difference = combineForms(this.#form(e.a), this.#form(e.b), -1);
    if (difference.others.size > 0) return undefined;
    const k = this.#nest.slotFor(difference);
    if (k === undefined) return undefined;
    const { values } = this.#nest;
    switch (e.op) {
      case 'eq':
        return () => values[k] === 0;
      case 'ne':
        return () => values[k] !== 0;
      case 'lt':
        return () => values[k] < 0;
      case 'le':
        return () => values[k] <= 0;
      case 'gt':
        return () => values[k] > 0;
      case 'ge':
        return () => values[k] >= 0;
    }
  }

  // Loads

  #load(e: Load): Thunk {
    const { form, checks, buffer } = this.#address(e);
    const slot = form.others.size === 0 && checks.length === 0 ? this.#nest.slotFor(form) : undefined;
    const read =
      slot === undefined
        ? readAt(buffer, this.#checked(this.#sum(form), checks))
        : readAtSlot(buffer, this.#nest.values, slot);
    if (!e.guard) return read;
    const guard = this.compile(e.guard);
    const fill = this.compile(e.fill!);
    return () => (guard() ? read() : fill());
  }

  #address(e: Load): { form: IndexForm; checks: readonly Check[]; buffer: TensorBuffer } {
    const buffer = this.#scope.buffer(e.source);
    return { ...this.#flatten(e.index, buffer.dims, e.source.name || 'an unnamed stage'), buffer };
  }

  #flatten(
    index: readonly Expr[],
    dims: readonly number[],
    name: string,
  ): { form: IndexForm; checks: readonly Check[] } {
    if (index.length !== dims.length) throw new Error(`${index.length} indices for ${name} of rank ${dims.length}`);
    let form: IndexForm = { constant: 0, axes: new Map(), others: new Map() };
    let stride = 1;
    const checks: Check[] = [];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const part = this.#form(index[axis]);
      const { low, high } = this.#rangeOfForm(part);
      if (!this.#nest.isEmpty && !(low >= 0 && high < dims[axis])) {
        checks.push({ value: this.#sum(part), size: dims[axis], depth: this.depthOf(index[axis]), axis, name });
      }
      form = combineForms(form, part, stride);
      stride *= dims[axis];
    }
    return { form, checks };
  }

  #checked(offset: Thunk<number>, checks: readonly Check[]): Thunk<number> {
    if (checks.length === 0) return offset;
    const { stage } = this.#scope;
    return () => {
      for (let i = 0; i < checks.length; i++) {
        const { value, size, axis, name } = checks[i];
        const at = value();
        if (!(at >= 0 && at < size)) {
          throw new RangeError(`stage ${stage.name}: index ${at} of axis ${axis} of ${name} is outside 0..${size - 1}`);
        }
      }
      return offset();
    };
  }

  // Index arithmetic

  #index(e: Expr): Thunk<number> {
    const form = this.#form(e);
    const isItself = form.others.size === 1 && form.others.get(e) === 1;
    return isItself ? (this.#cached(e, this.#opaque(e)) as Thunk<number>) : this.#sum(form);
  }

  #sum(form: IndexForm): Thunk<number> {
    const { values } = this.#nest;
    const others = [...form.others];
    if (form.axes.size === 0 && others.length === 0) {
      const { constant } = form;
      return () => constant;
    }
    const affine = this.#affine(form);
    if (others.length === 0) return affine;
    const [first, factor] = [this.compile(others[0][0]) as Thunk<number>, others[0][1]];
    if (others.length === 1) {
      const k = this.#nest.slotFor(form);
      if (k !== undefined) return () => values[k] + factor * first();
      return () => affine() + factor * first();
    }
    const thunks = others.map(([e]) => this.compile(e) as Thunk<number>);
    const factors = others.map(([, coefficient]) => coefficient);
    return () => {
      let sum = affine();
      for (let i = 0; i < thunks.length; i++) sum += factors[i] * thunks[i]();
      return sum;
    };
  }

  /** The affine part of a form. */
  #affine(form: AffineForm): Thunk<number> {
    const { values } = this.#nest;
    const k = this.#nest.slotFor(form);
    if (k !== undefined) return () => values[k];
    // Too large for a slot: add it up from the axes.
    const { constant } = form;
    const parts = [...form.axes].map(([axis, factor]) => {
      const slot = this.#nest.slotFor({ constant: 0, axes: new Map([[axis, 1]]) })!;
      return { slot, factor };
    });
    return () => parts.reduce((sum, { slot, factor }) => sum + factor * values[slot], constant);
  }

  #form(e: Expr): IndexForm {
    let form = this.#forms.get(e);
    if (!form) {
      form = this.#formOf(e);
      this.#forms.set(e, form);
    }
    return form;
  }

  #formOf(e: Expr): IndexForm {
    switch (e.kind) {
      case 'dim':
        return constantForm(this.#dim(e.dim));
      case 'const':
        return constantForm(Number(e.value));
      case 'axis':
        if (this.#nest.depthOf(e.axis) === 0) return constantForm(0);
        return { constant: 0, axes: new Map([[e.axis, 1]]), others: new Map() };
      case 'cast':
        if (e.x.type === 'index') return this.#form(e.x);
        break;
      case 'binary': {
        const a = this.#form(e.a);
        const b = this.#form(e.b);
        if (e.op === 'add') return combineForms(a, b, 1);
        if (e.op === 'sub') return combineForms(a, b, -1);
        if (e.op === 'mul' && isConstantForm(b)) return combineForms(constantForm(0), a, b.constant);
        if (e.op === 'mul' && isConstantForm(a)) return combineForms(constantForm(0), b, a.constant);
        if (isConstantForm(a) && isConstantForm(b)) {
          return constantForm(
            (binaryFunction(e.op, 'index') as (a: number, b: number) => number)(a.constant, b.constant),
          );
        }
      }
    }
    return { constant: 0, axes: new Map(), others: new Map([[e, 1]]) };
  }

  /** Index nodes that are not sums. */
  #opaque(e: Expr): Thunk<number> {
    switch (e.kind) {
      case 'bounded':
        return this.#bounded(e);
      case 'cast':
        return isBigInteger(e.x.type) ? this.#asNumber(e.x) : (this.#value(e) as Thunk<number>);
      case 'binary': {
        const b = this.#form(e.b);
        const a = this.compile(e.a) as Thunk<number>;
        if (isConstantForm(b) && b.constant > 0) {
          const divisor = b.constant;
          if (e.op === 'div') return () => Math.trunc(a() / divisor);
          if (e.op === 'mod') {
            return () => {
              const rest = a() % divisor;
              return rest < 0 ? rest + divisor : rest;
            };
          }
        }
        const f = binaryFunction(e.op, 'index') as (a: number, b: number) => number;
        const right = this.compile(e.b) as Thunk<number>;
        return () => f(a(), right());
      }
      case 'dim':
      case 'axis':
      case 'const':
        throw new Error(`${e.kind} is affine`);
      default:
        return this.#value(e) as Thunk<number>;
    }
  }

  #bounded(e: Extract<Expr, { kind: 'bounded' }>): Thunk<number> {
    const size = this.#dim(e.size);
    const { negative } = e;
    const { outOfRange } = this.#scope;
    const x = isBigInteger(e.x.type) ? this.#asNumber(e.x) : (this.compile(e.x) as Thunk<number>);
    return () => {
      const value = x();
      const at = negative && value < 0 ? value + size : value;
      if (at >= 0 && at < size) return at;
      outOfRange(value, size);
      return 0;
    };
  }

  /** A 64-bit integer as an index. Indices are often int64 tensors: those are read without making bigints. */
  #asNumber(e: Expr): Thunk<number> {
    if (e.type === 'int64' && e.kind === 'load' && !e.guard) {
      const { form, checks, buffer } = this.#address(e);
      return readInt64AsNumber(buffer, this.#checked(this.#sum(form), checks));
    }
    const x = this.compile(e) as Thunk<bigint>;
    return () => Number(x());
  }

  // Ranges

  #rangeOfForm(form: IndexForm): Interval {
    let { low, high } = this.#nest.rangeOf(form);
    for (const [e, coefficient] of form.others) {
      let range = this.#ranges.get(e);
      if (!range) {
        range = this.#rangeOf(e);
        this.#ranges.set(e, range);
      }
      low += coefficient > 0 ? coefficient * range.low : coefficient * range.high;
      high += coefficient > 0 ? coefficient * range.high : coefficient * range.low;
    }
    return { low, high };
  }

  /** Bounds on an index node; infinite where nothing is known. */
  #rangeOf(e: Expr): Interval {
    switch (e.kind) {
      case 'bounded':
        return { low: 0, high: Math.max(0, this.#dim(e.size) - 1) };
      case 'cast': {
        const source = e.x.type;
        if (source === 'bool') return { low: 0, high: 1 };
        if (source === 'index' || !isInteger(source)) break;
        const { min, max } = integerRange(source);
        return { low: Number(min), high: Number(max) };
      }
      case 'select': {
        const a = this.#rangeOfForm(this.#form(e.whenTrue));
        const b = this.#rangeOfForm(this.#form(e.whenFalse));
        return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) };
      }
      case 'binary': {
        const a = this.#rangeOfForm(this.#form(e.a));
        const b = this.#rangeOfForm(this.#form(e.b));
        if (e.op === 'min') return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) };
        if (e.op === 'max') return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) };
        if (b.low === b.high && b.low > 0) {
          if (e.op === 'div') return { low: Math.trunc(a.low / b.low), high: Math.trunc(a.high / b.low) };
          if (e.op === 'mod') return { low: 0, high: b.low - 1 };
        }
      }
    }
    return { low: -Infinity, high: Infinity };
  }
}

interface Check {
  readonly value: Thunk<number>;
  readonly size: number;
  readonly depth: number;
  readonly axis: number;
  readonly name: string;
}

function isHalf(type: ExprType): type is 'float16' | 'bfloat16' {
  return type === 'float16' || type === 'bfloat16';
}

/** The elements of a float32, float16 or bfloat16 tensor as float32: a product reads each of them many times. */
function float32Of(buffer: TensorBuffer): Float32Array {
  if (!isHalf(buffer.dtype)) return buffer.data as Float32Array;
  const table = decodeTable(buffer.dtype);
  const patterns = buffer.data as Uint16Array;
  const data = new Float32Array(patterns.length);
  for (let i = 0; i < data.length; i++) data[i] = table[patterns[i]];
  return data;
}

/** Not worth remembering: a plain read costs as much as looking the value up. */
function isCheap(e: Expr): boolean {
  if (e.kind === 'load')
    return !e.guard && !isInteger(e.type) && e.index.every((at) => at.kind === 'axis' || at.kind === 'dim');
  return e.kind === 'axis' || e.kind === 'dim';
}
