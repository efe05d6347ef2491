// Level 2, scalars: what one element of a tensor is, as a pure expression over loop axes and elements of other tensors.
//
// Meaning, the same for every target:
// - integers wrap at their width; division truncates; division and remainder by zero give 0;
// - a shift by the width or more, or by a negative amount, shifts every bit out: the result is 0, or −1 for `shr` of a
//   negative signed integer, which is arithmetic. An amount is never taken modulo the width;
// - float16, bfloat16 and the float8 kinds are computed in float32 and rounded when stored or cast;
// - min and max propagate NaN; comparisons with NaN are false except `ne`;
// - `select` may evaluate both branches, so a load that could leave its tensor needs a guard.

import { Dim, type DimLike } from './dim.ts';
import { type DType, type ExprType, isBigInteger, isFloat, isInteger } from './dtype.ts';
import type { Stage } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

/** A loop variable that runs from 0 to size − 1. Identity is the object. */
export interface Axis {
  readonly id: number;
  readonly name: string;
  readonly size: Dim;
}

export type UnaryOp =
  | 'neg'
  | 'abs'
  | 'sign'
  | 'floor'
  | 'ceil'
  | 'round'
  | 'trunc'
  | 'sqrt'
  | 'exp'
  | 'expm1'
  | 'log'
  | 'log1p'
  | 'sin'
  | 'cos'
  | 'tan'
  | 'asin'
  | 'acos'
  | 'atan'
  | 'sinh'
  | 'cosh'
  | 'tanh'
  | 'asinh'
  | 'acosh'
  | 'atanh'
  | 'erf'
  | 'sigmoid'
  /** Logical for bool, bitwise for integers. */
  | 'not'
  | 'popcount';

/** Results are bool. */
export type TestOp = 'isnan' | 'isposinf' | 'isneginf';

export type BinaryOp =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  /** Remainder with the sign of the divisor (floor division). */
  | 'mod'
  /** Remainder with the sign of the dividend (truncating division; C's fmod). */
  | 'rem'
  | 'pow'
  | 'min'
  | 'max'
  /** Logical for bool, bitwise for integers. */
  | 'and'
  | 'or'
  | 'xor'
  | 'shl'
  | 'shr';

export type CompareOp = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';

export type Expr =
  | { readonly kind: 'const'; readonly type: ExprType; readonly value: number | bigint }
  | { readonly kind: 'dim'; readonly type: 'index'; readonly dim: Dim }
  | { readonly kind: 'axis'; readonly type: 'index'; readonly axis: Axis }
  | {
      readonly kind: 'load';
      readonly type: DType;
      /** A tensor in memory, or a stage of the same program. */
      readonly source: TensorRef | Stage;
      readonly index: readonly Expr[];
      /** Where false, nothing is read and the value is `fill`. */
      readonly guard?: Expr;
      readonly fill?: Expr;
    }
  | { readonly kind: 'unary'; readonly type: ExprType; readonly op: UnaryOp; readonly x: Expr }
  | { readonly kind: 'test'; readonly type: 'bool'; readonly op: TestOp; readonly x: Expr }
  | { readonly kind: 'binary'; readonly type: ExprType; readonly op: BinaryOp; readonly a: Expr; readonly b: Expr }
  | { readonly kind: 'compare'; readonly type: 'bool'; readonly op: CompareOp; readonly a: Expr; readonly b: Expr }
  | {
      readonly kind: 'select';
      readonly type: ExprType;
      readonly condition: Expr;
      readonly whenTrue: Expr;
      readonly whenFalse: Expr;
    }
  /**
   * Value conversion. Float to integer truncates; with `saturate` it clamps (NaN gives 0), otherwise it wraps. An integer of 64
   * bits that becomes an index never wraps: beyond what an index can hold, it is clamped at least.
   */
  | { readonly kind: 'cast'; readonly type: ExprType; readonly x: Expr; readonly saturate: boolean }
  /** Same bits, other type of equal width. */
  | { readonly kind: 'bitcast'; readonly type: ExprType; readonly x: Expr }
  /**
   * An index read from data: −size ≤ x < size, negative counted from the end; the result is in [0, size).
   * Outside, the run fails with an out-of-range error that names the stage's node, and the value is 0.
   */
  | {
      readonly kind: 'bounded';
      readonly type: 'index';
      readonly x: Expr;
      readonly size: Dim;
      readonly negative: boolean;
      /** Like `Stage.origin`: what the error names, wherever fusion takes the expression. Stamped by `StageBuilder`. */
      origin?: unknown;
    };

