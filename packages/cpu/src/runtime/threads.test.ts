import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { control, word } from './control-block.ts';
import { emitDriver, importLinearMemory, kernelParams } from './driver.ts';
import { defineErrorReport } from './kernel-error.ts';
import { LinearMemory } from './memory.ts';
import { programBytes, type Step, writeProgram } from './step-program.ts';
import { abortJob, type Job, KernelTrapError, type LeaderMode, ThreadPool, ThreadPoolLostError } from './threads.ts';

const pools: ThreadPool[] = [];

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.dispose()));
});

/** Table slots of the kernels below; all take the address of their arguments. */
const slot = { fill: 1, mix: 2, sum: 3, trapAt: 4, waitFor: 5, report: 6, noteScratch: 7, busy: 8 };

type Emit = () => void;

/** `argument(n)` pushes the n-th argument, `tile` the tile: the body is repeated for each of the call. */
function perTile(
  name: string,
  body: (f: FunctionBuilder, argument: (index: number) => Emit, tile: Emit) => void,
): FunctionBuilder {
  const f = new FunctionBuilder(name, kernelParams);
  const [args, begin, end] = f.params;
  const argument = (index: number) => () => {
    f.get(args);
    f.load('i32.load', index * 4);
  };
  f.forRange({ begin, end }, (tile) => body(f, argument, () => f.get(tile)));
  return f;
}

/** Pushes the address of base[index]. */
function element(f: FunctionBuilder, base: Emit, index: Emit): void {
  base();
  index();
  f.i32Const(2);
  f.op('i32.shl');
  f.op('i32.add');
}

function toyModule(shared: boolean, bias = 0): WebAssembly.Module {
  const module = new ModuleBuilder({ names: true });
  importLinearMemory(module, shared);
  const kernels = [
    // (to, value): to[tile] = tile * 3 + value + bias
    perTile('fill', (f, argument, tile) => {
      element(f, argument(0), tile);
      tile();
      f.i32Const(3);
      f.op('i32.mul');
      argument(1)();
      f.op('i32.add');
      f.i32Const(bias);
      f.op('i32.add');
      f.store('i32.store');
    }),
    // (to, from, count, shift): to[tile] = from[tile] + from[(tile + shift) % count] * 5: reads what others wrote
    perTile('mix', (f, argument, tile) => {
      element(f, argument(0), tile);
      element(f, argument(1), tile);
      f.load('i32.load');
      element(f, argument(1), () => {
        tile();
        argument(3)();
        f.op('i32.add');
        argument(2)();
        f.op('i32.rem_u');
      });
      f.load('i32.load');
      f.i32Const(5);
      f.op('i32.mul');
      f.op('i32.add');
      f.store('i32.store');
    }),
    // (to, from, count): to[0] = sum of from
    perTile('sum', (f, argument) => {
      const [total, count] = f.locals(2, 'i32');
      f.i32Const(0);
      f.set(total);
      argument(2)();
      f.set(count);
      f.forRange({ begin: 0, end: count }, (index) => {
        element(f, argument(1), () => f.get(index));
        f.load('i32.load');
        f.get(total);
        f.op('i32.add');
        f.set(total);
      });
      argument(0)();
      f.get(total);
      f.store('i32.store');
    }),
    // (victim): traps at that tile
    perTile('trapAt', (f, argument, tile) => {
      tile();
      argument(0)();
      f.op('i32.eq');
      f.if(() => f.unreachable());
    }),
    // (flag): spins until flag[0] is not 0
    perTile('waitFor', (f, argument) => {
      f.loop((again) => {
        argument(0)();
        f.atomic('i32.atomic.load');
        f.op('i32.eqz');
        f.brIf(again);
      });
    }),
    // (): each tile reports an error with its number as the details
    perTile('report', (f, _, tile) => {
      f.get(f.params[3]);
      f.i32Const(42);
      for (let detail = 0; detail < 4; detail++) tile();
      f.call(defineErrorReport(module, { threads: shared }));
    }),
    // (to): to[tile] = scratch, which tells who ran the tile
    perTile('noteScratch', (f, argument, tile) => {
      element(f, argument(0), tile);
      f.get(f.params[3]);
      f.store('i32.store');
    }),
    // (iterations): takes time
    perTile('busy', (f, argument) => {
      const iterations = f.local('i32');
      argument(0)();
      f.set(iterations);
      f.forRange({ begin: 0, end: iterations }, () => {
        argument(0)();
        f.drop();
      });
    }),
  ];
  for (const kernel of kernels) module.tableIndex(module.define(kernel));
  emitDriver(module, { threads: shared, profiling: true });
  return new WebAssembly.Module(module.toBytes());
}

