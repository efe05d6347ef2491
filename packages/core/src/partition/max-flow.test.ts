import { describe, expect, it } from 'vitest';
import { FlowNetwork } from './max-flow.ts';
import { randomNumbers } from './random-problem.ts';

const { source, sink } = FlowNetwork;

type Arc = readonly [from: number, to: number, capacity: number];

function networkOf(nodes: number, arcs: readonly Arc[]): FlowNetwork {
  const network = new FlowNetwork();
  for (let node = 2; node < nodes; node++) network.addNode();
  for (const arc of arcs) network.addArc(...arc);
  return network;
}

const cutOf = (side: ArrayLike<number>, arcs: readonly Arc[]): number =>
  arcs.reduce((sum, [from, to, capacity]) => (side[from] || !side[to] ? sum : sum + capacity), 0);

describe('FlowNetwork', () => {
  it('pushes flow back where that lets more through', () => {
    const arcs: Arc[] = [
      [source, 2, 1],
      [source, 3, 1],
      [2, 3, 1],
      [2, sink, 1],
      [3, sink, 1],
    ];
    expect(networkOf(4, arcs).solve()).toBe(2);
  });

  it('finds the least of all cuts of random networks', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomNumbers(seed);
      const nodes = 4 + Math.floor(random() * 5);
      const arcs = Array.from({ length: nodes * 3 }, (): Arc => {
        const [from, to] = [Math.floor(random() * nodes), Math.floor(random() * nodes)];
        return [from, to, random() < 0.2 ? 0 : 10 ** (6 * random() - 6)];
      });
      let least = Infinity;
      for (let bits = 0; bits < 1 << (nodes - 2); bits++) {
        const side = Array.from({ length: nodes }, (_, at) => (at === sink ? 1 : at < 2 ? 0 : (bits >> (at - 2)) & 1));
        least = Math.min(least, cutOf(side, arcs));
      }
      const network = networkOf(nodes, arcs);
      expect(network.solve()).toBeCloseTo(least, 12);
      expect(cutOf(network.sinkSide(), arcs)).toBeCloseTo(least, 12);
    }
  });

  it('leaves nodes that no cut decides on the side of the source', () => {
    const network = networkOf(4, [
      [source, 2, 1],
      [2, sink, 1],
    ]);
    network.solve();
    expect([...network.sinkSide()]).toEqual([0, 1, 0, 0]);
  });

  it('does not cut what must not be cut', () => {
    const network = networkOf(3, [
      [source, 2, Infinity],
      [2, sink, 3],
    ]);
    expect(network.solve()).toBe(3);
    const joined = networkOf(3, [
      [source, 2, Infinity],
      [2, sink, Infinity],
    ]);
    expect(() => joined.solve()).toThrow(RangeError);
  });
});
