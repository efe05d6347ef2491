// The CPU provider against onnxruntime-web on full-size models, in one command:
//
//   node cpu.mjs [model[:case] ...] [--threads 1,2] [--against onnxruntime-web,onnxruntime-node] [--seconds 3]

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { materializeModel } from './materialize-models.mjs';
import { cache, here, results } from './places.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '1,2' },
    against: { type: 'string', default: 'onnxruntime-web' },
    seconds: { type: 'string', default: '3' },
    out: { type: 'string', default: join(results, 'cpu.json') },
  },
});
const models = positionals.length > 0 ? positionals : ['mobilenet_v2', 'resnet50', 'minilm-l6'];

// The peers are dependencies of this folder.
process.chdir(here);
const records = [];
const rows = [['model', 'threads', 'runtime', 'load ms', 'first ms', 'p50 ms', 'p90 ms', 'peak MB', 'ratio']];
for (const model of models) {
  const [name, caseName] = model.split(':');
  const folder = await materializeModel(name);
  for (const threads of values.threads.split(',')) {
    const measured = await bench(folder, caseName, threads);
    if (!measured) {
      rows.push([model, threads, 'failed, see above', '', '', '', '', '', '']);
      process.exitCode = 1;
      continue;
    }
    records.push({ ...measured, model: name });
    for (const item of measured.measurements) {
      const numbers = [item.loadMs, item.firstRunMs, item.p50Ms, item.p90Ms].map((ms) => ms.toFixed(ms < 10 ? 2 : 1));
      const label = `${name} ${measured.case}`;
      rows.push([label, threads, item.name, ...numbers, (item.peakBytes / 1e6).toFixed(0), item.ratio.toFixed(2)]);
    }
  }
}
mkdirSync(results, { recursive: true });
writeFileSync(values.out, `${JSON.stringify(records, null, 1)}\n`);
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
const line = (row) => row.map((cell, at) => (at < 3 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  ');
console.log(
  `\n${rows.map(line).join('\n')}\n\nratio: p50 relative to onnx-ts, above 1 is slower. Written to ${values.out}`,
);

/** Runs `onnx-ts bench`, which checks the outputs before it measures. */
async function bench(folder, caseName, threads) {
  const json = join(cache, `bench-${process.pid}.json`);
  const code = await runCli([
    'bench',
    join(folder, 'model.onnx'),
    ...['--inputs', join(folder, 'inputs.json'), '--check'],
    ...(caseName ? ['--case', caseName] : []),
    ...['--threads', threads, '--seconds', values.seconds],
    ...(values.against ? ['--against', values.against] : []),
    ...['--json', json],
  ]);
  if (code !== 0) return undefined;
  const record = JSON.parse(readFileSync(json, 'utf8'));
  rmSync(json);
  return record;
}
