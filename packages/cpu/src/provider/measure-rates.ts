// What the machine allows: the rate of float32 arithmetic in registers, and of copying memory. Reports hold the
// kernels of a model against these.

import type { DeviceProfile } from '@onnx-ts/core/provider';
import { emitDriver, importLinearMemory, kernelParams } from '../runtime/driver.ts';
import { programBytes, type Step, writeProgram } from '../runtime/step-program.ts';
import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { CpuProvider } from './cpu-provider.ts';

export interface Rates {
  /** Float32 operations a second of all threads. */
  readonly flops: number;
  /** Bytes a second that all threads read and write when they copy more than caches hold. */
  readonly bandwidth: number;
}

/**
 * Independent sums, so that none waits for itself; with two factors they fill the sixteen registers of a vector unit, also
 * where the engine joins pairs of them.
 */
const sums = 12;
const pairedSums = 24;
const unroll = 8;
/** Turns of the loop in a tile. */
const turns = 1000;
const tilesOfThread = 128;
const arithmeticRuns = 10;

/** Bytes copied, more than the caches of most machines hold. */
const copiedBytes = 1 << 26;
const bytesOfTile = 1 << 18;
const copyRuns = 5;

/** Of the short measurement: it has to be done before anybody waits for it. */
const briefBytes = 1 << 23;
const briefRuns = 3;
const launches = 64;
const launchRuns = 5;

/** Seconds that the beginning and end of a kernel take beside the step itself. */
const leastLaunch = 5e-7;

/** What templates reach of the rate of registers. */
const reachable = 0.7;

/** Takes about 200 ms and 128 MiB. The best of several runs counts: the first ones are not optimised yet. */
export function measureRates(provider: CpuProvider): Promise<Rates> {
  return withKernels(provider, copiedBytes, async ({ flops, copy }) => ({
    flops: await flops(arithmeticRuns),
    bandwidth: await copy(copyRuns),
  }));
}

/** Takes about 30 ms and 16 MiB: what placement needs to know. */
export function measureProfile(provider: CpuProvider): Promise<DeviceProfile> {
  return withKernels(provider, briefBytes, async ({ flops, copy, steps, upload }) => {
    const rate = reachable * (await flops(briefRuns));
    const bandwidth = await copy(briefRuns);
    const one = await steps(1, launchRuns);
    const launch = Math.max(leastLaunch, (await steps(launches, launchRuns)) - one) / (launches - 1);
    return { flops: rate, bandwidth, launch, sync: one, transferLatency: 1e-6, transferBandwidth: upload(briefRuns) };
  });
}

/** Each with the number of runs, of which the fastest counts. */
interface Measurements {
  /** Operations a second. */
  flops(runs: number): Promise<number>;
  /** Bytes a second, read and written. */
  copy(runs: number): Promise<number>;
  /** Seconds of a program of so many steps with next to no work, each of which waits for the one before. */
  steps(count: number, runs: number): Promise<number>;
  /** Bytes a second from the host into linear memory. */
  upload(runs: number): number;
}

