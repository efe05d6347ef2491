import { describe, expect, it } from 'vitest';
import { Dim, type DimLike } from './dim.ts';
import type { DType } from './dtype.ts';
import {
  add,
  and,
  boundedIndex,
  cast,
  constant,
  dimension,
  div,
  type Expr,
  elementAt,
  eq,
  exp,
  ge,
  lt,
  mod,
  mul,
  select,
  sub,
} from './expr.ts';
import { interpretProgram } from './interpret.ts';
import { encodeFloat } from './number-formats.ts';
import { type Program, type Source, type Stage, StageBuilder } from './stage.ts';
import { allocateBuffer, countOf, type TensorBuffer } from './tensor-buffer.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyProgram } from './verify.ts';

function buffer(dtype: DType, dims: readonly number[], data: ArrayLike<number | bigint | string>): TensorBuffer {
  const made = allocateBuffer(dtype, dims);
  for (let i = 0; i < data.length; i++) (made.data as (number | bigint | string)[])[i] = data[i];
  return made;
}

const counting = (dims: readonly number[]): TensorBuffer =>
  buffer(
    'float32',
    dims,
    Array.from({ length: countOf(dims) }, (_, at) => at),
  );

class Case {
  readonly stages = new StageBuilder();
  readonly inputs = new Map<TensorRef, TensorBuffer>();

  input(made: TensorBuffer, shape: readonly DimLike[] = made.dims): TensorRef {
    const ref = newTensorRef(`input${this.inputs.size}`, made.dtype, shape.map(Dim.from));
    this.inputs.set(ref, made);
    return ref;
  }

  program(...outputs: Source[]): Program {
    return {
      inputs: [...this.inputs.keys()],
      stages: this.stages.stages,
      outputs: outputs.map((source) => ({ tensor: newTensorRef('out', source.dtype, source.shape), source })),
    };
  }

  run(source: Source, binding: Readonly<Record<string, number>> = {}, options = {}): TensorBuffer {
    const program = this.program(source);
    verifyProgram(program);
    const outputs = interpretProgram(program, this.inputs, new Map(Object.entries(binding)), options);
    return outputs.get(program.outputs[0].tensor)!;
  }
}

