// Every instruction is validated by the engine; those without immediates are also run against a reference by lanes.
// What memory instructions compute is tested in opcodes-memory.test.ts.

import { expect, test } from 'vitest';
import { FunctionBuilder, type LaneShape } from './function.ts';
import { ModuleBuilder } from './module.ts';
import type { Opcode } from './opcode.ts';
import {
  type AtomicOp,
  allOpcodes,
  atomicOps,
  type LaneLoadOp,
  type LaneOp,
  type LaneStoreOp,
  type LoadOp,
  laneLoads,
  laneOps,
  laneStores,
  loadOps,
  type PlainOp,
  plainOps,
  relaxedOps,
  type StoreOp,
  storeOps,
} from './opcodes.ts';
import type { ValueType } from './types.ts';

const relaxedSimd = WebAssembly.validate(
  moduleOf((f) => {
    for (let operand = 0; operand < 3; operand++) f.lanesConst('f32x4', 1);
    f.op('f32x4.relaxed_madd');
    f.drop();
  }),
);

function moduleOf(write: (f: FunctionBuilder) => void): Uint8Array<ArrayBuffer> {
  const f = new FunctionBuilder('test', {});
  write(f);
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { initial: 1, maximum: 1, shared: true });
  module.export('test', module.define(f));
  return module.toBytes();
}

function emit(f: FunctionBuilder, name: string): void {
  if (name in plainOps) f.op(name as PlainOp);
  else if (name in loadOps) f.load(name as LoadOp);
  else if (name in storeOps) f.store(name as StoreOp);
  else if (name in atomicOps) f.atomic(name as AtomicOp);
  else if (name in laneOps) f.lane(name as LaneOp, 1);
  else if (name in laneLoads) f.loadLane(name as LaneLoadOp, 1);
  else if (name in laneStores) f.storeLane(name as LaneStoreOp, 1);
  else throw new Error(name);
}

const fullLoads = { i32: 'i32.load', i64: 'i64.load', f32: 'f32.load', f64: 'f64.load', v128: 'v128.load' } as const;
const fullStores = {
  i32: 'i32.store',
  i64: 'i64.store',
  f32: 'f32.store',
  f64: 'f64.store',
  v128: 'v128.store',
} as const;

/** Runs one instruction on operands given as 16 bytes each; returns the 16 bytes at the result. */
function evaluate(opcode: Opcode, operands: readonly Uint8Array[]): Uint8Array {
  const resultAt = 256;
  const bytes = moduleOf((f) => {
    f.i32Const(resultAt);
    opcode.params.forEach((type: ValueType, position: number) => {
      f.i32Const(position * 16);
      f.load(fullLoads[type]);
    });
    emit(f, opcode.name);
    f.store(fullStores[opcode.results[0]]);
  });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const view = new Uint8Array(memory.buffer);
  operands.forEach((operand, position) => {
    view.set(operand, position * 16);
  });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  (instance.exports.test as () => void)();
  return view.slice(resultAt, resultAt + 16);
}

test.each(allOpcodes.filter(({ name }) => relaxedSimd || !(name in relaxedOps)))('$name is valid', (opcode) => {
  expect(
    WebAssembly.validate(
      moduleOf((f) => {
        for (const type of opcode.params) {
          if (type === 'v128') f.lanesConst('i8x16', 0);
          else f[`${type}Const`](0);
        }
        emit(f, opcode.name);
        for (const _ of opcode.results) f.drop();
      }),
    ),
  ).toBe(true);
});

test('no code is given twice', () => {
  expect(new Set(allOpcodes.map(({ code }) => code)).size).toBe(allOpcodes.length);
});

// Lanes as JavaScript values: integers as bigint, floats as number.

type Shape = LaneShape | ValueType;
type Lane = number | bigint;

function bitsOf(shape: Shape): number {
  return shape === 'v128' ? 64 : Number(/\d+/.exec(shape)![0]);
}