interface Setup {
  readonly memory: LinearMemory;
  readonly pool: ThreadPool;
  readonly module: number;
  /** Writes i32 values into a block of their own. */
  data(values: readonly number[]): number;
  read(address: number, count: number): number[];
  job(steps: readonly Step[]): Job;
}

async function setup(threads: number, leader: LeaderMode, shared = true, bias = 0): Promise<Setup> {
  const memory = new LinearMemory({ shared });
  const pool = new ThreadPool(memory, { threads, leader });
  pools.push(pool);
  const module = await pool.addModule(toyModule(shared, bias));
  const data = (values: readonly number[]) => {
    const address = memory.allocate(values.length * 4);
    memory.words.set(values, address / 4);
    return address;
  };
  return {
    memory,
    pool,
    module,
    data,
    read: (address, count) => Array.from(memory.words.subarray(address / 4, address / 4 + count)),
    job: (steps) => {
      const program = memory.allocate(programBytes(steps.length));
      writeProgram(memory.words, program, steps);
      return { module, program, first: 0, last: steps.length };
    },
  };
}

/** A pipeline in which each step needs what other threads wrote in the one before, and its result. */
function pipeline({ data, job }: Setup, tiles: number, grain: number): { job: Job; total: number; expected: number } {
  const [a, b, total] = [data(Array(tiles).fill(0)), data(Array(tiles).fill(0)), data([0])];
  const steps: Step[] = [{ kernel: slot.fill, args: data([a, 7]), tiles, grain }];
  let values = Array.from({ length: tiles }, (_, tile) => tile * 3 + 7);
  for (let round = 0; round < 6; round++) {
    const [from, to] = round % 2 === 0 ? [a, b] : [b, a];
    const shift = round * 11 + 1;
    steps.push({ kernel: slot.mix, args: data([to, from, tiles, shift]), tiles, grain, barrier: true });
    values = values.map((value, tile) => (value + Math.imul(values[(tile + shift) % tiles], 5)) | 0);
  }
  steps.push({ kernel: slot.sum, args: data([total, a, tiles]), leaderOnly: true, barrier: true });
  return { job: job(steps), total, expected: values.reduce((sum, value) => (sum + value) | 0, 0) };
}

const shapes: [number, LeaderMode][] = [
  [1, 'inline'],
  [2, 'inline'],
  [4, 'inline'],
  [1, 'worker'],
  [2, 'worker'],
  [4, 'worker'],
];