describe('map', () => {
  it('moves elements: a transpose of symbolic sizes', () => {
    const test = new Case();
    const x = test.input(counting([2, 3]), ['n', 'm']);
    const out = test.run(
      test.stages.map('float32', ['m', 'n'], ([i, j]) => elementAt(x, [j, i])),
      { n: 2, m: 3 },
    );
    expect(out.dims).toEqual([3, 2]);
    expect([...out.data]).toEqual([0, 3, 1, 4, 2, 5]);
  });

  it('reads borders from the fill', () => {
    const test = new Case();
    const x = test.input(counting([3]));
    const padded = test.stages.map('float32', [5], ([i]) => {
      const at = sub(i, dimension(1));
      return elementAt(x, [at], { when: and(ge(at, dimension(0)), lt(at, dimension(3))), otherwise: -9 });
    });
    expect([...test.run(padded).data]).toEqual([-9, 0, 1, 2, -9]);
  });

  it('makes scalars and empty tensors', () => {
    const test = new Case();
    const x = test.input(counting([0, 3]));
    expect([...test.run(test.stages.map('int32', [], () => constant('int32', 7))).data]).toEqual([7]);
    const empty = test.run(test.stages.map('float32', [0, 3], (i) => elementAt(x, i)));
    expect(empty.dims).toEqual([0, 3]);
    expect(empty.data.length).toBe(0);
  });

  it('rounds float16 when stored, not in between', () => {
    const test = new Case();
    const x = test.input(buffer('float16', [1], [encodeFloat('float16', 300)]));
    // 300 × 300 would overflow.
    const out = test.stages.map('float16', [1], (i) => div(mul(elementAt(x, i), elementAt(x, i)), 300));
    expect([...test.run(out).data]).toEqual([encodeFloat('float16', 300)]);
  });

  it('wraps constants and reads every storage type', () => {
    const test = new Case();
    const values: Partial<Record<DType, (number | bigint)[]>> = {
      float64: [1.5, -2],
      int8: [-3, 4],
      int16: [-300, 4],
      int32: [-70000, 4],
      uint8: [200, 4],
      uint16: [60000, 4],
      uint32: [4e9, 4],
      int64: [-(2n ** 40n), 4n],
      uint64: [2n ** 63n, 4n],
      bool: [1, 0],
      bfloat16: [0x3f80, 0xc000],
      float8e5m2: [0x7c, 0x01],
      float8e8m0: [255, 3],
      int4: [0x9f],
      uint2: [0b1001],
      float6e2m3: [0x45, 0x02],
      float4e2m1: [0x7a],
      complex64: [1, 2, 3, 4],
    };
    for (const [dtype, data] of Object.entries(values) as [DType, number[]][]) {
      const x = test.input({ dtype, dims: [2], data: buffer(dtype, [2], data).data });
      const swapped = test.stages.map(dtype, [2], ([i]) => elementAt(x, [sub(dimension(1), i)]));
      const back = test.stages.map(dtype, [2], ([i]) => elementAt(swapped, [sub(dimension(1), i)]));
      expect([...test.run(back).data], dtype).toEqual([...test.inputs.get(x)!.data]);
      expect([...test.run(swapped).data], dtype).not.toEqual([...test.inputs.get(x)!.data]);
    }
  });

  it('moves, compares and chooses strings', () => {
    const test = new Case();
    const x = test.input(buffer('string', [3], ['a', 'b', 'c']));
    const y = test.input(buffer('string', [3], ['a', 'x', 'c']));
    const same = test.stages.map('bool', [3], (i) => eq(elementAt(x, i), elementAt(y, i)));
    expect([...test.run(same).data]).toEqual([1, 0, 1]);
    const chosen = test.stages.map('string', [3], ([i]) =>
      select(eq(i, dimension(0)), elementAt(x, [dimension(2)]), elementAt(y, [i])),
    );
    expect(test.run(chosen).data).toEqual(['c', 'x', 'c']);
    const both = test.stages.segments('string', [6], 0, [
      { length: 3, body: (i) => elementAt(x, i) },
      { length: 3, body: (i) => elementAt(chosen, i) },
    ]);
    expect(test.run(both).data).toEqual(['a', 'b', 'c', 'c', 'x', 'c']);
  });

  it('fills with empty strings and complex zeros', () => {
    const test = new Case();
    const words = test.input(buffer('string', [2], ['a', 'b']));
    const numbers = test.input({ dtype: 'complex64', dims: [2], data: Float32Array.of(1, 2, 3, 4) });
    const padded = (dtype: 'string' | 'complex64', x: typeof words): Stage =>
      test.stages.map(dtype, [3], ([i]) => elementAt(x, [i], { when: lt(i, dimension(2)), otherwise: 0 }));
    expect(test.run(padded('string', words)).data).toEqual(['a', 'b', '']);
    expect([...test.run(padded('complex64', numbers)).data]).toEqual([1, 2, 3, 4, 0, 0]);
  });
});

describe('index read from data', () => {
  const gather = (indices: bigint[]): { test: Case; out: Stage } => {
    const test = new Case();
    const x = test.input(counting([4, 2]));
    const at = test.input(buffer('int64', [indices.length], indices));
    const out = test.stages.map('float32', [indices.length, 2], ([i, j]) =>
      elementAt(x, [boundedIndex(elementAt(at, [i]), 4), j]),
    );
    return { test, out };
  };

  it('counts negative ones from the end', () => {
    const { test, out } = gather([0n, -1n, 2n]);
    expect([...test.run(out).data]).toEqual([0, 1, 6, 7, 4, 5]);
  });

  it('fails outside, or reports and reads element 0', () => {
    const { test, out } = gather([1n, 4n, -5n]);
    expect(() => test.run(out)).toThrow('index 4 is out of range for a size of 4');
    const seen: number[] = [];
    const data = test.run(out, {}, { onOutOfRange: (_: Stage, value: number) => seen.push(value) }).data;
    expect([...data]).toEqual([2, 3, 0, 1, 0, 1]);
    expect(new Set(seen)).toEqual(new Set([4, -5]));
  });

  it('catches reads outside a tensor that nothing guards', () => {
    const test = new Case();
    const x = test.input(counting([2, 3]));
    const out = test.stages.map('float32', [2, 3], ([i, j]) => elementAt(x, [i, add(j, dimension(1))]));
    expect(() => test.run(out)).toThrow('index 3 of axis 1 of input0 is outside 0..2');
  });
});

