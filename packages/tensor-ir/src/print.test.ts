import { describe, expect, it } from 'vitest';
import { Dim, type DimLike } from './dim.ts';
import {
  add,
  and,
  bitcast,
  boundedIndex,
  cast,
  compare,
  constant,
  dimension,
  div,
  type Expr,
  elementAt,
  erf,
  exp,
  ge,
  lt,
  max,
  mul,
  neg,
  newAxis,
  not,
  or,
  pow,
  select,
  sub,
  toIndex,
} from './expr.ts';
import type { Kernel } from './kernel.ts';
import { canonicalKernel, kernelKey, printExpr, printKernel, printProgram, printStage } from './print.ts';
import { StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';

const dims = (...shape: DimLike[]): Dim[] => shape.map(Dim.from);

/** Softmax over rows, with names that differ from call to call. */
function softmax(name: string, rows: DimLike, lane: number, prefix = ''): Kernel {
  const x = newTensorRef(`${prefix}x`, 'float32', dims(rows, lane));
  const stages = new StageBuilder();
  stages.name = name;
  const peak = stages.reduce('max', 'float32', [rows], [lane], ([i], [j]) => elementAt(x, [i, j]), { name: 'peak' });
  const power = stages.map(
    'float32',
    [rows, lane],
    ([i, j]) => exp(sub(elementAt(x, [i, j]), elementAt(peak, [i]))),
    'power',
  );
  const total = stages.reduce('sum', 'float32', [rows], [lane], ([i], [j]) => elementAt(power, [i, j]), {
    name: 'total',
  });
  const out = stages.map('float32', [rows, lane], ([i, j]) => div(elementAt(power, [i, j]), elementAt(total, [i])));
  const tensor = newTensorRef(`${prefix}y`, 'float32', out.shape);
  return {
    name,
    class: 'row',
    params: [x],
    stages: stages.stages,
    outputs: [{ stage: out, tensor }],
    origins: [],
    rowRank: 1,
  };
}

function pointwise(body: (x: Expr) => Expr, options: { order?: number[]; isConstant?: boolean } = {}): Kernel {
  const x = newTensorRef('x', 'float32', dims('n', 4), options);
  const stages = new StageBuilder();
  const out = stages.map('float32', ['n', 4], (i) => body(elementAt(x, i)));
  const tensor = newTensorRef('y', 'float32', out.shape);
  return {
    name: 'k',
    class: 'pointwise',
    params: [x],
    stages: stages.stages,
    outputs: [{ stage: out, tensor }],
    origins: [],
    rowRank: 0,
  };
}

describe('expressions', () => {
  const i = toIndex(newAxis('i', 4));
  const scalar = (name: string, dtype: 'float32' | 'int32' | 'bool' = 'float32'): Expr =>
    elementAt(newTensorRef(name, dtype, []), []);
  const [a, b, c] = [scalar('a'), scalar('b'), scalar('c')];
  const [p, q] = [scalar('p', 'bool'), scalar('q', 'bool')];

  it.each([
    [add(a, mul(b, c)), 'a[] + b[] * c[]'],
    [mul(add(a, b), c), '(a[] + b[]) * c[]'],
    [sub(a, sub(b, c)), 'a[] - (b[] - c[])'],
    [sub(sub(a, b), c), 'a[] - b[] - c[]'],
    [div(a, mul(b, c)), 'a[] / (b[] * c[])'],
    [neg(add(a, b)), '-(a[] + b[])'],
    [neg(neg(a)), '-(-a[])'],
    [pow(a, 2), 'pow(a[], 2)'],
    [mul(a, -2), 'a[] * -2'],
    [max(a, -0), 'max(a[], -0)'],
    [add(a, Infinity), 'a[] + inf'],
    [add(a, NaN), 'a[] + NaN'],
    [and(or(p, q), not(p)), '(p[] || q[]) && !p[]'],
    [and(scalar('m', 'int32'), 7), 'm[] & 7'],
    [select(lt(a, b), a, select(p, b, c)), 'a[] < b[] ? a[] : p[] ? b[] : c[]'],
    [add(select(p, a, b), 1), '(p[] ? a[] : b[]) + 1'],
    [cast('int8', a, { saturate: true }), 'saturate.int8(a[])'],
    [bitcast('int32', a), 'bitcast.int32(a[])'],
    [boundedIndex(cast('int64', a), 'n'), 'bounded(int64(a[]), n)'],
    [boundedIndex(i, 'n', { negative: false }), 'bounded.nonnegative(i, n)'],
    [mul(i, dimension(Dim.symbol('n').add(1))), 'i * (n + 1)'],
    [mul(i, dimension(Dim.symbol('n').mul(2))), 'i * (2*n)'],
    [add(i, dimension(Dim.symbol('n').floorDiv(2))), 'i + floordiv(n, 2)'],
    [constant('bool', true), 'true'],
  ] as [Expr, string][])('%#', (e, text) => {
    expect(printExpr(e)).toBe(text);
  });

  it('names large shared parts, also when they are separate objects', () => {
    const cubic = (): Expr => add(mul(mul(a, a), a), mul(b, add(c, 2)));
    expect(printExpr(mul(cubic(), exp(cubic())))).toBe('$0 = a[] * a[] * a[] + b[] * (c[] + 2); $0 * exp($0)');
  });

  it('stays short however much is shared', () => {
    let e = a;
    for (let depth = 0; depth < 60; depth++) e = add(e, e);
    expect(printExpr(e).length).toBeLessThan(1500);
  });

  it('tells axes and tensors of equal names apart', () => {
    const k = toIndex(newAxis('i', 4));
    const [x, y] = [newTensorRef('x', 'float32', dims(4)), newTensorRef('x', 'float32', dims(4))];
    expect(printExpr(add(elementAt(x, [i]), elementAt(y, [k])))).toBe('x[i] + x.2[i.2]');
  });
});

describe('programs', () => {
  it('shows every kind of stage', () => {
    const x = newTensorRef('x', 'float32', dims('n', 4), { order: [1, 0] });
    const at = newTensorRef('at', 'int64', dims('m'), { isConstant: true });
    const stages = new StageBuilder();
    stages.name = 'node';
    const scaled = stages.map('float32', ['n', 4], ([i, j]) => mul(elementAt(x, [i, j]), 0.5), 'scaled');
    const sum = stages.reduce('sum', 'float32', ['n'], [4], ([i], [k]) => elementAt(scaled, [i, k]));
    stages.reduce('argmax', 'int64', ['n'], [4], ([i], [k]) => elementAt(scaled, [i, k]), { selectLast: true });
    stages.scan('prod', 'float32', ['n', 4], 1, (i) => elementAt(scaled, i), { exclusive: true, reverse: true });
    stages.segments('float32', ['n', 7], 1, [
      { length: 4, body: (i) => elementAt(scaled, i) },
      { length: 3, body: ([i]) => elementAt(sum, [i]) },
    ]);
    const gelu = stages.map('float32', ['n', 4], (i) => {
      const half = mul(elementAt(scaled, i), add(erf(mul(elementAt(x, i), Math.SQRT1_2)), 1));
      return mul(half, half);
    });
    stages.scatter(
      'float32',
      ['n', 4],
      (i) => elementAt(gelu, i),
      ['m'],
      ([u]) => ({
        destination: [boundedIndex(elementAt(at, [u]), 'n'), dimension(0)],
        value: constant('float32', -0),
        guard: ge(u, dimension(1)),
      }),
      'max',
    );
    const view = stages.view(gelu, [Dim.symbol('n').mul(4)]);
    const program = {
      inputs: [x, at],
      stages: stages.stages,
      outputs: [{ tensor: newTensorRef('y', 'float32', view.shape), source: view }],
    };
    expect(printProgram(program)).toMatchInlineSnapshot(`
      "program
        input x float32[n, 4] order 1 0
        input at int64[m] constant
        node.scaled[i, j] float32[n, 4] = x[i, j] * 0.5
        node[i] float32[n] = sum over ri < 4: node.scaled[i, ri]
        node.2[i] int64[n] = argmax (last) over ri < 4: node.scaled[i, ri]
        node.3[i, j] float32[n, 4] = running prod exclusive reverse along j: node.scaled[i, j]
        node.4 float32[n, 7] = segments along 1
          at 0 [i, j < 4] = node.scaled[i, j]
          at 4 [i, j < 3] = node[i]
        node.5[i, j] float32[n, 4] = $0 * $0
          where $0 = node.scaled[i, j] * (erf(x[i, j] * 0.7071067811865476) + 1)
        node.6 float32[n, 4] = scatter
          [i, j] = node.5[i, j]
          max over ui < m: [bounded(at[ui], n), 0] = -0 when ui >= 1
        node.7 float32[4*n] = view node.5
        output y float32[4*n] = node.7"
    `);
    expect(printStage(scaled)).toBe('node.scaled[i, j] float32[n, 4] = x[i, j] * 0.5');
  });
});

describe('kernels', () => {
  it('are printed with names, and numbered in keys', () => {
    const kernel = softmax('Softmax_7', 'batch', 64);
    expect(printKernel(kernel)).toMatchInlineSnapshot(`
      "kernel Softmax_7 row rows 1
        param x float32[batch, 64]
        Softmax_7.peak[i] float32[batch] = max over ri < 64: x[i, ri]
        Softmax_7.power[i, j] float32[batch, 64] = exp(x[i, j] - Softmax_7.peak[i])
        Softmax_7.total[i] float32[batch] = sum over ri < 64: Softmax_7.power[i, ri]
        Softmax_7[i, j] float32[batch, 64] = Softmax_7.power[i, j] / Softmax_7.total[i]
        output y float32[batch, 64] = Softmax_7"
    `);
    const { key, symbols } = canonicalKernel(kernel);
    expect(key).toMatchInlineSnapshot(`
      "kernel row rows 1
        param t0 float32[d0, 64]
        s1[a0 < d0] float32[d0] = max over a1 < 64: t0[a0, a1]
        s2[a0 < d0, a1 < 64] float32[d0, 64] = exp(t0[a0, a1] - s1[a0])
        s3[a0 < d0] float32[d0] = sum over a1 < 64: s2[a0, a1]
        s4[a0 < d0, a1 < 64] float32[d0, 64] = s2[a0, a1] / s3[a0]
        output t5 float32[d0, 64] = s4"
    `);
    expect(symbols).toEqual(['batch']);
  });

  it('have equal keys whatever names, ids and symbols they have', () => {
    const first = softmax('first', Dim.symbol('b').mul('a'), 64);
    const second = softmax('second', Dim.symbol('rows').mul('heads'), 64, 'other.');
    expect(kernelKey(second)).toBe(kernelKey(first));
    expect(canonicalKernel(first).symbols).toEqual(['a', 'b']);
    expect(canonicalKernel(second).symbols).toEqual(['heads', 'rows']);
  });

  it('have other keys when anything else differs', () => {
    const kernels = [
      softmax('k', 'n', 64),
      softmax('k', 'n', 65),
      softmax('k', 64, 64),
      softmax('k', Dim.symbol('n').mul('n'), 64),
      { ...softmax('k', 'n', 64), rowRank: 0 },
      { ...softmax('k', 'n', 64), class: 'contraction' as const },
      pointwise((x) => add(x, 0)),
      pointwise((x) => add(x, -0)),
      pointwise((x) => add(x, NaN)),
      pointwise((x) => add(x, Infinity)),
      pointwise((x) => add(x, -Infinity)),
      pointwise((x) => add(x, 0.1)),
      pointwise((x) => add(x, 0.10000000000000002)),
      pointwise((x) => add(x, x)),
      pointwise((x) => cast('float32', cast('int32', x))),
      pointwise((x) => cast('float32', cast('int32', x, { saturate: true }))),
      pointwise((x) => select(compare('lt', constant('int32', 1), constant('int32', 2)), x, 0)),
      pointwise((x) => select(compare('lt', constant('uint8', 1), constant('uint8', 2)), x, 0)),
      pointwise((x) => x),
      pointwise((x) => x, { order: [1, 0] }),
      pointwise((x) => x, { isConstant: true }),
    ];
    expect(new Set(kernels.map(kernelKey)).size).toBe(kernels.length);
  });
});
