import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { add, constant, div, type Expr, elementAt, exp, max, mul, sqrt, sub } from './expr.ts';
import { type FusedProgram, fuseProgram } from './fuse.ts';
import { interpretProgram } from './interpret.ts';
import { printKernel } from './print.ts';
import { type Program, type Source, StageBuilder } from './stage.ts';
import { allocateBuffer, type TensorBuffer } from './tensor-buffer.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyKernel, verifyProgram } from './verify.ts';

const size = (...dims: (number | string)[]) => dims.map(Dim.from);
const input = (name: string, dims: (number | string)[], isConstant = false) =>
  newTensorRef(name, 'float32', size(...dims), { isConstant });

function program(inputs: TensorRef[], builder: StageBuilder, outputs: Source[]): Program {
  return {
    inputs,
    stages: builder.stages,
    outputs: outputs.map((source, at) => ({ tensor: newTensorRef(`out${at}`, source.dtype, source.shape), source })),
  };
}

function builderOf(name: string): StageBuilder {
  const builder = new StageBuilder();
  builder.name = name;
  return builder;
}

const text = (fused: FusedProgram): string => fused.kernels.map((kernel) => printKernel(kernel)).join('\n\n');

const classes = (fused: FusedProgram): string[] => fused.kernels.map((kernel) => kernel.class);

/** Runs the program as it is and kernel by kernel, and compares. */
function expectSameResults(original: Program, binding: ReadonlyMap<string, number> = new Map()): FusedProgram {
  verifyProgram(original);
  const fused = fuseProgram(original);
  fused.kernels.forEach(verifyKernel);
  const given = new Map<TensorRef, TensorBuffer>();
  for (const [at, tensor] of original.inputs.entries()) {
    const buffer = allocateBuffer(
      tensor.dtype,
      tensor.shape.map((dim) => dim.evaluate(binding)),
    );
    const data = buffer.data as Float32Array;
    for (let k = 0; k < data.length; k++) data[k] = Math.sin(k * 1.7 + at) * 2;
    given.set(tensor, buffer);
  }
  const expected = interpretProgram(original, given, binding);
  const memory = new Map(given);
  const storage = (tensor: TensorRef): TensorRef => {
    const below = fused.aliases.get(tensor);
    return below ? storage(below) : tensor;
  };
  for (const kernel of fused.kernels) {
    const inputs = new Map(
      kernel.params.map((param) => {
        const dims = param.shape.map((dim) => dim.evaluate(binding));
        return [param, { ...memory.get(storage(param))!, dims }] as const;
      }),
    );
    const outputs = kernel.outputs.map(({ tensor, stage }) => ({ tensor, source: stage }));
    const results = interpretProgram({ inputs: kernel.params, stages: kernel.stages, outputs }, inputs, binding);
    for (const [tensor, buffer] of results) memory.set(storage(tensor), buffer);
  }
  for (const { tensor } of original.outputs) {
    const got = memory.get(storage(tensor))!.data as Float32Array;
    const want = expected.get(tensor)!.data as Float32Array;
    expect(got.length).toBe(want.length);
    for (let k = 0; k < want.length; k++) expect(got[k]).toBeCloseTo(want[k], 4);
  }
  return fused;
}

function softmax(builder: StageBuilder, x: Source, rows: number): Source {
  const shape = x.shape;
  const rowShape = shape.slice(0, rows);
  const lane = shape.slice(rows);
  const at = (source: Source, row: readonly Expr[], inner: readonly Expr[]) => elementAt(source, [...row, ...inner]);
  const peak = builder.reduce('max', 'float32', rowShape, lane, (row, r) => at(x, row, r), { name: 'peak' });
  const power = builder.map(
    'float32',
    shape,
    (i) => exp(sub(elementAt(x, i), elementAt(peak, i.slice(0, rows)))),
    'power',
  );
  const total = builder.reduce('sum', 'float32', rowShape, lane, (row, r) => at(power, row, r), { name: 'total' });
  return builder.map('float32', shape, (i) => div(elementAt(power, i), elementAt(total, i.slice(0, rows))));
}

