import { Dim, type DType } from '@onnx-ts/tensor-ir';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import type { DeclaredValue } from '../model/declared-values.ts';
import { imageTensor } from './png.ts';

/** 2 × 1: red and a transparent white. */
function image(): Uint8Array {
  const png = new PNG({ width: 2, height: 1 });
  png.data.set([255, 0, 0, 255, 255, 255, 255, 0]);
  return PNG.sync.write(png);
}

function input(dtype: DType, ...dims: (number | string)[]): DeclaredValue {
  return { name: 'x', type: { kind: 'tensor', dtype, shape: dims.map((dim) => Dim.from(dim)) } };
}

describe('layouts', () => {
  it('channels first', () => {
    const tensor = imageTensor(image(), input('float32', 'n', 3, 'h', 'w'));
    expect([tensor.dims, [...tensor.data]]).toEqual([
      [1, 3, 1, 2],
      [1, 1, 0, 1, 0, 1],
    ]);
  });

  it('channels last', () => {
    const tensor = imageTensor(image(), input('uint8', 1, 'h', 2, 3));
    expect([tensor.dims, [...tensor.data]]).toEqual([
      [1, 1, 2, 3],
      [255, 0, 0, 255, 255, 255],
    ]);
  });

  it('grey', () => {
    const tensor = imageTensor(image(), input('float32', 'h', 'w'));
    expect([tensor.dims, [...tensor.data]]).toEqual([
      [1, 2],
      [Math.fround(0.299), 1],
    ]);
  });
});

it('resizes to fixed sizes', () => {
  const tensor = imageTensor(image(), input('uint8', 1, 3, 2, 4));
  expect(tensor.dims).toEqual([1, 3, 2, 4]);
  expect([...tensor.data].slice(8, 12)).toEqual([0, 64, 191, 255]);
});

it('refuses other shapes and other files', () => {
  expect(() => imageTensor(image(), input('float32', 1, 5, 8, 8))).toThrow('no shape that an image fits');
  expect(() => imageTensor(image(), input('float32', 8, 3, 8, 8))).toThrow('no shape that an image fits');
  expect(() => imageTensor(new Uint8Array(8), input('float32', 1, 3, 8, 8))).toThrow('no PNG image');
});
