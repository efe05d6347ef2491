// GFLOP/s of one float32 matrix product, 512 × 768 by a constant 768 × 3072, on onnx-ts and onnxruntime:
//
//   node matmul.mjs [--threads 1,2] [--size 512x768x3072] [--against onnxruntime-web,onnxruntime-node] [--seconds 2]

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: '1,2' },
    size: { type: 'string', default: '512x768x3072' },
    against: { type: 'string', default: 'onnxruntime-web,onnxruntime-node' },
    seconds: { type: 'string', default: '2' },
  },
});
const [m, k, n] = values.size.split('x').map(Number);

// The peers are dependencies of this folder.
process.chdir(here);
const folder = join(cache, 'matmul', values.size);
mkdirSync(folder, { recursive: true });
mkdirSync(results, { recursive: true });
writeFileSync(join(folder, 'model.onnx'), productModel());
writeFileSync(join(folder, 'inputs.json'), JSON.stringify(seededInputs()));

const records = [];
for (const threads of values.threads.split(',')) {
  const json = join(folder, 'bench.json');
  const code = await runCli([
    'bench',
    join(folder, 'model.onnx'),
    ...['--inputs', join(folder, 'inputs.json'), '--threads', threads, '--seconds', values.seconds],
    ...(values.against ? ['--against', values.against] : []),
    ...['--json', json],
  ]);
  if (code !== 0) {
    process.exitCode = 1;
    continue;
  }
  records.push(...JSON.parse(readFileSync(json, 'utf8')).measurements);
}
const rows = records.map(({ name, threads, p50Ms }) => ({
  runtime: name,
  threads,
  ms: p50Ms,
  gflops: (2e-6 * m * k * n) / p50Ms,
}));
writeFileSync(join(results, 'matmul.json'), `${JSON.stringify({ m, k, n, rows }, null, 1)}\n`);
console.log(`\n${m} × ${k} by ${k} × ${n}, float32`);
for (const { runtime, threads, ms, gflops } of rows) {
  console.log(
    `${runtime.padEnd(18)} ${threads} threads  ${ms.toFixed(1).padStart(7)} ms  ${gflops.toFixed(1).padStart(6)} GFLOP/s`,
  );
}

function productModel() {
  const weights = Float32Array.from(
    { length: k * n },
    (_, at) => ((Math.imul(at + 1, 0x9e3779b1) >>> 8) / 2 ** 23 - 1) / 16,
  );
  const tensor = (name, dims) => ({
    name,
    type: { tensorType: { elemType: TensorDataType.FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  });
  return encodeModel({
    irVersion: 8,
    producerName: 'onnx-ts benchmarks',
    opsetImport: [{ version: 17 }],
    graph: {
      name: 'product',
      node: [{ opType: 'MatMul', input: ['a', 'b'], output: ['c'] }],
      initializer: [
        { name: 'b', dims: [k, n], dataType: TensorDataType.FLOAT, rawData: new Uint8Array(weights.buffer) },
      ],
      input: [tensor('a', [m, k])],
      output: [tensor('c', [m, n])],
    },
  });
}

function seededInputs() {
  const input = { name: 'a', dtype: 'float32', shape: [m, k], seed: 1, dist: { kind: 'uniform', lo: -1, hi: 1 } };
  return {
    tolerance: { max_over_absmax: 1e-4, mean_over_absmax: 1e-5 },
    cases: [{ name: 'product', inputs: [input] }],
  };
}
