// Random kernels of every class: WebAssembly against the reference interpreter.

import type { DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { checkKernel } from '../../tests/check-kernel.ts';
import { Random } from '../../tests/random.ts';
import {
  type RandomKernel,
  randomContraction,
  randomMap,
  randomPacked,
  randomReduce,
  randomRows,
  randomScan,
  randomScatter,
  randomSegments,
} from '../../tests/random-kernel.ts';

const dtypes: readonly DType[] = [
  ...(['float32', 'float32', 'float32', 'float64', 'float16', 'bfloat16', 'int64', 'int64', 'int32', 'bool'] as const),
  ...(['int8', 'uint8', 'int16', 'uint16', 'uint32', 'uint64'] as const),
];

const rounds = Number(process.env.KERNEL_ROUNDS ?? 60);
const base = Number(process.env.KERNEL_SEED ?? 1);

function check(make: (random: Random, dtypes: readonly DType[]) => RandomKernel): void {
  for (let seed = base; seed < base + rounds; seed++) {
    try {
      const random = new Random(seed * 7919);
      const { kernel, maker } = make(random, dtypes);
      checkKernel(kernel, maker.inputs, maker.binding, { grain: 1 + random.int(5) });
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

describe('random kernels', () => {
  it('map', () => expect(() => check(randomMap)).not.toThrow());
  it('packed', () => expect(() => check(randomPacked)).not.toThrow());
  it('segments', () => expect(() => check(randomSegments)).not.toThrow());
  it('reduce', () => expect(() => check(randomReduce)).not.toThrow());
  it('row', () => expect(() => check(randomRows)).not.toThrow());
  it('contraction', () => expect(() => check(randomContraction)).not.toThrow());
  it('scan', () => expect(() => check(randomScan)).not.toThrow());
  it('scatter', () => expect(() => check(randomScatter)).not.toThrow());
});
