// The program that the driver walks: an array of steps in linear memory.

/** Words of a step, all i32. */
export const stepWord = {
  /** Index in the module's table of a function with the type of a kernel; see `kernelType`. */
  kernel: 0,
  /** Address passed to the kernel. */
  args: 1,
  tiles: 2,
  grain: 3,
  flags: 4,
  /** Tiles handed out so far; owned by the runtime. */
  counter: 5,
  /** Number of the first tile as the kernel counts them; the runtime counts from 0. */
  firstTile: 6,
} as const;

/** A word is left for the future, so that a step never straddles cache lines. */
export const STEP_WORDS = 8;
export const STEP_BYTES = STEP_WORDS * 4;

export const stepFlag = {
  /** Thread 0 runs all tiles. */
  leaderOnly: 1,
  /** Starts only when all earlier steps are complete. Without it a step may run beside those before it. */
  barrier: 2,
} as const;

/** The most tiles of a step: its counter goes past them by a grain per thread, and must not wrap around. */
export const MAXIMUM_TILES = 1 << 24;

/** The most tiles of a program, which are counted together. */
export const MAXIMUM_PROGRAM_TILES = 1 << 30;

export interface Step {
  readonly kernel: number;
  readonly args: number;
  /** Units of work; the kernel is called for ranges of them. Default 1. */
  readonly tiles?: number;
  /** The kernel is called for tiles firstTile to firstTile + tiles − 1. Default 0. */
  readonly firstTile?: number;
  /** Tiles per call, at least 1; default: all. Fixes how work is split, so results do not depend on thread timing. */
  readonly grain?: number;
  readonly leaderOnly?: boolean;
  readonly barrier?: boolean;
}

export function programBytes(steps: number): number {
  return steps * STEP_BYTES;
}

/** Writes steps at `address`, a multiple of 4 in a block of `programBytes(steps.length)`. Throws RangeError. */
export function writeProgram(words: Int32Array, address: number, steps: readonly Step[]): void {
  let at = address >>> 2;
  let total = 0;
  words.fill(0, at, at + steps.length * STEP_WORDS);
  for (const [index, step] of steps.entries()) {
    const { kernel, args, tiles = 1, grain = tiles } = step;
    if (!Number.isInteger(tiles) || tiles < 0 || tiles > MAXIMUM_TILES)
      throw new RangeError(`step ${index} has ${tiles} tiles`);
    if (!Number.isInteger(grain) || grain < 0 || (grain === 0 && tiles > 0))
      throw new RangeError(`step ${index} has grain ${grain}`);
    total += tiles;
    if (total > MAXIMUM_PROGRAM_TILES) throw new RangeError(`the program has more than ${MAXIMUM_PROGRAM_TILES} tiles`);
    words[at + stepWord.kernel] = kernel;
    words[at + stepWord.args] = args;
    words[at + stepWord.tiles] = tiles;
    words[at + stepWord.firstTile] = step.firstTile ?? 0;
    words[at + stepWord.grain] = Math.max(1, Math.min(grain, tiles));
    words[at + stepWord.flags] = (step.leaderOnly ? stepFlag.leaderOnly : 0) | (step.barrier ? stepFlag.barrier : 0);
    at += STEP_WORDS;
  }
}

/** Gives a step of a program that was written another number of tiles; see `Step`. */
export function rewriteStep(
  words: Int32Array,
  address: number,
  index: number,
  { tiles, grain, leaderOnly }: { readonly tiles: number; readonly grain: number; readonly leaderOnly: boolean },
): void {
  const at = (address >>> 2) + index * STEP_WORDS;
  words[at + stepWord.tiles] = tiles;
  words[at + stepWord.grain] = Math.max(1, Math.min(grain, tiles));
  const flags = words[at + stepWord.flags] & ~stepFlag.leaderOnly;
  words[at + stepWord.flags] = flags | (leaderOnly ? stepFlag.leaderOnly : 0);
}

/** Makes steps [first, last) ready to run again. No thread may be in them. */
export function resetCounters(words: Int32Array, address: number, first: number, last: number): void {
  const begin = (address >>> 2) + stepWord.counter;
  for (let step = first; step < last; step++) words[begin + step * STEP_WORDS] = 0;
}

/** Tiles to hand out at once: enough for about 10 µs, but at least four portions for each thread. */
export function grainOf(tiles: number, tileNanoseconds: number, threads: number): number {
  const enough = Math.ceil(10_000 / tileNanoseconds);
  const share = Math.ceil(tiles / (4 * threads));
  return Math.max(1, Math.min(enough, share));
}
