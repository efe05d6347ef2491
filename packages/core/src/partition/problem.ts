// The question that placement answers, free of graphs and providers: which task runs at which place. What a plan costs is
// said in simulate.ts, and nowhere else.

/** The host's position among the places. */
export const host = 0;

/** Where tasks run: the host's memory, or a device with memory of its own. All transfers go by the host. */
export interface Place {
  readonly id: string;
  /** Seconds of a transfer from or to the host, however small. 0 for the host. */
  readonly latency: number;
  /** Bytes a second of transfers beyond that. */
  readonly bandwidth: number;
  /** Seconds to hand work over and to hear that it is done, each time. */
  readonly sync: number;
  /** Bytes that it holds at most. */
  readonly budget: number;
}

/** Work that is never divided. */
export interface Task {
  readonly name: string;
  /** By place; Infinity where it cannot run. Finite somewhere. */
  readonly seconds: readonly number[];
  /** Bytes of what it reads and writes, weights left out. */
  readonly workingBytes: number;
}

/** A value on its way. */
export interface Flow {
  readonly name: string;
  readonly bytes: number;
  /** The task that makes it; undefined when it comes from the host. */
  readonly producer: number | undefined;
  readonly readers: readonly number[];
  /** The host reads it too. */
  readonly toHost: boolean;
  /** It was made in the run before, where `producer` ran: nobody waits for it. */
  readonly isState: boolean;
}

/** A constant: each place that reads it holds a copy from the beginning. */
export interface Weight {
  readonly bytes: number;
  readonly readers: readonly number[];
}

export interface PlacementProblem {
  /** The host, then devices in order of preference. Fewer than 32. */
  readonly places: readonly Place[];
  /** Each after the producers of what it reads, states aside. */
  readonly tasks: readonly Task[];
  readonly flows: readonly Flow[];
  readonly weights: readonly Weight[];
}

/** Place of each task. */
export type Assignment = readonly number[];

/** Positions of the places where a task can run. */
export function choicesOf({ seconds }: Task): number[] {
  return [...seconds.keys()].filter((place) => seconds[place] < Infinity);
}

/** Seconds to bring so many bytes from the host to a place, or back. */
export function transferSeconds({ latency, bandwidth }: Place, bytes: number): number {
  return latency + bytes / bandwidth;
}
