import { describe, expect, it } from 'vitest';
import { randomFrom } from '../session/host-evaluator.ts';
import { type LifeTime, planMemory } from './memory-plan.ts';

const overlap = (a: LifeTime, b: LifeTime): boolean => a.first <= b.last && b.first <= a.last;

describe('planMemory', () => {
  const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

  it(`keeps tensors that live at the same time apart (seed ${seed})`, () => {
    const random = randomFrom(seed);
    for (let round = 0; round < 50; round++) {
      const lives = Array.from({ length: 1 + Math.floor(random() * 60) }, (): LifeTime => {
        const first = Math.floor(random() * 40);
        return { bytes: Math.floor(random() * 5000), first, last: first + Math.floor(random() * 8) };
      });
      const plan = planMemory(lives, 64);
      expect(plan.bytes).toBeGreaterThanOrEqual(plan.lowerBound);
      for (const [a, life] of lives.entries()) {
        expect(plan.offsets[a] % 64).toBe(0);
        expect(plan.offsets[a] + life.bytes).toBeLessThanOrEqual(plan.bytes);
        for (let b = 0; b < a; b++) {
          if (!overlap(life, lives[b]) || life.bytes === 0 || lives[b].bytes === 0) continue;
          const apart =
            plan.offsets[a] + life.bytes <= plan.offsets[b] || plan.offsets[b] + lives[b].bytes <= plan.offsets[a];
          expect(apart).toBe(true);
        }
      }
    }
  });

  it('reaches the lower bound for a chain', () => {
    const lives = Array.from({ length: 20 }, (_, at) => ({ bytes: 1024, first: at, last: at + 1 }));
    const plan = planMemory(lives, 64);
    expect(plan.lowerBound).toBe(2048);
    expect(plan.bytes).toBe(2048);
  });

  it('finds the order that leaves no gap', () => {
    // By size, the second goes above the first, where it leaves room for only one of the others below.
    const lives = [
      { bytes: 192, first: 0, last: 0 },
      { bytes: 128, first: 0, last: 2 },
      { bytes: 128, first: 2, last: 2 },
      { bytes: 128, first: 2, last: 4 },
    ];
    const plan = planMemory(lives, 64);
    expect([plan.bytes, plan.lowerBound]).toEqual([384, 384]);
  });

  it('has nothing to do for nothing', () => {
    expect(planMemory([], 64)).toEqual({ offsets: [], bytes: 0, lowerBound: 0 });
  });
});