export type Operand = Expr | number | bigint | boolean;
export type IndexLike = Expr | Dim | Axis | number;

let axisCount = 0;

export function newAxis(name: string, size: DimLike): Axis {
  return { id: axisCount++, name, size: Dim.from(size) };
}

/**
 * A literal. Integers are wrapped to the type's width only when stored; give a value that fits. The zero of strings is the
 * empty one, their only literal; a complex literal has no imaginary part.
 */
export function constant(type: ExprType, value: number | bigint | boolean): Expr {
  if (type === 'index') return { kind: 'dim', type, dim: Dim.constant(Number(value)) };
  if (type === 'string' && Number(value) !== 0) throw new TypeError('the only literal string is the empty one, 0');
  if (isBigInteger(type)) {
    return { kind: 'const', type, value: typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value))) };
  }
  return { kind: 'const', type, value: Number(value) };
}

export function dimension(dim: DimLike): Expr {
  return { kind: 'dim', type: 'index', dim: Dim.from(dim) };
}

/** An index expression from an axis, a dim, a number or an expression of any integer type. */
export function toIndex(value: IndexLike): Expr {
  if (typeof value === 'number' || value instanceof Dim) return dimension(value);
  if (!('kind' in value)) return { kind: 'axis', type: 'index', axis: value };
  return value.type === 'index' ? value : cast('index', value);
}

function lift(operand: Operand, like: Expr): Expr {
  return typeof operand === 'object' ? operand : constant(like.type, operand);
}

function pair(op: string, left: Operand, right: Operand): [Expr, Expr] {
  const typed = typeof left === 'object' ? left : typeof right === 'object' ? right : undefined;
  if (!typed) throw new TypeError(`${op} needs at least one expression`);
  const a = lift(left, typed);
  const b = lift(right, typed);
  if (a.type !== b.type) throw new TypeError(`${op} of ${a.type} and ${b.type}: cast one of them`);
  return [a, b];
}

const isConst = (e: Expr, value: number): boolean =>
  (e.kind === 'const' && Number(e.value) === value && !Object.is(e.value, -0)) ||
  (e.kind === 'dim' && e.dim.constant === value);

function foldIndex(op: BinaryOp, a: Expr, b: Expr): Expr | undefined {
  if (a.kind === 'dim' && b.kind === 'dim') {
    switch (op) {
      case 'add':
        return dimension(a.dim.add(b.dim));
      case 'sub':
        return dimension(a.dim.sub(b.dim));
      case 'mul':
        return dimension(a.dim.mul(b.dim));
      case 'mod':
        return dimension(a.dim.mod(b.dim));
      case 'min':
        return dimension(a.dim.min(b.dim));
      case 'max':
        return dimension(a.dim.max(b.dim));
      case 'div':
        if (a.dim.lowerBound >= 0 && b.dim.lowerBound >= 0) return dimension(a.dim.floorDiv(b.dim));
    }
  }
  if (isConst(b, 0) && (op === 'add' || op === 'sub')) return a;
  if (isConst(a, 0) && op === 'add') return b;
  if (op === 'mul') {
    if (isConst(a, 1)) return b;
    if (isConst(b, 1)) return a;
    if (isConst(a, 0) || isConst(b, 0)) return dimension(0);
  }
  if ((op === 'div' || op === 'mod') && b.kind === 'dim') {
    if (b.dim.is(1)) return op === 'div' ? a : dimension(0);
    // An axis that is always below the divisor.
    if (a.kind === 'axis' && a.axis.size.atMost(b.dim)) return op === 'div' ? dimension(0) : a;
  }
  return undefined;
}

export function binary(op: BinaryOp, left: Operand, right: Operand): Expr {
  const [a, b] = pair(op, left, right);
  if (a.type === 'index') {
    const folded = foldIndex(op, a, b);
    if (folded) return folded;
  }
  return { kind: 'binary', type: a.type, op, a, b };
}

