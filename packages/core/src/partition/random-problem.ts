// Random placement problems for tests: graphs of tasks with branches and shared values, on devices of a kind.

import type { Flow, Place, PlacementProblem, Task, Weight } from './problem.ts';

/** A device as the tests describe it: rates, and the part of the tasks that it cannot run. */
export interface SyntheticDevice extends Place {
  readonly launch: number;
  readonly flops: number;
  readonly bandwidthInside: number;
  readonly refusals?: number;
}

const device = (id: string, rest: Partial<SyntheticDevice>): SyntheticDevice => ({
  id,
  latency: 1e-6,
  bandwidth: 1e10,
  sync: 0,
  budget: Infinity,
  launch: 1e-6,
  flops: 4e10,
  bandwidthInside: 1e10,
  ...rest,
});

export const processor: SyntheticDevice = device('cpu', {});

export const fastGpu: SyntheticDevice = device('gpu', {
  latency: 2e-4,
  bandwidth: 3e9,
  sync: 1e-4,
  launch: 1e-5,
  flops: 5e12,
  bandwidthInside: 5e11,
});

export const slowGpu: SyntheticDevice = device('slow', {
  latency: 5e-5,
  bandwidth: 8e9,
  sync: 5e-5,
  launch: 1e-5,
  flops: 5e10,
  bandwidthInside: 2e10,
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param size number of tasks; about one in twelve is the host's own */
export function randomProblem(seed: number, size: number, devices: readonly SyntheticDevice[]): PlacementProblem {
  const random = randomNumbers(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const bytesOf = (): number => 10 ** (2 + 5 * random());
  const places: Place[] = [
    { id: 'host', latency: 0, bandwidth: Infinity, sync: 0, budget: Infinity },
    ...devices.map(({ id, latency, bandwidth, sync, budget }) => ({ id, latency, bandwidth, sync, budget })),
  ];
  const tasks = Array.from({ length: size }, (_, at): Task => {
    const [flops, bytes] = [10 ** (4 + 6 * random()), bytesOf()];
    const isOfHost = random() < 1 / 12;
    const able = devices.map(({ refusals = 0 }) => !isOfHost && random() >= refusals);
    if (!isOfHost && !able.includes(true)) able[0] = true;
    const seconds = devices.map((one, place) =>
      able[place] ? one.launch + Math.max(flops / one.flops, bytes / one.bandwidthInside) : Infinity,
    );
    return { name: `task ${at}`, seconds: [isOfHost ? 1e-6 : Infinity, ...seconds], workingBytes: bytes };
  });
  const flows: Flow[] = [];
  const readersAfter = (task: number, count: number): number[] => {
    const readers = new Set<number>();
    while (readers.size < Math.min(count, size - task - 1)) readers.add(task + 1 + below(Math.min(4, size - task - 1)));
    return [...readers];
  };
  for (let task = 0; task < size; task++) {
    const readers = readersAfter(task, 1 + below(3));
    const toHost = readers.length === 0 || random() < 0.1;
    flows.push({ name: `value ${task}`, bytes: bytesOf(), producer: task, readers, toHost, isState: false });
  }
  for (let input = 0; input < 1 + below(2); input++) {
    const first = below(Math.min(3, size));
    const readers = [...new Set([first, ...readersAfter(first, below(2))])];
    flows.push({
      name: `input ${input}`,
      bytes: bytesOf(),
      producer: undefined,
      readers,
      toHost: false,
      isState: false,
    });
  }
  if (random() < 0.3) {
    flows.push({
      name: 'state',
      bytes: bytesOf(),
      producer: size - 1,
      readers: [below(size)],
      toHost: false,
      isState: true,
    });
  }
  const weights = tasks.flatMap((_, task): Weight[] => (random() < 0.5 ? [{ bytes: bytesOf(), readers: [task] }] : []));
  return { places, tasks, flows, weights };
}
