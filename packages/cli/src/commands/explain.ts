import type { Explanation } from '@onnx-ts/core';
import type { Command } from 'commander';
import { openSession } from '../model/open-session.ts';
import { parseDimSizes, withDims, withProviders } from '../options.ts';
import { formatTable, plural } from '../terminal/table.ts';

interface ExplainOptions {
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly threads?: number;
  readonly text?: boolean;
  readonly json?: boolean;
}

const details = `
Steps are shown in the order in which they run: partitions with their kernels (kind, and the nodes each one does the work
of), nodes that run on the host with the reason, and the values copied to where a step runs.`;

export function addExplainCommand(program: Command): void {
  const command = program
    .command('explain')
    .summary('what runs where: partitions, kernels, copies, and why')
    .description('Compiles a model and tells what would run where, and why.')
    .argument('<model>', 'a .onnx file');
  withProviders(withDims(command))
    .option('--text', 'print the text of each kernel too')
    .option('--json', 'print all of it as JSON')
    .addHelpText('after', details)
    .action(async (path: string, options: ExplainOptions) => {
      const session = await openSession(path, { ...options, dims: parseDimSizes(options.dim) });
      try {
        const explanation = session.explain();
        console.log(
          options.json ? JSON.stringify(explanation, null, 1) : explanationText(explanation, options.text ?? false),
        );
        if (!options.json)
          console.log(`\nmemory: ${plural(session.memory().bytesInUse, 'byte')} held by the providers`);
      } finally {
        await session.dispose();
      }
    });
}

type Step = Explanation['steps'][number];

function explanationText({ providers, steps, vanished }: Explanation, withText: boolean): string {
  const lines = providers.map(({ id, device, note }) => `provider ${id}: ${device}${note ? ` (${note})` : ''}`);
  const partitions = steps.filter((step) => step.place === 'provider');
  const kernels = partitions.reduce((sum, step) => sum + (step.kernels?.length ?? 0), 0);
  const others = steps.length - partitions.length;
  lines.push(
    `${plural(partitions.length, 'partition')} with ${plural(kernels, 'kernel')}, ${plural(others, 'step')} on the host, ` +
      `${plural(vanished.length, 'node')} vanished into sizes`,
  );
  for (const [at, step] of steps.entries()) lines.push('', `step ${at}: ${headOf(step)}`, ...bodyOf(step, withText));
  return lines.join('\n');
}

function headOf(step: Step): string {
  if (step.place === 'provider') {
    return `partition on ${step.provider}: ${plural(step.nodes.length, 'node')}, ${plural(step.kernels?.length ?? 0, 'kernel')}`;
  }
  const where = { host: 'host', control: 'control flow', late: 'compiled at run time' }[step.place];
  const nodes = step.nodes.map((node) => `${node.op} "${node.name}"`).join(', ');
  return `${where}: ${nodes}${step.reason ? `: ${step.reason}` : ''}`;
}

function bodyOf(step: Step, withText: boolean): string[] {
  const lines = step.copiesIn.length > 0 ? [`  copied in: ${step.copiesIn.join(', ')}`] : [];
  const rows = (step.kernels ?? []).map((kernel, at) => [`  ${at}`, kernel.kind, kernel.nodes.join(' + ')]);
  if (!withText) return rows.length > 0 ? [...lines, formatTable(rows, [0])] : lines;
  for (const [at, kernel] of (step.kernels ?? []).entries()) {
    lines.push(rows[at].join('  '));
    if (kernel.text) lines.push(kernel.text.replaceAll(/^/gm, '      '));
  }
  return lines;
}
