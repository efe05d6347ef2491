import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import {
  add,
  binary,
  bitcast,
  boundedIndex,
  cast,
  childrenOf,
  compare,
  constant,
  dimension,
  div,
  type Expr,
  elementAt,
  eq,
  exp,
  floor,
  isInfinite,
  isNotANumber,
  max,
  mod,
  mul,
  neg,
  newAxis,
  rewrite,
  select,
  sub,
  substituteAxes,
  toIndex,
  walk,
} from './expr.ts';
import { printExpr } from './print.ts';
import { newTensorRef } from './tensor-ref.ts';

const i = newAxis('i', 'n');
const j = newAxis('j', 8);
const x = newTensorRef('x', 'float32', [Dim.symbol('n'), Dim.constant(8)]);
const at = elementAt(x, [i, j]);

describe('constants', () => {
  it('take the type of the other operand', () => {
    expect(add(at, 1)).toMatchObject({ type: 'float32', b: { kind: 'const', type: 'float32', value: 1 } });
    expect(constant('int64', 5)).toMatchObject({ type: 'int64', value: 5n });
    expect(constant('index', 5)).toMatchObject({ kind: 'dim', dim: { key: '5' } });
    expect(() => constant('string', 5)).toThrow(TypeError);
    expect(() => add(1, 2)).toThrow('needs at least one expression');
    expect(() => add(at, toIndex(i))).toThrow('add of float32 and index');
  });
});

describe('index arithmetic', () => {
  it('folds dims', () => {
    const n = dimension('n');
    expect(printExpr(add(mul(n, dimension(4)), dimension(2)))).toBe('4*n + 2');
    expect(printExpr(div(mul(n, dimension(4)), dimension(2)))).toBe('2*n');
    expect(printExpr(mod(dimension(7), dimension(4)))).toBe('3');
  });

  it('drops what does nothing', () => {
    const index = toIndex(j);
    expect(add(index, 0)).toBe(index);
    expect(add(dimension(0), index)).toBe(index);
    expect(sub(index, 0)).toBe(index);
    expect(mul(index, 1)).toBe(index);
    expect(printExpr(mul(index, 0))).toBe('0');
    expect(div(index, 1)).toBe(index);
    expect(printExpr(mod(index, 1))).toBe('0');
    expect(printExpr(div(index, 8))).toBe('0');
    expect(mod(index, 8)).toBe(index);
    expect(printExpr(mod(index, 7))).toBe('j % 7');
    expect(printExpr(neg(index))).toBe('j * -1');
  });

  it('does not fold floats that way', () => {
    expect(add(at, 0)).not.toBe(at);
    expect(mul(at, 0).kind).toBe('binary');
  });
});

describe('conversions', () => {
  it('fold when exact', () => {
    const half = constant('float32', 0.5);
    expect(cast('float32', at)).toBe(at);
    expect(cast('float64', half)).toEqual(constant('float64', 0.5));
    expect(cast('float32', constant('float64', 0.1)).kind).toBe('cast');
    expect(cast('int32', constant('float32', 7))).toEqual(constant('int32', 7));
    expect(cast('int32', constant('float32', -0)).kind).toBe('cast');
    expect(cast('int8', constant('int32', 300)).kind).toBe('cast');
    expect(cast('index', cast('int64', toIndex(i)))).toEqual(toIndex(i));
    expect(bitcast('float32', at)).toBe(at);
  });

  it('to bool compares with zero', () => {
    expect(printExpr(cast('bool', at))).toBe('x[i, j] != 0');
  });

  it('knows that integers are whole and never NaN', () => {
    const whole = cast('int32', at);
    expect(floor(whole)).toBe(whole);
    expect(isNotANumber(whole)).toEqual(constant('bool', false));
    expect(isInfinite(at, 'negative')).toMatchObject({ op: 'isneginf' });
  });
});

describe('select', () => {
  it('decides constant conditions', () => {
    const condition = eq(toIndex(i), dimension(0));
    expect(select(condition, at, 0).kind).toBe('select');
    expect(select(constant('bool', true), at, 0)).toBe(at);
    expect(select(constant('bool', false), at, 0)).toEqual(constant('float32', 0));
    expect(() => select(at, at, 0)).toThrow('needs a bool condition');
  });
});

describe('loads', () => {
  it('need one index per dimension', () => {
    expect(() => elementAt(x, [i])).toThrow('x has rank 2, but 1 indices were given');
    const when = compare('lt', toIndex(i), dimension('n'));
    expect(elementAt(x, [i, j], { when, otherwise: 3 })).toMatchObject({ guard: when, fill: { value: 3 } });
    expect(boundedIndex(cast('int64', at), 8)).toMatchObject({ kind: 'bounded', negative: true, size: { key: '8' } });
  });
});

describe('traversal', () => {
  const shared = exp(at);
  const root = binary('add', shared, max(shared, 0));

  it('visits each node once, parents first', () => {
    const seen: Expr[] = [];
    walk(root, (e) => seen.push(e));
    expect(seen[0]).toBe(root);
    expect(seen.length).toBe(new Set(seen).size);
    expect(seen.filter((e) => e === shared).length).toBe(1);
    for (const e of seen) for (const child of childrenOf(e)) expect(seen).toContain(child);
  });

  it('rewrites children first and keeps sharing', () => {
    const y = elementAt(newTensorRef('y', 'float32', []), []);
    const result = rewrite(root, (e) => (e === at ? y : undefined));
    expect(printExpr(result)).toBe('exp(y[]) + max(exp(y[]), 0)');
    if (result.kind !== 'binary' || result.b.kind !== 'binary') throw new Error('the shape changed');
    expect(result.a).toBe(result.b.a);
    expect(rewrite(root, () => undefined)).toBe(root);
  });

  it('substitutes axes and simplifies', () => {
    const result = substituteAxes(at, new Map([[j, add(toIndex(i), dimension(1))]]));
    expect(printExpr(result)).toBe('x[i, i + 1]');
    const index = mod(add(toIndex(j), dimension(3)), 16);
    expect(printExpr(substituteAxes(index, new Map([[j, dimension(14)]])))).toBe('1');
  });

  it('reaches guards and fills', () => {
    const when = compare('lt', toIndex(j), dimension(4));
    const guarded = elementAt(x, [i, j], { when, otherwise: at });
    const moved = substituteAxes(guarded, new Map([[j, dimension(2)]]));
    expect(printExpr(moved)).toBe('x[i, 2 when 2 < 4 else x[i, 2]]');
  });
});
