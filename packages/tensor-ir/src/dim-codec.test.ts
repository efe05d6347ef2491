import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { decodeDim, encodeDim } from './dim-codec.ts';

const [n, m] = [Dim.symbol('n'), Dim.symbol('past + 1')];

describe('dims as JSON', () => {
  it.each([
    Dim.constant(0),
    Dim.constant(-7),
    n,
    n.mul(n).mul(3).sub(m).add(5),
    n.floorDiv(m).add(n.ceilDiv(m)).mul(m.mod(n)),
    n.min(m.mul(2)).max(n.broadcast(m)),
  ])('%s comes back as it was', (dim) => {
    const copy = decodeDim(JSON.parse(JSON.stringify(encodeDim(dim))));
    expect(copy.key).toBe(dim.key);
    const sizes = new Map([
      ['n', 4],
      ['past + 1', 4],
    ]);
    expect(copy.evaluate(sizes)).toBe(dim.evaluate(sizes));
    expect(copy.add(1).key).toBe(dim.add(1).key);
  });

  it('refuses what is none', () => {
    expect(() => decodeDim({} as never)).toThrow(TypeError);
    expect(() => decodeDim([[1, ['power', 'n', 2]]])).toThrow('power');
  });
});
