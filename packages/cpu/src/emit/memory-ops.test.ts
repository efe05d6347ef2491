import { bitsOf, type DType, decodeFloat, encodeFloat, isSmallFloat } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import {
  apply,
  compile,
  type Elements,
  elements,
  interestingValues,
  randomFrom,
  randomValues,
  seed,
  toElements,
  view,
} from '../../tests/emit-harness.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { type EmitContext, HelperFunctions } from './context.ts';
import {
  elementBytes,
  emitLoadFirst,
  emitLoadLanes,
  emitLoadScalar,
  emitLoadSplat,
  emitLoadStrided,
  emitLoadVector,
  emitStoreFirst,
  emitStoreLanes,
  emitStoreScalar,
  emitStoreStrided,
  emitStoreVector,
} from './memory-ops.ts';
import {
  emitLoadPackedLanes,
  emitLoadPackedScalar,
  emitStorePackedLanes,
  emitStorePackedScalar,
} from './packed-ops.ts';
import { isWide, type Lanes } from './value-type.ts';

const pageSize = 65536;
const types: readonly DType[] = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'float8e8m0',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'bool',
];
const lanesOf = (type: DType): readonly Lanes[] => (isWide(type) ? [2] : [4, 2]);

/** Runs code once on one page of memory. Parameters are source and target addresses and a stride in bytes. */
function run(
  lanes: Lanes,
  emit: (c: EmitContext, source: Local, target: Local, stride: Local) => void,
  prepare: (memory: ArrayBuffer) => void,
  args: readonly [number, number, number],
): ArrayBuffer {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { initial: 1 });
  const f = new FunctionBuilder('run', { source: 'i32', target: 'i32', stride: 'i32' });
  const [source, target, stride] = f.params;
  emit({ f, lanes, helpers: new HelperFunctions(module) }, source, target, stride);
  module.export('run', module.define(f));
  const memory = new WebAssembly.Memory({ initial: 1 });
  prepare(memory.buffer);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), { env: { memory } });
  (instance.exports.run as (...values: number[]) => void)(...args);
  return memory.buffer;
}

function bytesOf(data: Elements): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

describe.each(types)('%s', (type) => {
  const bytes = elementBytes(type);

  it('keeps every value through a load and a store', () => {
    const values = toElements(type, [...interestingValues(type), ...randomValues(type, 33, randomFrom(seed))]);
    const kernel = { inputs: [type], output: type, emit: () => {} };
    for (const lanes of [...lanesOf(type), 1] as const) {
      expect(apply(kernel, compile(kernel, lanes), [values]), `${lanes} lanes`).toEqual(values);
    }
  });

  it.each(lanesOf(type))('touches exactly %s consecutive elements', (lanes) => {
    const data = toElements(type, randomValues(type, lanes, randomFrom(seed)));
    const source = pageSize - lanes * bytes;
    const memory = run(
      lanes,
      (c, from, to) => {
        c.f.get(to);
        c.f.get(from);
        emitLoadVector(c, type);
        emitStoreVector(c, type);
      },
      (buffer) => {
        new Uint8Array(buffer).fill(0xaa);
        new Uint8Array(buffer, source).set(bytesOf(data));
      },
      [source, 1024 + bytes, 0],
    );
    expect(view(type, memory.slice(1024 + bytes), 0, lanes)).toEqual(data);
    expect(new Uint8Array(memory, 1024, bytes).every((byte) => byte === 0xaa)).toBe(true);
    expect(new Uint8Array(memory, 1024 + bytes * (lanes + 1), 16).every((byte) => byte === 0xaa)).toBe(true);
  });

  it.each(lanesOf(type))('touches one element at the ends of memory (%s lanes)', (lanes) => {
    const data = toElements(type, randomValues(type, 1, randomFrom(seed)));
    for (const [load, store] of [
      [emitLoadFirst, emitStoreFirst],
      [emitLoadScalar, emitStoreScalar],
    ] as const) {
      const memory = run(
        lanes,
        (c, from, to) => {
          c.f.get(to);
          c.f.get(from);
          load(c, type);
          store(c, type);
        },
        (buffer) => new Uint8Array(buffer, pageSize - 2 * bytes).set(bytesOf(data)),
        [pageSize - 2 * bytes, pageSize - bytes, 0],
      );
      expect(view(type, memory.slice(pageSize - bytes), 0, 1)).toEqual(data);
    }
  });

  it.each(lanesOf(type))('splats one element to %s lanes', (lanes) => {
    const data = toElements(type, randomValues(type, 1, randomFrom(seed)));
    const memory = run(
      lanes,
      (c, from, to) => {
        c.f.get(to);
        c.f.get(from);
        emitLoadSplat(c, type, 8);
        emitStoreVector(c, type, 16);
      },
      (buffer) => new Uint8Array(buffer, pageSize - bytes).set(bytesOf(data)),
      [pageSize - bytes - 8, 0, 0],
    );
    expect(Array.from(view(type, memory, 16, lanes) as Int32Array)).toEqual(
      Array.from({ length: lanes }, () => data[0]),
    );
  });

  it.each(lanesOf(type))('loads and stores %s lanes at a stride', (lanes) => {
    const data = toElements(type, randomValues(type, lanes, randomFrom(seed)));
    const step = 3 * bytes;
    const memory = run(
      lanes,
      (c, from, to, stride) => {
        emitLoadStrided(c, type, from, stride);
        emitStoreStrided(c, type, to, stride, 8);
        // A negative stride through addresses of the caller's making.
        const push = (base: Local, sign: number, offset: number) => (lane: number) => {
          c.f.get(base);
          c.f.i32Const(offset + sign * lane * step);
          c.f.op('i32.add');
        };
        emitLoadLanes(c, type, push(from, 1, 0));
        emitStoreLanes(c, type, push(to, -1, 2048));
      },
      (buffer) => {
        data.forEach((_, i) => {
          new Uint8Array(buffer, 64 + i * step).set(bytesOf(data.slice(i, i + 1) as Elements));
        });
      },
      [64, 4096, step],
    );
    for (let i = 0; i < lanes; i++) {
      expect(view(type, memory.slice(4096 + 8 + i * step), 0, 1)[0]).toEqual(data[i]);
      expect(view(type, memory.slice(4096 + 2048 - i * step), 0, 1)[0]).toEqual(data[i]);
    }
  });
});

