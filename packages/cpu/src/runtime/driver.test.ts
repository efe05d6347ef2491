// The driver on one thread; what several threads do together is tested in threads.test.ts.

import { expect, test } from 'vitest';
import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { functionType } from '../wasm/types.ts';
import { abortReason, control, SCRATCH_HEADER_BYTES, word } from './control-block.ts';
import { emitDriver, importLinearMemory, kernelParams, kernelType } from './driver.ts';
import { defineErrorReport, readErrorRecord } from './kernel-error.ts';
import { LinearMemory } from './memory.ts';
import { programBytes, type Step, writeProgram } from './step-program.ts';

interface Call {
  readonly args: number;
  readonly begin: number;
  readonly end: number;
  readonly scratch: number;
}

interface Setup {
  readonly memory: LinearMemory;
  readonly calls: Call[];
  readonly block: number;
  run(steps: readonly Step[], first?: number, last?: number): void;
}

/** Slot 1 tells the host about the call, slot 2 reports an error for its first tile. */
function setup(options: { threads: boolean; shared: boolean }, onCall: (call: Call) => void = () => {}): Setup {
  const module = new ModuleBuilder();
  importLinearMemory(module, options.shared);
  const tell = module.importFunction('env', 'tell', kernelType);
  const traced = new FunctionBuilder('traced', kernelParams);
  for (const param of traced.params) traced.get(param);
  traced.call(tell);
  module.tableIndex(module.define(traced));
  const failing = new FunctionBuilder('failing', kernelParams);
  const [args, begin, end, scratch] = failing.params;
  for (const value of [scratch, args, begin, end, begin, end]) failing.get(value);
  failing.call(defineErrorReport(module, options));
  module.tableIndex(module.define(failing));
  emitDriver(module, { threads: options.threads, profiling: true });

  const memory = new LinearMemory({ shared: options.shared });
  const block = memory.allocate(SCRATCH_HEADER_BYTES + 256);
  memory.words[word(control.threadBlocks)] = block;
  const calls: Call[] = [];
  let time = 0;
  const record = (...[args, begin, end, scratch]: number[]) => {
    const call = { args, begin, end, scratch };
    calls.push(call);
    onCall(call);
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), {
    env: { memory: memory.memory, tell: record, now: () => ++time },
  });
  const driver = instance.exports.run as (...values: number[]) => void;
  return {
    memory,
    calls,
    block,
    run: (steps, first = 0, last = steps.length) => {
      const program = memory.allocate(programBytes(steps.length));
      writeProgram(memory.words, program, steps);
      driver(program, first, last, 0, 1);
      memory.free(program);
    },
  };
}

const hosts = [
  { threads: false, shared: false },
  { threads: true, shared: false },
  { threads: true, shared: true },
];

test.each(hosts)('steps run in order, in chunks of the grain ($threads, $shared)', (host) => {
  const { calls, block, run } = setup(host);
  run([
    { kernel: 1, args: 100, tiles: 5, grain: 2 },
    { kernel: 1, args: 200, leaderOnly: true, barrier: true },
    { kernel: 1, args: 300, tiles: 0, barrier: true },
    { kernel: 1, args: 400, tiles: 3, barrier: true },
  ]);
  const scratch = block + SCRATCH_HEADER_BYTES;
  expect(calls).toEqual([
    { args: 100, begin: 0, end: 2, scratch },
    { args: 100, begin: 2, end: 4, scratch },
    { args: 100, begin: 4, end: 5, scratch },
    { args: 200, begin: 0, end: 1, scratch },
    { args: 400, begin: 0, end: 3, scratch },
  ]);
});

test('a part of a program', () => {
  const { calls, run } = setup(hosts[0]);
  const steps = [10, 20, 30, 40].map((args) => ({ kernel: 1, args }));
  run(steps, 1, 3);
  run(steps, 4, 4);
  expect(calls.map(({ args }) => args)).toEqual([20, 30]);
});

