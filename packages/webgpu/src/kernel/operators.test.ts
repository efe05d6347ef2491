// The shaders of operators as models have them: their text, and that an implementation of WebGPU accepts it. The device
// computes nothing, so that this needs no driver.

import { createSession, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { float32, int64, type ModelSpec, model, node, tensorOf } from '../../../core/src/testing/build-model.ts';
import { type WebGpuOptions, webgpu } from '../index.ts';

// Kept for the life of the process: devices die with what made them.
const gpu = create(['backend=null']);

const x = { x: float32('N', 8) };
const y = ['y'];

const cases: Readonly<Record<string, ModelSpec>> = {
  relu: { inputs: x, nodes: [node('Relu', 'x', 'y')], outputs: y },
  gelu: { inputs: x, nodes: [node('Gelu', 'x', 'y')], outputs: y },
  'add, broadcast': {
    inputs: { ...x, b: float32(8) },
    nodes: [node('Add', ['x', 'b'], 'y')],
    outputs: y,
  },
  'add int64': {
    inputs: { a: int64('N'), b: int64('N') },
    nodes: [node('Add', ['a', 'b'], 'y')],
    outputs: y,
  },
  'divide uint8': {
    inputs: { a: tensorOf('uint8', 'N'), b: tensorOf('uint8', 'N') },
    nodes: [node('Div', ['a', 'b'], 'y')],
    outputs: y,
  },
  'cast to float16': { inputs: x, nodes: [node('Cast', 'x', 'y', { to: 10 })], outputs: y },
  'less than, where': {
    inputs: { ...x, z: float32('N', 8) },
    nodes: [node('Less', ['x', 'z'], 'c'), node('Where', ['c', 'x', 'z'], 'y')],
    outputs: y,
  },
  transpose: { inputs: x, nodes: [node('Transpose', 'x', 'y', { perm: [1, 0] })], outputs: y },
  slice: {
    inputs: x,
    nodes: [node('Slice', ['x', 'starts', 'ends', 'axes', 'steps'], 'y')],
    outputs: y,
    initializers: {
      starts: new Tensor('int64', [7n], [1]),
      ends: new Tensor('int64', [0n], [1]),
      axes: new Tensor('int64', [1n], [1]),
      steps: new Tensor('int64', [-2n], [1]),
    },
  },
  pad: {
    inputs: x,
    nodes: [node('Pad', ['x', 'pads'], 'y')],
    outputs: y,
    initializers: { pads: new Tensor('int64', [0n, 2n, 0n, 1n], [4]) },
  },
  concatenate: {
    inputs: { ...x, z: float32('M', 8) },
    nodes: [node('Concat', ['x', 'z'], 'y', { axis: 0 })],
    outputs: y,
  },
  gather: {
    inputs: { table: float32(100, 8), at: int64('N') },
    nodes: [node('Gather', ['table', 'at'], 'y')],
    outputs: y,
  },
  'scatter, adding': {
    inputs: { ...x, at: int64(4, 8), updates: float32(4, 8) },
    nodes: [node('ScatterElements', ['x', 'at', 'updates'], 'y', { reduction: 'add' })],
    outputs: y,
  },
  'sum of rows': {
    inputs: { x: float32('N', 1000) },
    nodes: [node('ReduceSum', ['x', 'axes'], 'y', { keepdims: 0 })],
    outputs: y,
    initializers: { axes: new Tensor('int64', [1n], [1]) },
  },
  'position of the greatest': {
    inputs: { x: float32('N', 1000) },
    nodes: [node('ArgMax', 'x', 'y', { axis: 1 })],
    outputs: y,
  },
  softmax: { inputs: { x: float32('N', 256) }, nodes: [node('Softmax', 'x', 'y')], outputs: y },
  'layer normalisation': {
    inputs: { x: float32('N', 256), scale: float32(256), bias: float32(256) },
    nodes: [node('LayerNormalization', ['x', 'scale', 'bias'], 'y')],
    outputs: y,
  },
  'running sum': {
    inputs: x,
    nodes: [node('CumSum', ['x', 'axis'], 'y')],
    outputs: y,
    initializers: { axis: new Tensor('int64', [1n], []) },
  },
  'matmul, bias, relu': {
    inputs: { x: float32('N', 64), w: float32(64, 32), b: float32(32) },
    nodes: [node('MatMul', ['x', 'w'], 'p'), node('Add', ['p', 'b'], 's'), node('Relu', 's', 'y')],
    outputs: y,
  },
  'matmul, one row': {
    inputs: { x: float32(1, 256), w: float32(256, 64) },
    nodes: [node('MatMul', ['x', 'w'], 'y')],
    outputs: y,
  },
  'matmul, many rows': {
    inputs: { x: float32('N', 64, 128), w: float32(128, 96) },
    nodes: [node('MatMul', ['x', 'w'], 'y')],
    outputs: y,
  },
  attention: {
    inputs: { q: float32(2, 'Q', 16), k: float32(2, 16, 'K'), v: float32(2, 'K', 16), mask: float32('Q', 'K') },
    nodes: [
      node('MatMul', ['q', 'k'], 'scores'),
      node('Add', ['scores', 'mask'], 'masked'),
      node('Softmax', 'masked', 'weights'),
      node('MatMul', ['weights', 'v'], 'y'),
    ],
    outputs: y,
  },
  convolution: {
    inputs: { x: float32(1, 4, 9, 9), w: float32(6, 4, 3, 3) },
    nodes: [node('Conv', ['x', 'w'], 'y', { pads: [1, 1, 1, 1], strides: [2, 2] })],
    outputs: y,
  },
  'max pooling': {
    inputs: { x: float32(1, 4, 9, 9) },
    nodes: [node('MaxPool', 'x', 'y', { kernel_shape: [3, 3], strides: [2, 2] })],
    outputs: y,
  },
  LSTM: {
    inputs: { x: float32('T', 1, 4), w: float32(1, 12, 4), r: float32(1, 12, 3) },
    nodes: [node('LSTM', ['x', 'w', 'r'], 'y', { hidden_size: 3 })],
    outputs: y,
  },
};

/** The shaders of a model, which the device has accepted. */
async function shadersOf(
  spec: ModelSpec,
  kind: 'hardware' | 'software',
  without: WebGpuOptions['without'] = [],
): Promise<string> {
  const session = await createSession(model(spec), {
    providers: [webgpu({ gpu, shaders: kind, without })],
    placement: 'providers',
  });
  const texts = session.explain().steps.flatMap(({ kernels }) => (kernels ?? []).map(({ text }) => text));
  await session.dispose();
  expect(texts.length).toBeGreaterThan(0);
  return texts.join('\n\n');
}

describe('shaders', () => {
  it.each(Object.entries(cases))('%s', async (_name, spec) => {
    expect(await shadersOf(spec, 'hardware')).toMatchSnapshot();
  });

  it.each(['sum of rows', 'softmax', 'matmul, bias, relu', 'attention', 'convolution'])(
    '%s, without a graphics processor',
    async (name) => {
      expect(await shadersOf(cases[name], 'software')).toMatchSnapshot();
    },
  );

  it.each(['sum of rows', 'softmax', 'layer normalisation'])('%s, without subgroups', async (name) => {
    const text = await shadersOf(cases[name], 'hardware', ['subgroups']);
    expect(text).not.toContain('subgroup');
    expect(text).toMatchSnapshot();
  });

  it('are shared by products of other sizes', async () => {
    const product = (m: number, k: number, n: number): ModelSpec => ({
      inputs: { x: float32(m, k), w: float32(k, n) },
      nodes: [node('MatMul', ['x', 'w'], 'y')],
      outputs: y,
    });
    for (const kind of ['hardware', 'software'] as const) {
      expect(await shadersOf(product(64, 64, 64), kind)).toBe(await shadersOf(product(80, 96, 128), kind));
    }
  });
});
