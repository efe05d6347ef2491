import type { ExplainedStep, Explanation, InferenceSession } from '@onnx-ts/core';
import type { Command } from 'commander';
import { openSession } from '../model/open-session.ts';
import { parseDimSizes, withDims, withProviders } from '../options.ts';
import { formatBytes, formatFlops, formatMilliseconds, formatTable, plural } from '../terminal/table.ts';

interface ExplainOptions {
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly threads?: number;
  readonly kernels?: boolean;
  readonly graph?: boolean;
  readonly json?: boolean;
}

type Kernel = NonNullable<ExplainedStep['kernels']>[number];

const details = `
Steps are shown in the order in which they run: partitions with their kernels, nodes that run on the host with the reason,
and the values copied to where a step runs. A line of a kernel is its kind, its work (where all sizes are known), and the
nodes that it does the work of. Kernels "at load" depend on weights alone: they run once.

Memory, copies and estimates need all sizes: give --dim for those that are symbols. "Least" is the largest sum of
intermediate results alive at once: no plan can do with less. Estimates come from counting operations and bytes and from
the typical rates of the provider, not from a measurement; see "onnx-ts profile" for that.`;

export function addExplainCommand(program: Command): void {
  const command = program
    .command('explain')
    .summary('what runs where: partitions, kernels, copies, memory, costs, and why')
    .description('Compiles a model and tells what would run where, and why.')
    .argument('<model>', 'a .onnx file');
  withProviders(withDims(command))
    .option('--kernels', 'print the tensor expressions of each kernel too')
    .option('--graph', 'print the graph too, as it is after all rewrites')
    .option('--json', 'print all of it as JSON')
    .addHelpText('after', details)
    .action(async (path: string, options: ExplainOptions) => {
      const dims = parseDimSizes(options.dim);
      const session = await openSession(path, { ...options, dims });
      try {
        const explanation = session.explain({ dims });
        const withText = options.kernels ?? false;
        console.log(
          options.json
            ? JSON.stringify(explanationRecord(explanation, withText), null, 1)
            : explanationText(explanation, withText, missingDims(session)),
        );
        if (options.graph && !options.json) console.log(`\n${explanation.graphText()}`);
      } finally {
        await session.dispose();
      }
    });
}

/** Names of sizes that inputs leave open. */
function missingDims(session: InferenceSession): string[] {
  const names = new Set<string>();
  for (const input of session.inputMetadata) {
    if (!input.isTensor) continue;
    for (const size of input.shape ?? []) if (typeof size === 'string' && /^[\w.]+$/.test(size)) names.add(size);
  }
  return [...names];
}

function explanationRecord({ providers, steps, vanished }: Explanation, withText: boolean) {
  return { providers, steps: steps.map((step) => stepRecord(step, withText)), vanished };
}

function stepRecord({ kernels, copiesIn, copiedBytes, bodies, ...step }: ExplainedStep, withText: boolean): object {
  return {
    ...step,
    copiesIn: copiesIn.map((value, at) => ({ value, bytes: copiedBytes[at] ?? null })),
    ...(kernels && { kernels: kernels.map((kernel) => kernelRecord(kernel, withText)) }),
    ...(bodies && {
      bodies: bodies.map((body) => ({
        name: body.name,
        steps: body.steps.map((inner) => stepRecord(inner, withText)),
      })),
    }),
  };
}

function kernelRecord({ name, kind, nodes, atLoad, flops, bytes, ...kernel }: Kernel, withText: boolean) {
  return { name, kind, nodes, atLoad: atLoad ?? false, flops, bytes, ...(withText && { text: kernel.text }) };
}

function explanationText(explanation: Explanation, withText: boolean, missing: readonly string[]): string {
  const { providers, steps, vanished } = explanation;
  const lines = providers.map(({ id, device, note }) => `provider ${id}: ${device}${note ? ` (${note})` : ''}`);
  const partitions = steps.filter((step) => step.place === 'provider');
  const others = steps.length - partitions.length;
  lines.push(
    `${plural(partitions.length, 'partition')} with ${kernelCount(partitions.flatMap((step) => step.kernels ?? []))}, ` +
      `${plural(others, 'step')} elsewhere, ${plural(vanished.length, 'node')} vanished into sizes`,
    '',
    formatTable(totals(partitions, missing)),
  );
  lines.push(...stepLines(steps, withText));
  return lines.join('\n');
}

function stepLines(steps: readonly ExplainedStep[], withText: boolean): string[] {
  return steps.flatMap((step, at) => {
    const lines = ['', `step ${at}: ${headOf(step)}`, ...bodyOf(step, withText)];
    for (const { name, steps: inner } of step.bodies ?? []) {
      lines.push(`  ${name}:`, ...stepLines(inner, withText).map((line) => line.replaceAll(/^(?=.)/gm, '    ')));
    }
    return lines;
  });
}

