// Offsets in one arena for tensors that live at different times.
//
// Greedy by size with best fit: large tensors first, each into the smallest gap between the tensors that are alive at the
// same time (Y. Pisarchyk, J. Lee: Efficient Memory Management for Deep Neural Net Inference, 2020).

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
  const order = lives
    .map((_, at) => at)
    .sort((a, b) => sizes[b] - sizes[a] || lives[a].first - lives[b].first || a - b);
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
  return { offsets, bytes: total, lowerBound: lowerBoundOf(lives, sizes) };
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
