import type { Command } from 'commander';
import { inspectModel, type ModelReport } from '../model/inspect-model.ts';
import { readModelFile } from '../model/model-file.ts';
import type { ProviderSupport } from '../model/provider-support.ts';
import { parseDimSizes, withDims } from '../options.ts';
import { knownProviders, parseProviders } from '../providers.ts';
import { formatBytes, formatCount, formatTable, plural } from '../terminal/table.ts';

interface InspectOptions {
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly json?: boolean;
}

const details = `
Weights in other files are not read and may be missing.
Memory: weights, and the largest sum of values alive at once when nodes run one after the other and nothing is fused;
sizes that are symbols need --dim. Providers are asked about the graph after folding and expansion of composites.`;

export function addInspectCommand(program: Command): void {
  const command = program
    .command('inspect')
    .summary('inputs, outputs, operators, parameters, memory, and what providers support')
    .description('Tells what a model is made of, without its external weights, and which provider supports what.')
    .argument('<model>', 'a .onnx file');
  withDims(command)
    .option('-p, --provider <ids>', 'providers to ask', knownProviders.join(','))
    .option('--json', 'print all of it as JSON')
    .addHelpText('after', details)
    .action(async (path: string, options: InspectOptions) => {
      const providers = parseProviders(options.provider);
      const report = await inspectModel(readModelFile(path), path, parseDimSizes(options.dim), providers);
      console.log(options.json ? JSON.stringify(report, null, 1) : reportText(report));
    });
}

function reportText(report: ModelReport): string {
  const { parameters, memory, problems } = report;
  const opsets = Object.entries(report.opsets).map(([domain, version]) => `${domain} ${version}`);
  const nodeCount = Object.values(report.operators).reduce((sum, count) => sum + count, 0);
  const byDType = Object.entries(parameters.byDType).map(([dtype, entry]) => [
    dtype,
    plural(entry.tensors, 'tensor'),
    formatCount(entry.elements),
    formatBytes(entry.bytes),
  ]);
  const files = report.externalData.map(
    ({ file, bytes, found }) => `${file}, ${formatBytes(bytes)}${found ? '' : ' (missing)'}`,
  );
  const sections: (readonly [string, string])[] = [
    [
      'model',
      formatTable([
        ['producer', report.producer || 'not stated'],
        ['IR version', String(report.irVersion)],
        ['operator sets', opsets.join(', ')],
        ...(report.functions.length > 0 ? [['functions', report.functions.join(', ')]] : []),
        ...Object.entries(report.metadata).map(([key, value]) => [key, value.split('\n')[0].slice(0, 80)]),
      ]),
    ],
    ['inputs', formatTable(report.inputs.map(({ name, type }) => [name, type]))],
    ['outputs', formatTable(report.outputs.map(({ name, type }) => [name, type]))],
    [`operators (${plural(nodeCount, 'node')})`, operatorColumns(report.operators)],
    [
      `parameters (${formatCount(parameters.elements)} in ${plural(parameters.tensors, 'tensor')}, ${formatBytes(parameters.bytes)})`,
      formatTable(byDType, [1, 2, 3]),
    ],
    ['external data', files.join('\n')],
    ['memory', memoryText(memory)],
    ['problems', problemsText(report)],
    ['providers', report.providers.map((support) => supportText(support, problems.length > 0)).join('\n')],
  ];
  return sections
    .filter(([, text]) => text !== '')
    .map(([title, text]) => `${title}\n${indent(text)}`)
    .join('\n\n');
}

function operatorColumns(operators: Readonly<Record<string, number>>): string {
  const entries = Object.entries(operators).map(([op, count]) => [op, String(count)]);
  const columns = entries.length > 12 ? 3 : 1;
  const rows = Math.ceil(entries.length / columns);
  const table = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => entries[column * rows + row] ?? ['', '']).flat(),
  );
  return formatTable(table, [1, 3, 5]);
}

function memoryText({ weights, activations, missingDims }: ModelReport['memory']): string {
  const rows = [['weights', formatBytes(weights)]];
  if (activations !== undefined) {
    rows.push(['activations', formatBytes(activations)], ['together', formatBytes(weights + activations)]);
  } else if (missingDims.length > 0) {
    rows.push([
      'activations',
      `depend on ${missingDims.join(', ')}: give ${missingDims.map((dim) => `--dim ${dim}=N`).join(' ')}`,
    ]);
  } else rows.push(['activations', 'not known before the model runs']);
  return formatTable(rows);
}

/** One line for each reason. */
function problemsText({ problems, blockedNodes }: ModelReport): string {
  const groups = new Map<string, { op: string; count: number; reason: string }>();
  for (const { op, reason, code } of problems) {
    const key = `${op} ${code === 'UNKNOWN_OPERATOR' ? code : reason}`;
    const group = groups.get(key) ?? { op, count: 0, reason };
    group.count++;
    groups.set(key, group);
  }
  const lines = [...groups.values()].map(({ op, count, reason }) => `${op} × ${count}: ${reason}`);
  if (blockedNodes > 0) lines.push(`${plural(blockedNodes, 'node')} that depend on these could not be looked at`);
  return lines.join('\n');
}

function supportText({ id, device, reason, nodes, refused }: ProviderSupport, incomplete: boolean): string {
  if (device === undefined) return `${id}: cannot be used here: ${reason}`;
  const refusedCount = refused.reduce((sum, entry) => sum + entry.nodes, 0);
  const parts = [
    `${nodes.provider} run on it`,
    `${nodes.late} are compiled at run time`,
    `${nodes.host - refusedCount} belong to the host`,
    `${nodes.vanished} are sizes`,
    `${refusedCount} not supported`,
  ].filter((part) => !part.startsWith('0 ') || part.endsWith('not supported'));
  const total = nodes.provider + nodes.late + nodes.host + nodes.vanished;
  const head = `${id} (${device}${reason ? `; ${reason}` : ''}): of ${plural(total, 'node')}${incomplete ? ' that could be looked at' : ''}, ${parts.join(', ')}`;
  return [head, ...refused.map((entry) => `  ${entry.op} × ${entry.nodes}: ${entry.reason}`)].join('\n');
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}
