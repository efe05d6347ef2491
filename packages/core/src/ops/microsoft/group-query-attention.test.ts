// Caches of GroupQueryAttention that hold less than all positions, or codes for them, against caches that hold everything.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

const [heads, size, window] = [2, 16, 3];

function attend(inputs: readonly (Tensor | undefined)[], attributes: Record<string, number | string>): Tensor[] {
  const values = { num_heads: heads, kv_num_heads: 1, ...attributes };
  const node: GraphNode = {
    name: 'n',
    domain: 'com.microsoft',
    op: 'GroupQueryAttention',
    opset: 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: [0, 1, 2].map((at) => newValue(`y${at}`)),
    attributes: new Map(
      Object.entries(values).map(([name, value]): [string, AttributeValue] => [
        name,
        typeof value === 'string' ? { type: 'string', value } : { type: 'int', value },
      ]),
    ),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, [...inputs]) as Tensor[];
}

const float = (dims: readonly number[], seed: number): Tensor => {
  const count = dims.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: count }, (_, at) => (((at + 1) * 7919 * seed) % 101) / 50 - 1);
  return new Tensor('float32', data, dims);
};
const int32 = (value: number, dims: readonly number[]): Tensor => new Tensor('int32', Int32Array.of(value), dims);

/** Query, key and value for `count` tokens from `first` on. */
function tokens(first: number, count: number): Tensor[] {
  return [heads * size, size, size].map((width, part) => {
    const all = float([1, 12, width], part + 2).data as Float32Array;
    return new Tensor('float32', all.slice(first * width, (first + count) * width), [1, count, width]);
  });
}

const lengths = (total: number): Tensor[] => [int32(total - 1, [1]), int32(total, [])];

/** Results of all steps with a cache of `rows` positions. */
function decode(steps: readonly number[], rows: number, attributes: Record<string, number>): number[][] {
  let cache = [0, 1].map(() => new Tensor('float32', new Float32Array(rows * size), [1, 1, rows, size]));
  let total = 0;
  return steps.map((count) => {
    const own = tokens(total, count);
    total += count;
    const [y, ...present] = attend([...own, ...cache, ...lengths(total)], { local_window_size: window, ...attributes });
    cache = present;
    return y.toNumberArray();
  });
}

describe('a sliding cache', () => {
  it.each([
    [3, [2, 1, 1, 3, 1]],
    [5, [1, 1, 1, 1, 1, 1, 1, 1, 1]],
    [4, [7, 1, 2]],
  ])('of %i rows gives what a full one gives', (rows, steps) => {
    const sliding = decode(steps, rows, { sliding_window_cache: 1 });
    const full = decode(steps, 12, {});
    for (const [step, values] of sliding.entries()) {
      for (const [at, value] of values.entries()) expect(value, `step ${step}`).toBeCloseTo(full[step][at], 5);
    }
  });

  it('must hold the window', () => {
    expect(() => decode([1], 2, { sliding_window_cache: 1 })).toThrow(/cannot hold a local_window_size of 3/);
  });
});

describe('a quantised cache', () => {
  const scale = new Tensor(
    'float32',
    Float32Array.from({ length: size }, (_, at) => (at + 4) / 64),
    [1, 1, 1, size],
  );
  const steps = scale.data as Float32Array;

  it('keeps 4-bit codes, the even feature in the low half', () => {
    const own = tokens(0, 1);
    const cache = [0, 1].map(() => new Tensor('uint8', new Uint8Array(size), [1, 1, 2, size / 2]));
    const quantized = { k_quant_type: 'PER_CHANNEL', v_quant_type: 'PER_CHANNEL', kv_cache_bit_width: 4 };
    const past = new Array<undefined>(5).fill(undefined);
    const [y, keys] = attend([...own, ...cache, ...lengths(1), ...past, scale, scale], quantized);
    const code = (x: number, feature: number): number => Math.min(7, Math.max(-8, Math.round(x / steps[feature])));
    const bytes = Array.from({ length: size / 2 }, (_, pair) => {
      const [low, high] = [2 * pair, 2 * pair + 1].map((at) => code((own[1].data as Float32Array)[at], at) + 8);
      return low | (high << 4);
    });
    expect([...(keys.data as Uint8Array)].slice(0, size / 2)).toEqual(bytes);
    // One key: the result is its value, as the cache has it.
    const value = Array.from(own[2].data as Float32Array, (x, feature) => code(x, feature) * steps[feature]);
    for (const [at, got] of y.toNumberArray().entries()) expect(got).toBeCloseTo(value[at % size], 5);
  });

  it('says what does not fit', () => {
    const own = tokens(0, 1);
    const bytes = [0, 1].map(() => new Tensor('int8', new Int8Array(size), [1, 1, 1, size]));
    const quantized = { k_quant_type: 'PER_TENSOR', v_quant_type: 'PER_TENSOR' };
    const inputs = [...own, ...bytes, ...lengths(1)];
    expect(() => attend(inputs, {})).toThrow(/k_quant_type is NONE, but the cache in input 3 is int8/);
    expect(() => attend(inputs, quantized)).toThrow(/k_quant_type PER_TENSOR needs the scale in input 12/);
    const past = new Array<undefined>(5).fill(undefined);
    expect(() => attend([...inputs, ...past, scale, scale], quantized)).toThrow(/size of the scale/);
    const one = new Tensor('float32', Float32Array.of(0.1), [1]);
    expect(() => attend([...inputs, ...past, one, one], { ...quantized, kv_cache_bit_width: 4 })).toThrow(
      /kv_cache_bit_width is 4, but a cache of int8/,
    );
  });
});
