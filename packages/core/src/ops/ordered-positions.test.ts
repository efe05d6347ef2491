import type { DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { firstPlacesOf } from './ordered-positions.ts';

const float32 = (...values: number[]): Tensor => new Tensor('float32', Float32Array.from(values), [values.length]);

function firstOf(tensor: Tensor, k: number, largest: boolean): number[] {
  return Array.from(firstPlacesOf(tensor)({ start: 0, step: 1, count: tensor.size }, k, largest));
}

describe('first places', () => {
  it('are in order, equal elements by place', () => {
    expect(firstOf(float32(3, -1, 7, 3, -0, 0), 6, true)).toEqual([2, 0, 3, 4, 5, 1]);
    expect(firstOf(float32(3, -1, 7, 3, -0, 0), 6, false)).toEqual([1, 4, 5, 0, 3, 2]);
  });

  it('take NaN for the greatest', () => {
    expect(firstOf(float32(Infinity, NaN, -Infinity, 1), 4, true)).toEqual([1, 0, 3, 2]);
    expect(firstOf(float32(Infinity, NaN, -Infinity, 1), 4, false)).toEqual([2, 3, 0, 1]);
  });

  it('are of one row', () => {
    const places = firstPlacesOf(float32(9, 1, 8, 5, 7, 3))({ start: 1, step: 2, count: 3 }, 2, true);
    expect(Array.from(places)).toEqual([1, 2]);
  });

  it('are none of none', () => expect(firstOf(float32(1, 2), 0, true)).toEqual([]));

  const types: readonly [DType, Tensor['data']][] = [
    ['uint32', Uint32Array.of(0, 2 ** 32 - 1, 7)],
    ['int32', Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 7)],
    ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 7n)],
    ['float64', Float64Array.of(-1e300, 1e300, 7)],
  ];
  it.each(types)('reach the ends of %s', (type, data) => {
    expect(firstOf(new Tensor(type, data, [3]), 3, true)).toEqual([1, 2, 0]);
    expect(firstOf(new Tensor(type, data, [3]), 3, false)).toEqual([0, 2, 1]);
  });

  it.each([1, 3, 40, 100])('are the same for %i of 100 as by sorting', (k) => {
    const values = Array.from({ length: 100 }, (_, at) => Math.imul(at, 0x9e3779b1) % 17);
    const sorted = values.map((_, place) => place).sort((a, b) => values[b] - values[a] || a - b);
    expect(firstOf(float32(...values), k, true)).toEqual(sorted.slice(0, k));
  });
});
