// Times of single operators on onnx-ts and onnxruntime, so that a slow one is known:
//
//   node operators.mjs [--only conv,einsum] [--threads 1] [--against onnxruntime-web] [--seconds 0.5] [--out <file>]
//
// `--only` takes parts of names of cases (see operator-cases.mjs). Outputs are compared before anything is timed, and then the
// runtimes take turns. Results go to results/operators.json after each case, with the table beside them as Markdown, worst
// first; cases that are not measured again are kept.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { nodeInputs, nodeModel } from './node-model.mjs';
import { operatorCases } from './operator-cases.mjs';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1' },
    against: { type: 'string', default: 'onnxruntime-web' },
    seconds: { type: 'string', default: '0.5' },
    out: { type: 'string', default: join(results, 'operators.json') },
  },
});
const tolerance = { max_over_absmax: 1e-4, mean_over_absmax: 1e-5 };
const out = resolve(values.out);

// The peers are dependencies of this folder.
process.chdir(here);
mkdirSync(dirname(out), { recursive: true });
const parts = values.only.split(',');
let records = existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : [];
for (const name of Object.keys(operatorCases)) {
  if (!parts.some((part) => name.includes(part))) continue;
  for (const threads of values.threads.split(',').map(Number)) {
    const record = { name, threads, ...(await measure(operatorCases[name], name, threads)) };
    records = [...records.filter((old) => old.name !== name || old.threads !== threads), record];
    writeFileSync(out, `${JSON.stringify(records, null, 1)}\n`);
    writeFileSync(out.replace(/\.json$/, '.md'), table(records));
    if (record.failure) process.exitCode = 1;
  }
}
console.log(table(records.filter(({ name }) => parts.some((part) => name.includes(part)))));

/** `{ runtimes }` or `{ failure }`. */
async function measure(given, name, threads) {
  const folder = join(cache, 'operators', name.replaceAll(' ', '-'));
  mkdirSync(folder, { recursive: true });
  const [model, inputs, json] = ['model.onnx', 'inputs.json', 'bench.json'].map((file) => join(folder, file));
  writeFileSync(model, nodeModel(given));
  writeFileSync(inputs, JSON.stringify(nodeInputs(given, given.tolerance ?? tolerance)));
  const complaints = [];
  const [log, error] = [console.log, console.error];
  console.log = () => {};
  console.error = (...words) => complaints.push(words.join(' '));
  try {
    const code = await runCli([
      ...['bench', model, '--inputs', inputs, '--threads', `${threads}`, '--seconds', values.seconds],
      ...(values.against === '' ? [] : ['--against', values.against]),
      ...['--json', json],
    ]);
    if (code !== 0) return { failure: complaints.join(' ').split('\n')[0].slice(0, 200) };
  } finally {
    [console.log, console.error] = [log, error];
  }
  const { measurements } = JSON.parse(readFileSync(json, 'utf8'));
  return { runtimes: measurements.map(({ name: runtime, p50Ms, cpuMs }) => ({ runtime, p50Ms, cpuMs })) };
}

/** Slowest beside the fastest peer first. */
function table(rows) {
  const measured = rows
    .filter(({ runtimes }) => runtimes)
    .map((row) => {
      const [own, ...peers] = row.runtimes;
      const ratio = peers.length === 0 ? 0 : own.p50Ms / Math.min(...peers.map(({ p50Ms }) => p50Ms));
      return { ...row, ratio };
    })
    .sort((a, b) => b.ratio - a.ratio);
  const time = (ms) => `${ms.toPrecision(3)} ms`;
  const lines = measured.map(({ name, threads, runtimes, ratio }) => [
    name,
    `${threads}`,
    runtimes.map(({ runtime, p50Ms }) => `${runtime} ${time(p50Ms)}`).join(', '),
    ratio.toFixed(2),
  ]);
  const failed = rows
    .filter(({ failure }) => failure)
    .map(({ name, threads, failure }) => [name, `${threads}`, failure, '']);
  return [['operator', 'threads', 'median', 'ratio'], ['---', '---', '---', '---:'], ...lines, ...failed]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');
}