describe('small floats', () => {
  const smallFloats = types.filter((type) => isSmallFloat(type));

  it.each(smallFloats)('decodes all bit patterns of %s', (type) => {
    const patterns = elements(
      type,
      Array.from({ length: 2 ** bitsOf(type) }, (_, bits) => bits),
    );
    const kernel = { inputs: [type], output: 'float32' as const, emit: () => {} };
    const expected = Float32Array.from(patterns as Uint8Array, (bits) => decodeFloat(type as 'float16', bits));
    expect(apply(kernel, compile(kernel, 4), [patterns])).toEqual(expected);
    expect(apply(kernel, compile(kernel, 1), [patterns])).toEqual(expected);
  });

  it.each(smallFloats)('rounds to the nearest %s at and beside every tie', (type) => {
    const count = 2 ** bitsOf(type);
    const exact = Array.from({ length: count }, (_, bits) => decodeFloat(type as 'float16', bits));
    const values: number[] = [];
    for (let bits = 0; bits + 1 < count; bits++) {
      const middle = (exact[bits] + exact[bits + 1]) / 2;
      if (!Number.isFinite(middle)) continue;
      values.push(middle, middle * (1 + 2 ** -22), middle * (1 - 2 ** -22), exact[bits]);
    }
    const source = elements('float32', values);
    const kernel = { inputs: ['float32' as const], output: type, emit: () => {} };
    const expected = elements(
      type,
      Array.from(source as Float32Array, (x) => encodeFloat(type as 'float16', x, { saturate: false })),
    );
    expect(apply(kernel, compile(kernel, 4), [source])).toEqual(expected);
  });
});

describe.each(['int4', 'uint4', 'int2', 'uint2', 'float6e2m3', 'float6e3m2', 'float4e2m1'] as const)(
  'packed %s',
  (type) => {
    const bits = bitsOf(type);
    const random = randomFrom(seed);
    const source = Uint8Array.from({ length: 8 }, () => random() * 256);
    const count = Math.floor((8 * 8) / bits);
    const bitAt = (bytes: Uint8Array, at: number): number => (bytes[at >> 3] >> (at & 7)) & 1;
    const rawAt = (bytes: Uint8Array, at: number): number =>
      Array.from({ length: bits }, (_, bit) => bitAt(bytes, at * bits + bit) << bit).reduce((a, b) => a | b);

    it('moves single elements', () => {
      for (let at = 0; at < count; at++) {
        const to = (at * 5 + 1) % count;
        const memory = run(
          4,
          (c, from, target) => {
            c.f.get(target);
            c.f.i32Const(to);
            c.f.get(from);
            c.f.i32Const(at);
            emitLoadPackedScalar(c, type);
            emitStorePackedScalar(c, type);
          },
          (buffer) => new Uint8Array(buffer).fill(0x5a).set(source),
          [0, 64, 0],
        );
        const stored = new Uint8Array(memory, 64, 8);
        for (let i = 0; i < count; i++) {
          expect(rawAt(stored, i)).toBe(
            i === to ? rawAt(source, at) : rawAt(Uint8Array.of(...new Array(8).fill(0x5a)), i),
          );
        }
      }
    });

    it('moves lanes', () => {
      const memory = run(
        4,
        (c, from, target) => {
          const place = (base: Local, first: number) => (lane: number) => {
            c.f.get(base);
            c.f.i32Const(first + lane);
          };
          emitLoadPackedLanes(c, type, place(from, 3));
          emitStorePackedLanes(c, type, place(target, 1));
        },
        (buffer) => new Uint8Array(buffer).set(source),
        [0, 64, 0],
      );
      const stored = new Uint8Array(memory, 64, 8);
      expect([0, 1, 2, 3, 4, 5].map((i) => rawAt(stored, i))).toEqual([
        0,
        ...[3, 4, 5, 6].map((i) => rawAt(source, i)),
        0,
      ]);
    });
  },
);
