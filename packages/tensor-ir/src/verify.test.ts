import { describe, expect, it } from 'vitest';
import { Dim, type DimLike } from './dim.ts';
import type { DType } from './dtype.ts';
import { add, constant, dimension, type Expr, elementAt, exp, mul, newAxis, toIndex } from './expr.ts';
import type { Kernel } from './kernel.ts';
import { type MapStage, type Program, type ReduceStage, type Stage, StageBuilder } from './stage.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyKernel, verifyProgram, verifyStage } from './verify.ts';

const dims = (...shape: DimLike[]): Dim[] => shape.map(Dim.from);
const tensor = (name: string, dtype: DType, ...shape: DimLike[]): TensorRef =>
  newTensorRef(name, dtype, dims(...shape));

const x = tensor('x', 'float32', 'n', 4);
const flags = tensor('flags', 'bool', 'n');

const copy = (): MapStage => new StageBuilder().map('float32', ['n', 4], (i) => elementAt(x, i), 'copy');
const rowSum = (): ReduceStage =>
  new StageBuilder().reduce('sum', 'float32', ['n'], [4], ([i], [j]) => elementAt(x, [i, j]), { name: 'sum' });

const float = constant('float32', 1);
const whole = constant('int32', 1);

describe('expressions', () => {
  const stage = copy();
  const [i, j] = stage.axes.map(toIndex);
  const load = elementAt(x, [i, j]) as Extract<Expr, { kind: 'load' }>;
  const inCopy = (body: Expr): Stage => ({ ...stage, body });

  it.each([
    [{ ...load, index: [i] }, 'body: 1 indices for x of rank 2'],
    [{ ...load, index: [i, whole] }, 'body: index 1 of x is int32'],
    [{ ...load, index: [i, dimension(4)] }, 'body: index 1 of x leaves its size of 4'],
    [{ ...load, index: [i, toIndex(newAxis('k', 4))] }, 'body.index[1]: axis k is not in scope'],
    [{ ...load, guard: constant('bool', true) }, 'body: a guard and a fill go together'],
    [{ ...load, guard: float, fill: float }, 'body: the guard is float32'],
    [{ ...load, guard: constant('bool', true), fill: whole }, 'body: the fill is int32, the element float32'],
    [
      { kind: 'load', type: 'float32', source: flags, index: [i] },
      'body: an element of flags is bool, declared float32',
    ],
    [{ kind: 'unary', type: 'float32', op: 'exp', x: whole }, 'body: exp of int32 is declared float32'],
    [{ kind: 'unary', type: 'float32', op: 'not', x: float }, 'body: not is not defined for float32'],
    [{ kind: 'binary', type: 'float32', op: 'add', a: float, b: whole }, 'body: add of float32 and int32'],
    [{ kind: 'binary', type: 'float32', op: 'xor', a: float, b: float }, 'body: xor is not defined for float32'],
    [
      add(load, exp({ kind: 'const', type: 'float32', value: 1n })),
      'body.b.x: a constant of float32 cannot be a bigint',
    ],
    [
      { kind: 'select', type: 'float32', condition: float, whenTrue: float, whenFalse: float },
      'body: the condition is float32',
    ],
    [
      { kind: 'select', type: 'float32', condition: constant('bool', true), whenTrue: float, whenFalse: whole },
      'body: a choice between float32 and int32',
    ],
    [
      { kind: 'bitcast', type: 'float32', x: constant('int8', 1) },
      'body: bitcast from int8 to float32, of other width',
    ],
    [
      { kind: 'cast', type: 'float32', x: { kind: 'const', type: 'int8', value: 200 } },
      'body.x: 200 does not fit int8',
    ],
    [constant('int32', 1), 'body: it is int32 instead of float32'],
  ] as [Expr, string][])('%#', (body, problem) => {
    expect(() => verifyStage(inCopy(body))).toThrow(problem);
  });

  it('shows the stage', () => {
    let message = '';
    try {
      verifyStage(inCopy(add(load, { kind: 'unary', type: 'float32', op: 'popcount', x: float })));
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatchInlineSnapshot(`
      "stage copy: body.b: popcount is not defined for float32
      copy[i, j] float32[n, 4] = x[i, j] + popcount(1)"
    `);
  });

  it('compares strings and bools for equality only', () => {
    const of = (op: 'eq' | 'lt', value: Expr): Stage => ({
      ...stage,
      dtype: 'bool',
      body: { kind: 'compare', type: 'bool', op, a: value, b: value },
    });
    const words = elementAt(tensor('words', 'string', 'n'), [i]);
    expect(() => verifyStage(of('eq', words))).not.toThrow();
    expect(() => verifyStage(of('lt', words))).toThrow('lt is not defined for string');
    expect(() => verifyStage(of('lt', elementAt(flags, [i])))).toThrow('lt is not defined for bool');
  });
});

describe('stages', () => {
  const builder = (): StageBuilder => new StageBuilder();

  it('accepts good ones', () => {
    for (const stage of [copy(), rowSum()]) expect(() => verifyStage(stage)).not.toThrow();
  });

  const segments = builder().segments('float32', [Dim.symbol('n').add(2)], 0, [
    { length: 'n', body: () => float },
    { length: 2, body: () => float },
  ]);
  const scatter = builder().scatter(
    'float32',
    ['n'],
    () => float,
    [3],
    ([u]) => ({ destination: [u], value: float }),
  );

  it.each([
    [{ ...copy(), axes: copy().axes.slice(1) }, 'axes of sizes [4] for a shape of [n, 4]'],
    [{ ...rowSum(), dtype: 'bool' }, 'no sum of bool'],
    [{ ...rowSum(), op: 'argmax' }, 'argmax gives int64, not float32'],
    [{ ...rowSum(), op: 'argmax', dtype: 'int64', over: [] }, 'argmax runs over 0 axes instead of one'],
    [{ ...rowSum(), op: 'or' }, 'no or of float32'],
    [{ ...rowSum(), over: rowSum().axes }, 'is not in scope'],
    [{ ...copy(), axes: copy().axes }, 'axis i is not in scope'],
    [builder().scan('sum', 'float32', ['n'], 1, () => float), 'there is no axis 1'],
    [{ ...segments, shape: dims('n') }, 'the segments end at n + 2, the size is n'],
    [{ ...segments, segments: segments.segments.slice(1) }, 'segments[0] starts at n instead of 0'],
    [{ ...scatter, destination: [] }, '0 destination indices for rank 1'],
    [{ ...scatter, destination: [whole] }, 'destination[0]: it is int32 instead of index'],
    [{ ...scatter, guard: float }, 'guard: it is float32 instead of bool'],
    [
      { ...scatter, dtype: 'bool', initial: constant('bool', true), body: constant('bool', true), combine: 'sum' },
      'no sum of bool',
    ],
    [builder().view(tensor('v', 'int8', 2, 3), [5]), 'a view of 6 elements as 5'],
  ] as [Stage, string][])('%#', (stage, problem) => {
    expect(() => verifyStage(stage)).toThrow(problem);
  });
});

describe('programs', () => {
  const program = (stages: Stage[], source = stages[stages.length - 1]): Program => ({
    inputs: [x],
    stages,
    outputs: [{ tensor: tensor('y', source.dtype, ...source.shape), source }],
  });

  it('read only inputs and earlier stages', () => {
    const first = copy();
    const second = new StageBuilder().map('float32', ['n', 4], (i) => exp(elementAt(first, i)), 'second');
    expect(() => verifyProgram(program([first, second]))).not.toThrow();
    expect(() => verifyProgram(program([second, first]))).toThrow('copy cannot be read here');
    expect(() => verifyProgram(program([first], second))).toThrow('which is not in the program');
    expect(() => verifyProgram({ ...program([first]), inputs: [x, x] })).toThrow('input x is listed twice');
    expect(() => verifyProgram({ ...program([first]), inputs: [] })).toThrow('x cannot be read here');
  });

  it('have outputs of the right type', () => {
    const first = copy();
    const wrong = { ...program([first]), outputs: [{ tensor: tensor('y', 'float32', 'n', 5), source: first }] };
    expect(() => verifyProgram(wrong)).toThrow('output y is float32[n, 5], copy float32[n, 4]');
  });
});

describe('kernels', () => {
  const kernel = (kernelClass: Kernel['class'], stages: readonly Stage[], rowRank = 0): Kernel => {
    const stage = stages[stages.length - 1];
    return {
      name: 'k',
      class: kernelClass,
      params: [x],
      stages,
      outputs: stage ? [{ stage, tensor: tensor('y', stage.dtype, ...stage.shape) }] : [],
      origins: [],
      rowRank,
    };
  };

  it('have one stage in the plain classes', () => {
    expect(() => verifyKernel(kernel('pointwise', [copy()]))).not.toThrow();
    expect(() => verifyKernel(kernel('reduce', [rowSum()]))).not.toThrow();
    expect(() => verifyKernel(kernel('pointwise', [rowSum()]))).toThrow('a pointwise kernel cannot be of kind reduce');
    expect(() => verifyKernel(kernel('reduce', [rowSum(), copy()]))).toThrow('reduce kernel k has 2 stages');
    expect(() => verifyKernel(kernel('pointwise', [copy()], 1))).toThrow('row rank 1 in class pointwise');
    expect(() => verifyKernel(kernel('pointwise', []))).toThrow('has no stages');
    expect(() => verifyKernel({ ...kernel('pointwise', [copy()]), outputs: [] })).toThrow('has no outputs');
  });

  it('share rows in class row', () => {
    const total = rowSum();
    const scaled = (row: (i: Expr, j: Expr) => Expr): Stage =>
      new StageBuilder().map(
        'float32',
        ['n', 4],
        ([i, j]) => mul(elementAt(x, [i, j]), elementAt(total, [row(i, j)])),
        'scaled',
      );
    expect(() => verifyKernel(kernel('row', [total, scaled((i) => i)], 1))).not.toThrow();
    expect(() => verifyKernel(kernel('row', [total, scaled((_, j) => j)], 1))).toThrow('it reads sum from another row');
    const other = new StageBuilder().map('float32', ['m'], () => float);
    expect(() => verifyKernel(kernel('row', [total, other], 1))).toThrow('its rows are not those of sum, [n]');
    const scan = new StageBuilder().scan('sum', 'float32', ['n', 4], 1, (i) => elementAt(x, i));
    expect(() => verifyKernel(kernel('row', [total, scan], 1))).toThrow('a row kernel cannot have a scan');
  });

  it('start a contraction with a sum of products, read once by each axis', () => {
    const w = tensor('w', 'float32', 4, 'm');
    const product = new StageBuilder().reduce(
      'sum',
      'float32',
      ['n', 'm'],
      [4],
      ([i, j], [k]) => mul(elementAt(x, [i, k]), elementAt(w, [k, j])),
      { name: 'product' },
    );
    const epilogue = (shape: readonly DimLike[], index: (i: readonly Expr[]) => readonly Expr[]): Stage =>
      new StageBuilder().map('float32', shape, (i) => exp(elementAt(product, index(i))), 'epilogue');
    const of = (...stages: Stage[]): Kernel => ({ ...kernel('contraction', stages), params: [x, w] });
    const m = Dim.symbol('m');
    const n = Dim.symbol('n');
    expect(() => verifyKernel(of(product))).not.toThrow();
    expect(() =>
      verifyKernel(
        of(
          product,
          epilogue([m, n], ([i, j]) => [j, i]),
        ),
      ),
    ).not.toThrow();
    expect(() =>
      verifyKernel(
        of(
          product,
          epilogue([1, n, m], ([, i, j]) => [i, j]),
        ),
      ),
    ).not.toThrow();
    expect(() =>
      verifyKernel(
        of(
          product,
          epilogue([n, m, 2], ([i, j]) => [i, j]),
        ),
      ),
    ).toThrow('more than once');
    expect(() =>
      verifyKernel(
        of(
          product,
          epilogue([n, m], ([i]) => [i, i]),
        ),
      ),
    ).toThrow('other than once by each axis');
    const pool = new StageBuilder().reduce('max', 'float32', ['n', 3], [2], ([i, j], [k]) =>
      elementAt(x, [i, add(j, k)]),
    );
    expect(() => verifyKernel(of(pool))).not.toThrow();
    expect(() => verifyKernel(of(rowSum()))).toThrow('a contraction sums products or slides a window');
    expect(() => verifyKernel(of(copy()))).toThrow('a contraction starts with a reduction');
  });
});
