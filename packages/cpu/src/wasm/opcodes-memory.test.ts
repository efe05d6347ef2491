// What loads, stores, lane accesses and atomic operations do to memory.

import { expect, test } from 'vitest';
import { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';
import type { Opcode } from './opcode.ts';
import {
  type AtomicOp,
  atomicOps,
  type LaneLoadOp,
  type LaneOp,
  type LaneStoreOp,
  type LoadOp,
  laneLoads,
  laneOps,
  laneStores,
  loadOps,
  type StoreOp,
  storeOps,
} from './opcodes.ts';

const fullLoads = { i32: 'i32.load', i64: 'i64.load', f32: 'f32.load', f64: 'f64.load', v128: 'v128.load' } as const;
const fullStores = {
  i32: 'i32.store',
  i64: 'i64.store',
  f32: 'f32.store',
  f64: 'f64.store',
  v128: 'v128.store',
} as const;
const widths = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 } as const;

/** What the memory holds at first, from address 0; zeros follow. */
const pattern = Uint8Array.from({ length: 64 }, (_, index) => (index * 37 + 129) & 0xff);
const resultAt = 256;

/** Runs `write` on a fresh memory; returns the memory afterwards. */
function run(write: (f: FunctionBuilder) => void): Uint8Array {
  const f = new FunctionBuilder('test', {});
  write(f);
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { initial: 1, maximum: 1, shared: true });
  module.export('test', module.define(f));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const view = new Uint8Array(memory.buffer);
  view.set(pattern);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), { env: { memory } });
  (instance.exports.test as () => void)();
  return view;
}

/** The 16 bytes at the result. */
function result(view: Uint8Array): Uint8Array {
  return view.slice(resultAt, resultAt + 16);
}

/** `source` followed by zeros, or by ones if it is to be read as a negative number, up to `width`; zeros up to 16. */
function extended(source: Uint8Array, width: number, signed: boolean): Uint8Array {
  const bytes = new Uint8Array(16);
  if (signed && source[source.length - 1] >= 0x80) bytes.fill(0xff, 0, width);
  bytes.set(source);
  return bytes;
}

function integer(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function integerBytes(value: bigint, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, byte) => Number((value >> BigInt(8 * byte)) & 0xffn));
}

test.each(Object.values<Opcode>(loadOps))('$name', ({ name, extent, results }) => {
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(3);
    f.load(name as LoadOp, 5, 1);
    f.store(fullStores[results[0]]);
  });
  const source = pattern.slice(8, 8 + extent);
  let expected = extended(source, widths[results[0]], name.endsWith('_s'));
  const extending = /load(\d+)x(\d+)_([su])/.exec(name);
  if (name.endsWith('_splat')) expected = Uint8Array.from({ length: 16 }, (_, byte) => source[byte % extent]);
  else if (extending) {
    const bytes = Number(extending[1]) / 8;
    const lanes = Array.from({ length: Number(extending[2]) }, (_, lane) =>
      source.slice(lane * bytes, (lane + 1) * bytes),
    );
    expected = Uint8Array.from(
      lanes.flatMap((lane) => [...extended(lane, bytes * 2, extending[3] === 's').slice(0, bytes * 2)]),
    );
  }
  expect(result(view)).toEqual(expected);
});

test.each(Object.values<Opcode>(storeOps))('$name', ({ name, extent, params }) => {
  const view = run((f) => {
    f.i32Const(resultAt - 6);
    f.i32Const(16);
    f.load(fullLoads[params[1]]);
    f.store(name as StoreOp, 6, 1);
  });
  expect(result(view)).toEqual(extended(pattern.slice(16, 16 + extent), extent, false));
});

test.each(Object.values<Opcode>(laneLoads))('$name', ({ name, extent }) => {
  const lane = 16 / extent - 1;
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(1);
    f.lanesConst('i8x16', 7);
    f.loadLane(name as LaneLoadOp, lane, 2, 1);
    f.store('v128.store');
  });
  const expected = new Uint8Array(16).fill(7);
  expected.set(pattern.slice(3, 3 + extent), lane * extent);
  expect(result(view)).toEqual(expected);
});

test.each(Object.values<Opcode>(laneStores))('$name', ({ name, extent }) => {
  const view = run((f) => {
    f.i32Const(resultAt - 4);
    f.i32Const(0);
    f.load('v128.load');
    f.storeLane(name as LaneStoreOp, 1, 4);
  });
  expect(result(view)).toEqual(extended(pattern.slice(extent, extent * 2), extent, false));
});

