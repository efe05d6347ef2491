// Milliseconds of a token while a language model generates, on onnx-ts and onnxruntime:
//
//   node decode.mjs [--models gpt2,llama-160m] [--past 64,256] [--tokens 24] [--threads 1]
//                   [--against onnxruntime-web,onnxruntime-node]
//
// A prompt of `past` tokens, then token by token the most probable one. Each runtime keeps its caches as its API allows:
// onnx-ts in a state (docs/states.md), the others hand `present.*` of a run back as `past_key_values.*` of the next one.
// The runtimes take turns, token by token, in one process. All are fed the token that onnx-ts chose, and their logits are
// compared at each step; a difference beyond the tolerance of the model ends the measurement with an error.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createSession, Tensor } from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';
import { materializeModel } from './materialize-models.mjs';
import { cache, results } from './places.mjs';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'gpt2,llama-160m,llama-160m-gqa,llama-15m-op23,llama-1b-int4-gqa' },
    past: { type: 'string', default: '64,256' },
    tokens: { type: 'string', default: '24' },
    threads: { type: 'string', default: '1' },
    against: { type: 'string', default: 'onnxruntime-web,onnxruntime-node' },
  },
});
const list = (text) => text.split(',').filter((item) => item !== '');
const threads = Number(values.threads);
const count = Number(values.tokens);
const require = createRequire(import.meta.url);
// Both peers register a backend "cpu" in the package that they share, and the first one stays: it has to be the native one.
if (list(values.against).includes('onnxruntime-node')) require('onnxruntime-node');

/** Int64 [1, n]. */
const int64 = (numbers) => ({
  type: 'int64',
  data: BigInt64Array.from(numbers, BigInt),
  dims: [1, numbers.length],
});

/**
 * Opens a model to be stepped with lists of tokens.
 * @returns `step(tokens, begin)`, which resolves to the logits of the last token, and `close()`
 */
async function openOwn(folder, inputs) {
  const session = await createSession(join(folder, 'model.onnx'), { providers: [cpu()], threads });
  const state = session.createState();
  const has = new Set(inputs.map(({ name }) => name));
  return {
    async step(tokens, begin) {
      const feeds = {};
      for (const [name, { type, data, dims }] of tokenFeeds(has, tokens, begin)) {
        feeds[name] = new Tensor(type, data, dims);
      }
      const { logits } = await session.run(feeds, { state });
      return lastRow(logits);
    },
    reset: () => state.reset(),
    close: () => session.dispose(),
  };
}

async function openPeer(id, folder, inputs) {
  const ort = require(id);
  const isWeb = id === 'onnxruntime-web';
  if (isWeb) ort.env.wasm.numThreads = threads;
  const external = readdirSync(folder).filter((name) => name.endsWith('.data'));
  const session = await ort.InferenceSession.create(join(folder, 'model.onnx'), {
    executionProviders: [isWeb ? 'wasm' : 'cpu'],
    logSeverityLevel: 3,
    ...(isWeb
      ? { externalData: external.map((path) => ({ path, data: join(folder, path) })) }
      : { intraOpNumThreads: threads, interOpNumThreads: 1 }),
  });
  const has = new Set(inputs.map(({ name }) => name));
  const empty = () =>
    inputs
      .filter(({ name }) => name.startsWith('past'))
      .map(({ name, dtype, shape }) => [name, new ort.Tensor(dtype, emptyOf(dtype), shape.with(2, 0))]);
  let caches = Object.fromEntries(empty());
  return {
    async step(tokens, begin) {
      const feeds = { ...caches };
      for (const [name, { type, data, dims }] of tokenFeeds(has, tokens, begin)) {
        feeds[name] = new ort.Tensor(type, data, dims);
      }
      const outputs = await session.run(feeds);
      const presents = Object.entries(outputs).filter(([name]) => name.startsWith('present'));
      caches = Object.fromEntries(
        presents.map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor]),
      );
      return lastRow(outputs.logits);
    },
    reset() {
      caches = Object.fromEntries(empty());
    },
    close: () => session.release(),
  };
}

