import { describe, expect, it } from 'vitest';
import { Dim, dimsEqual, productOf, shapeText } from './dim.ts';

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const symbols = ['a', 'b', 'c'];

interface Sample {
  readonly dim: Dim;
  /** The same, worked out with plain numbers. */
  value(binding: ReadonlyMap<string, number>): number;
}

function sample(next: () => number, depth: number): Sample {
  const pick = Math.floor(next() * (depth > 0 ? 11 : 2));
  if (pick === 0) {
    const value = Math.floor(next() * 13) - 4;
    return { dim: Dim.constant(value), value: () => value };
  }
  if (pick === 1) {
    const name = symbols[Math.floor(next() * symbols.length)];
    return { dim: Dim.symbol(name), value: (binding) => binding.get(name)! };
  }
  const left = sample(next, depth - 1);
  const right = sample(next, depth - 1);
  const make = (dim: Dim, f: (a: number, b: number) => number): Sample => ({
    dim,
    value: (binding) => f(left.value(binding), right.value(binding)),
  });
  // Quotients by constants other than zero: a symbolic divisor of zero is outside the contract of exact division.
  const divisor = Math.floor(next() * 5) + 1;
  switch (pick) {
    case 2:
    case 3:
      return make(left.dim.add(right.dim), (a, b) => a + b);
    case 4:
      return make(left.dim.sub(right.dim), (a, b) => a - b);
    case 5:
    case 6:
      return make(left.dim.mul(right.dim), (a, b) => a * b);
    case 7:
      return make(left.dim.floorDiv(divisor), (a) => Math.floor(a / divisor));
    case 8:
      return make(left.dim.ceilDiv(divisor), (a) => Math.ceil(a / divisor));
    case 9:
      return make(left.dim.mod(divisor), (a) => ((a % divisor) + divisor) % divisor);
    default:
      return next() < 0.5 ? make(left.dim.min(right.dim), Math.min) : make(left.dim.max(right.dim), Math.max);
  }
}

function bindings(next: () => number): ReadonlyMap<string, number>[] {
  return Array.from({ length: 6 }, () => new Map(symbols.map((name) => [name, Math.floor(next() * 9)])));
}

describe('random dims', () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))('seed %d: simplified dims keep their value', (seed) => {
    const next = random(seed);
    for (let round = 0; round < 40; round++) {
      const { dim, value } = sample(next, 4);
      for (const binding of bindings(next)) {
        const expected = value(binding) + 0;
        const about = `${dim} for ${JSON.stringify([...binding])}`;
        expect(dim.evaluate(binding) + 0, about).toBe(expected);
        expect(dim.lowerBound, about).toBeLessThanOrEqual(expected);
        expect(dim.upperBound, about).toBeGreaterThanOrEqual(expected);
        const constants = new Map([...binding].map(([name, at]) => [name, Dim.constant(at)]));
        expect(dim.substitute(constants).constant, about).toBe(expected);
      }
    }
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))('seed %d: the order of operations does not matter', (seed) => {
    const next = random(seed + 1000);
    const [x, y, z] = [sample(next, 2).dim, sample(next, 2).dim, sample(next, 2).dim];
    expect(x.add(y).key).toBe(y.add(x).key);
    expect(x.mul(y).key).toBe(y.mul(x).key);
    expect(x.mul(y.add(z)).key).toBe(x.mul(y).add(x.mul(z)).key);
    expect(x.add(y).sub(y).key).toBe(x.key);
    expect(x.min(y).key).toBe(y.min(x).key);
    if (y.terms.length > 0) expect(x.mul(y).divideExactly(y)?.key).toBe(x.key);
  });
});

describe('division', () => {
  const n = Dim.symbol('n');

  it('rounds down, with a remainder of the divisor’s sign', () => {
    for (let a = -9; a <= 9; a++) {
      for (const b of [-4, -3, -1, 1, 2, 5]) {
        const quotient = Dim.constant(a).floorDiv(b).constant!;
        const rest = Dim.constant(a).mod(b).constant!;
        expect(quotient * b + rest).toBe(a);
        expect(Math.abs(rest)).toBeLessThan(Math.abs(b));
        expect(rest === 0 || rest < 0 === b < 0).toBe(true);
        // The same with a symbol in place of the dividend, and of the divisor.
        const values = new Map([
          ['n', a],
          ['m', b],
        ]);
        expect(n.floorDiv(b).evaluate(values)).toBe(quotient);
        expect(n.mod(Dim.symbol('m')).evaluate(values)).toBe(rest);
        expect(n.ceilDiv(b).evaluate(values) + 0).toBe(Math.ceil(a / b) + 0);
      }
    }
  });

  it('gives zero for a divisor of zero', () => {
    const values = new Map([
      ['n', 5],
      ['m', 0],
    ]);
    expect(Dim.constant(5).floorDiv(0).is(0)).toBe(true);
    expect(n.floorDiv('m').evaluate(values)).toBe(0);
    expect(n.mod('m').evaluate(values)).toBe(0);
    expect(n.ceilDiv('m').evaluate(values)).toBe(0);
  });

  it('takes multiples out', () => {
    expect(n.mul(6).add(7).floorDiv(3).toString()).toBe('2*n + 2');
    expect(n.mul(6).add(7).mod(3).toString()).toBe('1');
    expect(n.floorDiv(2).floorDiv(3).toString()).toBe('floordiv(n, 6)');
    expect(n.mul(n).sub(1).divideExactly(n.sub(1))?.toString()).toBe('n + 1');
    expect(n.add(1).divideExactly(2)).toBeUndefined();
    expect(n.mul(4).mul('m').divideExactly(n.mul(2))?.toString()).toBe('2*m');
  });
});

