import { Tensor } from '@onnx-ts/core';
import type { ValueType } from '@onnx-ts/core/internal';
import { describe, expect, it } from 'vitest';
import { jsonOfValue, valueFromJson } from './json.ts';

const tensorOf = (dtype: Tensor['type']): ValueType => ({ kind: 'tensor', dtype });

describe('in', () => {
  it('nested arrays', () => {
    const value = valueFromJson(
      [
        [1, 2, 3],
        [4, 5, '9007199254740993'],
      ],
      tensorOf('int64'),
      'x',
    ) as Tensor;
    expect([value.dims, [...value.data]]).toEqual([
      [2, 3],
      [1n, 2n, 3n, 4n, 5n, 9007199254740993n],
    ]);
    expect((valueFromJson(7, tensorOf('float32'), 'x') as Tensor).dims).toEqual([]);
    expect((valueFromJson([[], []], tensorOf('float32'), 'x') as Tensor).dims).toEqual([2, 0]);
  });

  it('flat data with dims', () => {
    const value = valueFromJson({ dims: [2, 1], data: ['NaN', '-Infinity'] }, tensorOf('float32'), 'x') as Tensor;
    expect([value.dims, [...value.data]]).toEqual([
      [2, 1],
      [Number.NaN, -Infinity],
    ]);
  });

  it('containers', () => {
    const sequence = valueFromJson([[1], [2, 3]], { kind: 'sequence', element: tensorOf('float32') }, 'x');
    expect(jsonOfValue(sequence)).toEqual([
      { type: 'float32', dims: [1], data: [1] },
      { type: 'float32', dims: [2], data: [2, 3] },
    ]);
    expect(valueFromJson(null, { kind: 'optional', element: tensorOf('float32') }, 'x')).toEqual({ kind: 'optional' });
  });

  it.each([
    [[[1], [2, 3]], 'nesting of the arrays is uneven'],
    [[1.5], 'entry 0, 1.5, is no int64'],
    [['x'], 'entry 0, "x", is no int64'],
    [{ dims: [3], data: [1] }, 'dims [3] need 3 values, there are 1'],
    [{ data: [1] }, 'needs "dims" and "data"'],
  ])('refuses %j', (json, message) => {
    expect(() => valueFromJson(json, tensorOf('int64'), 'x')).toThrow(message);
  });
});

it('out', () => {
  expect(jsonOfValue(new Tensor('int64', [1n, 2n ** 60n], [2]))).toEqual({
    type: 'int64',
    dims: [2],
    data: [1, '1152921504606846976'],
  });
  expect(jsonOfValue(new Tensor('float16', new Uint16Array([0x3c00, 0x7c00]), [2]))).toMatchObject({
    data: [1, 'Infinity'],
  });
  expect(jsonOfValue({ kind: 'map', entries: new Map([[1n, 0.5]]) })).toEqual({ 1: 0.5 });
});