describe('reduce', () => {
  const reduced = (op: Parameters<StageBuilder['reduce']>[0], made: TensorBuffer, options = {}): unknown[] => {
    const test = new Case();
    const x = test.input(made);
    const [rows, lane] = made.dims;
    const dtype = op === 'argmax' || op === 'argmin' ? 'int64' : made.dtype;
    return [
      ...test.run(test.stages.reduce(op, dtype, [rows], [lane], ([i], [j]) => elementAt(x, [i, j]), options)).data,
    ];
  };
  const floats = (rows: number, lane: number, data: number[]): TensorBuffer => buffer('float32', [rows, lane], data);

  it('folds floats', () => {
    const x = floats(2, 3, [1, -2, 4, 0.5, 8, NaN]);
    expect(reduced('sum', x)).toEqual([3, NaN]);
    expect(reduced('prod', x)).toEqual([-8, NaN]);
    expect(reduced('max', x)).toEqual([4, NaN]);
    expect(reduced('min', x)).toEqual([-2, NaN]);
  });

  it('folds integers, wrapping', () => {
    const x = buffer('int8', [2, 3], [100, 100, 100, -1, 2, 3]);
    expect(reduced('sum', x)).toEqual([44, 4]);
    expect(reduced('prod', x)).toEqual([64, -6]);
    expect(reduced('and', x)).toEqual([100, 2]);
    const big = buffer('int64', [1, 2], [2n ** 63n - 1n, 1n]);
    expect(reduced('sum', big)).toEqual([-(2n ** 63n)]);
    expect(reduced('max', big)).toEqual([2n ** 63n - 1n]);
  });

  it('folds bools', () => {
    const x = buffer('bool', [2, 2], [1, 0, 1, 1]);
    expect(reduced('and', x)).toEqual([0, 1]);
    expect(reduced('or', x)).toEqual([1, 1]);
    expect(reduced('max', x)).toEqual([1, 1]);
    expect(reduced('min', x)).toEqual([0, 1]);
  });

  it('gives identities for an empty range', () => {
    expect(reduced('sum', floats(2, 0, []))).toEqual([0, 0]);
    expect(reduced('prod', floats(1, 0, []))).toEqual([1]);
    expect(reduced('max', floats(1, 0, []))).toEqual([-Infinity]);
    expect(reduced('min', floats(1, 0, []))).toEqual([Infinity]);
    expect(reduced('max', buffer('int8', [1, 0], []))).toEqual([-128]);
    expect(reduced('min', buffer('uint64', [1, 0], []))).toEqual([2n ** 64n - 1n]);
    expect(reduced('and', buffer('bool', [1, 0], []))).toEqual([1]);
    expect(reduced('or', buffer('bool', [1, 0], []))).toEqual([0]);
    expect(reduced('and', buffer('uint8', [1, 0], []))).toEqual([255]);
  });

  it('finds positions', () => {
    const x = floats(3, 4, [1, 3, 3, 0, 2, NaN, 9, NaN, -1, -1, -1, -1]);
    expect(reduced('argmax', x)).toEqual([1n, 1n, 0n]);
    expect(reduced('argmax', x, { selectLast: true })).toEqual([2n, 3n, 3n]);
    expect(reduced('argmin', x)).toEqual([3n, 1n, 0n]);
    expect(reduced('argmin', x, { selectLast: true })).toEqual([3n, 3n, 3n]);
    expect(reduced('argmax', buffer('int64', [1, 3], [5n, 7n, 7n]))).toEqual([1n]);
    expect(reduced('argmax', floats(2, 1, [4, 5]))).toEqual([0n, 0n]);
  });

  it('multiplies matrices and sums accurately', () => {
    const test = new Case();
    const a = test.input(counting([2, 3]));
    const b = test.input(counting([3, 2]));
    const product = test.stages.reduce('sum', 'float32', [2, 2], [3], ([i, j], [k]) =>
      mul(elementAt(a, [i, k]), elementAt(b, [k, j])),
    );
    expect([...test.run(product).data]).toEqual([10, 13, 28, 40]);
    const tenths = test.input(buffer('float32', [1, 100000], new Float32Array(100000).fill(0.1)));
    const total = test.stages.reduce('sum', 'float32', [1], [100000], ([i], [k]) => elementAt(tenths, [i, k]));
    expect([...test.run(total).data]).toEqual([Math.fround(Math.fround(0.1) * 100000)]);
  });

  it('convolves with padding and stride', () => {
    const test = new Case();
    const x = test.input(counting([1, 2, 4, 4]));
    const w = test.input(
      buffer(
        'float32',
        [3, 2, 3, 3],
        new Float32Array(54).map((_, at) => (at % 5) - 2),
      ),
    );
    const out = test.stages.reduce('sum', 'float32', [1, 3, 2, 2], [2, 3, 3], ([n, o, y, z], [c, ky, kx]) => {
      const [row, column] = [
        sub(add(mul(y, dimension(2)), ky), dimension(1)),
        sub(add(mul(z, dimension(2)), kx), dimension(1)),
      ];
      const inside = [row, column].map((at) => and(ge(at, dimension(0)), lt(at, dimension(4))));
      return mul(
        elementAt(x, [n, c, row, column], { when: and(inside[0], inside[1]), otherwise: 0 }),
        elementAt(w, [o, c, ky, kx]),
      );
    });
    const expected: number[] = [];
    for (let o = 0; o < 3; o++) {
      for (let y = 0; y < 2; y++) {
        for (let z = 0; z < 2; z++) {
          let sum = 0;
          for (let c = 0; c < 2; c++) {
            for (let ky = 0; ky < 3; ky++) {
              for (let kx = 0; kx < 3; kx++) {
                const [row, column] = [2 * y + ky - 1, 2 * z + kx - 1];
                if (row < 0 || row > 3 || column < 0 || column > 3) continue;
                sum += (c * 16 + row * 4 + column) * (((((o * 2 + c) * 3 + ky) * 3 + kx) % 5) - 2);
              }
            }
          }
          expected.push(sum);
        }
      }
    }
    expect([...test.run(out).data]).toEqual(expected);
  });

  it('reads earlier stages: softmax', () => {
    const test = new Case();
    const x = test.input(buffer('float32', [2, 2], [0, Math.log(3), 1000, 1000]));
    const peak = test.stages.reduce('max', 'float32', [2], [2], ([i], [j]) => elementAt(x, [i, j]));
    const power = test.stages.map('float32', [2, 2], ([i, j]) => exp(sub(elementAt(x, [i, j]), elementAt(peak, [i]))));
    const total = test.stages.reduce('sum', 'float32', [2], [2], ([i], [j]) => elementAt(power, [i, j]));
    const out = test.stages.map('float32', [2, 2], ([i, j]) => div(elementAt(power, [i, j]), elementAt(total, [i])));
    const data = test.run(out).data as Float32Array;
    expect(data[0]).toBeCloseTo(0.25, 6);
    expect(data[1]).toBeCloseTo(0.75, 6);
    expect([data[2], data[3]]).toEqual([0.5, 0.5]);
  });
});

