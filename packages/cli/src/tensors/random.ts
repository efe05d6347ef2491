// Values for inputs of which only the declared type is known.

import { OnnxTsError, type Tensor } from '@onnx-ts/core';
import { type DType, integerRange, isFloat, isInteger } from '@onnx-ts/tensor-ir';
import type { DeclaredValue } from '../model/declared-values.ts';
import type { DimSizes } from '../options.ts';
import { type Distribution, generateTensor } from './generator.ts';

/** What `random` means, for help texts. */
export const randomHelp = `random: seeded values that suit the input's type. Floats are uniform in [-1, 1), integers in 0..9,
bools 0 or 1. By name, attention masks are all 1, token types all 0 and position ids 0, 1, 2, …
along the last axis. Symbolic dims take their size from --dim, else 1.`;

/**
 * @param unnamed is told each symbolic dim that had no size and became 1
 * @throws OnnxTsError INVALID_INPUT for inputs that are no tensors or have no declared rank
 */
export function randomTensor(
  input: DeclaredValue,
  seed: number,
  sizes: DimSizes,
  unnamed: (dim: string) => void = () => {},
): Tensor {
  const { type, name } = input;
  if (type?.kind !== 'tensor' || !type.shape) {
    throw new OnnxTsError('INVALID_INPUT', 'random values cannot be made: the model states no shape for this input.', {
      place: { value: name },
      hint: 'Give a .npy, .pb or .json file.',
    });
  }
  const shape = type.shape.map((dim) => {
    const binding = new Map<string, number>();
    for (const symbol of dim.symbols()) {
      if (!Object.hasOwn(sizes, symbol)) unnamed(symbol);
      binding.set(symbol, sizes[symbol] ?? 1);
    }
    return Math.max(dim.evaluate(binding), 0);
  });
  return generateTensor({ dtype: type.dtype, shape, seed, dist: distributionFor(name, type.dtype, shape) });
}

function distributionFor(name: string, dtype: DType, shape: readonly number[]): Distribution {
  if (dtype === 'string') return { kind: 'values', values: ['alpha', 'beta', 'gamma', 'delta'] };
  if (dtype === 'bool' || isInteger(dtype)) {
    if (/mask/i.test(name)) return { kind: 'constant', value: 1 };
    if (dtype === 'bool') return { kind: 'uniform_int', lo: 0, hi: 1 };
    if (/token_type|segment_ids/i.test(name)) return { kind: 'constant', value: 0 };
    if (/position_ids/i.test(name)) return { kind: 'arange', period: Math.max(shape.at(-1) ?? 1, 1) };
    const greatest = Number(integerRange(dtype).max);
    return { kind: 'uniform_int', lo: 0, hi: Math.min(9, greatest) };
  }
  if (dtype === 'float8e8m0' || !isFloat(dtype)) return { kind: 'constant', value: 1 };
  return { kind: 'uniform', lo: -1, hi: 1 };
}

/** A different seed for each input of a model. */
export function seedOf(seed: number, index: number): number {
  return (Math.imul(index + 1, 0x9e3779b1) ^ seed) | 0;
}
