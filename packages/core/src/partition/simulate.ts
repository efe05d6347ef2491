// What a plan costs: the one definition of it, which the search minimises, tests enumerate, and explanations show.
//
// Steps run one after the other, so that time is a sum:
// - each task, at its place;
// - each transfer: a value that is read elsewhere is brought to the host once, and from there to each device that reads it
//   once, however many tasks there want it;
// - each segment, which is a hand-over to a device and the wait for it. Tasks at one place make one segment when nothing
//   elsewhere has to happen between them.
// A plan that needs more memory than a place has costs Infinity.

import { type Assignment, host, type PlacementProblem, transferSeconds } from './problem.ts';

export interface Simulation {
  readonly seconds: number;
  readonly compute: number;
  readonly transfer: number;
  readonly sync: number;
  readonly transfers: readonly Transfer[];
  /** Of each task, its segment: positions in the order in which they run. */
  readonly segments: readonly number[];
  /** By place, at least: weights, and what the most demanding task reads and writes. */
  readonly bytes: readonly number[];
  /** The place with too little memory. */
  readonly overfull: number | undefined;
}

export interface Transfer {
  readonly flow: number;
  /** Place that the value is brought to: the host, or a device by the host. */
  readonly to: number;
  readonly seconds: number;
}

/** Lists of positions, one after the other. */
interface Lists {
  readonly items: Int32Array;
  /** Where each list begins, and the end. */
  readonly starts: Int32Array;
}

function listsOf(lists: readonly (readonly number[])[]): Lists {
  const starts = new Int32Array(lists.length + 1);
  for (const [at, { length }] of lists.entries()) starts[at + 1] = starts[at] + length;
  return { items: Int32Array.from(lists.flat()), starts };
}

/** For many plans of one problem. */
export class Simulator {
  readonly problem: PlacementProblem;
  /** By task, then place. */
  readonly #taskSeconds: Float64Array;
  /** By flow, then place. 0 for the host. */
  readonly #transferSeconds: Float64Array;
  /** By flow: the host's bit where it reads it. */
  readonly #toHost: Uint8Array;
  /** By flow; −1 for the host. */
  readonly #producers: Int32Array;
  readonly #readers: Lists;
  /** Tasks that must have run before, by task. */
  readonly #before: Lists;
  readonly #weightReaders: Lists;
  readonly #level: Int32Array;
  /** Stamp of the evaluation that has seen a segment. */
  readonly #seen: Int32Array;
  readonly #hasSync: boolean;
  readonly #hasBudgets: boolean;
  #stamp = 0;