describe.each(shapes)('%i threads, leader %s', (threads, leader) => {
  test('a pipeline of dependent steps', async () => {
    const host = await setup(threads, leader);
    const { job, total, expected } = pipeline(host, 64, 4);
    for (let round = 0; round < 100; round++) {
      host.memory.words[total / 4] = 0;
      expect(await host.pool.run(job)).toBe('done');
      expect(host.memory.words[total / 4]).toBe(expected);
    }
  });

  test('ten thousand runs, and memory stays flat', async () => {
    const host = await setup(threads, leader);
    const { job, total, expected } = pipeline(host, 32, 4);
    const bytes = host.memory.bytesInUse;
    const heaps: number[] = [];
    for (let round = 0; round < 10_000; round++) {
      await host.pool.run(job);
      if (host.memory.words[total / 4] !== expected) expect.fail(`wrong result in run ${round}`);
      if (round % 2500 === 2499) heaps.push(process.memoryUsage().heapUsed);
    }
    expect(host.memory.bytesInUse).toBe(bytes);
    expect(heaps[3] - heaps[0]).toBeLessThan(20e6);
  });

  test('every tile runs once, steps without a barrier included', async () => {
    const host = await setup(threads, leader);
    const outs = Array.from({ length: 5 }, () => host.data(Array(103).fill(-1)));
    const steps = outs.map((out, index) => ({
      kernel: slot.fill,
      args: host.data([out, index]),
      tiles: 103,
      grain: 5,
    }));
    const job = host.job(steps);
    for (let round = 0; round < 50; round++) {
      for (const out of outs) host.memory.words.fill(-1, out / 4, out / 4 + 103);
      await host.pool.run(job);
      for (const [index, out] of outs.entries()) {
        expect(host.read(out, 103)).toEqual(Array.from({ length: 103 }, (_, tile) => tile * 3 + index));
      }
    }
  });

  test('a part of a program, and a job for the leader alone', async () => {
    const host = await setup(threads, leader);
    const out = host.data(Array(8).fill(0));
    const steps = [1, 2, 3].map((value) => ({
      kernel: slot.fill,
      args: host.data([out, value]),
      tiles: 8,
      grain: 1,
      barrier: true,
    }));
    const job = host.job(steps);
    expect(await host.pool.run({ ...job, first: 1, last: 2 })).toBe('done');
    expect(host.read(out, 1)).toEqual([2]);
    expect(await host.pool.run({ ...job, threads: 1 })).toBe('done');
    expect(host.read(out, 8)).toEqual([3, 6, 9, 12, 15, 18, 21, 24]);
    expect(await host.pool.run({ ...job, first: 3 })).toBe('done');
  });

  test('the first error record is kept and the next job starts without one', async () => {
    const host = await setup(threads, leader);
    const out = host.data([0]);
    const job = host.job([
      { kernel: slot.busy, args: host.data([10]) },
      { kernel: slot.report, args: 0, tiles: 40, grain: 1, barrier: true },
      { kernel: slot.report, args: 0, tiles: 40, grain: 1, barrier: true },
      { kernel: slot.fill, args: host.data([out, 9]), barrier: true },
    ]);
    expect(await host.pool.run(job)).toBe('failed');
    const { code, step, details } = host.pool.errorRecord()!;
    expect({ code, step }).toEqual({ code: 42, step: 1 });
    expect(new Set(details).size).toBe(1);
    expect(host.read(out, 1)).toEqual([9]);
    expect(await host.pool.run({ ...job, last: 1 })).toBe('done');
    expect(host.pool.errorRecord()).toBeUndefined();
  });

  test('a trap is reported, and the pool goes on', async () => {
    const host = await setup(threads, leader);
    const healthy = pipeline(host, 64, 4);
    const trap = host.job([
      { kernel: slot.busy, args: host.data([1000]), tiles: 64, grain: 1 },
      { kernel: slot.trapAt, args: host.data([20]), tiles: 64, grain: 1, barrier: true },
      { kernel: slot.busy, args: host.data([1000]), tiles: 64, grain: 1, barrier: true },
    ]);
    for (let round = 0; round < 50; round++) {
      await expect((async () => host.pool.run(trap))()).rejects.toThrow(KernelTrapError);
      expect(await host.pool.run(healthy.job)).toBe('done');
      expect(host.memory.words[healthy.total / 4]).toBe(healthy.expected);
    }
  });

  test('modules come and go between jobs', async () => {
    const host = await setup(threads, leader);
    const out = host.data(Array(16).fill(0));
    const job = host.job([{ kernel: slot.fill, args: host.data([out, 0]), tiles: 16, grain: 1 }]);
    for (const bias of [100, 200, 300]) {
      const module = await host.pool.addModule(toyModule(true, bias));
      for (let round = 0; round < 20; round++) {
        expect(await host.pool.run({ ...job, module })).toBe('done');
        expect(host.read(out, 2)).toEqual([bias, bias + 3]);
        await host.pool.run(job);
        expect(host.read(out, 2)).toEqual([0, 3]);
      }
      await host.pool.removeModule(module);
      await expect((async () => host.pool.run({ ...job, module }))()).rejects.toThrow('no module');
    }
    await expect(host.pool.removeModule(99)).rejects.toThrow('no module 99');
  });

  test('modules added at the same time', async () => {
    const host = await setup(threads, leader);
    const out = host.data(Array(16).fill(0));
    const job = host.job([{ kernel: slot.fill, args: host.data([out, 0]), tiles: 16, grain: 1 }]);
    const modules = await Promise.all([1, 2, 3, 4, 5].map((bias) => host.pool.addModule(toyModule(true, bias))));
    for (const [index, module] of modules.entries()) {
      await host.pool.run({ ...job, module });
      expect(host.read(out, 1)).toEqual([index + 1]);
    }
  });

  test('scratch memory can grow; each thread has its own', async () => {
    const host = await setup(threads, leader);
    host.pool.reserveScratch(1000);
    const before = host.memory.bytesInUse;
    host.pool.reserveScratch(500);
    expect(host.memory.bytesInUse).toBe(before);
    host.pool.reserveScratch(100_000);
    const out = host.data(Array(400).fill(0));
    await host.pool.run(host.job([{ kernel: slot.noteScratch, args: host.data([out]), tiles: 400, grain: 1 }]));
    const seen = Array.from(new Set(host.read(out, 400))).sort((x, y) => x - y);
    expect(seen.length).toBeLessThanOrEqual(threads);
    for (const [index, address] of seen.entries()) {
      expect(address % 64).toBe(0);
      if (index > 0) expect(address - seen[index - 1]).toBeGreaterThanOrEqual(100_000 + 64);
    }
  });

  test('times are recorded by the leader', async () => {
    const host = await setup(threads, leader);
    const { job } = pipeline(host, 32, 4);
    const entries = 2 * job.last + 1;
    const times = host.memory.allocate(entries * 8);
    host.memory.bytes.fill(0, times, times + entries * 8);
    host.pool.recordTimes(times);
    await host.pool.run(job);
    const table = Array.from({ length: entries }, (_, entry) => host.memory.view.getFloat64(times + entry * 8, true));
    expect(table[0]).toBeGreaterThan(0);
    for (let entry = 1; entry < entries; entry++) expect(table[entry]).toBeGreaterThanOrEqual(table[entry - 1]);
    host.pool.recordTimes(0);
  });

  test('dispose ends everything and can be repeated', async () => {
    const host = await setup(threads, leader);
    const { job } = pipeline(host, 32, 4);
    await host.pool.run(job);
    await host.pool.dispose();
    await host.pool.dispose();
    await expect((async () => host.pool.run(job))()).rejects.toThrow('disposed');
    await expect(host.pool.addModule(toyModule(true))).rejects.toThrow('disposed');
  });
});