function readLanes(bytes: Uint8Array, shape: Shape, signed: boolean): Lane[] {
  const bits = bitsOf(shape);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const count = shape.includes('x') || shape === 'v128' ? 128 / bits : 1;
  return Array.from({ length: count }, (_, lane) => {
    const at = (lane * bits) / 8;
    if (shape.startsWith('f')) return bits === 32 ? view.getFloat32(at, true) : view.getFloat64(at, true);
    let value = 0n;
    for (let byte = bits / 8 - 1; byte >= 0; byte--) value = (value << 8n) | BigInt(view.getUint8(at + byte));
    return signed ? BigInt.asIntN(bits, value) : value;
  });
}

function writeLanes(lanes: readonly Lane[], shape: Shape): Uint8Array {
  const bits = bitsOf(shape);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  lanes.forEach((lane, position) => {
    const at = (position * bits) / 8;
    if (shape.startsWith('f')) {
      if (bits === 32) view.setFloat32(at, Number(lane), true);
      else view.setFloat64(at, Number(lane), true);
    } else {
      let rest = BigInt.asUintN(bits, BigInt(lane));
      for (let byte = 0; byte < bits / 8; byte++, rest >>= 8n) view.setUint8(at + byte, Number(rest & 0xffn));
    }
  });
  return bytes;
}

function clamp(value: bigint, bits: number, signed: boolean): bigint {
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const high = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  return value < low ? low : value > high ? high : value;
}

const abs = (x: bigint) => (x < 0n ? -x : x);
const ones = (x: bigint) => BigInt(x.toString(2).replaceAll('0', '').length);
const binary = (x: bigint, bits: number) => BigInt.asUintN(bits, x).toString(2).padStart(bits, '0');
const rotate = (x: bigint, by: bigint, bits: number) => {
  const text = binary(x, bits);
  const shift = Number(((by % BigInt(bits)) + BigInt(bits)) % BigInt(bits));
  return BigInt(`0b${text.slice(shift)}${text.slice(0, shift)}`);
};

/** Elementwise integer operations: operands already read as signed or unsigned by the suffix. */
const integer: Record<string, (x: bigint, y: bigint, bits: number, signed: boolean) => bigint | boolean> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  rem: (x, y) => x % y,
  and: (x, y) => x & y,
  or: (x, y) => x | y,
  xor: (x, y) => x ^ y,
  andnot: (x, y) => x & ~y,
  not: (x) => ~x,
  abs: (x) => abs(x),
  neg: (x) => -x,
  popcnt: (x, _, bits) => ones(BigInt.asUintN(bits, x)),
  clz: (x, _, bits) => BigInt(`${binary(x, bits)}1`.indexOf('1')),
  ctz: (x, _, bits) => BigInt(`1${binary(x, bits)}`.split('').reverse().join('').indexOf('1')),
  rotl: (x, y, bits) => rotate(x, y, bits),
  rotr: (x, y, bits) => rotate(x, -y, bits),
  eqz: (x) => x === 0n,
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  gt: (x, y) => x > y,
  le: (x, y) => x <= y,
  ge: (x, y) => x >= y,
  add_sat: (x, y, bits, signed) => clamp(x + y, bits, signed),
  sub_sat: (x, y, bits, signed) => clamp(x - y, bits, signed),
  // biome-ignore lint/complexity/useMathMinMax: not for bigint
  min: (x, y) => (x < y ? x : y),
  // biome-ignore lint/complexity/useMathMinMax: not for bigint
  max: (x, y) => (x > y ? x : y),
  avgr: (x, y) => (x + y + 1n) / 2n,
  q15mulr_sat: (x, y) => clamp((x * y + 0x4000n) >> 15n, 16, true),
  relaxed_q15mulr: (x, y) => clamp((x * y + 0x4000n) >> 15n, 16, true),
};

function nearest(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  const rounded = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return rounded === 0 && (x < 0 || Object.is(x, -0)) ? -0 : rounded;
}