  constructor(problem: PlacementProblem) {
    const { tasks, flows, places } = problem;
    this.problem = problem;
    const before: number[][] = tasks.map(() => []);
    for (const { producer, readers, isState } of flows) {
      if (producer === undefined || isState) continue;
      for (const reader of readers) if (reader !== producer) before[reader].push(producer);
    }
    this.#before = listsOf(before);
    this.#taskSeconds = Float64Array.from(tasks.flatMap(({ seconds }) => seconds));
    this.#transferSeconds = Float64Array.from(
      flows.flatMap(({ bytes }) => places.map((place, at) => (at === host ? 0 : transferSeconds(place, bytes)))),
    );
    this.#producers = Int32Array.from(flows, ({ producer = -1 }) => producer);
    this.#toHost = Uint8Array.from(flows, ({ toHost }) => (toHost ? 1 << host : 0));
    this.#readers = listsOf(flows.map(({ readers }) => readers));
    this.#weightReaders = listsOf(problem.weights.map(({ readers }) => readers));
    this.#level = new Int32Array(tasks.length);
    this.#seen = new Int32Array((tasks.length + 1) * places.length);
    this.#hasSync = places.some(({ sync }) => sync > 0);
    this.#hasBudgets = places.some(({ budget }) => budget < Infinity);
  }

  /**
   * Seconds of a plan; Infinity for one that cannot be.
   * @param count the first so many tasks only, as if the rest took no time and read nothing: never more than the whole
   */
  seconds(assignment: Assignment, count: number = this.problem.tasks.length): number {
    const placeCount = this.problem.places.length;
    const [ofTask, ofFlow, producers] = [this.#taskSeconds, this.#transferSeconds, this.#producers];
    let total = 0;
    for (let task = 0; task < count; task++) total += ofTask[task * placeCount + assignment[task]];
    if (total === Infinity) return Infinity;
    for (let flow = 0; flow < producers.length; flow++) {
      const producer = producers[flow];
      if (producer >= count) continue;
      const from = producer < 0 ? host : assignment[producer];
      const to = this.#destinations(flow, assignment, count) & ~(1 << from);
      if (to === 0) continue;
      total += ofFlow[flow * placeCount + from];
      for (let place = 1; place < placeCount; place++) {
        if (to & (1 << place)) total += ofFlow[flow * placeCount + place];
      }
    }
    if (this.#hasSync) total += this.#sync(assignment, count);
    if (this.#hasBudgets && this.#overfull(this.#bytes(assignment, count)) !== undefined) return Infinity;
    return total;
  }

  details(assignment: Assignment): Simulation {
    const { tasks, flows, places } = this.problem;
    const seconds = this.seconds(assignment);
    const compute = tasks.reduce((sum, task, at) => sum + task.seconds[assignment[at]], 0);
    const transfers: Transfer[] = [];
    for (const [flow, { producer, bytes }] of flows.entries()) {
      const from = producer === undefined ? host : assignment[producer];
      const to = this.#destinations(flow, assignment, tasks.length) & ~(1 << from);
      if (to === 0) continue;
      if (from !== host) transfers.push({ flow, to: host, seconds: transferSeconds(places[from], bytes) });
      for (let place = 1; place < places.length; place++) {
        if (to & (1 << place)) transfers.push({ flow, to: place, seconds: transferSeconds(places[place], bytes) });
      }
    }
    const bytes = this.#bytes(assignment, tasks.length);
    return {
      seconds,
      compute,
      transfer: transfers.reduce((sum, transfer) => sum + transfer.seconds, 0),
      sync: this.#sync(assignment, tasks.length),
      transfers,
      segments: this.#segments(assignment),
      bytes: [...bytes],
      overfull: this.#overfull(bytes),
    };
  }

  /** Places that read a value, as bits. */
  #destinations(flow: number, assignment: Assignment, count: number): number {
    const { items, starts } = this.#readers;
    const end = starts[flow + 1];
    let bits = this.#toHost[flow];
    for (let at = starts[flow]; at < end; at++) {
      const reader = items[at];
      if (reader < count) bits |= 1 << assignment[reader];
    }
    return bits;
  }

  /** Rounds of hand-overs after which each task can run. */
  #fillLevels(assignment: Assignment, count: number): void {
    const { items, starts } = this.#before;
    const levels = this.#level;
    for (let task = 0; task < count; task++) {
      const place = assignment[task];
      const end = starts[task + 1];
      let level = 0;
      for (let at = starts[task]; at < end; at++) {
        const producer = items[at];
        const joins = place !== host && assignment[producer] === place;
        const after = levels[producer] + (joins ? 0 : 1);
        if (after > level) level = after;
      }
      levels[task] = level;
    }
  }

  #sync(assignment: Assignment, count: number): number {
    const { places } = this.problem;
    const [seen, levels] = [this.#seen, this.#level];
    this.#fillLevels(assignment, count);
    const stamp = ++this.#stamp;
    let total = 0;
    for (let task = 0; task < count; task++) {
      const segment = levels[task] * places.length + assignment[task];
      if (seen[segment] === stamp) continue;
      seen[segment] = stamp;
      total += places[assignment[task]].sync;
    }
    return total;
  }

  #segments(assignment: Assignment): number[] {
    const { tasks, places } = this.problem;
    this.#fillLevels(assignment, tasks.length);
    const keys = tasks.map((_, task) => this.#level[task] * places.length + assignment[task]);
    const order = [...new Set(keys)].sort((a, b) => a - b);
    const positions = new Map(order.map((key, at) => [key, at]));
    return keys.map((key) => positions.get(key)!);
  }

  #bytes(assignment: Assignment, count: number): Float64Array {
    const { tasks, places, weights } = this.problem;
    const total = new Float64Array(places.length);
    for (let task = 0; task < count; task++) {
      const place = assignment[task];
      total[place] = Math.max(total[place], tasks[task].workingBytes);
    }
    const { items, starts } = this.#weightReaders;
    for (let weight = 0; weight < weights.length; weight++) {
      let bits = 0;
      for (let at = starts[weight]; at < starts[weight + 1]; at++) {
        if (items[at] < count) bits |= 1 << assignment[items[at]];
      }
      for (let place = 0; bits >> place > 0; place++) {
        if (bits & (1 << place)) total[place] += weights[weight].bytes;
      }
    }
    return total;
  }

  #overfull(bytes: ArrayLike<number>): number | undefined {
    const at = this.problem.places.findIndex(({ budget }, place) => bytes[place] > budget);
    return at < 0 ? undefined : at;
  }
}
