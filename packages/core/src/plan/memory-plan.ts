// Offsets in one arena for tensors that live at different times.
//
// Greedy with best fit: one tensor after the other into the smallest gap between the tensors that are alive at the same
// time. Orders by size and by the steps that need most (Y. Pisarchyk, J. Lee: Efficient Memory Management for Deep Neural
// Net Inference, 2020), and by time, are tried until one reaches the lower bound.

/** A block of memory needed from step `first` to step `last`, both included. */
export interface LifeTime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** One for each life time, in the same order. */
  readonly offsets: readonly number[];
  /** Size of the arena. */
  readonly bytes: number;
  /** Most bytes alive at once: no plan can need less. */
  readonly lowerBound: number;
}

/** @param alignment power of two that every offset is a multiple of */
export function planMemory(lives: readonly LifeTime[], alignment: number): MemoryPlan {
  const sizes = lives.map(({ bytes }) => Math.ceil(bytes / alignment) * alignment);
  const lowerBound = lowerBoundOf(lives, sizes);
  let best: Placement | undefined;
  for (const order of orders) {
    const placement = placeAll(lives, sizes, order(lives, sizes));
    if (!best || placement.bytes < best.bytes) best = placement;
    if (best.bytes <= lowerBound) break;
  }
  return { ...best!, lowerBound };
}

type Placement = Omit<MemoryPlan, 'lowerBound'>;
type Order = (lives: readonly LifeTime[], sizes: readonly number[]) => readonly number[];

const orders: readonly Order[] = [
  (lives, sizes) => sorted(lives, (a, b) => sizes[b] - sizes[a] || lives[a].first - lives[b].first),
  byBreadth,
  (lives, sizes) => sorted(lives, (a, b) => lives[a].first - lives[b].first || sizes[b] - sizes[a]),
  (lives, sizes) => sorted(lives, (a, b) => lives[b].last - lives[a].last || sizes[b] - sizes[a]),
  (lives, sizes) => {
    const area = (at: number): number => sizes[at] * (lives[at].last - lives[at].first + 1);
    return sorted(lives, (a, b) => area(b) - area(a) || lives[a].first - lives[b].first);
  },
];

function sorted(lives: readonly LifeTime[], compare: (a: number, b: number) => number): number[] {
  return lives.map((_, at) => at).sort((a, b) => compare(a, b) || a - b);
}

/** What the fullest step needs, largest first, then what the next one needs besides, and so on. */
function byBreadth(lives: readonly LifeTime[], sizes: readonly number[]): number[] {
  const steps = new Set(lives.map(({ first }) => first));
  const bySize = sorted(lives, (a, b) => sizes[b] - sizes[a]);
  const breadths = [...steps].map((step) => {
    const alive = bySize.filter((at) => lives[at].first <= step && step <= lives[at].last);
    return { alive, breadth: alive.reduce((sum, at) => sum + sizes[at], 0) };
  });
  breadths.sort((a, b) => b.breadth - a.breadth);
  return [...new Set(breadths.flatMap(({ alive }) => alive))];
}

function placeAll(lives: readonly LifeTime[], sizes: readonly number[], order: readonly number[]): Placement {
  const offsets = new Array<number>(lives.length).fill(0);
  // Blocks placed so far, by offset.
  const placed: number[] = [];
  let total = 0;
  for (const at of order) {
    const { first, last } = lives[at];
    let cursor = 0;
    let best = -1;
    let bestGap = Infinity;
    for (const other of placed) {
      if (lives[other].last < first || lives[other].first > last) continue;
      const gap = offsets[other] - cursor;
      if (gap >= sizes[at] && gap < bestGap) {
        best = cursor;
        bestGap = gap;
      }
      cursor = Math.max(cursor, offsets[other] + sizes[other]);
    }
    offsets[at] = best >= 0 ? best : cursor;
    total = Math.max(total, offsets[at] + sizes[at]);
    const position = placed.findIndex((other) => offsets[other] > offsets[at]);
    if (position < 0) placed.push(at);
    else placed.splice(position, 0, at);
  }
  return { offsets, bytes: total };
}

function lowerBoundOf(lives: readonly LifeTime[], sizes: readonly number[]): number {
  const change = new Map<number, number>();
  for (const [at, { first, last }] of lives.entries()) {
    change.set(first, (change.get(first) ?? 0) + sizes[at]);
    change.set(last + 1, (change.get(last + 1) ?? 0) - sizes[at]);
  }
  let alive = 0;
  let most = 0;
  for (const [, delta] of [...change].sort(([a], [b]) => a - b)) {
    alive += delta;
    most = Math.max(most, alive);
  }
  return most;
}
