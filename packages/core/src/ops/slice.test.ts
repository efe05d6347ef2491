import { Dim } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { sliceRange } from './slice.ts';

/** Positions that ONNX Slice-13 takes, by its text: clamp to [0, size] or, going down, to [0, size − 1] and [−1, size − 1]. */
function positions(size: number, from: number, to: number, step: number): number[] {
  const wrap = (position: number): number => (position < 0 ? position + size : position);
  const clamp = (position: number, low: number, high: number): number => Math.min(Math.max(position, low), high);
  const [start, end] =
    step > 0
      ? [clamp(wrap(from), 0, size), clamp(wrap(to), 0, size)]
      : [clamp(wrap(from), 0, size - 1), clamp(wrap(to), -1, size - 1)];
  const taken: number[] = [];
  for (let at = start; step > 0 ? at < end : at > end; at += step) taken.push(at);
  return taken;
}

function listed(start: number, step: number, length: number): number[] {
  return Array.from({ length }, (_, at) => start + at * step);
}

const bounds = [-(2 ** 48), -7, -4, -3, -1, 0, 1, 2, 4, 5, 9, 2 ** 31 - 1, 2 ** 48];
const steps = [1, 2, 3, -1, -2];

describe('sliceRange', () => {
  it('takes what the specification says', () => {
    for (const size of [0, 1, 4, 5]) {
      for (const from of bounds) {
        for (const to of bounds) {
          for (const step of steps) {
            const { start, length } = sliceRange(Dim.constant(size), Dim.constant(from), Dim.constant(to), step);
            const taken = listed(start.evaluate(new Map()), step, length.evaluate(new Map()));
            expect(taken, `${size} [${from}:${to}:${step}]`).toEqual(positions(size, from, to, step));
          }
        }
      }
    }
  });

  it('takes the same when sizes and bounds are symbols', () => {
    const [n, a, b] = ['n', 'a', 'b'].map(Dim.symbol);
    for (const step of steps) {
      // Bounds that may have either sign, and bounds that count from the end.
      const range = sliceRange(n, a.sub(3), b.negate(), step);
      for (const size of [0, 1, 4, 5]) {
        for (const first of [0, 2, 3, 6]) {
          for (const second of [0, 1, 4, 8]) {
            const binding = new Map([
              ['n', size],
              ['a', first],
              ['b', second],
            ]);
            const taken = listed(range.start.evaluate(binding), step, range.length.evaluate(binding));
            expect(taken, `${size} [${first - 3}:${-second}:${step}]`).toEqual(
              positions(size, first - 3, -second, step),
            );
          }
        }
      }
    }
  });

  it('stays simple in the common cases', () => {
    const n = Dim.symbol('n');
    const past = Dim.symbol('past');
    const end = Dim.constant(2 ** 48);
    const length = (size: Dim, from: Dim | number, to: Dim, step = 1): string =>
      sliceRange(size, Dim.from(from), to, step).length.key;
    expect(length(n, 0, end)).toBe('n');
    expect(length(n, 1, end)).toBe('max(0, n - 1)');
    expect(length(n, -1, end)).toBe('min(1, n)');
    expect(length(n, n.sub(1), end)).toBe('min(1, n)');
    expect(length(n, 0, Dim.constant(5))).toBe('min(5, n)');
    expect(length(past.add(n), past, past.add(n))).toBe('n');
    expect(length(n, 0, end, 2)).toBe('floordiv(n + 1, 2)');
    expect(length(n, -1, end.negate(), -1)).toBe('n');
  });
});
