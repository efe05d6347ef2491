// The WebGPU provider beside the WebGPU execution provider of onnxruntime-node, in Node, on the adapter that there is.
// `--help` tells the options.

import { fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cache, here, results } from '../places.mjs';
import { modelNames } from './models.mjs';
import { runtimeNames } from './runtimes.mjs';

const help = `npm run benchmark:webgpu -- [options]

  --models <names>   comma-separated; ${modelNames.join(',')} by default
  --seconds <s>      time of measured runs of warm sessions; 4 by default, at least 20 runs of each in any case
  --starts <n>       sessions made anew in a warm process; 4 by default
  --colds <n>        fresh processes for each runtime without a cache of shaders; 1 by default, 0 leaves them out
  --robust           keeps the checks of indices that Dawn adds to shaders; onnxruntime-node has them switched off
  --out <file>       results as JSON; benchmarks/results/webgpu.json by default

Outputs are compared before anything is timed, then the runtimes take turns. A start is the creation of a session and its
first run: drivers compile shaders in either. Name a driver in VK_DRIVER_FILES where there is no GPU.
`;

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: modelNames.join(',') },
    seconds: { type: 'string', default: '4' },
    starts: { type: 'string', default: '4' },
    colds: { type: 'string', default: '1' },
    robust: { type: 'boolean', default: false },
    out: { type: 'string', default: join(results, 'webgpu.json') },
    help: { type: 'boolean', default: false },
  },
});

/** Of the largest magnitude of an output. */
const tolerance = 1e-3;

const toggles = values.robust ? [] : ['enable-dawn-features=disable_robustness'];
const home = join(cache, 'webgpu-home');

if (values.help) console.log(help);
else {
  // onnxruntime-node keeps files in the user's home; drivers keep shaders there.
  for (const folder of [home, join(home, 'shaders')]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const records = [];
  for (const model of values.models.split(',')) records.push(await measureModel(model));
  const [{ adapter, version }] = records;
  const means = Object.fromEntries(
    ['cold', 'start', 'run'].map((kind) => [
      kind,
      geometricMean(records.flatMap((record) => record[kind]?.ratio ?? [])),
    ]),
  );
  const store = {
    adapter,
    peer: `onnxruntime-node ${version}`,
    cpu: cpus()[0].model,
    robust: values.robust,
    date: new Date().toISOString().slice(0, 10),
    records,
    means,
  };
  mkdirSync(results, { recursive: true });
  writeFileSync(values.out, `${JSON.stringify(store, null, 1)}\n`);
  report(store);
}

async function measureModel(model) {
  const shared = { model, toggles, tolerance };
  const warm = await inChild({
    ...shared,
    kind: 'warm',
    seconds: Number(values.seconds),
    starts: Number(values.starts),
  });
  if (warm.error) throw new Error(`${model}: ${warm.error}`);
  const cold = { [runtimeNames[0]]: [], [runtimeNames[1]]: [] };
  for (let round = 0; round < Number(values.colds); round++) {
    for (const runtime of runtimeNames) {
      const { createMs, firstRunMs } = await inChild({ ...shared, kind: 'cold', runtime }, true);
      cold[runtime].push(createMs + firstRunMs);
    }
  }
  const { adapter, version, difference, isWhole, places, startTimes, runTimes } = warm;
  return {
    model,
    adapter,
    version,
    difference,
    places,
    peerIsWhole: isWhole,
    ...(Number(values.colds) > 0 && { cold: compared(Object.values(cold)) }),
    ...(Number(values.starts) > 0 && { start: compared(startTimes) }),
    run: compared(runTimes),
  };
}

/** Medians in milliseconds, and ours as a multiple of theirs. */
function compared([mine, theirs]) {
  const [ownMs, peerMs] = [median(mine), median(theirs)];
  return { ownMs, peerMs, ratio: ownMs / peerMs, ownLeastMs: Math.min(...mine), peerLeastMs: Math.min(...theirs) };
}

function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function geometricMean(ratios) {
  if (ratios.length === 0) return undefined;
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

function inChild(request, isCold = false) {
  const script = fileURLToPath(new URL('measure.mjs', import.meta.url));
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home, MESA_SHADER_CACHE_DIR: join(home, 'shaders') };
  if (isCold) env.MESA_SHADER_CACHE_DISABLE = 'true';
  return new Promise((resolve, reject) => {
    const child = fork(script, [JSON.stringify(request)], { cwd: here, env });
    let result;
    child.on('message', (message) => {
      result = message;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (result) resolve(result);
      else reject(new Error(`${request.model}: the process ended with ${signal ?? code}`));
    });
  });
}

function report({ adapter, peer, records, means, robust }) {
  console.log(`onnx-ts and ${peer} on WebGPU, ${adapter}${robust ? ', with robustness in onnx-ts' : ''}`);
  const cell = (kind) => {
    if (!kind) return ''.padStart(30);
    const { ownMs, peerMs, ratio } = kind;
    return `${ownMs.toFixed(1).padStart(9)} ${peerMs.toFixed(1).padStart(9)} ${`${ratio.toFixed(2)}×`.padStart(10)}`;
  };
  const heads = ['cold start, ms', 'warm start, ms', 'run, ms'].map((head) => head.padStart(30));
  console.log(`${''.padEnd(24)}${heads.join('')}`);
  for (const record of records) {
    const { model, cold, start, run, peerIsWhole } = record;
    console.log(
      `${model.padEnd(24)}${cell(cold)}${cell(start)}${cell(run)}${peerIsWhole ? '' : '  (peer: partly CPU)'}`,
    );
  }
  const mean = (ratio) => (ratio === undefined ? '' : `${ratio.toFixed(2)}×`).padStart(30);
  console.log(`${'geometric mean'.padEnd(24)}${mean(means.cold)}${mean(means.start)}${mean(means.run)}`);
}
