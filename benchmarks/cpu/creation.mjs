// How long it takes to create a session, how long its first run takes, and the most memory of the process until then: for
// onnx-ts without a store, and with one that has the session, and for the peers.

import { rmSync } from 'node:fs';
import { join } from 'node:path';

const brief = ['--seconds', '0', '--warmup', '0'];
const figures = ['loadMs', 'loadCpuMs', 'firstRunMs', 'peakBytes'];

/**
 * Each session has a process of its own; all runtimes take turns.
 * @param bench `(peers, options)` → what `onnx-ts bench` writes, or `{ reason }`
 * @returns `{ rounds, runtimes: [{ name, version, ...medians }], failures }`, the session from a store as `onnx-ts warm`
 */
export function measureCreation({ model }, { bench, peers, rounds, cache }) {
  const store = join(cache, 'artifacts', model);
  rmSync(store, { recursive: true, force: true });
  const samples = new Map();
  const failures = [];
  const note = ({ reason, measurements = [] }, names, runtime) => {
    if (reason !== undefined) failures.push({ runtime, reason });
    for (const [at, name] of names.entries()) {
      const measurement = measurements[at];
      if (!measurement) continue;
      const version = at === 0 ? '' : measurement.version;
      const entry = samples.get(name) ?? { name, version, samples: [] };
      samples.set(name, { ...entry, samples: [...entry.samples, measurement] });
    }
    return reason === undefined;
  };
  const warm = [...brief, '--artifacts', store];
  // The first one fills the store.
  let isSound = note(bench([], warm), [], 'onnx-ts');
  for (let round = 0; round < rounds && isSound; round++) {
    isSound =
      note(bench(peers, brief), ['onnx-ts', ...peers], peers.join(', ') || 'onnx-ts') &&
      note(bench([], warm), ['onnx-ts warm'], 'onnx-ts');
  }
  rmSync(store, { recursive: true, force: true });
  const runtimes = [...samples.values()].map(({ name, version, samples: taken }) => {
    const medians = figures.map((figure) => [figure, medianOf(taken.map((measurement) => measurement[figure]))]);
    return { name, version, ...Object.fromEntries(medians) };
  });
  return { rounds, runtimes, failures };
}

function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}
