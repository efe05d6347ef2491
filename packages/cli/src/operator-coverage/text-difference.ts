/** Lines listed of a difference. */
const shownLines = 20;

/**
 * A summary of how the lines of two texts differ, whatever their order.
 * @returns undefined when the texts are equal
 */
export function textDifference(before: string, after: string): string | undefined {
  if (before === after) return undefined;
  const lines = [
    ...linesMissing(before, after).map((line) => `- ${line}`),
    ...linesMissing(after, before).map((line) => `+ ${line}`),
  ];
  if (lines.length === 0) return 'the order of lines or their ends differ';
  const shown = lines.slice(0, shownLines);
  if (lines.length > shownLines) shown.push(`and ${lines.length - shownLines} more lines`);
  return shown.join('\n');
}

function linesMissing(from: string, other: string): string[] {
  const there = new Set(other.split('\n'));
  return from.split('\n').filter((line) => !there.has(line));
}