async function withKernels<R>(
  provider: CpuProvider,
  bytes: number,
  measure: (measurements: Measurements) => Promise<R>,
): Promise<R> {
  const { pool, memory, shared, relaxedSimd } = provider;
  const module = new ModuleBuilder();
  importLinearMemory(module, shared);
  const count = provider.wideVectors ? pairedSums : sums;
  const flopsOfTile = turns * unroll * count * 4 * 2;
  const arithmetic = module.tableIndex(module.define(arithmeticKernel(relaxedSimd, count)));
  const copy = module.tableIndex(module.define(copyKernel()));
  emitDriver(module, { threads: shared, profiling: true });
  const id = await pool.addModule(await WebAssembly.compile(module.toBytes()));
  pool.reserveScratch(count * 16);
  const program = memory.allocateBlock(programBytes(launches));
  const args = memory.allocateBlock(8);
  const [source, target] = [memory.allocateBlock(bytes), memory.allocateBlock(bytes)];
  memory.linear.words[args >>> 2] = source;
  memory.linear.words[(args >>> 2) + 1] = target;
  /** Seconds of the fastest run. */
  const best = async (steps: readonly Step[], runs: number): Promise<number> => {
    writeProgram(memory.linear.words, program, steps);
    let least = Infinity;
    for (let run = 0; run < runs; run++) {
      const start = performance.now();
      await pool.run({ module: id, program, first: 0, last: steps.length, threads: pool.threads });
      least = Math.min(least, performance.now() - start);
    }
    return least / 1000;
  };
  try {
    return await measure({
      async flops(runs) {
        const tiles = tilesOfThread * pool.threads;
        return (flopsOfTile * tiles) / (await best([{ kernel: arithmetic, args, tiles, grain: 1 }], runs));
      },
      async copy(runs) {
        const step = { kernel: copy, args, tiles: bytes / bytesOfTile, grain: 1 };
        return (2 * bytes) / (await best([step], runs));
      },
      steps(number, runs) {
        const step = { kernel: arithmetic, args, tiles: 0, barrier: true };
        return best(
          Array.from({ length: number }, () => step),
          runs,
        );
      },
      upload(runs) {
        const given = new Uint8Array(bytes).fill(1);
        let least = Infinity;
        for (let run = 0; run < runs; run++) {
          const start = performance.now();
          memory.linear.bytes.set(given, target);
          least = Math.min(least, performance.now() - start);
        }
        return (bytes / Math.max(least, 1e-3)) * 1000;
      },
    });
  } finally {
    for (const block of [program, args, source, target]) memory.linear.free(block);
    await pool.removeModule(id);
  }
}

/** Multiplies and adds in registers; the results go to scratch memory, so that no compiler leaves the work out. */
function arithmeticKernel(relaxed: boolean, count: number): FunctionBuilder {
  const f = new FunctionBuilder('arithmetic', kernelParams);
  const [, begin, end, scratch] = f.params;
  const values = f.locals(count, 'v128', 'sum');
  const [factor, term] = f.locals(2, 'v128', 'constant');
  for (const [local, value] of [
    [factor, 0.999],
    [term, 0.001],
    ...values.map((sum, at) => [sum, at] as const),
  ] as const) {
    f.lanesConst('f32x4', value);
    f.set(local);
  }
  f.forRange({ begin, end }, () => {
    f.forRange({ begin: 0, end: turns }, () => {
      for (let step = 0; step < unroll; step++) {
        for (const sum of values) {
          f.get(sum);
          f.get(factor);
          if (!relaxed) f.op('f32x4.mul');
          f.get(term);
          f.op(relaxed ? 'f32x4.relaxed_madd' : 'f32x4.add');
          f.set(sum);
        }
      }
    });
  });
  for (const [at, sum] of values.entries()) {
    f.get(scratch);
    f.get(sum);
    f.store('v128.store', at * 16, 4);
  }
  return f;
}

function copyKernel(): FunctionBuilder {
  const f = new FunctionBuilder('copy', kernelParams);
  const [args, begin, end] = f.params;
  const [source, target, left] = [f.local('i32', 'source'), f.local('i32', 'target'), f.local('i32', 'left')];
  for (const [at, pointer] of [source, target].entries()) {
    f.get(args);
    f.load('i32.load', at * 4);
    f.get(begin);
    f.i32Const(bytesOfTile);
    f.op('i32.mul');
    f.op('i32.add');
    f.set(pointer);
  }
  f.get(end);
  f.get(begin);
  f.op('i32.sub');
  f.i32Const(bytesOfTile);
  f.op('i32.mul');
  f.set(left);
  f.loop((again) => {
    for (let at = 0; at < 64; at += 16) {
      f.get(target);
      f.get(source);
      f.load('v128.load', at, 4);
      f.store('v128.store', at, 4);
    }
    for (const [local, step] of [
      [source, 64],
      [target, 64],
      [left, -64],
    ] as const) {
      f.get(local);
      f.i32Const(step);
      f.op('i32.add');
      f.set(local);
    }
    f.get(left);
    f.brIf(again);
  });
  return f;
}