test.each([2, 4])('workers do help (%i threads)', async (threads) => {
  const host = await setup(threads, 'inline');
  const out = host.data(Array(2000).fill(0));
  const busy = host.data([20_000]);
  const seen = new Set<number>();
  const job = host.job([
    { kernel: slot.busy, args: busy, tiles: 2000, grain: 1 },
    { kernel: slot.noteScratch, args: host.data([out]), tiles: 2000, grain: 1 },
    { kernel: slot.busy, args: busy, tiles: 200, grain: 1, barrier: true },
  ]);
  for (let round = 0; round < 50 && seen.size < 2; round++) {
    await host.pool.run(job);
    for (const address of host.read(out, 2000)) seen.add(address);
  }
  expect(seen.size).toBeGreaterThan(1);
});

test('a worker waits asleep for a leader that takes its time', async () => {
  const host = await setup(3, 'inline');
  const total = host.data([0]);
  const values = host.data([1, 2, 3]);
  const job = host.job([
    { kernel: slot.busy, args: host.data([20_000_000]), leaderOnly: true },
    { kernel: slot.busy, args: host.data([10]), tiles: 30, grain: 1, barrier: true },
    { kernel: slot.sum, args: host.data([total, values, 3]), leaderOnly: true, barrier: true },
  ]);
  for (let round = 0; round < 10; round++) expect(await host.pool.run(job)).toBe('done');
  expect(host.memory.words[total / 4]).toBe(6);
  expect(host.memory.words[word(control.sleepers)]).toBe(0);
});

test('a trap frees those who sleep at a barrier', async () => {
  const host = await setup(4, 'inline');
  const busy = host.data([5_000_000]);
  const job = host.job([
    { kernel: slot.busy, args: busy, leaderOnly: true },
    { kernel: slot.trapAt, args: host.data([0]), leaderOnly: true },
    { kernel: slot.busy, args: busy, tiles: 4, grain: 1, barrier: true },
  ]);
  for (let round = 0; round < 20; round++) {
    try {
      host.pool.run(job);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(KernelTrapError);
      expect((error as KernelTrapError).thread).toBe(0);
      expect((error as Error).cause).toBeInstanceOf(WebAssembly.RuntimeError);
      // Names of kernels are in the module, so the stack of the cause has them.
      expect(((error as Error).cause as Error).stack).toContain('trapAt');
    }
  }
});

