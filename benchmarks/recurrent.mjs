// Milliseconds of LSTM and GRU over a sequence, on onnx-ts and onnxruntime:
//
//   node recurrent.mjs [--operators LSTM,GRU] [--hidden 128,256,512] [--steps 32,256] [--batch 1,8] [--threads 1,2]
//                      [--directions forward,bidirectional] [--against onnxruntime-web,onnxruntime-node] [--seconds 1]
//
// Inputs are as wide as the hidden state. Outputs are compared before anything is timed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { AttributeType, encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    operators: { type: 'string', default: 'LSTM,GRU' },
    hidden: { type: 'string', default: '128,256,512' },
    steps: { type: 'string', default: '32,256' },
    batch: { type: 'string', default: '1,8' },
    threads: { type: 'string', default: '1,2' },
    directions: { type: 'string', default: 'forward' },
    against: { type: 'string', default: 'onnxruntime-web,onnxruntime-node' },
    seconds: { type: 'string', default: '1' },
  },
});
const list = (text) => text.split(',');
const gatesOf = { RNN: 1, GRU: 3, LSTM: 4 };

// The peers are dependencies of this folder.
process.chdir(here);
mkdirSync(results, { recursive: true });
const rows = [];
for (const operator of list(values.operators)) {
  for (const direction of list(values.directions)) {
    for (const hidden of list(values.hidden).map(Number)) {
      for (const steps of list(values.steps).map(Number)) {
        for (const batch of list(values.batch).map(Number)) {
          for (const threads of list(values.threads)) {
            rows.push(...(await measure({ operator, direction, hidden, steps, batch, threads })));
          }
        }
      }
    }
  }
}
writeFileSync(join(results, 'recurrent.json'), `${JSON.stringify(rows, null, 1)}\n`);
for (const { operator, direction, hidden, steps, batch, threads, times } of rows) {
  const cells = times.map(({ runtime, ms }) => `${runtime} ${ms.toFixed(3)} ms`).join('   ');
  console.log(
    `${operator} ${direction} hidden ${hidden}, ${steps} steps, batch ${batch}, ${threads} threads:  ${cells}`,
  );
}

async function measure(cell) {
  const { operator, direction, hidden, steps, batch, threads } = cell;
  const folder = join(cache, 'recurrent', `${operator}-${direction}-${hidden}-${steps}x${batch}`);
  mkdirSync(folder, { recursive: true });
  const json = join(folder, 'bench.json');
  writeFileSync(join(folder, 'model.onnx'), recurrentModel(cell));
  writeFileSync(join(folder, 'inputs.json'), JSON.stringify(seededInputs(steps, batch, hidden)));
  const code = await runCli([
    'bench',
    join(folder, 'model.onnx'),
    ...['--inputs', join(folder, 'inputs.json'), '--threads', threads, '--seconds', values.seconds],
    ...(values.against ? ['--against', values.against] : []),
    ...['--json', json],
  ]);
  if (code !== 0) {
    process.exitCode = 1;
    return [];
  }
  const { measurements } = JSON.parse(readFileSync(json, 'utf8'));
  return [{ ...cell, times: measurements.map(({ name, p50Ms }) => ({ runtime: name, ms: p50Ms })) }];
}

function recurrentModel({ operator, direction, hidden, steps, batch }) {
  const directions = direction === 'bidirectional' ? 2 : 1;
  const width = gatesOf[operator] * hidden;
  const scale = 1 / Math.sqrt(hidden);
  const weight = (name, dims, seed) => {
    const count = dims.reduce((product, size) => product * size, 1);
    const data = Float32Array.from(
      { length: count },
      (_, at) => ((Math.imul(at + seed, 0x9e3779b1) >>> 8) / 2 ** 23 - 1) * scale,
    );
    return { name, dims, dataType: TensorDataType.FLOAT, rawData: new Uint8Array(data.buffer) };
  };
  const tensor = (name, dims) => ({
    name,
    type: { tensorType: { elemType: TensorDataType.FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  });
  const text = (name, value) => ({ name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  const int = (name, value) => ({ name, type: AttributeType.INT, i: BigInt(value) });
  const reset = operator === 'GRU' ? [int('linear_before_reset', 1)] : [];
  return encodeModel({
    irVersion: 8,
    producerName: 'onnx-ts benchmarks',
    opsetImport: [{ version: 17 }],
    graph: {
      name: 'recurrent',
      node: [
        {
          opType: operator,
          input: ['x', 'w', 'r', 'b'],
          output: ['y', 'last'],
          attribute: [int('hidden_size', hidden), text('direction', direction), ...reset],
        },
      ],
      initializer: [
        weight('w', [directions, width, hidden], 1),
        weight('r', [directions, width, hidden], 7),
        weight('b', [directions, 2 * width], 13),
      ],
      input: [tensor('x', [steps, batch, hidden])],
      output: [tensor('y', [steps, directions, batch, hidden]), tensor('last', [directions, batch, hidden])],
    },
  });
}

function seededInputs(steps, batch, hidden) {
  const shape = [steps, batch, hidden];
  const input = { name: 'x', dtype: 'float32', shape, seed: 1, dist: { kind: 'uniform', lo: -1, hi: 1 } };
  return {
    tolerance: { max_over_absmax: 1e-4, mean_over_absmax: 1e-5 },
    cases: [{ name: 'sequence', inputs: [input] }],
  };
}
