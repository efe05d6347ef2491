import { roundToFormat } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { decimalText, parseInteger, parseReal } from './number-text.ts';

describe('decimalText', () => {
  it('is the shortest text that rounds to the number', () => {
    expect(decimalText(Math.fround(0.1), Math.fround)).toBe('0.1');
    expect(decimalText(Math.fround(0.1), (x) => x)).toBe('0.10000000149011612');
    expect([0, -0, 3, -1234.5, 1e15].map((x) => decimalText(x, (y) => y))).toEqual([
      '0.0',
      '-0.0',
      '3.0',
      '-1234.5',
      '1000000000000000.0',
    ]);
  });

  it('takes the even one of two decimals that are equally near', () => {
    const half = (x: number): number => roundToFormat('float16', x);
    expect([-2.0625, 0.53125, 0.78125, 2.1875].map((x) => decimalText(x, half))).toEqual([
      '-2.062',
      '0.5312',
      '0.7812',
      '2.188',
    ]);
    expect(decimalText(0.83097076416015625, (x) => x)).toBe('0.8309707641601562');
  });

  it('uses an exponent for large and small numbers', () => {
    expect([1e16, 1.5e-5, 1e-4, 2.5e100].map((x) => decimalText(x, (y) => y))).toEqual([
      '1e+16',
      '1.5e-05',
      '0.0001',
      '2.5e+100',
    ]);
    expect([NaN, Infinity, -Infinity].map((x) => decimalText(x, (y) => y))).toEqual(['nan', 'inf', '-inf']);
  });
});

describe('parsing', () => {
  it('reads the notations that ONNX allows', () => {
    expect(['1e3', ' -.5 ', '+INF', '-inf', 'NaN'].map(parseReal)).toEqual([1000, -0.5, Infinity, -Infinity, NaN]);
    expect(['', '1_0', '0x10', 'one'].map(parseReal)).toEqual([undefined, undefined, undefined, undefined]);
    expect(['9007199254740993', '-7', '2.9'].map(parseInteger)).toEqual([9007199254740993n, -7n, 2n]);
    expect(parseInteger('inf')).toBeUndefined();
  });
});
