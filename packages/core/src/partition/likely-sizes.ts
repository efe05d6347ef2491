// Sizes to plan for where a model leaves them open.

/** Names of sizes that are usually 1: how many independent samples there are. */
const batchName = /^(n|b|bs|batch.*|.*_batch|num_samples|s0)$/i;

/** What any other size is taken to be. */
const usualSize = 128;

/** The sizes that were told, and a guess for all others. */
export class LikelySizes extends Map<string, number> {
  override get(name: string): number {
    return super.get(name) ?? (batchName.test(name) ? 1 : usualSize);
  }

  override has(_name: string): boolean {
    return true;
  }
}
