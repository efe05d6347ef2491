// Writes src/generated/onnx-cases.ts and microsoft-cases.ts: small models of the kit's own generators with the outputs that
// onnxruntime-node's CPU gives, where these agree with the reference.
//
//   node --conditions=@onnx-ts/source scripts/make-goldens.mjs
//
// Cases run in a child process: some end the peer's.

import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as core from '@onnx-ts/core';
import { encodeModel, encodeTensor } from '@onnx-ts/onnx-proto';
import { operatorOf } from '../src/case.ts';
import { differenceOf, scaleOf } from '../src/compare.ts';
import { families } from '../src/families.ts';
import { tensorMessage } from '../src/graph-builder.ts';
import { makeCase } from '../src/make-case.ts';
import { runOn } from '../src/runtimes.ts';
import { AloneSession } from '../src/subject/run-alone.ts';
import { epsilonOf } from '../src/values.ts';

/** Cases of each operator, and bytes that one may have. */
const wanted = { '': 2, 'com.microsoft': 3 };
const files = { '': 'onnx-cases.ts', 'com.microsoft': 'microsoft-cases.ts' };
const mostBytes = 2500;
const mostTries = 60;

if (process.argv[2] === 'worker') {
  process.on('message', ({ family, only, seed }) => {
    make(family, only, seed).then(
      (made) => process.send({ made }),
      () => process.send({}),
    );
  });
} else await main();

async function main() {
  /** Generators by operator: their cases take turns. */
  const generators = new Map();
  for (const { name, cases } of families) {
    for (const key of Object.keys(cases)) {
      const { domain, op } = operatorOf(key);
      if (!(domain in wanted)) continue;
      const id = `${domain}:${op}`;
      if (!generators.has(id)) generators.set(id, { domain, op, keys: [] });
      generators.get(id).keys.push({ family: name, only: key });
    }
  }
  const found = { '': [], 'com.microsoft': [] };
  const missing = [];
  let worker;
  for (const [id, { domain, op, keys }] of [...generators].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const cases = [];
    /** Of use where there is nothing better: large, or folded before any provider sees it. */
    let second;
    for (let at = 0; at < mostTries && cases.length < wanted[domain]; at++) {
      worker ??= startWorker();
      const made = await ask(worker, { ...keys[at % keys.length], seed: 1 + at });
      if (made === 'ended') worker = undefined;
      if (typeof made !== 'object') continue;
      const bytes = made.model.length + made.inputs.join('').length + made.outputs.join('').length;
      const { reaches, ...stored } = made;
      if (reaches && bytes <= (mostBytes * 4) / 3) cases.push(stored);
      else if (!second || bytes < second.bytes) second = { bytes, stored };
    }
    if (cases.length === 0 && second && second.bytes < 20_000) cases.push(second.stored);
    if (cases.length === 0) missing.push(id);
    const name = domain ? `${domain}:${op}` : op;
    for (const [at, made] of cases.entries()) found[domain].push({ name: `${op} ${at}`, op: name, ...made });
  }
  worker?.kill();
  for (const [domain, file] of Object.entries(files)) {
    const lines = found[domain].map((item) => JSON.stringify(item)).join(',\n');
    const text = `// Written by scripts/make-goldens.mjs: do not edit.\n\n/** JSON: see carried-cases.ts. */\nexport const cases = \`[\n${lines}\n]\`;\n`;
    writeFileSync(fileURLToPath(new URL(`../src/generated/${file}`, import.meta.url)), text);
    const operators = new Set(found[domain].map(({ op }) => op)).size;
    console.log(`${file}: ${found[domain].length} cases of ${operators} operators, ${text.length} bytes`);
  }
  console.log(`none of: ${missing.join(' ')}`);
}

function startWorker() {
  return fork(fileURLToPath(import.meta.url), ['worker'], {
    execArgv: process.execArgv,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

function ask(worker, source) {
  return new Promise((resolve) => {
    const finish = (answer) => {
      clearTimeout(timer);
      worker.removeAllListeners();
      resolve(answer);
    };
    const timer = setTimeout(() => {
      worker.kill('SIGKILL');
      finish('ended');
    }, 20_000);
    worker.once('message', ({ made }) => finish(made)).once('exit', () => finish('ended'));
    worker.send(source);
  });
}

/** A case with the peer's outputs; undefined when it is of no use. */
async function make(family, only, seed) {
  const test = makeCase({ family, only, seed }, { isPeer: true });
  const reference = await runOn('reference', test);
  const [outputs] = await runOn('onnxruntime-node', test, reference);
  const scale = scaleOf(Object.values(test.feeds));
  const { ulps, spread, absolute, integers } = test.tolerance;
  // Another implementation of a function comes with errors of its own.
  const isExact = ulps === 0 && spread === 0;
  const loose = isExact ? test.tolerance : { ...test.tolerance, ulps: ulps * 2 + 4, spread: spread * 2 + 1 };
  let [epsilon, largest] = [0, scale];
  for (const [name, value] of Object.entries(reference[0])) {
    if (!core.Tensor.is(value) || differenceOf(outputs[name], value, loose, scale) !== undefined) return undefined;
    if (!/float/.test(value.type)) continue;
    epsilon = Math.max(epsilon, epsilonOf(value.type));
    largest = Math.max(largest, scaleOf([value]));
  }
  const base64 = (bytes) => Buffer.from(bytes).toString('base64');
  const names = test.model.graph.input.map(({ name }) => name);
  if (!names.every((name) => core.Tensor.is(test.feeds[name]))) return undefined;
  await using session = await AloneSession.open(core.reference(), encodeModel(test.model));
  await session.run(test.feeds);
  const number = (value) => Number(value.toPrecision(3));
  return {
    reaches: session.ran.length > 0,
    // Twice the allowance: the provider may be off one way, the peer the other.
    relative: isExact ? 0 : number(2 * (ulps * 2 + 4) * epsilon),
    absolute: number(2 * absolute + (isExact ? 0 : 2 * (spread * 2 + 1) * epsilon * largest)),
    integers: 2 * integers,
    model: base64(encodeModel(test.model)),
    inputs: names.map((name) => base64(encodeTensor(tensorMessage(test.feeds[name])))),
    outputs: test.model.graph.output.map(({ name }) => base64(encodeTensor(tensorMessage(outputs[name])))),
  };
}