const float: Record<string, (x: number, y: number, z: number) => number | boolean> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  min: (x, y) => Math.min(x, y),
  max: (x, y) => Math.max(x, y),
  // Not Math.min: zeros count as equal, and the first operand is kept.
  // biome-ignore lint/complexity/useMathMinMax: see above
  pmin: (x, y) => (y < x ? y : x),
  // biome-ignore lint/complexity/useMathMinMax: see above
  pmax: (x, y) => (x < y ? y : x),
  relaxed_min: (x, y) => Math.min(x, y),
  relaxed_max: (x, y) => Math.max(x, y),
  relaxed_madd: (x, y, z) => x * y + z,
  relaxed_nmadd: (x, y, z) => -(x * y) + z,
  copysign: (x, y) => (Object.is(Math.sign(y), -0) || y < 0 ? -Math.abs(x) : Math.abs(x)),
  abs: (x) => Math.abs(x),
  neg: (x) => -x,
  sqrt: (x) => Math.sqrt(x),
  ceil: (x) => Math.ceil(x),
  floor: (x) => Math.floor(x),
  trunc: (x) => Math.trunc(x),
  nearest: (x) => nearest(x),
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  gt: (x, y) => x > y,
  le: (x, y) => x <= y,
  ge: (x, y) => x >= y,
};

const floatSamples = [1.5, -2.25, 0.5, -0.5, 2.5, -3.5, 100.75, 4, -0, 0, 7, -1.75];
const integerSamples = [
  0x80n,
  0x7fn,
  1n,
  0n,
  0xffn,
  0x80000000n,
  0xffff8000n,
  0x1234567890abcdefn,
  3n,
  77n,
  0x8000n,
  250n,
];

/** As many of the values as the shape has lanes. */
function floats(shape: Shape, values: readonly number[]): Uint8Array {
  return writeLanes(values.slice(0, 128 / bitsOf(shape)), shape);
}

/** Operand bytes that hold interesting lanes, different for each position and round. */
function sample(shape: Shape, position: number, round: number): Uint8Array {
  const source: readonly Lane[] = shape.startsWith('f') ? floatSamples : integerSamples;
  const start = position * 5 + round;
  return writeLanes(
    Array.from({ length: 16 }, (_, lane) => source[(start + lane * (position + 1)) % source.length]).slice(
      0,
      128 / bitsOf(shape),
    ),
    shape,
  );
}

interface Parsed {
  readonly shape: Shape;
  readonly operation: string;
  readonly signed: boolean;
}

function parse(name: string): Parsed {
  const [shape, rest] = name.split('.') as [Shape, string];
  return { shape, operation: rest.replace(/_[su]$/, ''), signed: !rest.endsWith('_u') };
}

function expectedElementwise(
  { name, params, results }: Opcode,
  operands: readonly Uint8Array[],
): Uint8Array | undefined {
  const { shape, operation, signed } = parse(name);
  const lanes = operands.map((operand) => readLanes(operand, shape, signed));
  const bits = bitsOf(shape);
  const simd = params[0] === 'v128';
  if (simd && /^sh[lr]/.test(operation)) {
    const by = BigInt(readLanes(operands[1], 'i32', false)[0]) % BigInt(bits);
    return writeLanes(
      (lanes[0] as bigint[]).map((x) => (operation === 'shl' ? x << by : x >> by)),
      shape,
    );
  }
  if (!simd && /^sh[lr]/.test(operation)) {
    const [[x], [y]] = lanes as bigint[][];
    const by = BigInt.asUintN(bits, y) % BigInt(bits);
    return writeLanes([operation === 'shl' ? x << by : x >> by], shape);
  }
  const isFloat = shape.startsWith('f');
  if (!((isFloat ? operation in float : operation in integer) && params.every((type) => type === params[0])))
    return undefined;
  const values = lanes[0].map((x, lane) =>
    isFloat
      ? float[operation](x as number, lanes[1]?.[lane] as number, lanes[2]?.[lane] as number)
      : integer[operation](x as bigint, lanes[1]?.[lane] as bigint, bits, signed),
  );
  if (typeof values[0] !== 'boolean') return writeLanes(values as Lane[], shape);
  if (!simd) return writeLanes([values[0] ? 1n : 0n], 'i32');
  expect(results).toEqual(['v128']);
  return writeLanes(
    values.map((value) => (value ? -1n : 0n)),
    shape.replace('f', 'i') as Shape,
  );
}

const elementwise = Object.values<Opcode>(plainOps).filter(
  (opcode) =>
    (relaxedSimd || !(opcode.name in relaxedOps)) &&
    expectedElementwise(
      opcode,
      opcode.params.map((type, position) => sample(type === 'i32' ? 'i32' : parse(opcode.name).shape, position, 2)),
    ),
);

