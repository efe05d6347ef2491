// Measures runtimes side by side: each in a process of its own, their rounds interleaved.

import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { differenceOf, type PlainTensors, type RelativeTolerance } from './plain-tensor.ts';
import { RuntimeError, RuntimeProcess } from './runtime-process.ts';
import type { LoadResult, RunTime } from './runtime-worker.ts';
import type { LoadRequest, RuntimeSpec } from './runtimes.ts';
import { percentile } from './statistics.ts';

export interface Contestant {
  readonly name: string;
  readonly version: string;
  readonly spec: RuntimeSpec;
}

export interface MeasureOptions {
  readonly request: LoadRequest;
  readonly feeds: PlainTensors;
  readonly tolerance: RelativeTolerance;
  /** Runs before the measured ones; fewer when they take longer than the measured ones shall. */
  readonly warmup: number;
  /** Of measured runs, for each runtime; with 0 the first run is the only one. */
  readonly seconds: number;
  /** Looks at the outputs of the first contestant before anything is timed. */
  readonly check?: (outputs: PlainTensors) => void;
  readonly progress: (fraction: number, what: string) => void;
}

export interface Measurement {
  readonly name: string;
  readonly version: string;
  readonly threads: number;
  readonly loadMs: number;
  /** Processor time of that, all threads together. */
  readonly loadCpuMs: number;
  readonly firstRunMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  /** Median of the processor time of a run, all threads together: on a busy machine it says more than the other times. */
  readonly cpuMs: number;
  readonly runs: number;
  readonly peakBytes: number;
  /** What Node held before the model was loaded; part of the peak. */
  readonly baseBytes: number;
  /** Median relative to the first contestant's: above 1 is slower. */
  readonly ratio: number;
}

/** Rounds that the time of a runtime is divided into. */
const rounds = 8;
/** After a run some runtimes keep their threads spinning for a moment. */
const settleMs = 20;

/**
 * @param contestants the first is what the others are compared with
 * @throws RuntimeError when a runtime fails or its outputs differ from the first's
 */
export async function measure(contestants: readonly Contestant[], options: MeasureOptions): Promise<Measurement[]> {
  const { request, feeds, tolerance, progress } = options;
  for (const file of [request.model, ...request.externalFiles.map((name) => join(dirname(request.model), name))])
    warmPageCache(file);
  const processes: RuntimeProcess[] = [];
  try {
    const started: { runtime: RuntimeProcess; load: LoadResult; firstMs: number; samples: RunTime[] }[] = [];
    const isBrief = options.seconds === 0;
    let reference: PlainTensors | undefined;
    for (const [at, { name, spec }] of contestants.entries()) {
      progress(at / contestants.length / 4, `loading ${name}`);
      const runtime = new RuntimeProcess(name);
      processes.push(runtime);
      const load = await runtime.load(spec, request, feeds);
      const first = await runtime.first();
      if (!reference) {
        reference = first.outputs;
        options.check?.(reference);
      } else {
        const difference = differenceOf(first.outputs, reference, tolerance);
        if (difference !== undefined) {
          throw new RuntimeError(
            `${name} and ${contestants[0].name} disagree, so their times mean nothing: ${difference}`,
          );
        }
      }
      const { ms, cpuMs } = first;
      started.push({ runtime, load, firstMs: ms, samples: isBrief ? [{ ms, cpuMs }] : [] });
    }
    for (const { runtime } of started) await runtime.warmup(options.warmup, options.seconds * 1000);
    const roundMs = (options.seconds * 1000) / rounds;
    const spent = (entry: { samples: readonly RunTime[] }): number =>
      entry.samples.reduce((sum, { ms }) => sum + ms, 0);
    // Slow models take longer than planned for a round: then fewer rounds are enough.
    for (let round = 0; round < rounds && !isBrief; round++) {
      for (const entry of started) {
        progress(0.25 + (0.75 * round) / rounds, `measuring ${entry.runtime.name}`);
        await sleep(settleMs);
        entry.samples.push(...(await entry.runtime.round(roundMs)));
      }
      if (round >= 2 && started.every((entry) => spent(entry) >= options.seconds * 1000)) break;
    }
    const timesOf = (samples: readonly RunTime[]): number[] => samples.map(({ ms }) => ms);
    const base = percentile(timesOf(started[0].samples), 0.5);
    return await Promise.all(
      started.map(async ({ runtime, load, firstMs, samples }, at) => ({
        name: contestants[at].name,
        version: contestants[at].version,
        threads: request.threads,
        loadMs: load.ms,
        loadCpuMs: load.cpuMs,
        firstRunMs: firstMs,
        p50Ms: percentile(timesOf(samples), 0.5),
        p90Ms: percentile(timesOf(samples), 0.9),
        cpuMs: percentile(
          samples.map(({ cpuMs }) => cpuMs),
          0.5,
        ),
        runs: samples.length,
        peakBytes: await runtime.memory(),
        baseBytes: load.baseMemory,
        ratio: percentile(timesOf(samples), 0.5) / base,
      })),
    );
  } finally {
    for (const process of processes) process.stop();
  }
}

/** So that the first to load is not the one that waits for the disk. */
function warmPageCache(file: string): void {
  const handle = openSync(file, 'r');
  const chunk = new Uint8Array(1 << 20);
  try {
    while (readSync(handle, chunk) > 0);
  } finally {
    closeSync(handle);
  }
}
