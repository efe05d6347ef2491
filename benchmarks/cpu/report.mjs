// The measured cells as Markdown: times with bars, geometric means by group, creation of sessions, memory.

import { groups, groupsOf } from './cells.mjs';

const barWidth = 24;
/** The bar's full width: this many times as slow as the peer. */
const widest = 2;

/** @param store what run.mjs writes: `{ machine, limits, records }` */
export function reportText({ machine, limits, records, creation = [] }) {
  const counts = [...new Set(records.map(({ threads }) => threads))].sort((a, b) => a - b);
  const all = [...records, ...creation];
  const dates = all.map(({ date }) => date).sort();
  const versions = new Map(all.flatMap(({ runtimes }) => runtimes.map(({ name, version }) => [name, version])));
  const peers = [...versions].filter(([, version]) => version !== '').map((entry) => entry.join(' '));
  const text = [
    '# The CPU provider beside its peers',
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node.replace(/^v/, '')}; ${dates[0]} to ${dates.at(-1)}; ${peers.join(', ')}. Made by \`npm run benchmark:cpu\`; the figures are in the JSON file beside this one.`,
    'Median milliseconds of a run; *ours/peer* is the ratio of the medians, so below 1 onnx-ts is faster. A bar of full width is twice the time of the peer.',
  ];
  if (limits.length > 0) {
    text.push('## What the machine allows');
    text.push(
      markdownTable(
        ['threads', 'float32 multiply-adds', 'copy'],
        limits.map(({ threads, gflops, gigabytes }) => [
          String(threads),
          `${gflops.toFixed(1)} GFLOP/s`,
          `${gigabytes.toFixed(1)} GB/s`,
        ]),
      ),
    );
  }
  for (const threads of counts) {
    const cells = records.filter((record) => record.threads === threads);
    text.push(`## ${threads === 1 ? 'One thread' : `${threads} threads`}`);
    text.push(meansText(cells));
    text.push(timesText(cells));
  }
  const failures = records.flatMap((record) => record.failures.map((failure) => ({ ...record, ...failure })));
  if (failures.length > 0) {
    text.push('## Failures');
    text.push(
      failures
        .map(
          ({ model, case: name, threads, runtime, reason }) =>
            `- ${model} ${name}, ${threads} threads, ${runtime}: ${reason.split('\n')[0]}`,
        )
        .join('\n'),
    );
  }
  if (creation.length > 0) text.push('## Creating a session, and memory', ...creationText(creation));
  return `${text.join('\n\n')}\n`;
}

/** @param cells of one case for each model */
function creationText(cells) {
  const sorted = [...cells].sort(byName);
  const kinds = ['own', 'warm', 'web', 'node'];
  const table = (columns, figuresOf) =>
    codeBlock(
      textTable(
        ['', ...columns],
        sorted.map((cell) => [cell.model, ...figuresOf(createdBy(cell))]),
        columns.map((_, at) => at + 1),
      ),
    );
  const ratio = (a, b, figure) => (a && b ? a[figure] / b[figure] : undefined);
  const ratios = {
    'cold/web': ({ own, web }) => ratio(own, web, 'loadMs'),
    'warm/web': ({ warm, web }) => ratio(warm, web, 'loadMs'),
    'cold/node': ({ own, node }) => ratio(own, node, 'loadMs'),
    'warm/node': ({ warm, node }) => ratio(warm, node, 'loadMs'),
    'memory/web': ({ own, web }) => ratio(own, web, 'peakBytes'),
  };
  const means = Object.entries(ratios).flatMap(([name, of]) => {
    const values = sorted.map((cell) => of(createdBy(cell))).filter((value) => value !== undefined);
    if (values.length === 0) return [];
    const mean = Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
    return [[name, String(values.length), mean.toFixed(2), barOf(mean), Math.max(...values).toFixed(2)]];
  });
  const two = (value) => value?.toFixed(2) ?? '-';
  const time = (runtime, figure) => (runtime ? milliseconds(runtime[figure]) : '-');
  return [
    'From the call to the session, the model in the page cache, each in a process of its own: medians. *Warm* is onnx-ts with a store (see docs/artifacts.md) that has the session; *cpu* is the processor time of all threads. Memory is the most that the process held until its first run was over, Node itself (about 60 MB) included.',
    codeBlock(textTable(['', 'models', 'geometric mean', '', 'worst'], means, [1, 2, 4])),
    'Milliseconds to create a session:',
    table(
      ['cold', 'warm', 'web', 'node', 'cold cpu', 'warm cpu', 'web cpu', 'node cpu', 'cold/web', 'warm/web'],
      (by) => [
        ...['loadMs', 'loadCpuMs'].flatMap((figure) => kinds.map((kind) => time(by[kind], figure))),
        two(ratios['cold/web'](by)),
        two(ratios['warm/web'](by)),
      ],
    ),
    'Milliseconds of the first run, and memory in MB:',
    table(['cold', 'warm', 'web', 'node', 'cold MB', 'warm MB', 'web MB', 'node MB', 'memory/web'], (by) => [
      ...kinds.map((kind) => time(by[kind], 'firstRunMs')),
      ...kinds.map((kind) => (by[kind] ? (by[kind].peakBytes / 1e6).toFixed(0) : '-')),
      two(ratios['memory/web'](by)),
    ]),
  ];
}

