// Runs code of the value layer over arrays: a module with one function that loads, computes and stores in a loop.

import {
  bitsOf,
  type DType,
  decodeFloat,
  encodeFloat,
  integerRange,
  isFloat,
  isSmallFloat,
  isUnsigned,
} from '@onnx-ts/tensor-ir';
import { expect } from 'vitest';
import type { ScalarValue } from '../../tensor-ir/src/scalar-ops.ts';
import { type EmitContext, HelperFunctions, HoistedConstants } from '../src/emit/context.ts';
import {
  elementBytes,
  emitLoadFirst,
  emitLoadScalar,
  emitLoadVector,
  emitStoreFirst,
  emitStoreScalar,
  emitStoreVector,
} from '../src/emit/memory-ops.ts';
import { emitCastScalar } from '../src/emit/scalar-ops.ts';
import { isWide, type Lanes } from '../src/emit/value-type.ts';
import { emitCast } from '../src/emit/vector-ops.ts';
import { FunctionBuilder, type Local } from '../src/wasm/function.ts';
import { ModuleBuilder } from '../src/wasm/module.ts';

export type Elements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

const arrays: Partial<Record<DType, new (buffer: ArrayBuffer, offset: number, length: number) => Elements>> = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
};

export function view(dtype: DType, buffer: ArrayBuffer, offset: number, length: number): Elements {
  return new (arrays[dtype] ?? Uint8Array)(buffer, offset, length);
}

/** Elements of a type by value; floats of at most 16 bits are given by their bits. */
export function elements(dtype: DType, values: Iterable<number | bigint>): Elements {
  const list = [...values];
  const result = view(dtype, new ArrayBuffer(list.length * elementBytes(dtype)), 0, list.length);
  const isBig = result instanceof BigInt64Array || result instanceof BigUint64Array;
  list.forEach((value, i) => {
    result[i] = (isBig ? BigInt(value) : Number(value)) as never;
  });
  return result;
}

export interface Kernel {
  readonly inputs: readonly DType[];
  readonly output: DType;
  /** From the operands on the stack to the result. */
  readonly emit: (c: EmitContext) => void;
}

export interface CompiledKernel {
  readonly memory: WebAssembly.Memory;
  /** Addresses of inputs and output, number of elements. */
  readonly run: (...args: number[]) => void;
  readonly byteLength: number;
}

/** A kernel on vectors with a tail of single elements, or on scalars when `lanes` is 1. */
export function compile(kernel: Kernel, lanes: Lanes | 1, options: { readonly hoist?: boolean } = {}): CompiledKernel {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { initial: 1, maximum: 65536 });
  const helpers = new HelperFunctions(module);
  const pool = new HoistedConstants();
  const build = (): FunctionBuilder => {
    const pointers = Object.fromEntries([...kernel.inputs, kernel.output].map((_, i) => [`p${i}`, 'i32' as const]));
    const f = new FunctionBuilder('map', { ...pointers, count: 'i32' });
    const c: EmitContext = {
      f,
      lanes: lanes === 1 ? 4 : lanes,
      helpers,
      ...(options.hoist && { constantLocal: pool.constantLocal }),
    };
    pool.emit(f);
    if (lanes === 1) writeLoop(c, kernel, 1, emitLoadScalar, emitStoreScalar);
    else {
      writeLoop(c, kernel, lanes, emitLoadVector, emitStoreVector);
      writeLoop(c, kernel, 1, emitLoadFirst, emitStoreFirst);
    }
    return f;
  };
  if (options.hoist) build();
  module.export('map', module.define(build()));
  const bytes = module.toBytes();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  return { memory, run: instance.exports.map as (...args: number[]) => void, byteLength: bytes.length };
}

