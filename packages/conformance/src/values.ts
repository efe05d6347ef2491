// Elements for tensors: of every type, and of the kinds that find bugs.

import { Tensor } from '@onnx-ts/core';
import { arrayTypeOf, dataLength } from '@onnx-ts/core/internal';
import {
  type DType,
  decodeTable,
  encodeFloat,
  getPacked,
  integerRange,
  isBigInteger,
  isFloat,
  isInteger,
  isPacked,
  isSmallFloat,
  setPacked,
} from '@onnx-ts/tensor-ir';
import { countOf, type Draws, type Generator } from './random.ts';

/**
 * - `small`: integers from −4 to 4 and, for floats, their halves: sums of products are exact in any order
 * - `unit`: evenly distributed in [−1, 1); integers from −8 to 8
 * - `normal`: a normal distribution of deviation 2
 * - `positive`: above 0, up to 4
 * - `wide`: magnitudes over the whole range of the type
 * - `special`: NaN, infinities, both zeros, ties, least and greatest values, among others
 * - `spiked`: as `normal`, with a NaN or an infinity here and there: a sum in any order makes the same of them
 */
export type ValueKind = 'small' | 'unit' | 'normal' | 'positive' | 'wide' | 'special' | 'spiked';

export const tameKinds: readonly ValueKind[] = ['small', 'unit', 'normal'];
export const allKinds: readonly ValueKind[] = ['small', 'unit', 'normal', 'wide', 'special'];

export function drawTensor(
  draws: Draws,
  dtype: DType,
  dims: readonly number[],
  kinds: readonly ValueKind[] = tameKinds,
): Tensor {
  const kind = draws.pick(kinds);
  const generator = draws.generator();
  return encodeTensor(
    dtype,
    dims,
    Array.from({ length: entriesOf(dtype, dims) }, () => element(generator, dtype, kind)),
  );
}

/** Integers (of any type, floats included) in [low, high]. */
export function drawIntegers(draws: Draws, dtype: DType, dims: readonly number[], low: number, high: number): Tensor {
  const generator = draws.generator();
  return encodeTensor(
    dtype,
    dims,
    Array.from({ length: countOf(dims) }, () => generator.between(low, high)),
  );
}

/** Floats in [low, high). */
export function drawFloats(draws: Draws, dtype: DType, dims: readonly number[], low: number, high: number): Tensor {
  const generator = draws.generator();
  return encodeTensor(
    dtype,
    dims,
    Array.from({ length: countOf(dims) }, () => low + generator.uniform() * (high - low)),
  );
}

function entriesOf(dtype: DType, dims: readonly number[]): number {
  return countOf(dims) * (dtype === 'complex64' || dtype === 'complex128' ? 2 : 1);
}

const words = ['', 'a', 'b', 'ab', 'A b', 'onnx', 'é', '0', '-1.5', 'zz'];

function element(generator: Generator, dtype: DType, kind: ValueKind): number | bigint | string {
  if (dtype === 'string') return generator.pick(words);
  if (dtype === 'bool') return generator.below(2);
  if (isInteger(dtype)) return integerElement(generator, dtype, kind);
  return floatElement(generator, dtype, kind);
}

function integerElement(generator: Generator, dtype: DType, kind: ValueKind): bigint {
  const { min, max } = integerRange(dtype);
  // The negative of what lies below an unsigned range.
  const folded = (value: bigint): bigint => (min < 0n ? min : -value);
  const clamp = (value: bigint): bigint => {
    const inside = value < min ? folded(value) : value;
    if (inside > max) return max;
    return inside;
  };
  switch (kind) {
    case 'small':
      return clamp(BigInt(generator.between(-4, 4)));
    case 'unit':
      return clamp(BigInt(generator.between(-8, 8)));
    case 'normal':
    case 'spiked':
      return clamp(BigInt(Math.round(generator.normal() * 40)));
    case 'positive':
      return clamp(BigInt(generator.between(1, 9)));
    case 'wide':
      return min + (((BigInt(generator.next()) << 32n) | BigInt(generator.next())) % (max - min + 1n));
    case 'special':
      return generator.pick([min, max, min + 1n, max - 1n, 0n, 1n, clamp(-1n), clamp(2n), (min + max) / 2n]);
  }
}

