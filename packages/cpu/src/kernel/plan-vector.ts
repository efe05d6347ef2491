// Plans expressions as vectors: one lane for each of several consecutive iterations of the vector loop.

import { type CompareOp, type DType, type Expr, type ExprType, isInteger, walk } from '@onnx-ts/tensor-ir';
import { emitReplace } from '../emit/lane-wise.ts';
import { elementBytes, emitLoadLanes, emitLoadSplat, emitLoadVector } from '../emit/memory-ops.ts';
import { emitRoundedCast } from '../emit/rounded-cast.ts';
import { isWide, type Lanes, shapeOf } from '../emit/value-type.ts';
import {
  emitBinary,
  emitBitcast,
  emitCast,
  emitCompare,
  emitConst,
  emitSelect,
  emitSplat,
  emitTest,
  emitUnary,
} from '../emit/vector-ops.ts';
import { isPacked } from './packed.ts';
import type { Plan } from './plan.ts';
import { type Address, addressOf, counterOf, frameOf, laneStride } from './plan-address.ts';
import { branchValue, code, scalarValue } from './plan-scalar.ts';
import { readRoundedCast } from './rounded-cast.ts';
import { type Code, Value } from './scope.ts';
import { holds, valueRange } from './value-range.ts';

/** Indices in lanes are 32-bit integers. */
function laneType(type: ExprType): ExprType {
  return type === 'index' ? 'int32' : type;
}

/**
 * The value of an expression in the lanes of one vector.
 * @param copy which of the vectors that are processed side by side
 */
export function vectorValue(plan: Plan, e: Expr, copy: number): Value {
  if (e.kind === 'const') return new Value('v128', (c) => emitConst(c, e.type, e.value), true);
  if (!plan.varies(e)) return splatValue(plan, e);
  if (e.kind === 'load' && e.index.length === 0) {
    const storage = plan.registers.get(e.source as never)!;
    return new Value('v128', ({ f }) => f.get(storage.locals[copy]), true);
  }
  const key = `vector ${plan.keyOf(e)}.${copy}`;
  const known = plan.scope.find(key);
  if (known) return known;
  const place = plan.placeFor(e);
  const value = plan.within(place, () => compute(plan, e, copy));
  return value.isFree ? value : place.define(key, value);
}

/** A value that is the same in all lanes. */
function splatValue(plan: Plan, e: Expr): Value {
  const key = `splat ${plan.keyOf(e)}`;
  const known = plan.scope.find(key);
  if (known) return known;
  const place = plan.placeFor(e);
  const scalar = plan.within(place, () => scalarValue(plan, e));
  return place.define(
    key,
    code('v128', [scalar], (c) => emitSplat(c, laneType(e.type))),
  );
}

function compute(plan: Plan, e: Expr, copy: number): Value {
  const of = (x: Expr): Value => vectorValue(plan, x, copy);
  const type = laneType(e.type);
  switch (e.kind) {
    case 'axis':
      return counterLanes(plan, e, copy);
    case 'load':
      return loadVector(plan, e, copy);
    case 'bounded':
      return fromLanes(plan, e, copy);
    case 'unary':
      return code('v128', [of(e.x)], (c) => emitUnary(c, e.op, type));
    case 'test':
      return code('v128', [of(e.x)], (c) => emitTest(c, e.op, e.x.type));
    case 'cast': {
      if (isSameInLanes(e)) return of(e.x);
      const rounded = readRoundedCast(e);
      if (rounded) {
        const { x, low, high, bias, checksNaN } = rounded;
        return code('v128', [x, low, high, bias].map(of), (c) => emitRoundedCast(c, checksNaN));
      }
      return code('v128', [of(e.x)], (c) => emitCast(c, laneType(e.x.type), type, e.saturate));
    }
    case 'bitcast':
      return code('v128', [of(e.x)], (c) => emitBitcast(c, e.x.type, e.type));
    case 'binary': {
      // A minimum or maximum with a number has less to check when the number comes second.
      const isSwapped = (e.op === 'min' || e.op === 'max') && isNumber(e.a);
      const [a, b] = isSwapped ? [e.b, e.a] : [e.a, e.b];
      return code('v128', [of(a), of(b)], (c) => emitBinary(c, e.op, type, { rightIsNumber: isNumber(b) }));
    }
    case 'compare':
      return code('v128', [of(e.a), of(e.b)], (c) => emitCompare(c, e.op, laneType(e.a.type)));
    case 'select':
      return code('v128', [of(e.whenTrue), of(e.whenFalse), of(e.condition)], (c) => emitSelect(c, type));
    default:
      throw new Error(`${e.kind} never differs between lanes`);
  }
}