describe('order and broadcast', () => {
  it('decides what is certain', () => {
    const n = Dim.symbol('n');
    expect(n.atMost(n.add(1))).toBe(true);
    expect(n.atMost(5)).toBe(false);
    expect(n.min(n.add(2)).key).toBe('n');
    expect(n.max(0).key).toBe('n');
    expect(n.mod(8).upperBound).toBe(7);
    expect(n.sub(1).max(0).lowerBound).toBe(0);
    expect(n.mul(4).add(8).isMultipleOf(4)).toBe(true);
    expect(n.mul(4).add(6).isMultipleOf(4)).toBe(false);
  });

  it('broadcasts', () => {
    const n = Dim.symbol('n');
    expect(n.broadcast(1).key).toBe('n');
    expect(n.broadcast(7).key).toBe('7');
    const both = n.broadcast('m');
    expect(both.key).toBe(Dim.symbol('m').broadcast(n).key);
    expect(
      both.evaluate(
        new Map([
          ['n', 1],
          ['m', 4],
        ]),
      ),
    ).toBe(4);
    expect(() =>
      both.evaluate(
        new Map([
          ['n', 2],
          ['m', 4],
        ]),
      ),
    ).toThrow('cannot be broadcast');
  });

  const n = Dim.symbol('n');
  const m = Dim.symbol('m');
  const truncated = n.sub(1).max(0).floorDiv(2).add(n.sub(1).min(0).ceilDiv(2)).add(1);

  it.each([
    ['the same again', n.broadcast(m).broadcast(n), 'broadcast(m, n)'],
    ['in any order', m.broadcast('k').broadcast(n).key, n.broadcast(Dim.symbol('k').broadcast(m)).key],
    ['a size cut at a constant', n.broadcast(n.min(512)), 'n'],
    ['a size cut at a constant or more', n.broadcast(n.min(m.add(1))), 'n'],
    ['a size cut at any other', n.broadcast(n.min(m)), 'broadcast(min(m, n), n)'],
    ['a size that is 1 at least', n.broadcast(n.max(1)), 'n'],
    ['a size that is 2 at least', n.broadcast(n.max(2)), 'broadcast(max(2, n), n)'],
    ['a quotient rounded to zero', n.add(1).floorDiv(2).broadcast(truncated), 'floordiv(n + 1, 2)'],
    ['twice that', n.add(1).floorDiv(2).mul(2).broadcast(truncated.mul(2)), '2*floordiv(n + 1, 2)'],
  ])('of %s', (_what, dim, expected) => {
    expect(String(dim)).toBe(expected);
  });

  it('leaves out what never decides', () => {
    const sizes = [n, m, n.min(3), n.max(1), n.max(2), truncated, n.add(1).floorDiv(2), n.mul(2), n.max(1).mul(2)];
    for (const a of sizes) {
      for (const b of sizes) {
        for (let at = 0; at < 36; at++) {
          const binding = new Map([
            ['n', Math.floor(at / 6)],
            ['m', at % 6],
          ]);
          const [x, y] = [a.evaluate(binding), b.evaluate(binding)];
          if (x !== y && x !== 1 && y !== 1) continue;
          expect(a.broadcast(b).evaluate(binding), `${a} and ${b} at ${[...binding]}`).toBe(x === 1 ? y : x);
        }
      }
    }
  });

  it('divides twice', () => {
    expect(n.add(1).floorDiv(2).add(1).floorDiv(2).key).toBe('floordiv(n + 3, 4)');
    expect(n.sub(1).min(0).add(1).floorDiv(2).key).toBe('0');
  });
});

describe('the rest', () => {
  it('prints', () => {
    const dim = Dim.symbol('batch').mul('past').sub(Dim.symbol('past').mul(2)).add(1);
    expect(dim.toString()).toBe('batch*past - 2*past + 1');
    expect(shapeText(['n', 3])).toBe('[n, 3]');
    expect(JSON.stringify([dim, Dim.constant(4)])).toBe('["batch*past - 2*past + 1",4]');
  });

  it('multiplies shapes and compares them', () => {
    const shape = [Dim.symbol('n'), Dim.constant(3)];
    expect(productOf(shape).toString()).toBe('3*n');
    expect(productOf([]).is(1)).toBe(true);
    expect(dimsEqual(shape, [Dim.symbol('n'), Dim.constant(3)])).toBe(true);
    expect(dimsEqual(shape, [Dim.symbol('n')])).toBe(false);
  });

  it('knows its symbols', () => {
    const dim = Dim.symbol('x').floorDiv('y').add(Dim.symbol('z'));
    expect([...dim.symbols()].sort()).toEqual(['x', 'y', 'z']);
    expect(Dim.symbol('x').symbolName).toBe('x');
    expect(dim.symbolName).toBeUndefined();
    expect(() => dim.evaluate(new Map())).toThrow('has no value');
    expect(() => Dim.constant(1.5)).toThrow(RangeError);
  });
});
