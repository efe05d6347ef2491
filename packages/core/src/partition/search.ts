// Improves a plan on what it really costs, hand-overs and budgets included: exactly where there are few plans, step by step
// otherwise. Both are bounded by counts, not by time, so that the same problem has the same plan every time.

import { type Assignment, choicesOf, host, type PlacementProblem } from './problem.ts';
import type { Simulator } from './simulate.ts';

export interface Found {
  readonly assignment: Assignment;
  readonly seconds: number;
}

/** Differences of less than this part are rounding: they must not move anything. */
const tolerance = 1e-12;

/** Tasks looked at by a local search, each time it evaluates a plan. */
const mostVisits = 150_000;

const isBetter = (seconds: number, than: number): boolean =>
  seconds < than - than * tolerance || (than === Infinity && seconds < than);

/**
 * Moves tasks and whole segments while that helps: those that exchange values with another place, one at a time.
 * @returns a plan that is no worse
 */
export function improve(simulator: Simulator, start: Found): Found {
  const { problem } = simulator;
  const choices = problem.tasks.map(choicesOf);
  const mostEvaluations = Math.ceil(mostVisits / Math.max(1, problem.tasks.length));
  let evaluations = 0;
  let assignment = [...start.assignment];
  let { seconds } = start;
  const attempt = (tasks: readonly number[], place: number): boolean => {
    if (evaluations >= mostEvaluations) return false;
    evaluations++;
    const candidate = [...assignment];
    for (const task of tasks) if (choices[task].includes(place)) candidate[task] = place;
    const found = simulator.seconds(candidate);
    if (!isBetter(found, seconds)) return false;
    assignment = candidate;
    seconds = found;
    return true;
  };
  for (let changed = true; changed && evaluations < mostEvaluations; ) {
    changed = false;
    for (const group of segmentsOf(simulator, assignment)) {
      for (let place = 1; place < problem.places.length; place++) {
        if (assignment[group[0]] !== place && attempt(group, place)) changed = true;
      }
    }
    for (const task of borderOf(problem, assignment)) {
      for (const place of choices[task]) if (assignment[task] !== place && attempt([task], place)) changed = true;
    }
  }
  return { assignment, seconds };
}

/** Tasks of each segment on a device. */
function segmentsOf(simulator: Simulator, assignment: Assignment): number[][] {
  const groups = new Map<number, number[]>();
  for (const [task, segment] of simulator.details(assignment).segments.entries()) {
    if (assignment[task] === host) continue;
    const group = groups.get(segment);
    if (group) group.push(task);
    else groups.set(segment, [task]);
  }
  return [...groups.values()];
}

/** Tasks with a value from or for another place. */
function borderOf({ flows }: PlacementProblem, assignment: Assignment): Set<number> {
  const border = new Set<number>();
  for (const { producer, readers, toHost } of flows) {
    const from = producer === undefined ? host : assignment[producer];
    const away = readers.filter((reader) => assignment[reader] !== from);
    for (const reader of away) border.add(reader);
    if (producer !== undefined && (away.length > 0 || toHost)) border.add(producer);
  }
  return border;
}

/** Plans looked at by an exhaustive search, whole and partial ones, and the bits of a choice with which it is tried. */
const mostPlans = 20_000;
const mostBits = 20;

/**
 * The best plan of all, by branch and bound: what a part of the tasks costs is never more than what all of them do.
 * @param start a plan to beat
 * @returns undefined when there are too many plans to be sure
 */
export function findOptimum(simulator: Simulator, start: Found): Found | undefined {
  const { tasks } = simulator.problem;
  const choices = tasks.map(choicesOf);
  if (choices.reduce((bits, { length }) => bits + Math.log2(length), 0) > mostBits) return undefined;
  /** Least seconds of the tasks from a position on. */
  const rest = new Float64Array(tasks.length + 1);
  for (let at = tasks.length - 1; at >= 0; at--) rest[at] = rest[at + 1] + Math.min(...tasks[at].seconds);
  let best = start;
  let plans = 0;
  const assignment = new Array<number>(tasks.length).fill(host);
  /** False when it gives up. */
  const visit = (at: number): boolean => {
    // Tasks with one choice are no branches.
    let next = at;
    while (next < tasks.length && choices[next].length === 1) {
      assignment[next] = choices[next][0];
      next++;
    }
    if (next > at || at === 0) {
      const seconds = simulator.seconds(assignment, next);
      if (!isBetter(seconds + rest[next], best.seconds)) return true;
    }
    if (next === tasks.length) {
      const seconds = simulator.seconds(assignment);
      if (isBetter(seconds, best.seconds)) best = { assignment: [...assignment], seconds };
      return true;
    }
    for (const place of choices[next]) {
      if (++plans > mostPlans) return false;
      assignment[next] = place;
      const seconds = simulator.seconds(assignment, next + 1);
      if (!isBetter(seconds + rest[next + 1], best.seconds)) continue;
      if (!visit(next + 1)) return false;
    }
    return true;
  };
  return visit(0) ? best : undefined;
}