/** Integers of up to 32 bits are held alike: only those that the other type lacks would change. */
function isSameInLanes(e: Expr & { kind: 'cast' }): boolean {
  const [from, to] = [laneType(e.x.type), laneType(e.type)];
  if (![from, to].every((type) => type !== 'bool' && isInteger(type) && !isWide(type))) return false;
  const range = valueRange(e.x, () => undefined);
  return range !== undefined && holds(to as DType, range);
}

function isNumber(e: Expr): boolean {
  return e.kind === 'const' && !Number.isNaN(Number(e.value));
}

function counterLanes(plan: Plan, e: Expr & { kind: 'axis' }, copy: number): Value {
  const counter = counterOf(plan, frameOf(plan, e)!);
  const first = copy * plan.vector!.lanes;
  return code('v128', [counter], ({ f }) => {
    f.op('i32x4.splat');
    f.lanesConst('i32x4', [first, first + 1, first + 2, first + 3]);
    f.op('i32x4.add');
  });
}

/** Each lane computed as a scalar. */
function fromLanes(plan: Plan, e: Expr, copy: number): Value {
  const { lanes, partial } = plan.vector!;
  const count = partial ? 1 : lanes;
  const scalars = Array.from({ length: count }, (_, lane) => scalarValue(plan, e, { copy, lane }));
  const type = laneType(e.type);
  return new Value(
    'v128',
    (c) => {
      for (const [lane, scalar] of scalars.entries()) {
        // A bool is 0 or 1 as a scalar, and 0 or -1 in a lane; `emitSplat` takes care of the first.
        const negate = type === 'bool' && lane > 0;
        if (negate) c.f.i32Const(0);
        scalar.push(c);
        if (negate) c.f.op('i32.sub');
        if (lane === 0) emitSplat(c, type);
        else emitReplace(c, shapeOf(type), lane);
      }
    },
    false,
  );
}

function loadVector(plan: Plan, e: Expr & { kind: 'load' }, copy: number): Value {
  if (!e.guard) return plainLoad(plan, e, copy, true);
  if (!plan.varies(e.guard)) {
    const guard = scalarValue(plan, e.guard);
    return branchValue(
      plan,
      'v128',
      guard,
      () => plainLoad(plan, e, copy, true),
      () => vectorValue(plan, e.fill!, copy),
    );
  }
  const { lanes, partial } = plan.vector!;
  if (partial || isPacked(e.source.dtype)) return fromLanes(plan, e, copy);
  if (!isConvex(plan, e.guard) || !strideOf(plan, e)) return fromLanes(plan, e, copy);
  // The guard holds on an interval: if both ends are inside, so is everything between.
  const ends = [0, lanes - 1].map((lane) => scalarValue(plan, e.guard!, { copy, lane }));
  const both = plan.scope.define(
    `inside ${plan.keyOf(e.guard)}.${copy}`,
    code('i32', ends, ({ f }) => f.op('i32.and')),
  );
  return branchValue(
    plan,
    'v128',
    both,
    () => plainLoad(plan, e, copy, false),
    () => fromLanes(plan, e, copy),
  );
}

/** Elements between lanes when that is one of the numbers for which there is special code. */
function strideOf(plan: Plan, e: Expr & { kind: 'load' }): 1 | -1 | 2 | undefined {
  const stride = e.source.kind === 'tensor' ? laneStride(plan, e.source, e.index[0])?.constant : undefined;
  return stride === 1 || stride === -1 || stride === 2 ? stride : undefined;
}