export const add = (a: Operand, b: Operand): Expr => binary('add', a, b);
export const sub = (a: Operand, b: Operand): Expr => binary('sub', a, b);
export const mul = (a: Operand, b: Operand): Expr => binary('mul', a, b);
export const div = (a: Operand, b: Operand): Expr => binary('div', a, b);
export const mod = (a: Operand, b: Operand): Expr => binary('mod', a, b);
export const rem = (a: Operand, b: Operand): Expr => binary('rem', a, b);
export const pow = (a: Operand, b: Operand): Expr => binary('pow', a, b);
export const min = (a: Operand, b: Operand): Expr => binary('min', a, b);
export const max = (a: Operand, b: Operand): Expr => binary('max', a, b);
export const and = (a: Operand, b: Operand): Expr => binary('and', a, b);
export const or = (a: Operand, b: Operand): Expr => binary('or', a, b);
export const xor = (a: Operand, b: Operand): Expr => binary('xor', a, b);
export const shl = (a: Operand, b: Operand): Expr => binary('shl', a, b);
export const shr = (a: Operand, b: Operand): Expr => binary('shr', a, b);

export function compare(op: CompareOp, left: Operand, right: Operand): Expr {
  const [a, b] = pair(op, left, right);
  return { kind: 'compare', type: 'bool', op, a, b };
}

export const eq = (a: Operand, b: Operand): Expr => compare('eq', a, b);
export const ne = (a: Operand, b: Operand): Expr => compare('ne', a, b);
export const lt = (a: Operand, b: Operand): Expr => compare('lt', a, b);
export const le = (a: Operand, b: Operand): Expr => compare('le', a, b);
export const gt = (a: Operand, b: Operand): Expr => compare('gt', a, b);
export const ge = (a: Operand, b: Operand): Expr => compare('ge', a, b);

export function unary(op: UnaryOp, x: Expr): Expr {
  // Integers have no fraction to round.
  if (isInteger(x.type) && (op === 'floor' || op === 'ceil' || op === 'round' || op === 'trunc')) return x;
  return { kind: 'unary', type: x.type, op, x };
}

export const neg = (x: Expr): Expr => (x.type === 'index' ? mul(x, -1) : unary('neg', x));
export const abs = (x: Expr): Expr => unary('abs', x);
export const sqrt = (x: Expr): Expr => unary('sqrt', x);
export const exp = (x: Expr): Expr => unary('exp', x);
export const log = (x: Expr): Expr => unary('log', x);
export const tanh = (x: Expr): Expr => unary('tanh', x);
export const erf = (x: Expr): Expr => unary('erf', x);
export const sigmoid = (x: Expr): Expr => unary('sigmoid', x);
export const floor = (x: Expr): Expr => unary('floor', x);
export const ceil = (x: Expr): Expr => unary('ceil', x);
/** Nearest integer, halves to even. */
export const round = (x: Expr): Expr => unary('round', x);
export const not = (x: Expr): Expr => unary('not', x);

export function isNotANumber(x: Expr): Expr {
  return isFloat(x.type) ? { kind: 'test', type: 'bool', op: 'isnan', x } : constant('bool', false);
}

export function isInfinite(x: Expr, sign: 'positive' | 'negative'): Expr {
  if (!isFloat(x.type)) return constant('bool', false);
  return { kind: 'test', type: 'bool', op: sign === 'positive' ? 'isposinf' : 'isneginf', x };
}

export function select(condition: Expr, whenTrue: Operand, whenFalse: Operand): Expr {
  const [a, b] = pair('select', whenTrue, whenFalse);
  if (condition.type !== 'bool') throw new TypeError(`a select needs a bool condition, not ${condition.type}`);
  if (condition.kind === 'const') return condition.value ? a : b;
  return { kind: 'select', type: a.type, condition, whenTrue: a, whenFalse: b };
}

/** Converts a value. To bool: anything but zero is true (NaN is true). */
export function cast(type: ExprType, x: Expr, options: { readonly saturate?: boolean } = {}): Expr {
  if (x.type === type) return x;
  if (x.kind === 'const' && x.type !== 'index') {
    const exact = foldCast(type, x.value);
    if (exact) return exact;
  }
  if (type === 'bool' && x.type !== 'bool') return compare('ne', x, 0);
  if (type === 'index' && x.kind === 'cast' && x.x.type === 'index') return x.x;
  return { kind: 'cast', type, x, saturate: options.saturate ?? false };
}

function foldCast(type: ExprType, value: number | bigint): Expr | undefined {
  const number = Number(value);
  if (type === 'float64' || (type === 'float32' && Math.fround(number) === number)) return constant(type, number);
  const small = Number.isInteger(number) && number >= 0 && number <= 127 && !Object.is(number, -0);
  if (small && type !== 'bool' && (type === 'index' || isInteger(type))) {
    if (type === 'int2' || type === 'uint2' || type === 'int4' || type === 'uint4') return undefined;
    return constant(type, number);
  }
  return undefined;
}

