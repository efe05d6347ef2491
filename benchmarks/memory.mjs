// How near kernels that only move memory come to the bandwidth of a copy:
//
//   node memory.mjs [--only softmax,concat] [--threads 1,2] [--sizes large,medium] [--runs 12] [--out <file>]
//
// Each case is a model of one node: on tensors far larger than the caches, and on such that fit the second-level cache of
// most machines. Bytes are those of the inputs read and the outputs written, once each; the time is that of the kernels alone,
// each at its fastest. Where operations take longer than the bytes, at the rate of multiply-adds in registers, the share is of
// that time; a function such as exp counts as the 10 to 24 operations of its usual approximation.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runCli } from '@onnx-ts/cli';
import { integers, nodeInputs, nodeModel, scalar, variable, weight } from './node-model.mjs';
import { cache, here, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1,2' },
    sizes: { type: 'string', default: 'large,medium' },
    runs: { type: 'string', default: '12' },
    out: { type: 'string', default: join(results, 'memory.json') },
  },
});
const out = resolve(values.out);

/** Elements of a tensor; each operator has two or three of them. */
const elements = { large: 2 ** 23, medium: 2 ** 16 };

/** Rows in an order without a pattern. */
const places = (count, modulus = count) =>
  weight([count], (at) => (Math.imul(at, 0x9e3779b1) >>> 0) % modulus, 'int64');
const movesOnly = (op, attributes, ...inputs) => ({ op, attributes, inputs });
const reduction = (op, shape, axes) => ({
  op,
  attributes: { keepdims: 0 },
  inputs: [variable(shape), integers(...axes)],
});

/** @param count elements */
const casesFor = (count) => {
  const side = 2 ** Math.floor(Math.log2(count) / 2);
  const matrix = [count / side, side];
  const long = [count / 1024, 1024];
  const image = [count / 2 ** 14, 64, 16, 16];
  return {
    add: movesOnly('Add', {}, variable(long), variable(long)),
    'add rows': movesOnly('Add', {}, variable(long), weight([1024])),
    relu: movesOnly('Relu', {}, variable(long)),
    where: movesOnly('Where', {}, variable(long, 'bool', [0, 1]), variable(long), variable(long)),
    'hard swish': movesOnly('HardSwish', {}, variable(long)),
    sigmoid: movesOnly('Sigmoid', {}, variable(long)),
    gelu: movesOnly('Gelu', {}, variable(long)),
    'layer norm': movesOnly('LayerNormalization', {}, variable(long), weight([1024]), weight([1024])),
    'RMS norm': { ...movesOnly('RMSNormalization', {}, variable(long), weight([1024])), opset: 23 },
    'softmax of 1024': movesOnly('Softmax', {}, variable(long)),
    'softmax of 1000': movesOnly('Softmax', {}, variable([Math.floor(count / 1000), 1000])),
    'softmax of 64': movesOnly('Softmax', {}, variable([count / 64, 64])),
    'softmax of 128': movesOnly('Softmax', {}, variable([count / 128, 128])),
    'softmax of axis 1': movesOnly('Softmax', { axis: 1 }, variable([count / 2 ** 14, 64, 256])),
    transpose: movesOnly('Transpose', {}, variable(matrix)),
    'transpose heads': movesOnly('Transpose', { perm: [0, 2, 1, 3] }, variable([count / 2 ** 14, 32, 8, 64])),
    'transpose keys': movesOnly('Transpose', { perm: [0, 2, 3, 1] }, variable([count / 2 ** 14, 32, 8, 64])),
    'channels to last': movesOnly('Transpose', { perm: [0, 2, 3, 1] }, variable(image)),
    'channels to first': movesOnly('Transpose', { perm: [0, 3, 1, 2] }, variable([count / 2 ** 14, 16, 16, 64])),
    'concat of rows': movesOnly('Concat', { axis: 1 }, variable([count / 512, 256]), variable([count / 512, 256])),
    'concat of channels': movesOnly('Concat', { axis: 1 }, variable(image), variable(image)),
    slice: movesOnly('Slice', {}, variable(long), integers(256), integers(1024), integers(1)),
    pad: movesOnly('Pad', {}, variable(image), integers(0, 0, 1, 1, 0, 0, 1, 1)),
    expand: movesOnly('Expand', {}, variable([count / 1024, 1, 64]), integers(count / 1024, 16, 64)),
    'depth to space': movesOnly('DepthToSpace', { blocksize: 2 }, variable(image)),
    'resize nearest': movesOnly(
      'Resize',
      { mode: 'nearest' },
      variable(image),
      undefined,
      undefined,
      integers(image[0], 64, 32, 32),
    ),
    'resize linear': movesOnly(
      'Resize',
      { mode: 'linear' },
      variable(image),
      undefined,
      undefined,
      integers(image[0], 64, 32, 32),
    ),
    'sum of rows': reduction('ReduceSum', long, [1]),
    'sum of columns': reduction('ReduceSum', long, [0]),
    'sum of middle axis': reduction('ReduceSum', [count / 2 ** 14, 64, 256], [1]),
    'sum of everything': reduction('ReduceSum', long, [0, 1]),
    'mean of rows': reduction('ReduceMean', long, [1]),
    'max of rows': reduction('ReduceMax', long, [1]),
    'max of columns': reduction('ReduceMax', long, [0]),
    'max of middle axis': reduction('ReduceMax', [count / 2 ** 14, 64, 256], [1]),
    'global average': movesOnly('GlobalAveragePool', {}, variable(image)),
    'arg max of everything': movesOnly('ArgMax', { axis: 1 }, variable([1, count])),
    'arg max of rows': movesOnly('ArgMax', { axis: 1 }, variable(long)),
    'arg max of columns': movesOnly('ArgMax', { axis: 0 }, variable(long)),
    'gather rows': movesOnly('Gather', {}, variable(long), places(count / 1024)),
    'gather short rows': movesOnly('Gather', {}, variable([count / 64, 64]), places(count / 64)),
    'gather elements': movesOnly('Gather', { axis: 1 }, variable(long), places(1024)),
    'cumulative sum': movesOnly('CumSum', {}, variable(long), scalar(1, 'int64')),
    'cumulative sum of columns': movesOnly('CumSum', {}, variable(long), scalar(0, 'int64')),
    'cast from float16': movesOnly('Cast', { to: 1 }, variable(long, 'float16', [-1, 1])),
    'cast to float16': movesOnly('Cast', { to: 10 }, variable(long)),
    'cast to int64': movesOnly('Cast', { to: 7 }, variable(long, 'int32')),
    quantize: movesOnly('QuantizeLinear', {}, variable(long), scalar(0.01), scalar(128, 'uint8')),
    dequantize: movesOnly(
      'DequantizeLinear',
      {},
      variable(long, 'uint8', [0, 255]),
      scalar(0.01),
      scalar(128, 'uint8'),
    ),
  };
};

