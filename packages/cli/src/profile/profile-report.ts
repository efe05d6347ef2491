// The tables of `onnx-ts profile`.

import { formatMilliseconds, formatTable } from '../terminal/table.ts';
import { type MachineRates, shareOfLimit } from './machine-rates.ts';
import type { KernelTime, TraceSummary } from './summarize-trace.ts';

const barWidth = 20;

/** Nodes named for a kernel. */
const shownNodes = 3;

/** @param top kernels to list */
export function profileText(summary: TraceSummary, rates: MachineRates | undefined, top: number): string {
  const { kernels, overheadMs } = summary;
  const longest = kernels[0]?.ms ?? 0;
  // Not the median run: on a busy machine interruptions hit each run somewhere else.
  const together = sumOf(kernels) + overheadMs;
  const shown = kernels.slice(0, top);
  const rows = shown.map((kernel) => [
    `${formatMilliseconds(kernel.ms)} ms`,
    percent(kernel.ms / together),
    barOf(longest > 0 ? kernel.ms / longest : 0),
    ...rateCells(kernel, rates),
    kernel.kind,
    `${kernel.launches > 1 ? `${kernel.launches} × ` : ''}${nodesText(kernel.nodes)}`,
  ]);
  const header = ['time', 'share', '', 'GFLOP/s', 'GB/s', ...(rates ? ['of limit'] : []), 'kind', 'nodes'];
  const right = rates ? [0, 1, 3, 4, 5] : [0, 1, 3, 4];
  const rest = kernels.length - shown.length;
  const more = rest > 0 ? `\nand ${rest} more, ${formatMilliseconds(sumOf(kernels.slice(top)))} ms together` : '';
  return `${formatTable([header, ...rows], right)}${more}\n\n${totalsTable(summary, together, rates)}`;
}

function totalsTable({ kernels, runMs, overheadMs }: TraceSummary, together: number, rates?: MachineRates): string {
  const kinds = new Map<string, { ms: number; flops: number; bytes: number; launches: number }>();
  for (const kernel of kernels) {
    const total = kinds.get(kernel.kind) ?? { ms: 0, flops: 0, bytes: 0, launches: 0 };
    kinds.set(kernel.kind, total);
    for (const figure of ['ms', 'flops', 'bytes', 'launches'] as const) total[figure] += kernel[figure];
  }
  const rows = [...kinds]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([kind, total]) => [
      kind,
      String(total.launches),
      `${formatMilliseconds(total.ms)} ms`,
      percent(total.ms / together),
      ...rateCells(total, rates),
    ]);
  const blank = rates ? ['', '', ''] : ['', ''];
  rows.push(['host overhead', '', `${formatMilliseconds(overheadMs)} ms`, percent(overheadMs / together), ...blank]);
  rows.push(['together', '', `${formatMilliseconds(together)} ms`, '', ...blank]);
  rows.push(['median run', '', `${formatMilliseconds(runMs)} ms`, '', ...blank]);
  const header = ['kind', 'launches', 'time', 'share', 'GFLOP/s', 'GB/s', ...(rates ? ['of limit'] : [])];
  return formatTable([header, ...rows], [1, 2, 3, 4, 5, 6]);
}

type Timed = Pick<KernelTime, 'ms' | 'flops' | 'bytes'>;

function rateCells({ ms, flops, bytes }: Timed, rates: MachineRates | undefined): string[] {
  const isCounted = ms > 0 && (flops > 0 || bytes > 0);
  const cells = [flops, bytes].map((amount) => (isCounted ? (amount / ms / 1e6).toPrecision(3) : ''));
  if (rates) cells.push(isCounted ? percent(shareOfLimit(flops, bytes, ms, rates)) : '');
  return cells.map((cell) => (cell.includes('e') ? Number(cell).toFixed(0) : cell));
}

function sumOf(kernels: readonly KernelTime[]): number {
  return kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
}

function percent(fraction: number): string {
  const value = 100 * fraction;
  return `${value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

function barOf(fraction: number): string {
  return '█'.repeat(Math.round(fraction * barWidth));
}

function nodesText(nodes: readonly string[]): string {
  const rest = nodes.length - shownNodes;
  return `${nodes.slice(0, shownNodes).join(' + ')}${rest > 0 ? ` + ${rest} more` : ''}`;
}