test('most operations are elementwise', () => {
  expect(elementwise.length).toBeGreaterThan(240);
});

test.each(elementwise)('$name computes what the reference does', (opcode) => {
  for (let round = 0; round < 4; round++) {
    const { shape, operation } = parse(opcode.name);
    const operands = opcode.params.map((type, position) => sample(type === 'i32' ? 'i32' : shape, position, round));
    // Division needs a divisor, and square roots of negative numbers have unspecified NaN bits.
    if (/div|rem/.test(operation) && Number(readLanes(operands[1], shape, true)[0]) === 0) continue;
    if (operation === 'div' && shape.startsWith('f')) operands[1] = floats(shape, [2, -4, 0.5, 8]);
    if (operation === 'sqrt') operands[0] = floats(shape, [4, 2, 0.25, 9]);
    // What relaxed operations may do differently: order zeros, and wrap the product of the two lowest numbers.
    if (operation.startsWith('relaxed_m')) operands[0] = floats(shape, [4, -2, 0.25, 9]);
    if (operation.startsWith('relaxed_q')) operands[0] = writeLanes([1n, -7n, 300n, 0x7fffn], shape);
    expect(evaluate(opcode, operands), `round ${round}`).toEqual(expectedElementwise(opcode, operands));
  }
});

/** What changes the width, the type or the order of lanes, by hand. Lanes left out are zero. */
const reshaping = `
i32.wrap_i64 i64(0x100000005) = i32(5)
i64.extend_i32_s i32(-2) = i64(-2)
i64.extend_i32_u i32(-2) = i64(0xfffffffe)
i32.extend8_s i32(0x180) = i32(-128)
i32.extend16_s i32(0x18000) = i32(-32768)
i64.extend8_s i64(0x180) = i64(-128)
i64.extend16_s i64(0x18000) = i64(-32768)
i64.extend32_s i64(0x80000000) = i64(-2147483648)
i32.trunc_f32_s f32(-3.9) = i32(-3)
i32.trunc_f32_u f32(3e9) = i32(3000000000)
i32.trunc_f64_s f64(-3.9) = i32(-3)
i32.trunc_f64_u f64(3e9) = i32(3000000000)
i64.trunc_f32_s f32(-3.9) = i64(-3)
i64.trunc_f32_u f32(9223372036854775808) = i64(0x8000000000000000)
i64.trunc_f64_s f64(-3.9) = i64(-3)
i64.trunc_f64_u f64(9223372036854775808) = i64(0x8000000000000000)
i32.trunc_sat_f32_s f32(1e20) = i32(0x7fffffff)
i32.trunc_sat_f32_u f32(-1) = i32(0)
i32.trunc_sat_f64_s f64(NaN) = i32(0)
i32.trunc_sat_f64_u f64(1e20) = i32(0xffffffff)
i64.trunc_sat_f32_s f32(-1e30) = i64(0x8000000000000000)
i64.trunc_sat_f32_u f32(-1) = i64(0)
i64.trunc_sat_f64_s f64(1e30) = i64(0x7fffffffffffffff)
i64.trunc_sat_f64_u f64(1e30) = i64(-1)
f32.convert_i32_s i32(-7) = f32(-7)
f32.convert_i32_u i32(-1) = f32(4294967296)
f32.convert_i64_s i64(-7) = f32(-7)
f32.convert_i64_u i64(-1) = f32(18446744073709551616)
f64.convert_i32_s i32(-7) = f64(-7)
f64.convert_i32_u i32(-1) = f64(4294967295)
f64.convert_i64_s i64(-7) = f64(-7)
f64.convert_i64_u i64(-1) = f64(18446744073709551616)
f32.demote_f64 f64(0.1) = f32(0.1)
f64.promote_f32 f32(0.1) = f64(0.10000000149011612)
i32.reinterpret_f32 f32(1) = i32(0x3f800000)
f32.reinterpret_i32 i32(0x3f800000) = f32(1)
i64.reinterpret_f64 f64(1) = i64(0x3ff0000000000000)
f64.reinterpret_i64 i64(0x3ff0000000000000) = f64(1)

i8x16.splat i32(0x1ff) = i64x2(-1 -1)
i16x8.splat i32(5) = i16x8(5 5 5 5 5 5 5 5)
i32x4.splat i32(5) = i32x4(5 5 5 5)
i64x2.splat i64(5) = i64x2(5 5)
f32x4.splat f32(2.5) = f32x4(2.5 2.5 2.5 2.5)
f64x2.splat f64(2.5) = f64x2(2.5 2.5)
i8x16.swizzle i8x16(10 11 12 13) i8x16(3 2 1 0 16 255) = i8x16(13 12 11 10 0 0 10 10 10 10 10 10 10 10 10 10)
v128.bitselect i64x2(0x0f -1) i64x2(0xf0 0) i64x2(0x3c 1) = i64x2(0xcc 1)
v128.any_true i64x2(0 0) = i32(0)
v128.any_true i64x2(0 256) = i32(1)
i8x16.all_true i64x2(-1 -1) = i32(1)
i16x8.all_true i16x8(1 2 3 4 5 6 7 0) = i32(0)
i32x4.all_true i32x4(1 2 3 4) = i32(1)
i64x2.all_true i64x2(1 0) = i32(0)
i8x16.bitmask i8x16(-1 0 -1 1 -128) = i32(0b10101)
i16x8.bitmask i16x8(-1 0 -1 1 0 0 0 -5) = i32(0b10000101)
i32x4.bitmask i32x4(0 -1 0 -1) = i32(0b1010)
i64x2.bitmask i64x2(0 -1) = i32(0b10)
i8x16.narrow_i16x8_s i16x8(300 -300) i16x8(5) = i8x16(127 -128 0 0 0 0 0 0 5)
i8x16.narrow_i16x8_u i16x8(300 -300) i16x8(5) = i8x16(255 0 0 0 0 0 0 0 5)
i16x8.narrow_i32x4_s i32x4(70000 -70000) i32x4(5) = i16x8(32767 -32768 0 0 5)
i16x8.narrow_i32x4_u i32x4(70000 -70000) i32x4(5) = i16x8(65535 0 0 0 5)
i32x4.dot_i16x8_s i16x8(1 2 -3 4 5 6 7 8) i16x8(10 20 30 40 1 1 -1 1) = i32x4(50 70 11 1)
f32x4.demote_f64x2_zero f64x2(1.5 0.1) = f32x4(1.5 0.1)
f64x2.promote_low_f32x4 f32x4(1.5 -2 9 9) = f64x2(1.5 -2)
i32x4.trunc_sat_f32x4_s f32x4(1.9 -1.9 1e20 NaN) = i32x4(1 -1 0x7fffffff 0)
i32x4.trunc_sat_f32x4_u f32x4(1.9 -1.9 1e20 3e9) = i32x4(1 0 0xffffffff 3000000000)
f32x4.convert_i32x4_s i32x4(1 -1 2 3) = f32x4(1 -1 2 3)
f32x4.convert_i32x4_u i32x4(1 -1 2 3) = f32x4(1 4294967296 2 3)
i32x4.trunc_sat_f64x2_s_zero f64x2(-1.9 1e20) = i32x4(-1 0x7fffffff 0 0)
i32x4.trunc_sat_f64x2_u_zero f64x2(-1.9 1e20) = i32x4(0 0xffffffff 0 0)
f64x2.convert_low_i32x4_s i32x4(1 -1 2 3) = f64x2(1 -1)
f64x2.convert_low_i32x4_u i32x4(1 -1 2 3) = f64x2(1 4294967295)
`;

