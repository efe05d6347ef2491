// Deterministic tensors from a seed: every value is a function of (seed, index), computed with a 32-bit integer hash, so
// that the same tensor can be made anywhere. The form of the specifications is that of benchmark inputs (`inputs.json`).

import { inflateSync } from 'node:zlib';
import { Tensor } from '@onnx-ts/core';
import { arrayTypeOf, elementCount } from '@onnx-ts/core/internal';
import type { DType } from '@onnx-ts/tensor-ir';
import { encodeElements } from './elements.ts';

export type Distribution =
  /** lo + u (hi − lo), rounded to float32 and then to the element type. */
  | { readonly kind: 'uniform'; readonly lo: number; readonly hi: number }
  /** lo + ⌊u (hi − lo + 1)⌋ */
  | { readonly kind: 'uniform_int'; readonly lo: number; readonly hi: number }
  /** Two values of 4 bits in [lo, hi] a byte, the low one first. */
  | { readonly kind: 'nibbles'; readonly lo: number; readonly hi: number }
  | { readonly kind: 'constant'; readonly value: number }
  /** start + step (i mod period) */
  | { readonly kind: 'arange'; readonly start?: number; readonly step?: number; readonly period?: number }
  /** i / count, in float64 and then rounded. */
  | { readonly kind: 'fractions'; readonly count: number }
  /** Cosines or sines of rotary embeddings: `c1` and `s1` are those of one step, and later rows repeat the rotation. */
  | {
      readonly kind: 'rope';
      readonly part: 'cos' | 'sin';
      readonly c1: readonly number[];
      readonly s1: readonly number[];
    }
  /** The bytes themselves: zlib, then base64. */
  | { readonly kind: 'deflate'; readonly data: string }
  /** Strings, repeated as often as needed. */
  | { readonly kind: 'values'; readonly values: readonly string[] };

export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly seed?: number;
  readonly dist: Distribution;
}

function mix(word: number): number {
  let x = word;
  x ^= x >>> 16;
  x = Math.imul(x, 0x21f0aaad);
  x ^= x >>> 15;
  x = Math.imul(x, 0xd35a2d97);
  x ^= x >>> 15;
  return x;
}

/** The unsigned 32-bit word at an index of a seed's stream. */
export function randomWord(seed: number, index: number): number {
  return mix(mix(index | 0) ^ (seed | 0)) >>> 0;
}

/** Uniform in [0, 1), a multiple of 2^−24. */
export function randomUnit(seed: number, index: number): number {
  return (randomWord(seed, index) >>> 8) / 2 ** 24;
}

/** @throws Error for a distribution that is not known or does not suit the element type */
export function generateTensor(spec: TensorSpec): Tensor {
  const { dtype, shape, dist } = spec;
  const seed = spec.seed ?? 0;
  const count = elementCount(shape);
  if (dtype === 'string') {
    if (!('values' in dist)) throw new Error(`a string tensor cannot be made by "${dist.kind}"`);
    return new Tensor(
      'string',
      Array.from({ length: count }, (_, at) => dist.values[at % dist.values.length]),
      shape,
    );
  }
  const fill = (value: (at: number) => number): Tensor =>
    encodeElements(
      dtype,
      Float64Array.from({ length: count }, (_, at) => value(at)),
      shape,
    );
  switch (dist.kind) {
    case 'uniform': {
      const span = dist.hi - dist.lo;
      // float64 keeps the full value; all others go through float32.
      const round = dtype === 'float64' ? (value: number) => value : Math.fround;
      return fill((at) => round(dist.lo + randomUnit(seed, at) * span));
    }
    case 'uniform_int': {
      const span = dist.hi - dist.lo + 1;
      return fill((at) => dist.lo + Math.floor(randomUnit(seed, at) * span));
    }
    case 'nibbles': {
      const span = dist.hi - dist.lo + 1;
      return fill((at) => {
        const word = randomWord(seed, at);
        const low = dist.lo + (((word & 0xffff) * span) >>> 16);
        return low | ((dist.lo + (((word >>> 16) * span) >>> 16)) << 4);
      });
    }
    case 'constant':
      return fill(() => dist.value);
    case 'arange': {
      const { start = 0, step = 1, period = count } = dist;
      return fill((at) => start + step * (at % period));
    }
    case 'fractions':
      return fill((at) => at / dist.count);
    case 'rope':
      return encodeElements(dtype, rotations(dist, shape), shape);
    case 'deflate': {
      const bytes = new Uint8Array(inflateSync(Buffer.from(dist.data, 'base64')));
      return new Tensor(dtype, new (arrayTypeOf(dtype))(bytes.buffer), shape);
    }
    default:
      throw new Error(`the distribution "${dist.kind}" is not known`);
  }
}

function rotations(dist: Extract<Distribution, { kind: 'rope' }>, [rows, half]: readonly number[]): Float32Array {
  const cosines = new Float64Array(half).fill(1);
  const sines = new Float64Array(half);
  const values = new Float32Array(rows * half);
  for (let row = 0; row < rows; row++) {
    values.set(dist.part === 'cos' ? cosines : sines, row * half);
    for (let lane = 0; lane < half; lane++) {
      const next = cosines[lane] * dist.c1[lane] - sines[lane] * dist.s1[lane];
      sines[lane] = sines[lane] * dist.c1[lane] + cosines[lane] * dist.s1[lane];
      cosines[lane] = next;
    }
  }
  return values;
}