/** Advances the pointers while `step` elements are left. */
function writeLoop(
  c: EmitContext,
  kernel: Kernel,
  step: number,
  load: (c: EmitContext, dtype: DType) => void,
  store: (c: EmitContext, dtype: DType) => void,
): void {
  const { f } = c;
  const pointers = f.params.slice(0, -1);
  const count = f.params[f.params.length - 1];
  const output = pointers[pointers.length - 1];
  const advance = (local: Local, by: number): void => {
    f.get(local);
    f.i32Const(by);
    f.op('i32.add');
    f.set(local);
  };
  f.block((exit) => {
    f.loop((again) => {
      f.get(count);
      f.i32Const(step);
      f.op('i32.lt_s');
      f.brIf(exit);
      f.get(output);
      kernel.inputs.forEach((dtype, i) => {
        f.get(pointers[i]);
        load(c, dtype);
      });
      kernel.emit(c);
      store(c, kernel.output);
      for (const [i, dtype] of [...kernel.inputs, kernel.output].entries())
        advance(pointers[i], step * elementBytes(dtype));
      advance(count, -step);
      f.br(again);
    });
  });
}

/** Applies a compiled kernel to arrays of equal length. */
export function apply(kernel: Kernel, compiled: CompiledKernel, inputs: readonly Elements[]): Elements {
  const count = inputs[0].length;
  const pointers: number[] = [];
  let end = 64;
  for (const dtype of [...kernel.inputs, kernel.output]) {
    pointers.push(end);
    end += Math.ceil((count * elementBytes(dtype)) / 64) * 64 + 64;
  }
  const { memory } = compiled;
  if (memory.buffer.byteLength < end) memory.grow(Math.ceil((end - memory.buffer.byteLength) / 65536));
  inputs.forEach((input, i) => {
    new Uint8Array(memory.buffer, pointers[i], input.byteLength).set(
      new Uint8Array(input.buffer, input.byteOffset, input.byteLength),
    );
  });
  compiled.run(...pointers, count);
  return view(kernel.output, memory.buffer.slice(0), pointers[pointers.length - 1], count);
}

/** Type in which a test keeps values of a type: packed integers have bytes of their own. */
export function storageOf(dtype: DType): DType {
  if (bitsOf(dtype) >= 8) return dtype;
  return isUnsigned(dtype) ? 'uint8' : 'int8';
}

/** The values that the interpreter of the tensor IR would see. */
export function toValues(dtype: DType, data: Elements): ScalarValue[] {
  if (isSmallFloat(dtype)) return Array.from(data as Uint8Array, (bits) => decodeFloat(dtype, bits));
  return Array.from(data as Int32Array, (value) => (dtype === 'bool' ? value !== 0 : value));
}

export function toElements(dtype: DType, values: readonly ScalarValue[]): Elements {
  if (!isSmallFloat(dtype)) return elements(storageOf(dtype), values as number[]);
  return elements(
    dtype,
    values.map((value) => encodeFloat(dtype, value as number, { saturate: false })),
  );
}

/** Values at which code tends to go wrong, as many as the type has. */
export function interestingValues(dtype: DType): ScalarValue[] {
  if (dtype === 'bool') return [false, true];
  if (isFloat(dtype)) {
    const exact = toElements(dtype, isSmallFloat(dtype) || dtype === 'float32' ? floats : [...floats, ...doubles]);
    return toValues(dtype, exact);
  }
  const { min, max } = integerRange(dtype);
  const near = [
    0n,
    1n,
    2n,
    3n,
    5n,
    7n,
    8n,
    31n,
    32n,
    63n,
    64n,
    100n,
    255n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n + 1n,
  ];
  const all = [...near, ...near.map((x) => -x), min, min + 1n, max, max - 1n];
  const fitting = [...new Set(all.filter((x) => x >= min && x <= max))];
  return bitsOf(dtype) === 64 ? fitting : fitting.map(Number);
}

const floats = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  -1.5,
  2,
  2.5,
  -2.5,
  3,
  3.5,
  -7,
  10.25,
  100,
  127.5,
  -128.5,
  255.5,
  256,
  448,
  464,
  65504,
  65520,
  -65535.5,
  1e-45,
  -1e-40,
  2 ** -126,
  2 ** -127,
  2 ** -24,
  2 ** -25,
  6e-5,
  3.4028234663852886e38,
  -3.4e38,
  2 ** 31,
  -(2 ** 31),
  2 ** 31 - 128,
  2 ** 32,
  -(2 ** 32),
  2 ** 33 + 1024,
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
  2 ** 70,
  0.1,
  -0.3,
  16777217,
  Infinity,
  -Infinity,
  NaN,
];
const doubles = [
  5e-324,
  -1e-310,
  2 ** -1022,
  1.7976931348623157e308,
  1 + 2 ** -52,
  2 ** 53 + 1,
  2147483647.5,
  4294967295.5,
  1e300,
  0.1 + 2 ** -30,
];