test('abort from another thread ends a job of an inline leader', async () => {
  const host = await setup(2, 'inline');
  const { Worker } = await import('node:worker_threads');
  const flag = host.data([0]);
  const abortLater = new Worker(
    `const { workerData: { words, abort, signal, flag } } = require('node:worker_threads');
     setTimeout(() => {
       Atomics.store(words, abort, 1);
       Atomics.add(words, signal, 1);
       Atomics.notify(words, signal);
       Atomics.store(words, flag, 1);
     }, 100);`,
    {
      eval: true,
      execArgv: [],
      workerData: {
        words: host.memory.words,
        abort: word(control.abort),
        signal: word(control.signal),
        flag: flag / 4,
      },
    },
  );
  const out = host.data([0]);
  const job = host.job([
    { kernel: slot.waitFor, args: host.data([flag]), tiles: 10, grain: 1 },
    { kernel: slot.fill, args: host.data([out, 5]), barrier: true },
  ]);
  expect(host.pool.run(job)).toBe('aborted');
  expect(host.read(out, 1)).toEqual([0]);
  await abortLater.terminate();
});

test.each([1, 2, 4])('abort ends a job of %i workers', async (threads) => {
  const host = await setup(threads, 'worker');
  const flag = host.data([0]);
  const out = host.data([0]);
  const job = host.job([
    { kernel: slot.waitFor, args: host.data([flag]), tiles: 10, grain: 1 },
    { kernel: slot.fill, args: host.data([out, 5]), barrier: true },
  ]);
  for (let round = 0; round < 10; round++) {
    host.memory.words[flag / 4] = 0;
    const running = host.pool.run(job);
    await new Promise((resolve) => setTimeout(resolve, 5));
    host.pool.abort();
    Atomics.store(host.memory.words, flag / 4, 1);
    expect(await running).toBe('aborted');
    expect(host.read(out, 1)).toEqual([0]);
  }
  host.pool.abort();
  expect(await host.pool.run({ ...job, first: 1 })).toBe('done');
});

test('jobs of worker leaders queue up, messages in between', async () => {
  const host = await setup(2, 'worker');
  const out = host.data([0]);
  const jobs = Array.from({ length: 20 }, (_, index) =>
    host.job([{ kernel: slot.fill, args: host.data([out, index]) }]),
  );
  const statuses = jobs.map(async (job, index) => {
    const status = await host.pool.run(job);
    expect(host.read(out, 1)).toEqual([index]);
    return status;
  });
  const module = host.pool.addModule(toyModule(true, 500));
  expect(await Promise.all(statuses)).toEqual(Array(20).fill('done'));
  await host.pool.run({ ...jobs[3], module: await module });
  expect(host.read(out, 1)).toEqual([503]);
});

test('without waitAsync the end of a job comes by message', async () => {
  const atomics = Atomics as { waitAsync?: unknown };
  const { waitAsync } = atomics;
  delete atomics.waitAsync;
  try {
    const host = await setup(2, 'worker');
    const { job, total, expected } = pipeline(host, 64, 4);
    for (let round = 0; round < 500; round++) {
      host.memory.words[total / 4] = 0;
      expect(await host.pool.run(job)).toBe('done');
      expect(host.memory.words[total / 4]).toBe(expected);
    }
  } finally {
    atomics.waitAsync = waitAsync;
  }
});

test('a worker that dies is reported and takes the pool with it', async () => {
  const memory = new LinearMemory({ shared: true });
  // What reaches the workers is no memory, so they die of it.
  Object.defineProperty(memory, 'memory', { value: { buffer: 'nonsense' } });
  const pool = new ThreadPool(memory, { threads: 2, leader: 'worker' });
  pools.push(pool);
  const job = { module: 1, program: 1024, first: 0, last: 0 };
  await expect(pool.addModule(toyModule(true))).rejects.toThrow(ThreadPoolLostError);
  await expect((async () => pool.run(job))()).rejects.toThrow('a worker of the thread pool was lost');
  await expect(pool.addModule(toyModule(true))).rejects.toThrow(ThreadPoolLostError);
});