/** What the engine's onnxruntime takes for no elements. */
function emptyOf(dtype) {
  if (dtype === 'float32') return new Float32Array();
  return globalThis.Float16Array ? new Float16Array() : new Uint16Array();
}

function tokenFeeds(has, tokens, begin) {
  const total = begin + tokens.length;
  return [
    ['input_ids', int64(tokens)],
    ['attention_mask', int64(Array(total).fill(1))],
    ['position_ids', int64(tokens.map((_, at) => begin + at))],
  ].filter(([name]) => has.has(name));
}

function lastRow({ data, dims }) {
  return data.slice(data.length - dims.at(-1));
}

const greatest = (row) => row.reduce((best, value, at) => (value > row[best] ? at : best), 0);

function largestError(row, other) {
  const scale = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return row.reduce((most, value, at) => Math.max(most, Math.abs(value - other[at])), 0) / scale;
}

const medianOf = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

async function measure(model, pasts) {
  const folder = join(cache, 'models-full', model);
  if (!existsSync(join(folder, 'materialized.json'))) await materializeModel(model);
  const { cases, tolerance } = JSON.parse(readFileSync(join(folder, 'inputs.json'), 'utf8'));
  const decoding = cases.find(({ name }) => name.startsWith('decode'));
  const runtimes = [{ name: 'onnx-ts', ...(await openOwn(folder, decoding.inputs)) }];
  for (const id of list(values.against)) runtimes.push({ name: id, ...(await openPeer(id, folder, decoding.inputs)) });
  const rows = [];
  for (const past of pasts) {
    const prompt = Array.from({ length: past }, (_, at) => (Math.imul(at + 1, 0x9e3779b1) >>> 20) % 4000);
    const times = runtimes.map(() => []);
    let tokens = prompt;
    let worst = 0;
    for (const runtime of runtimes) runtime.reset();
    for (let step = 0, begin = 0; step <= count; step++) {
      const logits = [];
      for (const [at, runtime] of runtimes.entries()) {
        const start = performance.now();
        logits.push(await runtime.step(tokens, begin));
        // The first step is the prompt, the second one warms up what is run for a single token.
        if (step > 1) times[at].push(performance.now() - start);
      }
      for (const other of logits.slice(1)) worst = Math.max(worst, largestError(logits[0], other));
      if (!(worst <= 10 * tolerance.max_over_absmax)) {
        throw new Error(`${model}: at token ${step} the logits differ by ${worst} of the greatest`);
      }
      begin += tokens.length;
      tokens = [greatest(logits[0])];
    }
    const ms = Object.fromEntries(runtimes.map(({ name }, at) => [name, medianOf(times[at])]));
    rows.push({ model, past, threads, tokens: count - 1, largestError: worst, ms });
    const cells = Object.entries(ms).map(([name, time]) => {
      const ratio = name === 'onnx-ts' ? '' : ` (${(ms['onnx-ts'] / time).toFixed(2)})`;
      return `${name} ${time.toFixed(1)} ms${ratio}`;
    });
    console.log(`${model} after ${past} tokens, ${threads} threads:  ${cells.join('   ')}`);
  }
  for (const runtime of runtimes) await runtime.close();
  return rows;
}

mkdirSync(results, { recursive: true });
const file = join(results, 'decode.json');
const key = ({ model, past, threads: number }) => `${model} ${past} ${number}`;
let known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).rows : [];
for (const model of list(values.models)) {
  const rows = await measure(model, list(values.past).map(Number));
  const fresh = new Set(rows.map(key));
  known = [...known.filter((row) => !fresh.has(key(row))), ...rows];
  const versions = Object.fromEntries(
    list(values.against).map((id) => [id, require(id).env.versions[id.replace('onnxruntime-', '')]]),
  );
  const record = { date: new Date().toISOString().slice(0, 10), node: process.version, versions, rows: known };
  writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`);
}
process.exit();