describe('scan', () => {
  const x = buffer('float32', [2, 3], [1, 2, 3, 4, 5, 6]);
  const scanned = (along: number, options: object, op: 'sum' | 'prod' = 'sum'): unknown[] => {
    const test = new Case();
    const ref = test.input(x);
    return [...test.run(test.stages.scan(op, 'float32', [2, 3], along, (i) => elementAt(ref, i), options)).data];
  };

  it('runs along either axis, both ways', () => {
    expect(scanned(1, {})).toEqual([1, 3, 6, 4, 9, 15]);
    expect(scanned(0, {})).toEqual([1, 2, 3, 5, 7, 9]);
    expect(scanned(1, { reverse: true })).toEqual([6, 5, 3, 15, 11, 6]);
    expect(scanned(0, { reverse: true, exclusive: true })).toEqual([4, 5, 6, 0, 0, 0]);
    expect(scanned(1, { exclusive: true })).toEqual([0, 1, 3, 0, 4, 9]);
    expect(scanned(1, { exclusive: true }, 'prod')).toEqual([1, 1, 2, 1, 4, 20]);
  });

  it('wraps integers and takes axes of size 1', () => {
    const test = new Case();
    const big = test.input(buffer('int64', [3], [2n ** 63n - 1n, 1n, 1n]));
    expect([...test.run(test.stages.scan('sum', 'int64', [3], 0, (i) => elementAt(big, i))).data]).toEqual([
      2n ** 63n - 1n,
      -(2n ** 63n),
      -(2n ** 63n) + 1n,
    ]);
    const one = test.input(counting([3, 1]));
    expect([...test.run(test.stages.scan('sum', 'float32', [3, 1], 1, (i) => elementAt(one, i))).data]).toEqual([
      0, 1, 2,
    ]);
  });
});

describe('segments', () => {
  it('concatenates along a middle axis, with symbolic lengths', () => {
    const test = new Case();
    const a = test.input(counting([2, 1, 2]), [2, 'n', 2]);
    const b = test.input(counting([2, 2, 2]), [2, 'm', 2]);
    const out = test.stages.segments('float32', [2, Dim.symbol('n').add('m'), 2], 1, [
      { length: 'n', body: (i) => elementAt(a, i) },
      { length: 'm', body: (i) => mul(elementAt(b, i), 10) },
    ]);
    expect([...test.run(out, { n: 1, m: 2 }).data]).toEqual([0, 1, 0, 10, 20, 30, 2, 3, 40, 50, 60, 70]);
  });

  it('leaves out empty parts', () => {
    const test = new Case();
    const a = test.input(counting([0]), ['n']);
    const b = test.input(counting([2]));
    const out = test.stages.segments('float32', [Dim.symbol('n').add(2)], 0, [
      { length: 'n', body: (i) => elementAt(a, i) },
      { length: 2, body: (i) => elementAt(b, i) },
    ]);
    expect([...test.run(out, { n: 0 }).data]).toEqual([0, 1]);
  });
});

