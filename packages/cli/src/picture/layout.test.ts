import { expect, it } from 'vitest';
import { randomNumbers } from '../../../core/src/partition/random-problem.ts';
import { layOut } from './layout.ts';

it('puts each node below what it reads, and none upon another', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = randomNumbers(seed);
    const nodes = Array.from({ length: 60 }, (_, at) => ({
      from: Array.from({ length: Math.floor(3 * random()) }, () => Math.floor(at * random())).filter(
        (from) => from < at,
      ),
    }));
    const points = layOut(nodes);
    for (const [at, { from }] of nodes.entries()) {
      for (const source of from) expect(points[source].layer).toBeLessThan(points[at].layer);
    }
    for (const [at, a] of points.entries()) {
      expect(a.column).toBeGreaterThanOrEqual(0);
      for (const b of points.slice(at + 1)) {
        if (a.layer === b.layer) expect(Math.abs(a.column - b.column)).toBeGreaterThan(0.999);
      }
    }
  }
});

it('draws a chain as a line', () => {
  const points = layOut([{ from: [] }, { from: [0] }, { from: [1] }]);
  expect(points).toEqual([0, 1, 2].map((layer) => ({ column: points[0].column, layer })));
});
