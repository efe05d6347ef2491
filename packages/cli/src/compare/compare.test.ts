import { type HostValue, Tensor, type TensorDataLike } from '@onnx-ts/core';
import type { DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { encodeElements } from '../tensors/elements.ts';
import { compareValues } from './compare.ts';
import { onnxTolerance, parseTolerance, type Tolerance } from './tolerance.ts';

const tensor = (type: DType, data: TensorDataLike, dims?: readonly number[]): Tensor => new Tensor(type, data, dims);
const compare = (
  actual: HostValue | undefined,
  expected: HostValue,
  tolerance: Tolerance = onnxTolerance,
): string | undefined => compareValues(actual, expected, 'y', { tolerance });

describe('floats', () => {
  const floats = (...values: number[]): Tensor => tensor('float32', values);

  it('agree within rtol and atol', () => {
    expect(compare(floats(1.0009, 0), floats(1, 0))).toBeUndefined();
    expect(compare(floats(1.002, 2, 3), floats(1, 2, 3))).toMatchInlineSnapshot(
      `"y: 1 of 3 elements differ; worst at [0]: expected 1, got 1.0019999742507935 (off by 0.00200)"`,
    );
    expect(compare(floats(1e-6), floats(0))).toContain('1 of 1 element differs');
  });

  it('NaN equals NaN, an infinity only itself', () => {
    expect(compare(floats(Number.NaN, -Infinity, -0), floats(Number.NaN, -Infinity, 0))).toBeUndefined();
    expect(compare(floats(1), floats(Number.NaN))).toContain('expected NaN, got 1');
    expect(compare(floats(Number.NaN), floats(1))).toContain('expected 1, got NaN');
    expect(compare(floats(3e38), floats(Infinity))).toBeDefined();
    expect(compare(floats(Infinity), floats(1))).toBeDefined();
    expect(compare(floats(-Infinity), floats(Infinity))).toBeDefined();
  });

  it('are compared as numbers, not as bits, in small formats', () => {
    for (const type of ['float16', 'bfloat16', 'float8e4m3fn', 'float4e2m1'] as const) {
      const zero = encodeElements(type, [0, 1], [2]);
      expect(compare(encodeElements(type, [-0, 1], [2]), zero)).toBeUndefined();
      expect(compare(encodeElements(type, [0, 2], [2]), zero)).toContain('at [1]: expected 1, got 2');
    }
  });

  it('obey a bound of the mean error', () => {
    const tolerance = { rtol: 0, atol: 1, meanAtol: 0.1 };
    expect(compare(floats(0.5, 0, 0, 0, 0), floats(0, 0, 0, 0, 0), tolerance)).toBeUndefined();
    expect(compare(floats(0.5, 0.5), floats(0, 0), tolerance)).toBe('y: the mean error 0.500 is above 0.1');
  });

  it('complex numbers by magnitude', () => {
    const want = tensor('complex64', new Float32Array([3, 4]), [1]);
    expect(compare(tensor('complex64', new Float32Array([3.004, 4]), [1]), want)).toBeUndefined();
    expect(compare(tensor('complex64', new Float32Array([3.1, 4]), [1]), want)).toContain('1 of 1');
  });
});

describe('everything else is exact', () => {
  it('types and shapes', () => {
    expect(compare(tensor('float64', [1]), tensor('float32', [1]))).toBe('y: expected float32, got float64');
    expect(compare(tensor('float32', [1], []), tensor('float32', [1]))).toBe('y: expected shape [1], got []');
    expect(compare(undefined, tensor('float32', [1]))).toBe('y: missing');
  });

  it('integers, bools and strings', () => {
    expect(compare(tensor('int32', [100000, 1], [1, 2]), tensor('int32', [100001, 1], [1, 2]))).toBe(
      'y: 1 of 2 elements differ; at [0, 0] expected 100001, got 100000',
    );
    expect(compare(tensor('int64', [2n ** 62n]), tensor('int64', [2n ** 62n + 1n]))).toBeDefined();
    expect(compare(tensor('bool', new Uint8Array([255])), tensor('bool', [true]))).toBeUndefined();
    expect(compare(tensor('string', ['a']), tensor('string', ['b']))).toContain('expected "b", got "a"');
    expect(compare(encodeElements('int4', [-8, 7, 1], [3]), encodeElements('int4', [-8, 7, 0], [3]))).toContain(
      'at [2]',
    );
  });
});

describe('containers', () => {
  const one = tensor('float32', [1]);
  const sequence = (...items: HostValue[]): HostValue => ({ kind: 'sequence', items });

  it('sequences item by item', () => {
    expect(compare(sequence(one, one), sequence(one, one))).toBeUndefined();
    expect(compare(sequence(one), sequence(one, one))).toBe('y: expected a sequence of 2, got 1');
    expect(compare(sequence(tensor('float32', [2])), sequence(one))).toContain('y[0]: 1 of 1');
    expect(compare(one, sequence(one))).toBe('y: expected a sequence, got a tensor');
  });

  it('optionals by content', () => {
    const optional = (value?: HostValue): HostValue => ({ kind: 'optional', value });
    expect(compare(optional(), optional())).toBeUndefined();
    expect(compare(undefined, optional())).toBeUndefined();
    expect(compare(optional(one), optional())).toBe('y: expected an empty optional');
    expect(compare(optional(), optional(one))).toBe('y: missing');
    expect(compare(one, optional(one))).toBeUndefined();
    expect(compare(optional(one), one)).toBeUndefined();
  });

  it('maps by key', () => {
    const map = (entries: readonly [string | bigint | number, HostValue | number][]): HostValue => ({
      kind: 'map',
      entries: new Map(entries),
    });
    expect(compare(map([[1, 0.5]]), map([[1n, tensor('float32', [0.5], [])]]))).toBeUndefined();
    expect(compare(map([['a', 0.5]]), map([['a', 0.75]]))).toBe('y["a"]: expected 0.75, got 0.5');
    expect(compare(map([['a', 1]]), map([['b', 1]]))).toBe('y["b"]: missing');
  });
});

it('types alone', () => {
  const options = { tolerance: onnxTolerance, typesOnly: true };
  expect(compareValues(tensor('float32', [1]), tensor('float32', [2]), 'y', options)).toBeUndefined();
  expect(compareValues(tensor('float32', [1]), tensor('float32', [2, 3]), 'y', options)).toBeDefined();
});

it('reads tolerances', () => {
  expect(parseTolerance({ rtol: 0.01, mean_atol: 1 }, onnxTolerance, 't')).toEqual({
    rtol: 0.01,
    atol: 1e-7,
    meanAtol: 1,
  });
  expect(() => parseTolerance({ atol: 'big' }, onnxTolerance, 't')).toThrow('t: atol must be a number');
});