describe('scatter', () => {
  const scattered = (
    combine: 'set' | 'sum' | 'prod' | 'max' | 'min',
    dtype: DType = 'float32',
    guard = false,
  ): unknown[] => {
    const test = new Case();
    const at = test.input(buffer('int64', [4], [1n, 3n, 1n, -1n]));
    const wide = dtype === 'int64';
    const update = test.input(buffer(dtype, [4], wide ? [10n, 20n, 30n, 40n] : [10, 20, 30, 40]));
    const out = test.stages.scatter(
      dtype,
      [5],
      ([i]) => cast(dtype, i),
      [4],
      ([u]) => ({
        destination: [boundedIndex(elementAt(at, [u]), 5)],
        value: elementAt(update, [u]),
        ...(guard && { guard: lt(u, dimension(2)) }),
      }),
      combine,
    );
    return [...test.run(out).data];
  };

  it('combines in order', () => {
    expect(scattered('set')).toEqual([0, 30, 2, 20, 40]);
    expect(scattered('sum')).toEqual([0, 41, 2, 23, 44]);
    expect(scattered('prod')).toEqual([0, 300, 2, 60, 160]);
    expect(scattered('max')).toEqual([0, 30, 2, 20, 40]);
    expect(scattered('min')).toEqual([0, 1, 2, 3, 4]);
    expect(scattered('sum', 'int64')).toEqual([0n, 41n, 2n, 23n, 44n]);
    expect(scattered('sum', 'uint8')).toEqual([0, 41, 2, 23, 44]);
    expect(scattered('set', 'float32', true)).toEqual([0, 10, 2, 20, 4]);
  });

  it('refuses a destination outside', () => {
    const test = new Case();
    const out = test.stages.scatter(
      'float32',
      [2],
      () => constant('float32', 0),
      [3],
      ([u]) => ({
        destination: [u],
        value: constant('float32', 1),
      }),
    );
    expect(() => test.run(out)).toThrow('index 2 of axis 0 of the result is outside 0..1');
  });
});

describe('view', () => {
  it('has the same elements under another shape', () => {
    const test = new Case();
    const x = test.input(counting([2, 6]), ['n', 6]);
    const view = test.stages.view(x, [Dim.symbol('n').mul(2), 3]);
    const out = test.stages.map('float32', [3], ([j]) => elementAt(view, [dimension(2), j]));
    expect([...test.run(out, { n: 2 }).data]).toEqual([6, 7, 8]);
    expect(test.run(view, { n: 2 }).dims).toEqual([4, 3]);
    expect(() => test.run(test.stages.view(x, ['n', 5]), { n: 2 })).toThrow('another number of elements');
  });
});

describe('program', () => {
  it('passes inputs through and computes large affine indices', () => {
    const test = new Case();
    const x = test.input(counting([3]));
    expect(test.run(x).data).toBe(test.inputs.get(x)!.data);
    const wide = test.stages.map('int64', [3], ([i]) => cast('int64', add(mul(i, dimension(2 ** 40)), dimension(1))));
    expect([...test.run(wide).data]).toEqual([1n, 2n ** 40n + 1n, 2n ** 41n + 1n]);
    const wrapped = test.stages.map('float32', [3], ([i]) =>
      elementAt(x, [mod(mul(i, dimension(2 ** 40 + 1)), dimension(3))]),
    );
    expect([...test.run(wrapped).data]).toEqual([0, (2 ** 40 + 1) % 3, (2 * (2 ** 40 + 1)) % 3]);
  });

  it('names what is missing or does not fit', () => {
    const test = new Case();
    const x = test.input(counting([3]), ['n']);
    const out = test.stages.map('float32', ['n'], (i: readonly Expr[]) => elementAt(x, i));
    expect(() => test.run(out, { n: 4 })).toThrow('input0 has sizes [4], its data [3]');
    expect(() => test.run(out)).toThrow('dim n has no value');
    const program = test.program(out);
    expect(() => interpretProgram(program, new Map(), new Map([['n', 3]]))).toThrow('input input0 is missing');
  });

  it('stops when told to', () => {
    const test = new Case();
    const x = test.input(counting([3]));
    const out = test.stages.map('float32', [3], (i) => elementAt(x, i));
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    expect(() => test.run(out, {}, { signal: controller.signal })).toThrow('enough');
  });
});