/** Only operands for which the specification leaves no choice. */
const relaxedReshaping = `
i8x16.relaxed_swizzle i8x16(10 11 12 13) i8x16(3 2 1) = i8x16(13 12 11 10 10 10 10 10 10 10 10 10 10 10 10 10)
i32x4.relaxed_trunc_f32x4_s f32x4(1.9 -1.9 100 0) = i32x4(1 -1 100 0)
i32x4.relaxed_trunc_f32x4_u f32x4(1.9 3e9 100 0) = i32x4(1 3000000000 100 0)
i32x4.relaxed_trunc_f64x2_s_zero f64x2(-1.9 8) = i32x4(-1 8 0 0)
i32x4.relaxed_trunc_f64x2_u_zero f64x2(3e9 8) = i32x4(3000000000 8 0 0)
i8x16.relaxed_laneselect i8x16(7 7) i8x16(9 9) i8x16(-1 0) = i8x16(7 9)
i16x8.relaxed_laneselect i16x8(7 7) i16x8(9 9) i16x8(-1 0) = i16x8(7 9)
i32x4.relaxed_laneselect i32x4(7 7) i32x4(9 9) i32x4(-1 0) = i32x4(7 9)
i64x2.relaxed_laneselect i64x2(7 7) i64x2(9 9) i64x2(-1 0) = i64x2(7 9)
i16x8.relaxed_dot_i8x16_i7x16_s i8x16(-128 2 3 4) i8x16(127 5 6 7) = i16x8(-16246 46)
i32x4.relaxed_dot_i8x16_i7x16_add_s i8x16(-128 2 3 4) i8x16(127 5 6 7) i32x4(1000 5) = i32x4(-15200 5)
`;

