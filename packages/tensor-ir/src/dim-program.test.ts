import { expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { DimProgram } from './dim-program.ts';

const [n, m] = [Dim.symbol('n'), Dim.symbol('m')];

it('gives what the dims give one by one', () => {
  const dims = [
    Dim.constant(0),
    Dim.constant(7),
    n,
    n.mul(-1),
    n.mul(n).mul(3).add(m).sub(5),
    n.ceilDiv(4),
    n.floorDiv(m).add(n.ceilDiv(m).mul(2)),
    n.add(1).mod(m.add(2)),
    n.min(m).mul(8),
    n.max(m.add(3)),
    n.broadcast(m),
    n.add(m).floorDiv(3).max(m).mod(n.add(1)),
  ];
  const program = new DimProgram();
  const positions = dims.map((dim) => program.position(dim));
  expect(positions).toEqual(dims.map((_, at) => at));
  expect(program.position(m.add(n).sub(n))).toBe(dims.length);
  expect(program.position(Dim.symbol('n'))).toBe(2);
  for (const [a, b] of [
    [1, 1],
    [9, 1],
    [1, 6],
    [12, 12],
    [0, 0],
  ]) {
    const binding = new Map([
      ['n', a],
      ['m', b],
    ]);
    expect([...program.evaluate(binding)]).toEqual([...dims.map((dim) => dim.evaluate(binding)), b]);
  }
});

it('fails as they do', () => {
  const program = new DimProgram();
  program.position(n.broadcast(m));
  expect(() => program.evaluate(new Map([['n', 2]]))).toThrow('dim m has no value');
  const unequal = new Map([
    ['n', 2],
    ['m', 3],
  ]);
  expect(() => program.evaluate(unequal)).toThrow(/sizes . and . cannot be broadcast together/);
});