function floatElement(generator: Generator, dtype: DType, kind: ValueKind): number {
  switch (kind) {
    case 'small':
      return generator.between(-8, 8) / 2;
    case 'unit':
      return generator.uniform() * 2 - 1;
    case 'normal':
      return generator.normal() * 2;
    case 'positive':
      return (generator.below(1 << 20) + 1) / 2 ** 18;
    case 'spiked':
      return generator.below(24) ? generator.normal() * 2 : generator.pick([NaN, Infinity, -Infinity]);
    case 'wide': {
      const { least, greatest } = floatRange(dtype);
      const exponent = Math.log2(least) + generator.uniform() * (Math.log2(greatest) - Math.log2(least));
      return (generator.below(2) ? 1 : -1) * 2 ** exponent;
    }
    case 'special':
      return special(generator, dtype);
  }
}

function special(generator: Generator, dtype: DType): number {
  if (generator.below(2)) return generator.normal() * 3;
  const { least, greatest } = floatRange(dtype);
  const value = generator.pick([
    NaN,
    Infinity,
    0,
    -0,
    0.5,
    1,
    1.5,
    2.5,
    3.5,
    greatest,
    least,
    greatest / 2,
    88,
    1e-5,
    3,
  ]);
  return generator.below(2) ? value : -value;
}

function floatRange(dtype: DType): { readonly least: number; readonly greatest: number } {
  switch (dtype) {
    case 'float64':
    case 'complex128':
      return { least: 2 ** -1060, greatest: Number.MAX_VALUE };
    case 'float16':
      return { least: 2 ** -24, greatest: 65504 };
    case 'float32':
    case 'complex64':
    case 'bfloat16':
      return { least: 2 ** -140, greatest: 3.3e38 };
    default:
      return { least: 2 ** -16, greatest: 448 };
  }
}

/** Numbers, bigints or text as a tensor of any type; numbers are rounded to it, integers wrapped. */
export function encodeTensor(
  dtype: DType,
  dims: readonly number[],
  values: ArrayLike<number | bigint | string>,
): Tensor {
  if (dtype === 'string') return new Tensor('string', Array.from(values, String), dims);
  const data = new (arrayTypeOf(dtype))(dataLength(dtype, countOf(dims)));
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number | bigint;
    if (isPacked(dtype)) setPacked(dtype, data as Uint8Array, at, Number(value));
    else if (isSmallFloat(dtype)) data[at] = encodeFloat(dtype, Number(value));
    else if (isBigInteger(dtype)) data[at] = BigInt(value);
    else data[at] = Number(value);
  }
  return new Tensor(dtype, data, dims);
}

/** One entry per element, two for complex types; small floats decoded, packed types unpacked. */
export function decodeTensor(tensor: Tensor): ArrayLike<number> | ArrayLike<bigint> | readonly string[] {
  const { type, data, size } = tensor;
  if (type === 'string') return data as string[];
  if (isPacked(type)) return Float32Array.from({ length: size }, (_, at) => getPacked(type, data as Uint8Array, at));
  if (isSmallFloat(type)) {
    const table = decodeTable(type);
    return Float32Array.from(data as Uint16Array, (pattern) => table[pattern]);
  }
  return data as Exclude<typeof data, string[]>;
}

/** Distance from 1 to the next number of a float type. */
export function epsilonOf(dtype: DType): number {
  switch (dtype) {
    case 'float64':
    case 'complex128':
      return 2 ** -52;
    case 'float16':
      return 2 ** -10;
    case 'bfloat16':
      return 2 ** -7;
    case 'float8e4m3fn':
    case 'float8e4m3fnuz':
      return 2 ** -3;
    case 'float8e5m2':
    case 'float8e5m2fnuz':
      return 2 ** -2;
    case 'float6e2m3':
      return 2 ** -3;
    case 'float6e3m2':
      return 2 ** -2;
    case 'float4e2m1':
      return 2 ** -1;
    case 'float8e8m0':
      return 1;
    default:
      return 2 ** -23;
  }
}

/** Least normal magnitude: below it, numbers are as far apart as there. */
export function leastNormal(dtype: DType): number {
  if (dtype === 'float64' || dtype === 'complex128') return 2 ** -1022;
  if (dtype === 'float16') return 2 ** -14;
  return isFloat(dtype) || dtype === 'complex64' ? 2 ** -126 : 1;
}
