// How near kernels that only move memory come to the bandwidth of a copy:
//
//   node memory.mjs [--only softmax,concat] [--threads 1,2] [--millions 16] [--runs 8]
//
// Each case is a model of one node on tensors far larger than the caches. Bytes are those of the inputs read and the outputs
// written, once each; the time is that of the kernels alone.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { AttributeType, encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1,2' },
    millions: { type: 'string', default: '16' },
    runs: { type: 'string', default: '8' },
  },
});
const { FLOAT, FLOAT16, INT64 } = TensorDataType;
const rows = 1024 * Number(values.millions);
const wide = [rows, 1024];
const int = (name, value) => ({ name, type: AttributeType.INT, i: BigInt(value) });
const ints = (name, list) => ({ name, type: AttributeType.INTS, ints: list.map(BigInt) });
const vector = (name, count) => ({
  name,
  dims: [count],
  dataType: FLOAT,
  rawData: new Uint8Array(Float32Array.from({ length: count }, (_, at) => (at % 7) / 7).buffer),
});

/** Inputs by name: element type and sizes. */
const cases = {
  add: { op: 'Add', inputs: { x: [FLOAT, wide], y: [FLOAT, wide] } },
  relu: { op: 'Relu', inputs: { x: [FLOAT, wide] } },
  'layer norm': {
    op: 'LayerNormalization',
    inputs: { x: [FLOAT, wide] },
    weights: [vector('scale', 1024), vector('bias', 1024)],
  },
  'softmax rows': { op: 'Softmax', inputs: { x: [FLOAT, wide] } },
  'softmax columns': { op: 'Softmax', inputs: { x: [FLOAT, [rows / 64, 64, 1024]] }, attributes: [int('axis', 1)] },
  transpose: { op: 'Transpose', inputs: { x: [FLOAT, wide] } },
  'transpose heads': {
    op: 'Transpose',
    inputs: { x: [FLOAT, [rows / 512, 512, 16, 64]] },
    attributes: [ints('perm', [0, 2, 1, 3])],
  },
  concat: {
    op: 'Concat',
    inputs: { x: [FLOAT, [rows, 512]], y: [FLOAT, [rows, 512]] },
    attributes: [int('axis', 1)],
  },
  'sum of rows': { op: 'ReduceMean', inputs: { x: [FLOAT, wide] }, attributes: [ints('axes', [1])], opset: 13 },
  'sum of columns': { op: 'ReduceMean', inputs: { x: [FLOAT, wide] }, attributes: [ints('axes', [0])], opset: 13 },
  'sum of everything': { op: 'ReduceMean', inputs: { x: [FLOAT, wide] }, opset: 13 },
  'global average': { op: 'GlobalAveragePool', inputs: { x: [FLOAT, [rows / 1024, 1024, 32, 32]] } },
  'arg max': { op: 'ArgMax', inputs: { x: [FLOAT, [1, rows * 1024]] }, attributes: [int('axis', 1)] },
  gather: { op: 'Gather', inputs: { x: [FLOAT, wide] }, indices: rows },
  'cast to float32': { op: 'Cast', inputs: { x: [FLOAT16, wide] }, attributes: [int('to', FLOAT)] },
  'cast to float16': { op: 'Cast', inputs: { x: [FLOAT, wide] }, attributes: [int('to', FLOAT16)] },
};

process.chdir(here);
mkdirSync(results, { recursive: true });
const wanted = values.only === '' ? Object.keys(cases) : values.only.split(',');
const figures = [];
for (const name of wanted) {
  for (const threads of values.threads.split(',')) {
    const figure = await measure(name, threads);
    if (figure) figures.push(figure);
    else process.exitCode = 1;
  }
}
writeFileSync(join(results, 'memory.json'), `${JSON.stringify(figures, null, 1)}\n`);
for (const { name, threads, ms, gigabytes, copy } of figures) {
  const share = `${((100 * gigabytes) / copy).toFixed(0)} %`;
  console.log(
    `${name.padEnd(18)} ${threads} threads ${ms.toFixed(2).padStart(8)} ms ${gigabytes.toFixed(1).padStart(6)} GB/s` +
      ` ${share.padStart(6)} of a copy's ${copy.toFixed(1)}`,
  );
}

async function measure(name, threads) {
  const folder = join(cache, 'memory', name.replaceAll(' ', '-'));
  mkdirSync(folder, { recursive: true });
  const model = join(folder, 'model.onnx');
  const json = join(folder, 'profile.json');
  writeFileSync(model, modelOf(cases[name]));
  const code = await runCli([
    'profile',
    model,
    '--threads',
    threads,
    '--runs',
    values.runs,
    '--top',
    '1',
    '--json',
    json,
  ]);
  if (code !== 0) return undefined;
  const profile = JSON.parse(readFileSync(json, 'utf8'));
  return { name, threads: Number(threads), ...figureOf(profile, cases[name]) };
}

function modelOf({ op, inputs, attributes = [], weights = [], indices, opset = 22 }) {
  const tensor = (name, elemType, dims) => ({
    name,
    type: { tensorType: { elemType, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  });
  const places = indices === undefined ? [] : [placesOf(indices)];
  const initializer = [...weights, ...places];
  return encodeModel({
    irVersion: 10,
    producerName: 'onnx-ts benchmarks',
    opsetImport: [{ version: opset }],
    graph: {
      name: 'memory',
      node: [
        {
          opType: op,
          input: [...Object.keys(inputs), ...initializer.map(({ name }) => name)],
          output: ['out'],
          attribute: attributes,
        },
      ],
      initializer,
      input: Object.entries(inputs).map(([name, [type, dims]]) => tensor(name, type, dims)),
      output: [{ name: 'out' }],
    },
  });
}

/** Rows in an order without a pattern. */
function placesOf(count) {
  const data = BigInt64Array.from({ length: count }, (_, at) => BigInt((Math.imul(at, 0x9e3779b1) >>> 0) % count));
  return { name: 'places', dims: [count], dataType: INT64, rawData: new Uint8Array(data.buffer) };
}

function figureOf({ kernels, rates }, { op, inputs, attributes = [] }) {
  const width = { [FLOAT]: 4, [FLOAT16]: 2 };
  const sizeOf = ([, dims]) => dims.reduce((product, size) => product * size, 1);
  const read = Object.values(inputs).reduce((sum, input) => sum + sizeOf(input) * width[input[0]], 0);
  const to = attributes.find(({ name }) => name === 'to');
  const [first] = Object.values(inputs);
  const count = op === 'Concat' ? 2 * sizeOf(first) : sizeOf(first);
  const isReduced = ['ReduceMean', 'GlobalAveragePool', 'ArgMax'].includes(op);
  const written = isReduced ? 0 : count * width[to ? Number(to.i) : first[0]];
  const ms = kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
  return { ms, gigabytes: (read + written) / ms / 1e6, copy: rates.bandwidth / 1e9 };
}
