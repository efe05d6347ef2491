/** Lines listed of a difference. */
const shownLines = 20;

/**
 * A summary of how the lines of two Markdown texts differ, whatever their order. How tables are padded does not count: that
 * is up to formatters.
 * @returns undefined when the texts are equal
 */
export function textDifference(first: string, second: string): string | undefined {
  const [before, after] = [withoutPadding(first), withoutPadding(second)];
  if (before === after) return undefined;
  const lines = [
    ...linesMissing(before, after).map((line) => `- ${line}`),
    ...linesMissing(after, before).map((line) => `+ ${line}`),
  ];
  if (lines.length === 0) return 'lines are in another order';
  const shown = lines.slice(0, shownLines);
  if (lines.length > shownLines) shown.push(`and ${lines.length - shownLines} more lines`);
  return shown.join('\n');
}

function withoutPadding(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll(/ {2,}/g, ' ').replaceAll(/-{2,}/g, '--');
}

function linesMissing(from: string, other: string): string[] {
  const there = new Set(other.split('\n'));
  return from.split('\n').filter((line) => !there.has(line));
}
