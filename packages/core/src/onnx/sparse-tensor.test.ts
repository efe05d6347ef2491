import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { denseTensor } from './sparse-tensor.ts';

const int64 = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values, BigInt), dims);

describe('denseTensor', () => {
  it('takes positions and coordinates', () => {
    const values = new Tensor('float32', Float32Array.of(5, 6), [2]);
    const dense = [0, 0, 5, 0, 0, 6];
    expect([...denseTensor({ values, indices: int64([2, 5], [2]), dims: [2, 3] }).data]).toEqual(dense);
    expect([...denseTensor({ values, indices: int64([0, 2, 1, 2], [2, 2]), dims: [2, 3] }).data]).toEqual(dense);
  });

  it('takes every element type', () => {
    const indices = int64([1, 3], [2]);
    const of = (values: Tensor): unknown[] => [...denseTensor({ values, indices, dims: [4] }).data];
    expect(of(new Tensor('int64', BigInt64Array.of(7n, 8n), [2]))).toEqual([0n, 7n, 0n, 8n]);
    expect(of(new Tensor('string', ['a', 'b'], [2]))).toEqual(['', 'a', '', 'b']);
    expect(of(new Tensor('uint4', Uint8Array.of(0x98), [2]))).toEqual([0x80, 0x90]);
    expect(of(new Tensor('complex64', Float32Array.of(1, 2, 3, 4), [2]))).toEqual([0, 0, 1, 2, 0, 0, 3, 4]);
  });

  it('refuses indices that do not fit', () => {
    const values = new Tensor('float32', Float32Array.of(5, 6), [2]);
    const dense = (indices: Tensor) => () => denseTensor({ values, indices, dims: [2, 3] });
    expect(dense(int64([2, 6], [2]))).toThrow('a sparse tensor has the index 6 outside its dims [2, 3]');
    expect(dense(int64([0, 3, 1, 2], [2, 2]))).toThrow('has the coordinate 3 on axis 1 of its dims [2, 3]');
    expect(dense(int64([1], [1]))).toThrow('has indices int64[1], not int64 for each of them');
  });
});