test.each(hosts)('an abort ends the run after the chunk ($threads, $shared)', (host) => {
  const { memory, calls, run } = setup(host, ({ begin }) => {
    if (begin === 4) memory.words[word(control.abort)] = abortReason.cancelled;
  });
  run([
    { kernel: 1, args: 1, tiles: 10, grain: 2 },
    { kernel: 1, args: 2 },
  ]);
  expect(calls.map(({ begin }) => begin)).toEqual([0, 2, 4]);
});

test.each(hosts)('the first error is kept, with its step, and the run goes on ($threads, $shared)', (host) => {
  const { memory, calls, run } = setup(host);
  run([
    { kernel: 1, args: 1 },
    { kernel: 2, args: 55, tiles: 7, grain: 5 },
    { kernel: 2, args: 66 },
    { kernel: 1, args: 2 },
  ]);
  expect(readErrorRecord(memory.words)).toEqual({ code: 55, step: 1, details: [0, 5, 0, 5] });
  expect(calls.length).toBe(2);
});

test('times of each step and of the end', () => {
  const { memory, run } = setup(hosts[0]);
  const times = memory.allocate(2 * 3 * 8 + 8);
  const steps = [1, 2, 3].map((args) => ({ kernel: 1, args }));
  const table = () => Array.from({ length: 7 }, (_, entry) => memory.view.getFloat64(times + entry * 8, true));
  memory.bytes.fill(0, times, times + 56);
  run(steps);
  expect(table()).toEqual([0, 0, 0, 0, 0, 0, 0]);
  memory.words[word(control.times)] = times;
  run(steps, 1, 3);
  expect(table()).toEqual([0, 0, 1, 2, 3, 4, 5]);
});

test('programs, arguments and scratch memory may lie above 2 GiB', () => {
  const { memory, calls, run } = setup(hosts[2]);
  memory.allocate(2.5 * 2 ** 30);
  const block = memory.allocate(1024);
  memory.words[word(control.threadBlocks)] = block;
  run([
    { kernel: 1, args: block, tiles: 2, grain: 1 },
    { kernel: 1, args: 7, barrier: true },
  ]);
  expect(block).toBeGreaterThan(2 ** 31);
  expect(calls.map(({ args }) => args >>> 0)).toEqual([block, block, 7]);
  expect(calls[0].scratch >>> 0).toBe(block + SCRATCH_HEADER_BYTES);
});

test('a zeroed step traps instead of running some kernel', () => {
  const { run } = setup(hosts[0]);
  expect(() => run([{ kernel: 0, args: 0 }])).toThrow(WebAssembly.RuntimeError);
});

test('without threads there is no atomic instruction', () => {
  const hasAtomics = (threads: boolean) => {
    const module = new ModuleBuilder();
    importLinearMemory(module, false);
    emitDriver(module, { threads });
    // The prefix of atomic instructions; no other byte of this module has that value.
    return module.toBytes().includes(0xfe);
  };
  expect([hasAtomics(true), hasAtomics(false)]).toEqual([true, false]);
});

test('what a program cannot say is refused', () => {
  const words = new Int32Array(64);
  expect(() => writeProgram(words, 0, [{ kernel: 1, args: 0, tiles: 4, grain: 0 }])).toThrow(RangeError);
  expect(() => writeProgram(words, 0, [{ kernel: 1, args: 0, tiles: -1 }])).toThrow(RangeError);
  expect(() => writeProgram(words, 0, [{ kernel: 1, args: 0, tiles: 2 ** 31 }])).toThrow(RangeError);
  const many = Array.from({ length: 65 }, () => ({ kernel: 1, args: 0, tiles: 2 ** 24 }));
  expect(() => writeProgram(new Int32Array(65 * 8), 0, many)).toThrow('more than');
});

test('a kernel has the type that the driver calls', () => {
  expect(functionType(Object.values(kernelParams))).toEqual(kernelType);
});
