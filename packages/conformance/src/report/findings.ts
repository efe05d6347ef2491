// What the cases together show that none of them shows alone.

/**
 * @param claimed operators of which the provider took a node
 * @param exercised operators that it ran with right results
 */
export function findingsOf(claimed: ReadonlySet<string>, exercised: ReadonlySet<string>): string[] {
  return [...claimed]
    .filter((op) => !exercised.has(op))
    .sort()
    .map((op) => `it takes ${op}, and no case has seen it run right`);
}
