// One move of α-expansion (Y. Boykov, O. Veksler, R. Zabih: Fast approximate energy minimization via graph cuts, 2001):
// every task stays where it is or moves to one place, whichever is best for all together, found by a minimum cut. Of two
// devices, the move from one of them to the other is the exact optimum. Hand-overs and budgets are not in it.
//
// The source's side of the cut stays, the sink's side moves. A transfer is paid once for all of its readers: a helper node
// per value and direction stands for "somebody there reads it".

import { FlowNetwork } from './max-flow.ts';
import { type Assignment, host, type PlacementProblem, transferSeconds } from './problem.ts';

const { source, sink } = FlowNetwork;

export interface ExpansionOptions {
  /** Seconds to add to each transfer to a place, for plans with fewer hand-overs. */
  readonly extra?: readonly number[];
  /** Seconds to add to a task at a place, for plans that need less of its memory. */
  readonly penalty?: (task: number, place: number) => number;
}

/** The best plan in which each task stays or moves to `target`. */
export function expand(
  { places, tasks, flows }: PlacementProblem,
  assignment: Assignment,
  target: number,
  { extra, penalty }: ExpansionOptions = {},
): number[] {
  const network = new FlowNetwork();
  const free = tasks.map(({ seconds }, task) => assignment[task] !== target && seconds[target] < Infinity);
  const nodes = free.map((isFree) => (isFree ? network.addNode() : -1));
  const unary = (task: number, place: number): number => tasks[task].seconds[place] + (penalty?.(task, place) ?? 0);
  /** Of each task, by how much moving it costs more than leaving it. */
  const loss = new Float64Array(tasks.length);
  for (const [task, node] of nodes.entries()) {
    if (node >= 0) loss[task] = unary(task, target) - unary(task, assignment[task]);
  }
  /** Paid when `tail` stays (always, when it is the source) and one of the readers moves. */
  const whenMoves = (tail: number, seconds: number, readers: readonly number[]): void => {
    if (readers.length === 0 || seconds <= 0) return;
    if (readers.length === 1) {
      network.addArc(tail, nodes[readers[0]], seconds);
      return;
    }
    const helper = network.addNode();
    network.addArc(tail, helper, seconds);
    for (const reader of readers) network.addArc(helper, nodes[reader], Infinity);
  };
  /** Paid when `head` moves (always, when it is the sink) and one of the readers stays. */
  const whenStays = (head: number, seconds: number, readers: readonly number[]): void => {
    if (readers.length === 0 || seconds <= 0) return;
    if (readers.length === 1) {
      network.addArc(nodes[readers[0]], head, seconds);
      return;
    }
    const helper = network.addNode();
    network.addArc(helper, head, seconds);
    for (const reader of readers) network.addArc(nodes[reader], helper, Infinity);
  };
  for (const { producer, readers, toHost, bytes } of flows) {
    const cost = (place: number): number =>
      place === host ? 0 : transferSeconds(places[place], bytes) + (extra?.[place] ?? 0);
    /** As bits: places of readers that cannot move, and of those that can. */
    let fixed = toHost ? 1 << host : 0;
    let staying = 0;
    const moving: number[] = [];
    for (const reader of readers) {
      if (free[reader]) {
        staying |= 1 << assignment[reader];
        moving.push(reader);
      } else fixed |= 1 << assignment[reader];
    }
    const from = producer === undefined ? host : assignment[producer];
    const node = producer === undefined ? -1 : nodes[producer];
    const movingFrom = (place: number): readonly number[] =>
      staying === 1 << place ? moving : moving.filter((reader) => assignment[reader] === place);
    // To where the producer neither is nor can move, it is brought in any case.
    const elsewhere = staying & ~(1 << from) & ~(1 << host) & ~fixed;
    for (let place = 1; elsewhere >> place > 0; place++) {
      if (elsewhere & (1 << place)) whenStays(sink, cost(place), movingFrom(place));
    }
    const isReadAtTarget = (fixed & (1 << target)) !== 0;
    const isReadElsewhere = (fixed & ~(1 << target)) !== 0;
    if (from === target) {
      if (!isReadElsewhere) whenStays(sink, cost(target), moving);
      continue;
    }
    const leaves = ((fixed | staying) & ~(1 << from)) !== 0;
    if (producer === undefined || node < 0) {
      // The producer stays.
      if (!leaves) whenMoves(source, cost(from), moving);
      if (!isReadAtTarget) whenMoves(source, cost(target), moving);
      continue;
    }
    if (leaves) loss[producer] -= cost(from);
    else whenMoves(node, cost(from), moving);
    if (isReadAtTarget) loss[producer] -= cost(target);
    else whenMoves(node, cost(target), moving);
    if (isReadElsewhere) loss[producer] += cost(target);
    else whenStays(node, cost(target), moving);
    if (fixed & (1 << from)) loss[producer] += cost(from);
    else whenStays(node, cost(from), movingFrom(from));
  }
  for (const [task, node] of nodes.entries()) {
    if (node < 0) continue;
    if (loss[task] > 0) network.addArc(source, node, loss[task]);
    else network.addArc(node, sink, -loss[task]);
  }
  network.solve();
  const moved = network.sinkSide();
  return assignment.map((place, task) => (nodes[task] >= 0 && moved[nodes[task]] ? target : place));
}
