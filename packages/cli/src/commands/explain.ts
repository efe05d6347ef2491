import { writeFileSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import type { ExplainedStep, Explanation, InferenceSession, PlacementReport, PlacementStrategy } from '@onnx-ts/core';
import type { Command } from 'commander';
import { openSession } from '../model/open-session.ts';
import { parseDimSizes, withDims, withPlacement } from '../options.ts';
import { planPage, planSvg } from '../picture/plan-page.ts';
import { formatBytes, formatFlops, formatMilliseconds, formatTable, plural } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';

interface ExplainOptions {
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly placement: PlacementStrategy;
  readonly pin?: readonly string[];
  readonly threads?: number;
  readonly kernels?: boolean;
  readonly graph?: boolean;
  readonly json?: boolean;
  readonly output?: string;
}

type Kernel = NonNullable<ExplainedStep['kernels']>[number];

const details = `
Steps are shown in the order in which they run: partitions with their kernels, nodes that run on the host with the reason,
and the values copied to where a step runs. A line of a kernel is its kind, its work (where all sizes are known), and the
nodes that it does the work of. Kernels "at load" depend on weights alone: they run once.

Memory, copies and estimates need all sizes: give --dim for those that are symbols. "Least" is the largest sum of
intermediate results alive at once: no plan can do with less. Estimates come from counting operations and bytes and from
the rates of the provider, not from a measurement of the model; see "onnx-ts profile" for that.

Where several providers can be used, the plan is the one with the least estimate, and each of them alone is shown beside
it. --output draws it: hover over a node for what it would cost elsewhere, and why not.`;

export function addExplainCommand(program: Command): void {
  const command = program
    .command('explain')
    .summary('what runs where: partitions, kernels, copies, memory, costs, and why')
    .description('Compiles a model and tells what would run where, and why.')
    .argument('<model>', 'a .onnx file');
  withPlacement(withDims(command))
    .option('--kernels', 'print the tensor expressions of each kernel too')
    .option('--graph', 'print the graph too, as it is after all rewrites')
    .option('--json', 'print all of it as JSON')
    .option('-o, --output <file>', 'draw what runs where: a page (.html) or a picture (.svg)')
    .addHelpText('after', details)
    .action(async (path: string, options: ExplainOptions) => {
      const dims = parseDimSizes(options.dim);
      const write = options.output === undefined ? undefined : pictureWriter(options.output);
      const session = await openSession(path, { ...options, dims });
      try {
        const explanation = session.explain({ dims });
        // Many models are called model.onnx.
        write?.(`${basename(dirname(resolve(path)))}/${basename(path)}`, explanation);
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

/** @throws UsageError for a file of another kind */
function pictureWriter(file: string): (title: string, explanation: Explanation) => void {
  const draw = { '.html': planPage, '.svg': planSvg }[extname(file).toLowerCase()];
  if (!draw) throw new UsageError(`--output wants a file NAME.html or NAME.svg, not "${file}"`);
  return (title, explanation) => writeFileSync(file, draw(title, explanation));
}

function placementLines({ seconds, compute, transfer, sync, isOptimal, alternatives }: PlacementReport): string[] {
  const text = (time: number): string => `${formatMilliseconds(time * 1000)} ms`;
  const parts = `${text(compute)} computing, ${text(transfer)} copies, ${text(sync)} hand-overs`;
  return [
    `estimate of this plan: ${text(seconds)} (${parts})${isOptimal ? '; no plan is better' : ''}`,
    ...alternatives.map(({ provider, seconds: alone }) => {
      return `estimate of ${provider} alone: ${alone === undefined ? 'not enough memory' : text(alone)}`;
    }),
  ];
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

function explanationRecord({ providers, placement, steps, vanished }: Explanation, withText: boolean) {
  return { providers, placement: placement ?? null, steps: steps.map((step) => stepRecord(step, withText)), vanished };
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
  const { providers, placement, steps, vanished } = explanation;
  const lines = providers.map(({ id, device, note, isUsed }) => {
    return `provider ${id}: ${device}${isUsed ? '' : ', not used'}${note ? ` (${note})` : ''}`;
  });
  if (placement) lines.push(...placementLines(placement));
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