/** @param isReal the elements of all lanes exist whenever this is evaluated */
function plainLoad(plan: Plan, e: Expr & { kind: 'load' }, copy: number, isReal: boolean): Value {
  const { source } = e;
  if (source.kind !== 'tensor' || e.index.length !== 1) {
    throw new Error('loads of a loop program have linear offsets');
  }
  const { lanes, partial } = plan.vector!;
  if (isPacked(source.dtype)) return fromLanes(plan, { ...e, guard: undefined, fill: undefined }, copy);
  const of = (lane: number) => addressOf(plan, source, e.index[0], { copy, lane }, isReal);
  const first = of(0);
  if (partial) {
    return new Value(
      'v128',
      (c) => {
        first.push(c);
        emitLoadSplat(c, source.dtype, first.offset);
      },
      false,
    );
  }
  const stride = strideOf(plan, e);
  if (stride === 1) return loadRun(source.dtype, first);
  if (stride === -1) {
    const run = loadRun(source.dtype, of(lanes - 1));
    const order = isWide(source.dtype) || lanes === 2 ? [1, 0] : [3, 2, 1, 0];
    return shuffled(source.dtype, run, run, order);
  }
  if (stride === 2) {
    // The second run begins so early that it ends with the last element that is wanted.
    const bytes = (lanes - 1) * elementBytes(source.dtype);
    const second = isReal
      ? { push: first.push, offset: first.offset + bytes }
      : {
          push: (c: Parameters<Code>[0]) => pushAddress(c, { push: first.push, offset: first.offset + bytes }),
          offset: 0,
        };
    const order = lanes === 2 ? [0, isWide(source.dtype) ? 3 : 5] : [0, 2, 5, 7];
    return shuffled(source.dtype, loadRun(source.dtype, first), loadRun(source.dtype, second), order);
  }
  const addresses = Array.from({ length: lanes }, (_, lane) => of(lane));
  return new Value('v128', (c) => emitLoadLanes(c, source.dtype, (lane) => pushAddress(c, addresses[lane])), false);
}

/** Consecutive elements. */
function loadRun(dtype: DType, { push, offset }: Address): Value {
  return new Value(
    'v128',
    (c) => {
      push(c);
      emitLoadVector(c, dtype, offset);
    },
    true,
  );
}

/** Lanes chosen from two vectors; the lanes of the second are numbered after those of the first. */
function shuffled(dtype: DType, a: Value, b: Value, order: readonly number[]): Value {
  const bytes = isWide(dtype) ? 8 : 4;
  const wanted = Array.from({ length: 16 / bytes }, (_, lane) => order[lane % order.length]);
  const lanes = wanted.flatMap((lane) => Array.from({ length: bytes }, (_, byte) => lane * bytes + byte));
  return code('v128', [a, b], ({ f }) => f.shuffle(lanes));
}

export function pushAddress(c: Parameters<Code>[0], { push, offset }: { push: Code; offset: number }): void {
  push(c);
  if (offset === 0) return;
  c.f.i32Const(offset);
  c.f.op('i32.add');
}

/** True when a guard that holds for two lanes holds for those between: a conjunction of comparisons of affine indices. */
function isConvex(plan: Plan, guard: Expr): boolean {
  if (!plan.varies(guard)) return true;
  if (guard.kind === 'binary' && guard.op === 'and') return isConvex(plan, guard.a) && isConvex(plan, guard.b);
  if (guard.kind !== 'compare' || guard.a.type !== 'index') return false;
  const convex: readonly CompareOp[] = ['lt', 'le', 'gt', 'ge', 'eq'];
  return convex.includes(guard.op) && [guard.a, guard.b].every((side) => isAffine(plan, side));
}

function isAffine(plan: Plan, e: Expr): boolean {
  return plan.analysis.formOf(e).terms.every(({ atom }) => atom.kind === 'axis' || !plan.varies(atom));
}

/**
 * Types of everything that is computed in lanes for these expressions. Addresses and guards are computed as scalars,
 * and so is what does not differ between lanes.
 */
export function laneTypesOf(roots: readonly Expr[], varies: (e: Expr) => boolean): Set<ExprType> {
  const types = new Set<ExprType>();
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    types.add(laneType(e.type));
    if (!varies(e)) return;
    switch (e.kind) {
      case 'load':
        if (e.fill) visit(e.fill);
        break;
      case 'unary':
      case 'test':
      case 'cast':
      case 'bitcast':
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
  roots.forEach(visit);
  return types;
}

export function lanesOf(types: Iterable<ExprType>): Lanes {
  for (const type of types) if (isWide(type)) return 2;
  return 4;
}

/** Rough number of instructions of a loop body. */
export function weightOf(roots: readonly Expr[]): number {
  let weight = 0;
  for (const root of roots) {
    walk(root, (e) => {
      if (e.kind === 'unary') weight += heavy.has(e.op) ? 20 : 1;
      else if (e.kind === 'binary' && e.op === 'pow') weight += 60;
      else if (e.kind !== 'const' && e.kind !== 'dim' && e.kind !== 'axis') weight += 1;
    });
  }
  return weight;
}

const heavy = new Set<string>(
  'exp expm1 log log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf sigmoid'.split(' '),
);
