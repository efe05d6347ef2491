// Random numbers: their distributions, and which runs give the same ones.

import type { DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { codeOfDType } from '../onnx/import-tensor.ts';
import { Tensor } from '../session/tensor.ts';
import { type AttributeSpec, node, tensorOf } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';
import { numbersOf } from './host-elements.ts';

const count = 20_000;

type Attributes = Readonly<Record<string, AttributeSpec>>;

async function draw(op: string, attributes: Attributes, input?: Tensor, options: { seed?: number } = {}) {
  const session = await open(
    {
      opset: 22,
      inputs: input ? { x: tensorOf(input.type, ...input.dims) } : {},
      nodes: [node(op, input ? 'x' : [], 'y', attributes)],
      outputs: ['y'],
    },
    options,
  );
  const run = async (): Promise<Tensor> => (await session.run(input ? { x: input } : {})).y as Tensor;
  const [first, second] = [await run(), await run()];
  await session.dispose();
  return { first, second, values: Array.from(numbersOf(first)) };
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function moments(values: readonly number[]) {
  const mean = meanOf(values);
  const variance = meanOf(values.map((value) => (value - mean) ** 2));
  const skewness = meanOf(values.map((value) => (value - mean) ** 3)) / variance ** 1.5;
  const kurtosis = meanOf(values.map((value) => (value - mean) ** 4)) / variance ** 2;
  return { mean, variance, skewness, kurtosis };
}

const floats: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16'];

/** As many standard errors as a fixed seed has to stay within. */
const sigmas = 5;

describe('uniform numbers', () => {
  it.each(floats)('fill [low, high) evenly in %s', async (dtype) => {
    const attributes = {
      shape: [count],
      low: { float: -2 },
      high: { float: 6 },
      dtype: codeOfDType(dtype),
      seed: { float: 3 },
    };
    const { first, values } = await draw('RandomUniform', attributes);
    expect(first.type).toBe(dtype);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-2);
    // Rounding to a short type may reach the bound itself.
    expect(Math.max(...values)).toBeLessThanOrEqual(6);
    const bins = Array<number>(8).fill(0);
    for (const value of values) bins[Math.min(7, Math.floor(value + 2))]++;
    const deviation = Math.sqrt(count * (1 / 8) * (7 / 8));
    const isCoarse = dtype === 'bfloat16';
    for (const bin of bins) expect(Math.abs(bin - count / 8)).toBeLessThan(sigmas * deviation + (isCoarse ? 200 : 0));
  });

  it('do not hang together from one to the next', async () => {
    const { values } = await draw('RandomUniform', { shape: [count], seed: { float: 1 } });
    const products = values.slice(1).map((value, at) => (value - 0.5) * (values[at] - 0.5));
    expect(Math.abs(meanOf(products))).toBeLessThan((sigmas * (1 / 12)) / Math.sqrt(count));
  });
});

describe('normal numbers', () => {
  it.each(floats)('have the mean, the deviation and the shape of a bell in %s', async (dtype) => {
    const attributes = {
      shape: [100, 200],
      mean: { float: 1 },
      scale: { float: 3 },
      dtype: codeOfDType(dtype),
      seed: { float: 7 },
    };
    const { first, values } = await draw('RandomNormal', attributes);
    expect(first.type).toBe(dtype);
    expect(first.dims).toEqual([100, 200]);
    const { mean, variance, skewness, kurtosis } = moments(values);
    expect(Math.abs(mean - 1)).toBeLessThan((sigmas * 3) / Math.sqrt(count));
    expect(Math.abs(variance - 9)).toBeLessThan(sigmas * 9 * Math.sqrt(2 / count));
    expect(Math.abs(skewness)).toBeLessThan(sigmas * Math.sqrt(6 / count));
    expect(Math.abs(kurtosis - 3)).toBeLessThan(sigmas * Math.sqrt(24 / count));
  });
});

describe('numbers like an input', () => {
  it.each(['RandomUniformLike', 'RandomNormalLike'])(
    '%s takes its shape, and its type unless another is given',
    async (op) => {
      const input = new Tensor('float64', new Float64Array(6), [2, 3]);
      const { first } = await draw(op, {}, input);
      expect([first.type, first.dims]).toEqual(['float64', [2, 3]]);
      const integers = new Tensor('int32', new Int32Array(4), [2, 1, 2]);
      const other = await draw(op, { dtype: codeOfDType('float16') }, integers);
      expect([other.first.type, other.first.dims]).toEqual(['float16', [2, 1, 2]]);
    },
  );
});

describe('Bernoulli', () => {
  it.each(['float32', 'bool', 'int64', 'uint8'] as const)(
    'gives 1 as often as the input says, as %s',
    async (dtype) => {
      const chances = [0, 0.1, 0.5, 1];
      const input = new Tensor(
        'float32',
        Float32Array.from({ length: count }, (_, at) => chances[at % 4]),
        [count],
      );
      const { first, values } = await draw('Bernoulli', { dtype: codeOfDType(dtype), seed: { float: 2 } }, input);
      expect(first.type).toBe(dtype);
      chances.forEach((chance, of) => {
        const drawn = values.filter((_, at) => at % 4 === of);
        const deviation = Math.sqrt((chance * (1 - chance)) / drawn.length);
        expect(Math.abs(meanOf(drawn) - chance)).toBeLessThanOrEqual(sigmas * deviation);
      });
    },
  );
});

describe('Multinomial', () => {
  it('draws classes by their unnormalised log probabilities', async () => {
    const chances = [
      [0.1, 0.2, 0.7],
      [0, 1, 0],
      [0.5, 0, 0.5],
    ];
    const logits = chances.flatMap((row, at) => row.map((chance) => Math.log(chance) + 1000 * at));
    const input = new Tensor('float32', Float32Array.from(logits), [3, 3]);
    const { first, values } = await draw('Multinomial', { sample_size: count, seed: { float: 4 } }, input);
    expect([first.type, first.dims]).toEqual(['int32', [3, count]]);
    chances.forEach((row, at) => {
      const drawn = values.slice(at * count, (at + 1) * count);
      row.forEach((chance, of) => {
        const share = drawn.filter((value) => value === of).length / count;
        expect(Math.abs(share - chance)).toBeLessThanOrEqual(sigmas * Math.sqrt((chance * (1 - chance)) / count));
      });
    });
  });

  it('has room for the vocabulary of a language model', async () => {
    const input = new Tensor('float32', new Float32Array(300_000), [1, 300_000]);
    const { first } = await draw('Multinomial', { dtype: codeOfDType('int64') }, input);
    expect(first.type).toBe('int64');
  });
});

describe('seeds', () => {
  const shape = [8];

  it('of a node give the same numbers in every run and session', async () => {
    const one = await draw('RandomNormal', { shape, seed: { float: 5 } });
    const other = await draw('RandomNormal', { shape, seed: { float: 5 } }, undefined, { seed: 9 });
    expect(one.second.data).toEqual(one.first.data);
    expect(other.first.data).toEqual(one.first.data);
    const different = await draw('RandomNormal', { shape, seed: { float: 6 } });
    expect(different.first.data).not.toEqual(one.first.data);
  });

  it('of a session repeat its runs as a whole', async () => {
    const one = await draw('RandomUniform', { shape }, undefined, { seed: 9 });
    const other = await draw('RandomUniform', { shape }, undefined, { seed: 9 });
    expect(one.second.data).not.toEqual(one.first.data);
    expect([other.first.data, other.second.data]).toEqual([one.first.data, one.second.data]);
  });

  it('leave two nodes without one apart', async () => {
    const session = await open({
      nodes: [node('RandomUniform', [], 'a', { shape }), node('RandomUniform', [], 'b', { shape })],
      outputs: ['a', 'b'],
    });
    const { a, b } = await session.run({});
    expect((a as Tensor).data).not.toEqual((b as Tensor).data);
    await session.dispose();
  });
});

describe('errors', () => {
  it('say which types and sizes there are', async () => {
    await expect(draw('RandomUniform', { shape: [2], dtype: codeOfDType('int64') })).rejects.toThrow('floating-point');
    await expect(draw('RandomUniform', { shape: [-2] })).rejects.toThrow('negative size');
    const x = new Tensor('float32', new Float32Array(2), [2]);
    await expect(draw('Multinomial', {}, x)).rejects.toThrow('rank 2');
  });
});