test.each(Object.values<Opcode>(laneOps))('$name', ({ name, params, results, extent }) => {
  const bytes = 16 / extent;
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(0);
    f.load('v128.load');
    if (params.length > 1) {
      f.i32Const(32);
      f.load(fullLoads[params[1]]);
    }
    f.lane(name as LaneOp, 1);
    f.store(fullStores[results[0]]);
  });
  const replaced = pattern.slice(0, 16);
  replaced.set(pattern.slice(32, 32 + bytes), bytes);
  const extracted = extended(pattern.slice(bytes, bytes * 2), widths[results[0]], name.endsWith('_s'));
  expect(result(view)).toEqual(params.length > 1 ? replaced : extracted);
});

const changes: Record<string, (old: bigint, operand: bigint) => bigint> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  and: (x, y) => x & y,
  or: (x, y) => x | y,
  xor: (x, y) => x ^ y,
  xchg: (_, y) => y,
  cmpxchg: (_, y) => y,
};

const readModifyWrites = Object.values<Opcode>(atomicOps).filter(({ name }) => name.includes('rmw'));

test.each(readModifyWrites)('$name', ({ name, params, results, extent }) => {
  const change = /\.([a-z]+)(_u)?$/.exec(name)![1];
  const old = integer(pattern.slice(0, extent));
  const operand = 0x5a3cn;
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(0);
    const operands = change === 'cmpxchg' ? [old, operand] : [operand];
    for (const value of operands) {
      if (params[1] === 'i64') f.i64Const(value);
      else f.i32Const(Number(value));
    }
    f.atomic(name as AtomicOp);
    f.store(fullStores[results[0]]);
  });
  expect(result(view)).toEqual(integerBytes(old, 16));
  expect(view.slice(0, extent)).toEqual(integerBytes(changes[change](old, operand), extent));
  expect(view.slice(extent, 16)).toEqual(pattern.slice(extent, 16));
});

const atomicLoads = Object.values<Opcode>(atomicOps).filter(({ name }) => /atomic\.load/.test(name));
const atomicStores = Object.values<Opcode>(atomicOps).filter(({ name }) => /atomic\.store/.test(name));

test.each(atomicLoads)('$name', ({ name, results, extent }) => {
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(8);
    f.atomic(name as AtomicOp, 8);
    f.store(fullStores[results[0]]);
  });
  expect(result(view)).toEqual(extended(pattern.slice(16, 16 + extent), 16, false));
});

test.each(atomicStores)('$name', ({ name, params, extent }) => {
  const view = run((f) => {
    f.i32Const(resultAt - 8);
    f.i32Const(16);
    f.load(fullLoads[params[1]]);
    f.atomic(name as AtomicOp, 8);
  });
  expect(result(view)).toEqual(extended(pattern.slice(16, 16 + extent), 16, false));
});

test('notify, and waits that do not sleep', () => {
  const view = run((f) => {
    f.i32Const(resultAt);
    f.i32Const(0);
    f.i32Const(10);
    f.atomic('memory.atomic.notify');
    f.store('i32.store');
    f.i32Const(resultAt + 4);
    f.i32Const(0);
    f.i32Const(0);
    f.i64Const(-1);
    f.atomic('memory.atomic.wait32');
    f.store('i32.store');
    f.i32Const(resultAt + 8);
    f.i32Const(512);
    f.i64Const(0);
    f.i64Const(1000);
    f.atomic('memory.atomic.wait64');
    f.store('i32.store');
    f.atomicFence();
  });
  expect(Array.from(new Int32Array(result(view).buffer))).toEqual([0, 1, 2, 0]);
});

test('memory.copy, memory.fill, memory.size and memory.grow', () => {
  const view = run((f) => {
    for (const operand of [resultAt, 8, 4]) f.i32Const(operand);
    f.memoryCopy();
    for (const operand of [resultAt + 4, 9, 3]) f.i32Const(operand);
    f.memoryFill();
    f.i32Const(resultAt + 8);
    f.memorySize();
    f.store('i32.store');
    f.i32Const(resultAt + 12);
    f.i32Const(1);
    f.memoryGrow();
    f.store('i32.store');
  });
  expect(Array.from(result(view))).toEqual([...pattern.slice(8, 12), 9, 9, 9, 0, 1, 0, 0, 0, 255, 255, 255, 255]);
});
