// A child process of the WebGPU benchmark: measures one model and sends the result to its parent.
//
//   cold: one runtime, its first session of the process and the first run
//   warm: both runtimes in turns, new sessions with their first runs, then runs of sessions that are warm

import { modelNames, openModel } from './models.mjs';
import { openRuntime, runtimeNames } from './runtimes.mjs';

const request = JSON.parse(process.argv[2]);
if (!modelNames.includes(request.model) && !request.model.startsWith('matmul-')) {
  throw new Error(`there is no model ${request.model}`);
}
const { bytes, feeds } = openModel(request.model);
process.send(request.kind === 'cold' ? await measureCold(request) : await measureWarm(request));
process.disconnect();

async function measureCold({ runtime, toggles }) {
  const opened = await openRuntime(runtime, toggles);
  const { createMs, firstRunMs } = await start(opened);
  return { createMs, firstRunMs };
}

async function start(opened) {
  const before = performance.now();
  const session = await opened.create(bytes);
  const created = performance.now();
  session.prepare(feeds);
  const prepared = performance.now();
  const outputs = await session.run();
  return { session, outputs, createMs: created - before, firstRunMs: performance.now() - prepared };
}

async function measureWarm({ toggles, seconds, starts }) {
  const opened = [];
  for (const name of runtimeNames) opened.push(await openRuntime(name, toggles));
  const sessions = [];
  const outputs = [];
  for (const runtime of opened) {
    const started = await start(runtime);
    sessions.push(started.session);
    outputs.push(started.outputs);
  }
  const difference = differenceOf(outputs[0], outputs[1]);
  if (!(difference <= request.tolerance)) {
    return { difference, error: `outputs differ by ${difference} of their largest magnitude` };
  }
  const startTimes = [[], []];
  await opened[0].share();
  for (let round = -1; round < starts; round++) {
    for (const [at, runtime] of opened.entries()) {
      const { session, createMs, firstRunMs } = await start(runtime);
      // The first fills the caches of the device.
      if (round >= 0) startTimes[at].push(createMs + firstRunMs);
      await session.release();
    }
  }
  for (let run = 0; run < 3; run++) for (const session of sessions) await session.run();
  const runTimes = [[], []];
  const end = performance.now() + seconds * 1000;
  // Whoever comes second may find caches warmer: they take turns at that as well.
  for (let round = 0; round < 20 || performance.now() < end; round++) {
    for (const at of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const before = performance.now();
      await sessions[at].run();
      runTimes[at].push(performance.now() - before);
    }
  }
  const isWhole = await opened[1].isWhole(bytes);
  const result = {
    difference,
    isWhole,
    places: sessions[0].places,
    adapter: opened[0].adapter,
    version: opened[1].version,
    startTimes,
    runTimes,
  };
  for (const session of sessions) await session.release();
  return result;
}

/** The largest difference of two runs' outputs, as a share of the largest magnitude of each. */
function differenceOf(mine, theirs) {
  let worst = 0;
  for (const [name, { data: want }] of Object.entries(theirs)) {
    const { data: got } = mine[name];
    if (got.length !== want.length) return Number.NaN;
    let [largest, difference] = [0, 0];
    for (let at = 0; at < want.length; at++) {
      largest = Math.max(largest, Math.abs(Number(want[at])));
      const apart = Math.abs(Number(got[at]) - Number(want[at]));
      if (!(apart <= difference)) difference = apart;
    }
    const share = difference / (largest || 1);
    if (!(share <= worst)) worst = share;
  }
  return worst;
}