describe('fuseProgram', () => {
  it('makes one row kernel of softmax', () => {
    const x = input('x', ['batch', 12]);
    const builder = builderOf('softmax');
    const fused = expectSameResults(program([x], builder, [softmax(builder, x, 1)]), new Map([['batch', 3]]));
    expect(text(fused)).toMatchInlineSnapshot(`
      "kernel softmax.peak+softmax.power+softmax.total+softmax row rows 1
        param x float32[batch, 12]
        softmax.peak[i] float32[batch] = max over ri < 12: x[i, ri]
        softmax.power[i, j] float32[batch, 12] = exp(x[i, j] - softmax.peak[i])
        softmax.total[i] float32[batch] = sum over ri < 12: softmax.power[i, ri]
        softmax[i, j] float32[batch, 12] = softmax.power[i, j] / softmax.total[i]
        output out0 float32[batch, 12] = softmax"
    `);
  });

  it('makes one row kernel of a residual, layer normalisation, and the residual that is read again', () => {
    const [x, y] = [input('x', ['rows', 16]), input('y', ['rows', 16])];
    const builder = builderOf('norm');
    const total = builder.map('float32', x.shape, (i) => add(elementAt(x, i), elementAt(y, i)), 'residual');
    const mean = builder.reduce('sum', 'float32', size('rows'), size(16), (i, r) =>
      mul(elementAt(total, [...i, ...r]), 1 / 16),
    );
    const centred = builder.map('float32', x.shape, (i) => sub(elementAt(total, i), elementAt(mean, [i[0]])));
    const variance = builder.reduce('sum', 'float32', size('rows'), size(16), (i, r) => {
      const value = elementAt(centred, [...i, ...r]);
      return mul(mul(value, value), 1 / 16);
    });
    const result = builder.map('float32', x.shape, (i) =>
      div(elementAt(centred, i), sqrt(add(elementAt(variance, [i[0]]), 1e-5))),
    );
    const fused = expectSameResults(program([x, y], builder, [result, total]), new Map([['rows', 5]]));
    expect(classes(fused)).toEqual(['row']);
    expect(fused.kernels[0].outputs).toHaveLength(2);
  });

  it('gives a matrix product its bias, activation and residual as epilogue', () => {
    const [a, b, bias, other] = [
      input('a', ['m', 8]),
      input('b', [8, 6], true),
      input('bias', [6], true),
      input('other', ['m', 6]),
    ];
    const builder = builderOf('product');
    const c = builder.reduce('sum', 'float32', size('m', 6), size(8), ([m, n], [k]) =>
      mul(elementAt(a, [m, k]), elementAt(b, [k, n])),
    );
    const biased = builder.map('float32', c.shape, (i) => add(elementAt(c, i), elementAt(bias, [i[1]])));
    const active = builder.map('float32', c.shape, (i) => max(elementAt(biased, i), 0));
    const result = builder.map('float32', c.shape, (i) => add(elementAt(active, i), elementAt(other, i)));
    const fused = expectSameResults(program([a, b, bias, other], builder, [result]), new Map([['m', 4]]));
    expect(text(fused)).toMatchInlineSnapshot(`
      "kernel product+product contraction
        param a float32[m, 8]
        param b float32[8, 6] constant
        param bias float32[6] constant
        param other float32[m, 6]
        product[i, j] float32[m, 6] = sum over ri < 8: a[i, ri] * b[ri, j]
        product.2[i, j] float32[m, 6] = max(product[i, j] + bias[j], 0) + other[i, j]
        output out0 float32[m, 6] = product.2"
    `);
  });

  it('writes a product transposed and through a view without copies', () => {
    const [a, b] = [input('a', [2, 3, 4]), input('b', [2, 4, 5])];
    const builder = builderOf('heads');
    const c = builder.reduce('sum', 'float32', size(2, 3, 5), size(4), ([h, m, n], [k]) =>
      mul(elementAt(a, [h, m, k]), elementAt(b, [h, k, n])),
    );
    const transposed = builder.map('float32', size(3, 2, 5), ([m, h, n]) => elementAt(c, [h, m, n]));
    const merged = builder.view(transposed, size(3, 10));
    const fused = expectSameResults(program([a, b], builder, [merged]));
    expect(classes(fused)).toEqual(['contraction']);
    expect(fused.locals).toHaveLength(0);
    expect(fused.aliases.size).toBe(1);
  });

  it('keeps a value that several stages read in memory, unless it is trivial', () => {
    const x = input('x', [4, 4]);
    const builder = builderOf('shared');
    const costly = builder.map('float32', x.shape, (i) => exp(elementAt(x, i)));
    const one = builder.map('float32', x.shape, (i) => add(elementAt(costly, i), 1));
    const two = builder.map('float32', x.shape, ([i, j]) => mul(elementAt(costly, [j, i]), 2));
    const fused = expectSameResults(program([x], builder, [one, two]));
    expect(fused.kernels).toHaveLength(3);
  });

  it('copies a result that is asked for twice, or that is an output and lies under another', () => {
    const x = input('x', [2, 6]);
    const builder = builderOf('twice');
    const y = builder.map('float32', x.shape, (i) => add(elementAt(x, i), 1));
    const flat = builder.view(y, size(12));
    const fused = expectSameResults(program([x], builder, [y, y, flat]));
    expect(fused.kernels).toHaveLength(3);
  });

  it('moves a guard into everything it guards', () => {
    const x = input('x', [5]);
    const builder = builderOf('pad');
    const shifted = builder.map('float32', x.shape, (i) => exp(elementAt(x, i)));
    const padded = builder.map('float32', size(9), ([i]) => {
      const at = sub(i, 2);
      const inside = {
        kind: 'compare',
        type: 'bool',
        op: 'lt',
        a: at,
        b: { kind: 'dim', type: 'index', dim: Dim.constant(5) },
      } as const;
      const positive = {
        kind: 'compare',
        type: 'bool',
        op: 'ge',
        a: at,
        b: { kind: 'dim', type: 'index', dim: Dim.constant(0) },
      } as const;
      const when = { kind: 'binary', type: 'bool', op: 'and', a: inside, b: positive } as const;
      return elementAt(shifted, [at], { when, otherwise: constant('float32', -1) });
    });
    const fused = expectSameResults(program([x], builder, [padded]));
    expect(text(fused)).toMatchInlineSnapshot(`
      "kernel pad pointwise
        param x float32[5]
        pad[i] float32[9] = $0 ? exp(x[i - 2 when $0 else 0]) : -1
          where $0 = i - 2 < 5 && i - 2 >= 0
        output out0 float32[9] = pad"
    `);
  });

  it('does not merge a stage into a kernel that it also reaches through another', () => {
    const x = input('x', ['rows', 8]);
    const builder = builderOf('cycle');
    const mean = builder.reduce('sum', 'float32', size('rows'), size(8), (i, r) => elementAt(x, [...i, ...r]));
    // Reads all rows at once, so it needs a kernel of its own between the two.
    const global = builder.reduce('max', 'float32', [], size('rows'), (_, [r]) => elementAt(mean, [r]));
    const result = builder.map('float32', x.shape, (i) =>
      add(mul(elementAt(x, i), elementAt(mean, [i[0]])), elementAt(global, [])),
    );
    const fused = expectSameResults(program([x], builder, [result]), new Map([['rows', 4]]));
    expect(fused.kernels.length).toBeGreaterThan(1);
  });
});