function createdBy(cell) {
  return { ...runtimesOf(cell), warm: cell.runtimes.find(({ name }) => name === 'onnx-ts warm') };
}

/** Figures of a cell by runtime: `own`, `web`, `node`. */
export function runtimesOf({ runtimes }) {
  const find = (start) => runtimes.find(({ name }) => name.startsWith(start));
  return { own: find('onnx-ts'), web: find('onnxruntime-web'), node: find('onnxruntime-node') };
}

/**
 * ours/peer of a cell; undefined without the peer. Where other processes took part of the processor, which shows with one
 * thread, it is that of processor times.
 */
function ratioOf(cell, peer) {
  const { own, [peer]: other } = runtimesOf(cell);
  if (!own || !other) return undefined;
  return isDisturbed(cell) ? own.cpuMs / other.cpuMs : own.p50Ms / other.p50Ms;
}

function isDisturbed({ threads, runtimes }) {
  return threads === 1 && runtimes.some(({ p50Ms, cpuMs }) => p50Ms > 1.1 * cpuMs);
}

/** Geometric mean and worst of ours/peer over the cells that have both; undefined when none has. */
export function meanRatio(cells, peer) {
  const ratios = cells.map((cell) => ratioOf(cell, peer)).filter((ratio) => ratio !== undefined);
  if (ratios.length === 0) return undefined;
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  return { mean, worst: Math.max(...ratios), count: ratios.length };
}

/** Geometric means of ours/peer by group. */
export function meansText(cells) {
  const rows = groups.flatMap((group) => {
    const members = cells.filter((cell) => groupsOf(cell).includes(group));
    return ['web', 'node'].flatMap((peer) => {
      const ratio = meanRatio(members, peer);
      if (!ratio) return [];
      return [
        [
          group,
          `onnxruntime-${peer}`,
          String(ratio.count),
          ratio.mean.toFixed(2),
          barOf(ratio.mean),
          ratio.worst.toFixed(2),
        ],
      ];
    });
  });
  return codeBlock(textTable(['group', 'peer', 'cases', 'geometric mean of ours/peer', '', 'worst'], rows, [2, 3, 5]));
}

/** Median milliseconds of each cell, with ratios. */
export function timesText(cells) {
  const rows = [...cells].sort(byName).map((cell) => {
    const { own, web, node } = runtimesOf(cell);
    const disturbed = isDisturbed(cell);
    const timeOf = (runtime) => (runtime ? milliseconds(disturbed ? runtime.cpuMs : runtime.p50Ms) : '-');
    return [
      `${cell.model} ${cell.case}${disturbed ? ' ~' : ''}`,
      ...[own, web, node].map(timeOf),
      ...['web', 'node'].flatMap((peer) => {
        const ratio = ratioOf(cell, peer);
        return ratio === undefined ? ['-', ''] : [ratio.toFixed(2), barOf(ratio)];
      }),
    ];
  });
  const table = textTable(['', 'onnx-ts', 'web', 'node', 'ours/web', '', 'ours/node', ''], rows, [1, 2, 3, 4, 6]);
  const note = cells.some(isDisturbed) ? '\n\n~ the machine was busy: processor time instead of time' : '';
  return codeBlock(table + note);
}

function byName(a, b) {
  return `${a.model} ${a.case}`.localeCompare(`${b.model} ${b.case}`);
}

function milliseconds(value) {
  return value < 100 ? value.toPrecision(3) : value.toFixed(0);
}

/** Eighths of a character, so that small differences show. */
function barOf(ratio) {
  const eighths = Math.max(1, Math.round((Math.min(ratio, widest) / widest) * barWidth * 8));
  const rest = eighths % 8;
  return '█'.repeat(Math.floor(eighths / 8)) + (rest > 0 ? '▏▎▍▌▋▊▉'[rest - 1] : '') + (ratio > widest ? '›' : '');
}

function textTable(header, rows, right) {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) =>
    row
      .map((cell, column) => (right.includes(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}

function markdownTable(header, rows) {
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function codeBlock(text) {
  return `\`\`\`text\n${text}\n\`\`\``;
}
