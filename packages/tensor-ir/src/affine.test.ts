import { describe, expect, it } from 'vitest';
import { IndexAnalysis, stridesOf } from './affine.ts';
import { Dim } from './dim.ts';
import {
  type Axis,
  add,
  and,
  boundedIndex,
  cast,
  dimension,
  div,
  type Expr,
  elementAt,
  ge,
  lt,
  mod,
  mul,
  newAxis,
  sub,
  toIndex,
} from './expr.ts';
import { printExpr } from './print.ts';
import { newTensorRef } from './tensor-ref.ts';

const N = Dim.symbol('N');
const i = newAxis('i', N);
const j = newAxis('j', 64);
const k = newAxis('k', 12);

function simplified(e: Expr): string {
  return printExpr(new IndexAnalysis().simplify(e));
}

/** Row-major position of several axes. */
function flat(...axes: readonly Axis[]): Expr {
  return axes.reduce<Expr>((sum, axis) => add(mul(sum, dimension(axis.size)), toIndex(axis)), dimension(0));
}

describe('sums', () => {
  it('adds up equal terms', () => {
    expect(simplified(sub(add(mul(toIndex(j), 3), 5), add(toIndex(j), 2)))).toBe('j * 2 + 3');
  });

  it('has symbolic coefficients', () => {
    const form = new IndexAnalysis().affine(add(mul(toIndex(i), dimension(N.mul(4))), toIndex(j)));
    expect(form?.coefficients.get(i)?.toString()).toBe('4*N');
    expect(form?.coefficients.get(j)?.toString()).toBe('1');
  });

  it('is not affine in a product of axes or in data', () => {
    const data = newTensorRef('data', 'int64', [Dim.constant(64)]);
    const analysis = new IndexAnalysis();
    expect(analysis.affine(mul(toIndex(j), toIndex(k)))).toBeUndefined();
    expect(analysis.affine(boundedIndex(cast('index', elementAt(data, [j])), 9))).toBeUndefined();
  });
});

describe('quotients and remainders', () => {
  it('take apart what was put together', () => {
    expect(simplified(div(flat(i, j), 64))).toBe('i');
    expect(simplified(mod(flat(i, j), 64))).toBe('j');
    expect(simplified(mod(div(flat(i, k, j), 64), 12))).toBe('k');
    expect(simplified(div(flat(i, k, j), 12 * 64))).toBe('i');
  });

  it('keep a common factor out of the division', () => {
    expect(simplified(div(flat(k, j), 128))).toBe('k / 2');
    expect(simplified(mod(flat(k, j), 128))).toBe('j + k % 2 * 64');
  });

  it('are put together again', () => {
    const position = newAxis('p', N.mul(768));
    const p = toIndex(position);
    const parts = [div(p, 768), mod(div(p, 64), 12), mod(p, 64)];
    const again = add(add(mul(parts[0], 768), mul(parts[1], 64)), parts[2]);
    expect(simplified(again)).toBe('p');
    expect(simplified(add(mul(parts[1], 64), parts[2]))).toBe('p % 768');
  });

  it('are left alone where the dividend may be negative', () => {
    expect(simplified(div(sub(toIndex(j), 1), 64))).toBe('(j + -1) / 64');
  });
});

describe('comparisons', () => {
  it('are decided by the ranges of the axes', () => {
    expect(simplified(and(ge(toIndex(i), 0), lt(toIndex(i), dimension(N))))).toBe('true');
    expect(simplified(lt(add(toIndex(j), 64), 64))).toBe('false');
    expect(simplified(ge(sub(toIndex(j), 1), 0))).toBe('j + -1 >= 0');
  });

  it('remove guards that always hold', () => {
    const x = newTensorRef('x', 'float32', [N]);
    expect(simplified(elementAt(x, [i], { when: ge(toIndex(i), 0), otherwise: 0 }))).toBe('x[i]');
    expect(simplified(elementAt(x, [i], { when: lt(toIndex(i), 0), otherwise: 0 }))).toBe('0');
  });
});

describe('offsets', () => {
  it('follow the physical order', () => {
    const shape = [2, 3, 5].map(Dim.constant);
    expect(stridesOf({ shape }).map(String)).toEqual(['15', '5', '1']);
    expect(stridesOf({ shape, order: [0, 2, 1] }).map(String)).toEqual(['15', '1', '3']);
  });

  it('ignore the index of an axis of size 1, unless it checks data', () => {
    const x = newTensorRef('x', 'float32', [Dim.constant(1), Dim.constant(64)]);
    const data = newTensorRef('data', 'int64', [N]);
    const analysis = new IndexAnalysis();
    expect(printExpr(analysis.expression(analysis.offsetOf(x, [toIndex(i), toIndex(j)])))).toBe('j');
    const checked = boundedIndex(cast('index', elementAt(data, [i])), 1);
    expect(analysis.offsetOf(x, [checked, toIndex(j)]).terms).toHaveLength(2);
  });
});