process.chdir(here);
mkdirSync(dirname(out), { recursive: true });
const measured = [];
for (const size of values.sizes.split(',')) {
  for (const [name, given] of Object.entries(casesFor(elements[size]))) {
    if (!values.only.split(',').some((part) => name.includes(part))) continue;
    for (const threads of values.threads.split(',').map(Number)) {
      const work = await measure(`${name}, ${size}`, given, threads);
      if (!work) {
        process.exitCode = 1;
        continue;
      }
      measured.push({ name, size, threads, ...work });
      const figures = figuresOf(measured);
      writeFileSync(out, `${JSON.stringify(figures, null, 1)}\n`);
      writeFileSync(out.replace(/\.json$/, '.md'), tableOf(figures));
    }
  }
}
console.log(tableOf(figuresOf(measured)));

function tableOf(rows) {
  const percent = (part) => `${(100 * part).toFixed(0)} %`;
  const lines = rows.map(({ name, size, threads, ms, gigabytes, copy, limit, share }) => {
    const rates = [ms.toFixed(3), gigabytes.toFixed(1), percent(gigabytes / copy)];
    return `| ${[name, size, threads, ...rates, limit, percent(share)].join(' | ')} |\n`;
  });
  const head =
    '| operation | size | threads | ms | GB/s | of a copy | limit | share |\n' +
    '| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |\n';
  return head + lines.join('');
}

async function measure(name, given, threads) {
  const folder = join(cache, 'memory', name.replaceAll(/[ ,]+/g, '-'));
  mkdirSync(folder, { recursive: true });
  const [model, inputs, json] = ['model.onnx', 'inputs.json', 'profile.json'].map((file) => join(folder, file));
  writeFileSync(model, nodeModel(given));
  writeFileSync(inputs, JSON.stringify(nodeInputs(given, { max_over_absmax: 1e-3, mean_over_absmax: 1e-4 })));
  const log = console.log;
  console.log = () => {};
  const code = await runCli([
    ...['profile', model, '--inputs', inputs, '--threads', `${threads}`, '--runs', values.runs, '--json', json],
  ]);
  console.log = log;
  if (code !== 0) return undefined;
  return workOf(JSON.parse(readFileSync(json, 'utf8')));
}

/** Work is what the kernels say of themselves. */
function workOf({ kernels, rates }) {
  const sum = (part) => kernels.reduce((total, kernel) => total + kernel[part], 0);
  const [ms, bytes, flops] = ['leastMs', 'bytes', 'flops'].map(sum);
  return { ms, bytes, flops, rates };
}

/** Each case measures the limits of the machine anew, which other processes only lower: the highest of them count. */
function figuresOf(measured) {
  return measured.map(({ name, size, threads, ms, bytes, flops }) => {
    const rates = measured.filter((other) => other.threads === threads).map((other) => other.rates);
    const [copy, peak] = ['bandwidth', 'flops'].map((part) => Math.max(...rates.map((rate) => rate[part])));
    const [moving, computing] = [(1e3 * bytes) / copy, (1e3 * flops) / peak];
    const limit = computing > moving ? 'arithmetic' : 'memory';
    const share = Math.max(moving, computing) / ms;
    return { name, size, threads, ms, gigabytes: bytes / ms / 1e6, copy: copy / 1e9, limit, share };
  });
}