/** Values all over the range of a type. */
export function randomValues(dtype: DType, count: number, random: () => number): ScalarValue[] {
  const bytes = elementBytes(storageOf(dtype));
  const buffer = new Uint8Array(count * bytes).map(() => random() * 256);
  if (dtype === 'bool') return Array.from(buffer, (byte) => byte > 127);
  const bits = view(storageOf(dtype), buffer.buffer, 0, count);
  const { length } = bits;
  if (bitsOf(dtype) < 8) {
    const { min, max } = integerRange(dtype);
    return Array.from({ length }, () => Number(min) + Math.floor(random() * (Number(max - min) + 1)));
  }
  const anywhere = toValues(dtype, bits);
  if (!isFloat(dtype)) return anywhere;
  // Bit patterns are mostly extreme: half of the values are moderate instead.
  return toValues(
    dtype,
    toElements(
      dtype,
      anywhere.map((value, i) => (i % 2 ? value : (random() - 0.5) * 2 ** (random() * 12))),
    ),
  );
}

/** Seed of all random values, printed with failures. */
export const seed = 20240611;

/** One operation: code for vectors and for scalars, and what it should compute. */
export interface Case {
  readonly inputs: readonly DType[];
  readonly output: DType;
  readonly vector: (c: EmitContext) => void;
  readonly scalar: (c: EmitContext) => void;
  readonly reference: (...operands: never[]) => ScalarValue;
}

/** Runs a case with every number of lanes and as scalar code, and compares with the reference. */
export function check(test: Case, columns: readonly (readonly ScalarValue[])[]): void {
  const data = columns.map((column, i) => toElements(test.inputs[i], column));
  const operands = data.map((column, i) => toValues(test.inputs[i], column));
  const expected = toElements(
    test.output,
    operands[0].map((_, at) =>
      (test.reference as (...args: ScalarValue[]) => ScalarValue)(...operands.map((x) => x[at])),
    ),
  );
  const lanes = new Set(test.inputs.some(isWide) || isWide(test.output) ? [2, 1] : [4, 2, 1]) as Set<Lanes | 1>;
  for (const count of lanes) {
    const isScalar = count === 1;
    const kernel = {
      inputs: test.inputs.map(storageOf),
      output: storageOf(test.output),
      emit: (c: EmitContext) => {
        withPackedTypes(c, test, isScalar);
      },
    };
    const actual = apply(kernel, compile(kernel, count), data);
    compareElements(test.output, actual, expected, (at) => `lanes ${count}: ${operands.map((x) => x[at])}`);
  }
}

/** Packed integers are stored as bytes: the operands become their type after the load. */
function withPackedTypes(c: EmitContext, test: Case, isScalar: boolean): void {
  const cast = isScalar ? emitCastScalar : emitCast;
  const last = test.inputs.length - 1;
  if (test.inputs.some((type) => storageOf(type) !== type)) {
    const held = test.inputs.map(() => c.f.local(isScalar ? 'i32' : 'v128'));
    for (let i = last; i >= 0; i--) {
      cast(c, storageOf(test.inputs[i]), test.inputs[i], false);
      c.f.set(held[i]);
    }
    for (const local of held) c.f.get(local);
  }
  (isScalar ? test.scalar : test.vector)(c);
  cast(c, test.output, storageOf(test.output), false);
}

function compareElements(type: DType, actual: Elements, expected: Elements, describeAt: (at: number) => string): void {
  const [got, want] = [toValues(type, actual), toValues(type, expected)];
  const wrong = got.findIndex((value, at) => !Object.is(value, want[at]));
  if (wrong >= 0) expect.fail(`${describeAt(wrong)} gives ${got[wrong]}, not ${want[wrong]} (seed ${seed})`);
}

/** A generator of reproducible random numbers in [0, 1) (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
