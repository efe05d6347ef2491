// Plain text for the terminal: columns, sizes and durations.

/** Columns padded with spaces; columns whose index is in `right` are aligned to the right. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => (right.includes(at) ? cell.padStart(widths[at]) : cell.padEnd(widths[at])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatBytes(bytes: number): string {
  return formatScaled(bytes, 'B');
}

/** Operations on numbers, whatever their type. */
export function formatFlops(flops: number): string {
  return formatScaled(flops, 'FLOP');
}

/** Three significant digits beyond a thousand. */
function formatScaled(amount: number, unit: string): string {
  if (amount < 1000) return `${Math.round(amount)} ${unit}`;
  const prefixes = ['k', 'M', 'G', 'T', 'P'];
  let value = amount / 1000;
  let step = 0;
  while (value >= 999.5 && step < prefixes.length - 1) {
    value /= 1000;
    step++;
  }
  return `${value.toPrecision(3)} ${prefixes[step]}${unit}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** At least three significant digits, never an exponent. */
export function formatMilliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(3);
}

export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