export function bitcast(type: ExprType, x: Expr): Expr {
  return x.type === type ? x : { kind: 'bitcast', type, x };
}

/** See the `bounded` kind of `Expr`. `negative` (default true) allows counting from the end. */
export function boundedIndex(x: Expr, size: DimLike, options: { readonly negative?: boolean } = {}): Expr {
  return { kind: 'bounded', type: 'index', x, size: Dim.from(size), negative: options.negative ?? true };
}

/**
 * Element of a tensor or stage.
 * @param index one entry per dimension, each in [0, size) wherever `guard` holds
 */
export function elementAt(
  source: TensorRef | Stage,
  index: readonly IndexLike[],
  guard?: { readonly when: Expr; readonly otherwise: Operand },
): Expr {
  if (index.length !== source.shape.length) {
    throw new RangeError(`${source.name} has rank ${source.shape.length}, but ${index.length} indices were given`);
  }
  const load = { kind: 'load', type: source.dtype, source, index: index.map(toIndex) } as const;
  if (!guard) return load;
  const otherwise = guard.otherwise;
  const fill = typeof otherwise === 'object' ? otherwise : constant(source.dtype, otherwise);
  return { ...load, guard: guard.when, fill };
}

/** Direct children, in evaluation order. */
export function childrenOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case 'const':
    case 'dim':
    case 'axis':
      return [];
    case 'load':
      return e.guard ? [...e.index, e.guard, e.fill!] : e.index;
    case 'unary':
    case 'test':
    case 'cast':
    case 'bitcast':
    case 'bounded':
      return [e.x];
    case 'binary':
    case 'compare':
      return [e.a, e.b];
    case 'select':
      return [e.condition, e.whenTrue, e.whenFalse];
  }
}

/**
 * Rebuilds an expression with every node passed through `replace`, children first. Shared subexpressions stay shared.
 * A node whose `replace` result is undefined is kept (with its new children).
 */
export function rewrite(root: Expr, replace: (e: Expr) => Expr | undefined, done: Map<Expr, Expr> = new Map()): Expr {
  const visit = (e: Expr): Expr => {
    const before = done.get(e);
    if (before) return before;
    const rebuilt = rebuild(e, visit);
    const result = replace(rebuilt) ?? rebuilt;
    done.set(e, result);
    return result;
  };
  return visit(root);
}

/** The same node over other children; the node itself when none changed. */
export function rebuild(e: Expr, visit: (e: Expr) => Expr): Expr {
  switch (e.kind) {
    case 'const':
    case 'dim':
    case 'axis':
      return e;
    case 'load': {
      const index = e.index.map(visit);
      const guard = e.guard && visit(e.guard);
      const fill = e.fill && visit(e.fill);
      if (guard === e.guard && fill === e.fill && index.every((x, i) => x === e.index[i])) return e;
      return { ...e, index, ...(guard && { guard, fill }) };
    }
    case 'unary': {
      const x = visit(e.x);
      return x === e.x ? e : unary(e.op, x);
    }
    case 'cast': {
      const x = visit(e.x);
      return x === e.x ? e : cast(e.type, x, { saturate: e.saturate });
    }
    case 'test':
    case 'bitcast':
    case 'bounded': {
      const x = visit(e.x);
      return x === e.x ? e : { ...e, x };
    }
    case 'binary': {
      const [a, b] = [visit(e.a), visit(e.b)];
      return a === e.a && b === e.b ? e : binary(e.op, a, b);
    }
    case 'compare': {
      const [a, b] = [visit(e.a), visit(e.b)];
      return a === e.a && b === e.b ? e : { ...e, a, b };
    }
    case 'select': {
      const [c, t, f] = [visit(e.condition), visit(e.whenTrue), visit(e.whenFalse)];
      return c === e.condition && t === e.whenTrue && f === e.whenFalse ? e : select(c, t, f);
    }
  }
}

/** Calls `visit` once for each distinct node, parents first. */
export function walk(root: Expr, visit: (e: Expr) => void): void {
  const seen = new Set<Expr>();
  const stack = [root];
  for (let e = stack.pop(); e; e = stack.pop()) {
    if (seen.has(e)) continue;
    seen.add(e);
    visit(e);
    stack.push(...childrenOf(e));
  }
}

/** Replaces axes by index expressions. */
export function substituteAxes(root: Expr, values: ReadonlyMap<Axis, Expr>): Expr {
  return rewrite(root, (e) => (e.kind === 'axis' ? values.get(e.axis) : undefined));
}
