import { describe, expect, it } from 'vitest';
import { expand } from './expansion.ts';
import { type OptimizedPlan, optimize } from './optimize.ts';
import { type Assignment, choicesOf, type PlacementProblem } from './problem.ts';
import { fastGpu, processor, randomNumbers, randomProblem, type SyntheticDevice, slowGpu } from './random-problem.ts';
import { Simulator } from './simulate.ts';

const count = 1000;

/** Seconds of the best of all plans. */
function bruteForce(problem: PlacementProblem, choices = problem.tasks.map(choicesOf)): number {
  const simulator = new Simulator(problem);
  const assignment: number[] = choices.map(([first]) => first);
  let best = Infinity;
  const visit = (task: number): void => {
    if (task === choices.length) {
      best = Math.min(best, simulator.seconds(assignment));
      return;
    }
    for (const place of choices[task]) {
      assignment[task] = place;
      visit(task + 1);
    }
  };
  visit(0);
  return best;
}

const sizeFor = (seed: number, devices: number): number =>
  2 + Math.floor(randomNumbers(seed)() * (devices > 2 ? 5 : 8));

const scenarios: Readonly<Record<string, readonly SyntheticDevice[]>> = {
  'a fast GPU behind a slow bus': [processor, fastGpu],
  'a slow GPU': [processor, slowGpu],
  'a GPU lacking some operators': [processor, { ...fastGpu, refusals: 0.3 }],
  'three providers': [processor, fastGpu, { ...slowGpu, refusals: 0.1 }],
  'a GPU with little memory': [processor, { ...fastGpu, latency: 1e-5, bandwidth: 2e10, budget: 5e5 }],
};

const same = (a: number, b: number): boolean => a === b || Math.abs(a - b) <= 1e-9 * Math.max(a, b);

describe.each(Object.entries(scenarios))('%s', (_, devices) => {
  it('has the best of all plans, which is no worse than any device alone', () => {
    let [mixed, unequal, worse] = [0, 0, 0];
    for (let seed = 1; seed <= count; seed++) {
      const problem = randomProblem(seed, sizeFor(seed, devices.length), devices);
      const plan = optimize(problem);
      if (!same(plan.seconds, bruteForce(problem))) unequal++;
      if (plan.alone.some(({ seconds }) => plan.seconds > seconds)) worse++;
      if (new Set(plan.assignment).size > 1) mixed++;
    }
    expect({ unequal, worse }).toEqual({ unequal: 0, worse: 0 });
    expect(mixed).toBeGreaterThan(count / 10);
  });

  // What fits into memory is another problem (packing a knapsack), which cuts do not solve.
  if (devices.some(({ budget }) => budget < Infinity)) return;
  it('finds nearly all by cuts and single steps', () => {
    let missed = 0;
    for (let seed = 1; seed <= count; seed++) {
      const problem = randomProblem(seed, sizeFor(seed, devices.length), devices);
      const plan = optimize(problem, { exhaustive: false });
      const best = optimize(problem);
      expect(best.isOptimal).toBe(true);
      expect(plan.seconds).toBeLessThan(2 * best.seconds);
      if (!same(plan.seconds, best.seconds)) missed++;
    }
    expect(missed).toBeLessThan(count / 50);
  });
});

describe('graphs without hand-overs', () => {
  it('has the best of all plans of two devices after one cut', () => {
    for (let seed = 1; seed <= count; seed++) {
      const devices = scenarios['a GPU lacking some operators'].map((device) => ({ ...device, sync: 0 }));
      const problem = randomProblem(seed, sizeFor(seed, 2), devices);
      const start = optimize(problem, { exhaustive: false }).alone[0].assignment;
      const cut = new Simulator(problem).seconds(expand(problem, start, 2));
      expect(same(cut, bruteForce(problem)), `seed ${seed}`).toBe(true);
    }
  });

  it('gets no worse by any move among three', () => {
    for (let seed = 1; seed <= count; seed++) {
      const devices = scenarios['three providers'].map((device) => ({ ...device, sync: 0 }));
      const problem = randomProblem(seed, 12, devices);
      const simulator = new Simulator(problem);
      const random = randomNumbers(seed);
      let assignment: Assignment = problem.tasks.map((task) => {
        const choices = choicesOf(task);
        return choices[Math.floor(random() * choices.length)];
      });
      for (const target of [1, 2, 3, 1]) {
        const next = expand(problem, assignment, target);
        expect(simulator.seconds(next)).toBeLessThanOrEqual(simulator.seconds(assignment) * (1 + 1e-9));
        // Of the plans that one move reaches, none is better.
        const reachable = problem.tasks.map(({ seconds }, at): number[] =>
          seconds[target] < Infinity && assignment[at] !== target ? [assignment[at], target] : [assignment[at]],
        );
        if (seed <= 100) {
          expect(same(simulator.seconds(next), bruteForce(problem, reachable)), `seed ${seed}`).toBe(true);
        }
        assignment = next;
      }
    }
  });
});

describe('large graphs', () => {
  const plan = (devices: readonly SyntheticDevice[], seed: number): { plan: OptimizedPlan; ms: number } => {
    const problem = randomProblem(seed, 2000, devices);
    // Processor time: others use the machine too.
    const start = process.cpuUsage();
    const found = optimize(problem);
    const { user, system } = process.cpuUsage(start);
    return { plan: found, ms: (user + system) / 1000 };
  };

  it.each(Object.entries(scenarios))('%s: 2000 tasks', (_, devices) => {
    const times: number[] = [];
    for (let seed = 1; seed <= 5; seed++) {
      const { plan: found, ms } = plan(devices, seed);
      times.push(ms);
      for (const { seconds } of found.alone) expect(found.seconds).toBeLessThanOrEqual(seconds);
    }
    expect(Math.min(...times)).toBeLessThan(100);
  });

  it('is the same each time', () => {
    const plans = [1, 2].map((): Assignment => plan(scenarios['three providers'], 3).plan.assignment);
    expect(plans[0]).toEqual(plans[1]);
  });
});
