// The shaders for graphics processors and those for software, executed: both give what the reference gives, at sizes that
// fill no tile evenly.

import { createSession, type ProviderFactory, reference, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, model, node } from '../../../core/src/testing/build-model.ts';
import { gpu, hasAdapter } from '../../tests/test-gpu.ts';
import { type WebGpuOptions, webgpu } from '../index.ts';

const y = ['y'];

interface Case {
  readonly spec: ModelSpec;
  /** Sizes of the inputs, by name; each set is one run. */
  readonly runs: readonly Readonly<Record<string, readonly number[]>>[];
}

const cases: Readonly<Record<string, Case>> = {
  'a product of any number of rows': {
    spec: {
      inputs: { x: float32('M', 133), w: float32(133, 70), b: float32(70) },
      nodes: [node('MatMul', ['x', 'w'], 'p'), node('Add', ['p', 'b'], 's'), node('Tanh', 's', 'y')],
      outputs: y,
    },
    runs: [1, 3, 5, 67].map((m) => ({ x: [m, 133], w: [133, 70], b: [70] })),
  },
  'products of a batch': {
    spec: {
      inputs: { x: float32('N', 2, 9, 20), w: float32('N', 1, 20, 50) },
      nodes: [node('MatMul', ['x', 'w'], 'y')],
      outputs: y,
    },
    runs: [{ x: [2, 2, 9, 20], w: [2, 1, 20, 50] }],
  },
  'a product with transposed weights': {
    spec: {
      inputs: { x: float32(1, 200), w: float32(30, 200) },
      nodes: [node('Gemm', ['x', 'w'], 'y', { transB: 1 })],
      outputs: y,
    },
    runs: [{ x: [1, 200], w: [30, 200] }],
  },
  'a convolution': {
    spec: {
      inputs: { x: float32(2, 5, 13, 11), w: float32(20, 5, 3, 3) },
      nodes: [node('Conv', ['x', 'w'], 'y', { pads: [1, 1, 1, 1], strides: [2, 1] })],
      outputs: y,
    },
    runs: [{ x: [2, 5, 13, 11], w: [20, 5, 3, 3] }],
  },
  attention: {
    spec: {
      inputs: {
        q: float32(2, 'Q', 20),
        k: float32(2, 20, 'K'),
        v: float32(2, 'K', 12),
        mask: float32('Q', 'K'),
      },
      nodes: [
        node('MatMul', ['q', 'k'], 'scores'),
        node('Add', ['scores', 'mask'], 'masked'),
        node('Softmax', 'masked', 'weights'),
        node('MatMul', ['weights', 'v'], 'y'),
      ],
      outputs: y,
    },
    runs: [
      [1, 150],
      [37, 70],
      [9, 1],
    ].map(([q, k]) => ({ q: [2, q, 20], k: [2, 20, k], v: [2, k, 12], mask: [q, k] })),
  },
  'rows longer than a workgroup': {
    spec: {
      inputs: { x: float32('N', 300), scale: float32(300), bias: float32(300) },
      nodes: [node('LayerNormalization', ['x', 'scale', 'bias'], 'n'), node('Softmax', 'n', 'y')],
      outputs: y,
    },
    runs: [{ x: [3, 300], scale: [300], bias: [300] }],
  },
};

const kinds: Readonly<Record<string, WebGpuOptions>> = {
  'a graphics processor': { shaders: 'hardware' },
  'a graphics processor without subgroups': { shaders: 'hardware', without: ['subgroups'] },
  software: { shaders: 'software' },
};

describe.skipIf(!hasAdapter).each(Object.entries(kinds))('shaders for %s', (_kind, options) => {
  it.each(Object.entries(cases))('compute %s', async (_name, { spec, runs }) => {
    const own = await resultsOf(webgpu({ gpu, ...options }), spec, runs);
    const expected = await resultsOf(reference(), spec, runs);
    for (const [at, values] of own.entries()) {
      expect(values.length).toBe(expected[at].length);
      for (const [element, value] of values.entries()) expect(value).toBeCloseTo(expected[at][element], 4);
    }
  });

  it('keep rows of an attention apart of which no key is left, or none so far', async () => {
    const { spec } = cases.attention;
    const run = { q: [2, 9, 20], k: [2, 20, 70], v: [2, 70, 12], mask: [9, 70] };
    const mask = inputOf(run.mask, 3);
    const data = mask.data as Float32Array;
    // Row 2 sees nothing, row 4 the last key only.
    data.fill(-Infinity, 2 * 70, 3 * 70);
    data.fill(-Infinity, 4 * 70, 5 * 70 - 1);
    const [own] = await resultsOf(webgpu({ gpu, ...options }), spec, [run], { mask });
    const [expected] = await resultsOf(reference(), spec, [run], { mask });
    for (const [element, value] of own.entries()) {
      if (Number.isNaN(expected[element])) expect(value).toBeNaN();
      else expect(value).toBeCloseTo(expected[element], 4);
    }
  });
});

async function resultsOf(
  provider: ProviderFactory,
  spec: ModelSpec,
  runs: Case['runs'],
  given: Readonly<Record<string, Tensor>> = {},
): Promise<Float32Array[]> {
  const session = await createSession(model(spec), { providers: [provider], placement: 'providers' });
  const results: Float32Array[] = [];
  for (const sizes of runs) {
    const feeds = Object.entries(sizes).map(([name, dims], at) => [name, given[name] ?? inputOf(dims, at)]);
    const outputs = await session.run(Object.fromEntries(feeds));
    results.push((outputs.y as Tensor).data as Float32Array);
  }
  await session.dispose();
  return results;
}

function inputOf(dims: readonly number[], seed: number): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const data = Float32Array.from({ length: count }, (_, at) => Math.sin(seed * 31 + at * 1.37) / 2);
  return new Tensor('float32', data, dims);
}