interface Case {
  readonly name: PlainOp;
  readonly operands: readonly Uint8Array[];
  readonly result: Uint8Array;
}

/** Lines of the form `op shape(lanes) … = shape(lanes)`. */
function parseCases(text: string): Case[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const values = Array.from(line.matchAll(/(\w+)\(([^)]*)\)/g), ([, shape, lanes]) =>
      writeLanes(
        lanes.split(' ').map((lane) => (shape.startsWith('f') ? Number(lane) : BigInt(lane))),
        shape as Shape,
      ),
    );
    return { name: line.split(' ')[0] as PlainOp, operands: values.slice(0, -1), result: values[values.length - 1] };
  });
}

/** extend, extmul and extadd of one pair of shapes. */
function extending(wide: 'i16x8' | 'i32x4' | 'i64x2', narrow: 'i8x16' | 'i16x8' | 'i32x4'): Case[] {
  const count = 128 / bitsOf(narrow);
  const x = Array.from({ length: count }, (_, lane) => BigInt(lane % 2 ? -lane - 1 : lane + 1));
  const y = Array.from({ length: count }, (_, lane) => BigInt(3 - lane));
  const cases: Case[] = [];
  const add = (operation: string, operands: readonly (readonly bigint[])[], result: readonly bigint[]) => {
    const name = `${wide}.${operation}` as PlainOp;
    cases.push({
      name,
      operands: operands.map((lanes) => writeLanes(lanes, narrow)),
      result: writeLanes(result, wide),
    });
  };
  for (const sign of ['s', 'u'] as const) {
    const read = (lanes: readonly bigint[]) => readLanes(writeLanes(lanes, narrow), narrow, sign === 's') as bigint[];
    for (const half of ['low', 'high'] as const) {
      const part = (lanes: readonly bigint[]) =>
        read(lanes).slice(half === 'low' ? 0 : count / 2, half === 'low' ? count / 2 : count);
      add(`extend_${half}_${narrow}_${sign}`, [x], part(x));
      const products = part(x).map((value, lane) => value * part(y)[lane]);
      add(`extmul_${half}_${narrow}_${sign}`, [x, y], products);
    }
    if (wide === 'i64x2') continue;
    const sums = Array.from({ length: count / 2 }, (_, lane) => read(x)[lane * 2] + read(x)[lane * 2 + 1]);
    add(`extadd_pairwise_${narrow}_${sign}`, [x], sums);
  }
  return cases;
}

const handWritten = [
  ...parseCases(reshaping),
  ...(relaxedSimd ? parseCases(relaxedReshaping) : []),
  ...extending('i16x8', 'i8x16'),
  ...extending('i32x4', 'i16x8'),
  ...extending('i64x2', 'i32x4'),
];

test.each(handWritten)('$name', ({ name, operands, result }) => {
  expect(evaluate(plainOps[name], operands)).toEqual(result);
});

test('every instruction without immediates is covered by one of the two', () => {
  const covered = new Set<string>([...elementwise.map(({ name }) => name), ...handWritten.map(({ name }) => name)]);
  const expected = Object.keys(plainOps).filter((name) => relaxedSimd || !(name in relaxedOps));
  expect(expected.filter((name) => !covered.has(name))).toEqual([]);
});