function kernelCount(kernels: readonly Kernel[]): string {
  const atLoad = kernels.filter((kernel) => kernel.atLoad).length;
  return `${plural(kernels.length - atLoad, 'kernel')}${atLoad > 0 ? ` and ${atLoad} at load` : ''}`;
}

/** Sum over steps, when each of them has the figure. */
function sumOf(
  steps: readonly ExplainedStep[],
  figure: (step: ExplainedStep) => number | undefined,
): number | undefined {
  let sum = 0;
  for (const step of steps) {
    const value = figure(step);
    if (value === undefined) return undefined;
    sum += value;
  }
  return sum;
}

function totals(partitions: readonly ExplainedStep[], missing: readonly string[]): string[][] {
  const rows: string[][] = [];
  const weights = sumOf(partitions, (step) => step.weightBytes);
  if (weights !== undefined) rows.push(['weights', formatBytes(weights)]);
  // Partitions run one after the other in the same memory.
  const scratch = sumOf(partitions, (step) => step.scratchBytes) === undefined ? undefined : largest(partitions);
  if (scratch) {
    rows.push(['arena', arenaText(scratch)]);
  } else if (partitions.length > 0) {
    const hint = missing.map((name) => `--dim ${name}=N`).join(' ');
    rows.push(['arena', hint ? `depends on sizes: give ${hint}` : 'depends on sizes that only a run can tell']);
  }
  const cost = costText(
    sumOf(partitions, (step) => step.cost?.flops),
    sumOf(partitions, (step) => step.cost?.bytes),
    sumOf(partitions, (step) => step.cost?.seconds),
  );
  if (cost) rows.push(['estimate', cost]);
  return rows;
}

function largest(partitions: readonly ExplainedStep[]): ExplainedStep | undefined {
  return [...partitions].sort((a, b) => (b.scratchBytes ?? 0) - (a.scratchBytes ?? 0))[0];
}

function arenaText({ scratchBytes = 0, scratchLowerBound }: ExplainedStep): string {
  if (scratchLowerBound === undefined) return formatBytes(scratchBytes);
  const waste = scratchLowerBound > 0 ? (100 * (scratchBytes - scratchLowerBound)) / scratchLowerBound : 0;
  return `${formatBytes(scratchBytes)} (least ${formatBytes(scratchLowerBound)}, ${waste.toFixed(1)} % more)`;
}

function costText(flops?: number, bytes?: number, seconds?: number): string | undefined {
  if (flops === undefined || bytes === undefined || seconds === undefined) return undefined;
  return `${formatFlops(flops)}, ${formatBytes(bytes)} moved, about ${formatMilliseconds(seconds * 1000)} ms`;
}

function headOf(step: ExplainedStep): string {
  if (step.place === 'provider') {
    return `partition on ${step.provider}: ${plural(step.nodes.length, 'node')}, ${kernelCount(step.kernels ?? [])}`;
  }
  const where = { host: 'host', control: 'control flow', late: 'compiled at run time' }[step.place];
  const nodes = step.nodes.map((node) => `${node.op} "${node.name}"`).join(', ');
  return `${where}: ${nodes}${step.reason ? `: ${step.reason}` : ''}`;
}

function bodyOf(step: ExplainedStep, withText: boolean): string[] {
  const lines: string[] = [];
  const facts = [
    ...(step.weightBytes === undefined ? [] : [`weights ${formatBytes(step.weightBytes)}`]),
    ...(step.scratchBytes === undefined ? [] : [`arena ${arenaText(step)}`]),
    ...(step.cost ? [costText(step.cost.flops, step.cost.bytes, step.cost.seconds)!] : []),
  ];
  if (facts.length > 0) lines.push(`  ${facts.join('; ')}`);
  if (step.copiesIn.length > 0) {
    const copies = step.copiesIn.map((name, at) => {
      const bytes = step.copiedBytes[at];
      return bytes === undefined ? name : `${name} (${formatBytes(bytes)})`;
    });
    lines.push(`  copied in: ${copies.join(', ')}`);
  }
  const rows = (step.kernels ?? []).map((kernel, at) => {
    const [flops, bytes] = [kernel.flops?.constant, kernel.bytes?.constant];
    return [
      `  ${at}`,
      kernel.kind,
      flops === undefined ? '' : formatFlops(flops),
      bytes === undefined ? '' : formatBytes(bytes),
      `${kernel.atLoad ? '(at load) ' : ''}${kernel.nodes.join(' + ')}`,
    ];
  });
  if (rows.length === 0) return lines;
  const table = formatTable(rows, [0, 2, 3]);
  if (!withText) return [...lines, table];
  for (const [at, line] of table.split('\n').entries()) {
    const { text } = step.kernels![at];
    lines.push(line, ...(text ? [text.replaceAll(/^/gm, '      ')] : []));
  }
  return lines;
}
