// The plan: minimum cuts from several starting points, a search on the real costs, and the comparison with each device
// alone, than which the result is never worse.

import { type ExpansionOptions, expand } from './expansion.ts';
import { type Assignment, choicesOf, host, type PlacementProblem } from './problem.ts';
import { type Found, findOptimum, improve } from './search.ts';
import { Simulator } from './simulate.ts';

export interface OptimizedPlan extends Found {
  /** No plan is better. */
  readonly isOptimal: boolean;
  /** Each device with all the tasks that it can run; the rest on the first device that can. By place, without the host. */
  readonly alone: readonly (Found & { readonly place: number })[];
}

/** Rounds of expansions over all devices, more than any problem needs in practice. */
const mostRounds = 8;

/** Prices of memory that are tried. */
const priceSteps = 6;

export interface OptimizeOptions {
  /** False leaves out the exhaustive search. */
  readonly exhaustive?: boolean;
}

/** Ties go to the device that comes first, and to fewer devices. */
export function optimize(problem: PlacementProblem, { exhaustive = true }: OptimizeOptions = {}): OptimizedPlan {
  const simulator = new Simulator(problem);
  const judge = (assignment: Assignment): Found => ({ assignment, seconds: simulator.seconds(assignment) });
  const devices = [...problem.places.keys()].filter((place) => place !== host);
  const alone = devices.map((place) => ({ place, ...judge(alonePlan(problem, place)) }));
  const candidates: Found[] = [...alone];
  if (devices.length > 1) {
    const extra = problem.places.map(({ sync }) => sync);
    const [{ assignment: start }] = devices.length === 2 ? alone : [bestOf(alone)];
    const cut = expandAll(problem, start, {});
    candidates.push(judge(cut));
    if (extra.some((seconds) => seconds > 0)) {
      candidates.push(judge(expandAll(problem, devices.length === 2 ? start : cut, { extra })));
    }
    if (problem.places.some(({ budget }) => budget < Infinity)) candidates.push(...withinBudgets(simulator, start));
  }
  let best = bestOf(candidates);
  if (devices.length > 1) {
    // The search goes on from different plans: each ends where no single step helps.
    const starts = [...new Map(candidates.map((found) => [found.assignment.join(), found])).values()];
    starts.sort((a, b) => (a.seconds === b.seconds ? 0 : a.seconds - b.seconds));
    for (const start of starts.slice(0, 2)) best = bestOf([best, improve(simulator, start)]);
  }
  const optimum = exhaustive ? findOptimum(simulator, best) : undefined;
  return { ...(optimum ?? best), isOptimal: optimum !== undefined, alone };
}

/** The first of the best. */
function bestOf(plans: readonly Found[]): Found {
  return plans.reduce((best, plan) => (plan.seconds < best.seconds ? plan : best));
}

/** All that a device can run, there; the rest on the first device that can, or on the host. */
function alonePlan({ tasks }: PlacementProblem, place: number): number[] {
  return tasks.map((task) => {
    if (task.seconds[place] < Infinity) return place;
    const choices = choicesOf(task);
    return choices.find((choice) => choice !== host) ?? host;
  });
}

/** Expansions to every device in turn, until none changes anything. Of two devices, one from the first is enough. */
function expandAll(problem: PlacementProblem, start: Assignment, options: ExpansionOptions): Assignment {
  const devices = problem.places.length - 1;
  if (devices === 2) return expand(problem, start, 2, options);
  let assignment = start;
  let unchanged = 0;
  for (let move = 0; move < mostRounds * devices && unchanged < devices; move++) {
    const next = expand(problem, assignment, 1 + (move % devices), options);
    unchanged = next.every((place, task) => place === assignment[task]) ? unchanged + 1 : 0;
    assignment = next;
  }
  return assignment;
}

/** The plan under the lowest price of memory at which it fits: none, when it fits at no price. */
function withinBudgets(simulator: Simulator, start: Assignment): Found[] {
  const { problem } = simulator;
  const weightOf = new Float64Array(problem.tasks.length);
  for (const { bytes, readers } of problem.weights) for (const reader of readers) weightOf[reader] += bytes;
  const found: Found[] = [];
  let [low, high] = [0, Infinity];
  // A byte may cost as much as all the time that there is.
  let price = simulator.details(start).compute / problem.weights.reduce((sum, { bytes }) => sum + bytes, 1);
  for (let step = 0; step < priceSteps; step++) {
    const penalty = (task: number, place: number): number =>
      problem.places[place].budget < Infinity ? price * weightOf[task] : 0;
    const assignment = expandAll(problem, start, { penalty });
    const seconds = simulator.seconds(assignment);
    if (seconds === Infinity) low = price;
    else {
      high = price;
      found.push({ assignment, seconds });
    }
    price = high === Infinity ? low * 16 : low === 0 ? high / 16 : Math.sqrt(low * high);
  }
  return found;
}