test('two pools at once', async () => {
  const hosts = await Promise.all([setup(2, 'worker', true, 0), setup(2, 'worker', true, 0), setup(2, 'inline')]);
  const pipelines = hosts.map((host) => pipeline(host, 64, 4));
  for (let round = 0; round < 200; round++) {
    await Promise.all(hosts.map((host, index) => host.pool.run(pipelines[index].job)));
    for (const [index, host] of hosts.entries()) {
      expect(host.memory.words[pipelines[index].total / 4]).toBe(pipelines[index].expected);
    }
  }
});

test('a single thread runs on memory that is not shared', async () => {
  const host = await setup(1, 'inline', false);
  const out = host.data([0]);
  expect(host.pool.run(host.job([{ kernel: slot.fill, args: host.data([out, 5]) }]))).toBe('done');
  expect(host.read(out, 1)).toEqual([5]);
});

test('memory may grow between jobs', async () => {
  for (const [threads, leader, shared] of [
    [1, 'inline', false],
    [2, 'inline', true],
    [2, 'worker', true],
  ] as const) {
    const host = await setup(threads, leader, shared);
    for (let round = 0; round < 5; round++) {
      const tiles = 10_000 + round * 200_000;
      const out = host.memory.allocate(tiles * 4);
      const job = host.job([{ kernel: slot.fill, args: host.data([out, round]), tiles, grain: 1000 }]);
      expect(await host.pool.run(job)).toBe('done');
      expect(host.read(out + (tiles - 1) * 4, 1)).toEqual([(tiles - 1) * 3 + round]);
    }
  }
});

test('a job disposed of while it runs is rejected', async () => {
  const host = await setup(2, 'worker');
  const job = host.job([{ kernel: slot.waitFor, args: host.data([host.data([0])]) }]);
  const running = expect((async () => host.pool.run(job))()).rejects.toThrow(ThreadPoolLostError);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(() => host.pool.reserveScratch(1 << 20)).toThrow('while a job is running');
  await host.pool.dispose();
  await running;
});

test('a module that cannot be used is an error, not a hang', async () => {
  const host = await setup(2, 'worker');
  const module = new ModuleBuilder();
  module.importFunction('elsewhere', 'missing', { params: [], results: [] });
  await expect(host.pool.addModule(new WebAssembly.Module(module.toBytes()))).rejects.toThrow('elsewhere');
  expect(await host.pool.run(host.job([{ kernel: slot.busy, args: host.data([1]) }]))).toBe('done');
});

test('what cannot be is refused', () => {
  const plain = new LinearMemory({ shared: false });
  expect(() => new ThreadPool(plain, { threads: 2 })).toThrow('shared memory');
  expect(() => new ThreadPool(plain, { threads: 1, leader: 'worker' })).toThrow('shared memory');
  expect(() => new ThreadPool(plain, { threads: 0 })).toThrow(RangeError);
  expect(() => new ThreadPool(plain, { threads: 65 })).toThrow(RangeError);
});

test('aborting when nothing runs is harmless', async () => {
  const host = await setup(2, 'inline');
  abortJob(host.memory.words);
  expect(host.pool.run(host.job([{ kernel: slot.busy, args: host.data([1]) }]))).toBe('done');
});

test('parked workers do not keep the process alive, a running job does', () => {
  const here = (file: string) => new URL(file, import.meta.url).href;
  const program = `
    import { ModuleBuilder } from '${here('../wasm/module.ts')}';
    import { emitDriver, importLinearMemory } from '${here('./driver.ts')}';
    import { LinearMemory } from '${here('./memory.ts')}';
    import { ThreadPool } from '${here('./threads.ts')}';
    const memory = new LinearMemory({ shared: true });
    const module = new ModuleBuilder();
    importLinearMemory(module, true);
    emitDriver(module, { threads: true });
    const pool = new ThreadPool(memory, { threads: 2, leader: 'worker' });
    const id = await pool.addModule(new WebAssembly.Module(module.toBytes()));
    console.log(await pool.run({ module: id, program: 1024, first: 0, last: 0 }));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect({ stdout, stderr, status }).toEqual({ stdout: 'done\n', stderr: '', status: 0 });
});
