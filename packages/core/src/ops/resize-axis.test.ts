import { Dim } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { scaledSize } from './resize-axis.ts';

describe('scaledSize', () => {
  it('rounds down in float32', () => {
    expect(scaledSize(Dim.constant(10), Math.fround(0.7)).constant).toBe(7);
    expect(scaledSize(Dim.constant(5), 1.5).constant).toBe(7);
  });

  it('keeps symbols', () => {
    const h = Dim.symbol('h');
    expect(scaledSize(h, 2).toString()).toBe('2*h');
    expect(scaledSize(h, 0.5).toString()).toBe('floordiv(h, 2)');
    const seven = scaledSize(h, Math.fround(0.7));
    for (const size of [1, 10, 13, 100]) {
      expect(seven.evaluate(new Map([['h', size]]))).toBe(Math.floor((size * 7) / 10));
    }
  });
});
