// GFLOP/s of large float32 matrix products and convolutions, as shares of what the machine's vector units allow, with 128-bit
// vectors alone and with pairs of them joined to 256 bits; and beside onnxruntime:
//
//   node matmul.mjs [--only product,3x3] [--threads 1,2] [--seconds 1] [--against onnxruntime-web,onnxruntime-node]
//                   [--out <file>]
//
// The limit is measured in the same process: multiply-adds in registers. A convolution in transformed tiles multiplies less
// than it says: its row gives the rate as if it had not been transformed, and the rate of the multiplications that remain.

import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { nodeInputs, nodeModel, variable, weight } from './node-model.mjs';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1,2' },
    seconds: { type: 'string', default: '1' },
    against: { type: 'string', default: 'onnxruntime-web,onnxruntime-node' },
    out: { type: 'string', default: join(results, 'matmul.json') },
  },
});
const out = resolve(values.out);

const product = (m, k, n) => ({ op: 'MatMul', inputs: [variable([m, k]), weight([k, n])], flops: 2 * m * k * n });
const convolution = (channels, side, attributes = {}) => {
  const [stride] = attributes.strides ?? [1];
  return {
    op: 'Conv',
    attributes: { pads: [1, 1, 1, 1], ...attributes },
    inputs: [variable([1, channels, side * stride, side * stride]), weight([channels, channels, 3, 3])],
    flops: 2 * 9 * channels * channels * side * side,
  };
};
const cases = {
  'product 512x768x3072': product(512, 768, 3072),
  'product 1024x1024x1024': product(1024, 1024, 1024),
  'product 197x768x768': product(197, 768, 768),
  '3x3 of 256 at 56x56': convolution(256, 56),
  '3x3 of 512 at 28x28': convolution(512, 28),
  '3x3 of 256 to 56x56, stride 2': convolution(256, 56, { strides: [2, 2] }),
  '3x3 of 512 at 28x28, dilated': convolution(512, 28, { dilations: [2, 2], pads: [2, 2, 2, 2] }),
};
/** Multiplications that a kernel of a kind does for each one of the plain sum: tiles of 4 × 4 are computed from 6 × 6 products. */
const remaining = { winograd: 36 / (16 * 9) };

// The peers are dependencies of this folder.
process.chdir(here);
mkdirSync(dirname(out), { recursive: true });
const chosen = Object.entries(cases).filter(([name]) => values.only.split(',').some((part) => name.includes(part)));
const records = [];
for (const threads of values.threads.split(',').map(Number)) {
  for (const wideVectors of [false, true]) {
    const { peak, hasWide, rows } = await measureOwn({
      cases: chosen,
      threads,
      wideVectors,
      seconds: Number(values.seconds),
    });
    if (wideVectors && !hasWide) continue;
    for (const { name, kind, ms, allMs } of rows) {
      const gflops = cases[name].flops / ms / 1e6;
      const performed = gflops * (remaining[kind] ?? 1);
      const limit = peak / 1e9;
      records.push({
        name,
        threads,
        runtime: 'onnx-ts',
        bits: hasWide ? 256 : 128,
        kind,
        ms,
        allMs,
        gflops,
        performed,
        limit,
      });
    }
  }
  if (values.against !== '')
    for (const [name, given] of chosen) records.push(...(await measurePeers(name, given, threads)));
}
writeFileSync(out, `${JSON.stringify(records, null, 1)}\n`);
const table = [
  '| operation | threads | runtime | vectors | ms | GFLOP/s | multiplied | limit | share |',
  '| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ...records.map(({ name, threads, runtime, bits, kind, ms, gflops, performed, limit }) => {
    const own = bits ? [`${bits}`, ms.toFixed(2), gflops.toFixed(1), performed.toFixed(1), limit.toFixed(1)] : [];
    const share = bits ? `${((100 * performed) / limit).toFixed(0)} %` : '';
    const cells = bits ? own : ['', ms.toFixed(2), gflops.toFixed(1), '', ''];
    return `| ${[name, threads, kind ? `${runtime} (${kind})` : runtime, ...cells, share].join(' | ')} |`;
  }),
].join('\n');
writeFileSync(out.replace(/\.json$/, '.md'), `${table}\n`);
console.log(table);

/** In a process of its own. */
function measureOwn(request) {
  return new Promise((done, fail) => {
    const child = fork(join(here, 'product-rates.mjs'), { serialization: 'advanced' });
    child.once('message', done);
    child.once('exit', (code) => fail(new Error(`the measuring process ended with ${code}.`)));
    child.send(request);
  });
}

async function measurePeers(name, given, threads) {
  const folder = join(cache, 'matmul', name.replaceAll(/[ ,]+/g, '-'));
  mkdirSync(folder, { recursive: true });
  const [model, inputs, json] = ['model.onnx', 'inputs.json', 'bench.json'].map((file) => join(folder, file));
  writeFileSync(model, nodeModel(given));
  writeFileSync(inputs, JSON.stringify(nodeInputs(given, { max_over_absmax: 1e-3, mean_over_absmax: 1e-4 })));
  const log = console.log;
  console.log = () => {};
  const code = await runCli([
    ...['bench', model, '--inputs', inputs, '--threads', `${threads}`, '--seconds', values.seconds],
    ...['--against', values.against, '--json', json],
  ]);
  console.log = log;
  if (code !== 0) {
    process.exitCode = 1;
    return [];
  }
  const [, ...peers] = JSON.parse(readFileSync(json, 'utf8')).measurements;
  return peers.map(({ name: runtime, p50Ms: ms }) => ({ name, threads, runtime, ms, gflops: given.flops / ms / 1e6 }));
}
