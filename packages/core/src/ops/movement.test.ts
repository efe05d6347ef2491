// Data movement, gathers and reductions: symbolic sizes and contents, odd element types, and what is rejected.

import { Dim, type DimLike } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { tensorType, typeText } from '../graph/types.ts';
import { inferNode } from '../passes/infer-types.ts';
import { HostEvaluator } from '../session/host-evaluator.ts';
import { Tensor, type TensorDataLike } from '../session/tensor.ts';
import { FreshDims } from './context.ts';
import type { HostSequence } from './define.ts';
import { defaultRegistry } from './registry.ts';

type Attributes = Record<string, number | string | number[]>;

function nodeOf(
  op: string,
  inputs: (Value | undefined)[],
  attributes: Attributes,
  outputs: number,
  opset = 24,
): GraphNode {
  const entries = Object.entries(attributes).map(([name, value]): [string, AttributeValue] => {
    if (typeof value === 'number') return [name, { type: 'int', value }];
    if (typeof value === 'string') return [name, { type: 'string', value }];
    return [name, { type: 'ints', value }];
  });
  return {
    name: 'n',
    domain: '',
    op,
    opset,
    inputs,
    outputs: Array.from({ length: outputs }, (_, at) => newValue(`y${at}`)),
    attributes: new Map(entries),
  };
}

function inferAll(op: string, inputs: (Value | undefined)[], attributes: Attributes = {}, outputs = 1): Value[] {
  const node = nodeOf(op, inputs, attributes, outputs);
  inferNode(node, defaultRegistry(), new FreshDims());
  return node.outputs as Value[];
}

const infer = (op: string, inputs: (Value | undefined)[], attributes: Attributes = {}): Value =>
  inferAll(op, inputs, attributes)[0];

function runAll(op: string, inputs: (Tensor | undefined)[], attributes: Attributes = {}, outputs = 1) {
  const values = inputs.map((input, at) => input && newValue(`x${at}`));
  return new HostEvaluator(defaultRegistry()).evaluate(nodeOf(op, values, attributes, outputs), inputs);
}

const run = (op: string, inputs: (Tensor | undefined)[], attributes: Attributes = {}): Tensor =>
  runAll(op, inputs, attributes)[0] as Tensor;

const symbolic = (dtype: 'float32' | 'int64', ...shape: DimLike[]): Value =>
  newValue('x', tensorType(dtype, shape.map(Dim.from)));
const floats = (...shape: DimLike[]): Value => symbolic('float32', ...shape);

const float = (items: number[], dims?: number[]): Tensor => new Tensor('float32', items, dims);
const list = (...items: number[]): Tensor => new Tensor('int64', items);
const text = (items: string[], dims?: number[]): Tensor => new Tensor('string', items as TensorDataLike, dims);

function known(...items: number[]): Value {
  const tensor = list(...items);
  const value = newValue('c', tensorType('int64', tensor.dims.map(Dim.from)));
  value.constant = tensor;
  return value;
}

const typeOf = (value: Value): string => typeText(value.type);
const contentsOf = (value: Value): string => value.contents?.join(', ') ?? 'unknown';
const numbers = (tensor: unknown): number[] => (tensor as Tensor).toNumberArray();

describe('contents', () => {
  const shape = infer('Shape', [floats('n', 't', 64)]);

  it('pass through gathers, slices, splits and joins', () => {
    const n = infer('Gather', [shape, known(0)]);
    expect(contentsOf(infer('Gather', [shape, known(-1, 0)]))).toBe('64, n');
    expect(contentsOf(infer('Slice', [shape, known(-1), known(-9), known(0), known(-2)]))).toBe('64, n');
    expect(inferAll('Split', [shape, known(1, 2)], {}, 2).map(contentsOf)).toEqual(['n', 't, 64']);
    expect(contentsOf(infer('Concat', [n, known(4), shape], { axis: 0 }))).toBe('n, 4, n, t, 64');
    expect(contentsOf(infer('Tile', [n, known(2)]))).toBe('n, n');
  });

  it('pass through reductions', () => {
    expect(contentsOf(infer('ReduceProd', [shape], { keepdims: 0 }))).toBe('64*n*t');
    expect(contentsOf(infer('ReduceSum', [shape, known(0)]))).toBe('n + t + 64');
    expect(contentsOf(infer('ReduceMax', [infer('Gather', [shape, known(0, 1)])]))).toBe('max(n, t)');
  });

  it('survive the pads that PyTorch exports', () => {
    const flat = infer('Concat', [infer('Gather', [shape, known(1)]), known(1, 2, 3)], { axis: 0 });
    const pairs = infer('Reshape', [flat, known(-1, 2)]);
    const reversed = infer('Slice', [pairs, known(-1), known(-99), known(0), known(-1)]);
    const pads = infer('Reshape', [infer('Transpose', [reversed]), known(-1)]);
    expect(contentsOf(pads)).toBe('2, t, 3, 1');
    expect(typeOf(infer('Pad', [floats('a', 'b'), pads]))).toBe('float32[a + 5, b + t + 1]');
  });
});

describe('types', () => {
  it('have fresh sizes only where values are unknown', () => {
    const unknown = symbolic('int64', 1);
    expect(typeOf(infer('Slice', [floats('n', 't', 64), unknown, unknown, known(1)]))).toBe('float32[n, slice#0, 64]');
    expect(typeOf(infer('ReduceSum', [floats('n', 't', 64), unknown], { keepdims: 0 }))).toBe(
      'float32[reduced#0, reduced#1]',
    );
  });

  it('keep sizes of chunks simple', () => {
    expect(inferAll('Split', [floats('n', 6)], { num_outputs: 2 }, 2).map(typeOf)).toEqual([
      'float32[floordiv(n + 1, 2), 6]',
      'float32[floordiv(n, 2), 6]',
    ]);
  });

  it('reject what does not fit, naming the node', () => {
    expect(() => infer('Concat', [floats(2, 3), floats(2, 4)], { axis: 0 })).toThrow(/Concat.*axis 1 .* 3 .* 4/);
    expect(() => infer('Transpose', [floats(2, 3)], { perm: [0, 0] })).toThrow('not a permutation');
    expect(() => infer('Gather', [floats(3), known(3)])).toThrow('outside axis 0');
    expect(() => infer('Split', [floats(5), known(2, 2)], {})).toThrow('sizes are given');
    expect(() => infer('ReduceSum', [floats(2, 3), known(2)])).toThrow('axis 2 is outside');
  });
});

describe('elements', () => {
  it('of strings, complex numbers and half bytes are moved like numbers', () => {
    expect(run('Transpose', [text(['a', 'b', 'c', 'd'], [2, 2])]).data).toEqual(['a', 'c', 'b', 'd']);
    expect(run('Pad', [text(['a']), list(1, 1), text(['-'], [])]).data).toEqual(['-', 'a', '-']);
    const complex = new Tensor('complex64', Float32Array.from([1, 2, 3, 4]), [2]);
    expect(numbers(run('Slice', [complex, list(-1), list(-9), list(0), list(-1)]))).toEqual([3, 4, 1, 2]);
    const packed = new Tensor('int4', Uint8Array.from([0x21, 0x43]), [2, 2]);
    expect(numbers(run('Transpose', [packed]))).toEqual([0x31, 0x42]);
  });

  it('outside an axis are an error of the run', () => {
    expect(() => run('GatherND', [float([1, 2, 3]), new Tensor('int64', [5n], [1, 1])])).toThrow('index 5 is outside');
    expect(() => run('ScatterElements', [float([1, 2]), list(2), float([9])])).toThrow('index 2 is outside');
  });

  it('are repeated by pads longer than the axis', () => {
    expect(numbers(run('Pad', [float([1, 2, 3]), list(5, 5)], { mode: 'reflect' }))).toEqual([
      2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2,
    ]);
    expect(numbers(run('Pad', [float([1, 2, 3]), list(4, 4)], { mode: 'wrap' }))).toEqual([
      3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1,
    ]);
    expect(numbers(run('Pad', [float([1, 2, 3, 4]), list(-1, 2)], { mode: 'edge' }))).toEqual([2, 3, 4, 4, 4]);
    expect(numbers(run('Pad', [float([7]), list(1, 2)], { mode: 'reflect' }))).toEqual([7, 7, 7, 7]);
  });
});

describe('numbers that are no index', () => {
  const matrix = float([1, 2, 3, 4], [2, 2]);
  const far = 2 ** 32;
  const scalar = (value: number): Tensor => new Tensor('int64', [BigInt(value)], []);

  it('are diagonals outside of the matrix', () => {
    expect(numbers(run('Trilu', [matrix, scalar(far)]))).toEqual([0, 0, 0, 0]);
    expect(numbers(run('Trilu', [matrix, scalar(-far)]))).toEqual([1, 2, 3, 4]);
    expect(numbers(run('EyeLike', [matrix], { k: far }))).toEqual([0, 0, 0, 0]);
  });

  it('hit nothing in OneHot', () => {
    expect(numbers(run('OneHot', [list(far, -far, 1), scalar(2), float([0, 5])]))).toEqual([0, 0, 0, 0, 0, 5]);
  });
});

describe('orders and extremes', () => {
  it('put equal elements in order and NaN above all', () => {
    const top = runAll('TopK', [float([1, Number.NaN, 3, 3, 2]), list(4)], {}, 2);
    expect(top.map(numbers)).toEqual([
      [Number.NaN, 3, 3, 2],
      [1, 2, 3, 4],
    ]);
    const least = runAll('TopK', [float([1, Number.NaN, 3, 1]), list(4)], { largest: 0 }, 2);
    expect(least.map(numbers)[1]).toEqual([0, 3, 2, 1]);
  });

  it('take the top of every lane of any axis', () => {
    const x = float([3, 1, 2, 9, 8, 7], [3, 2]);
    const top = runAll('TopK', [x, list(2)], { axis: 0 }, 2);
    expect(top.map(numbers)).toEqual([
      [8, 9, 3, 7],
      [2, 1, 0, 2],
    ]);
  });

  it('do not overflow on the way', () => {
    const half = new Tensor('float16', Uint16Array.from([0x7bff, 0x7bff]), [2]);
    expect(numbers(run('ReduceMean', [half]))).toEqual([0x7bff]);
    expect(numbers(run('ReduceLogSumExp', [float([1000, 1000])]))[0]).toBeCloseTo(1000.6931, 3);
    const lowest = float([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect(numbers(run('ReduceLogSumExp', [lowest]))).toEqual([Number.NEGATIVE_INFINITY]);
  });
});

describe('regions', () => {
  it('give the same with a fixed and an adaptive number of samples', () => {
    const image = float(
      Array.from({ length: 162 }, (_, at) => Math.sin(at)),
      [1, 2, 9, 9],
    );
    // Bins of at most two pixels, for which the adaptive number of samples is two.
    const inputs = [image, float([0, 0, 8, 7.5, -3, -2, 4, 5], [2, 4]), list(0, 0)];
    for (const mode of ['avg', 'max']) {
      const pool = (sampling_ratio: number): number[] =>
        numbers(run('RoiAlign', inputs, { mode, output_height: 4, output_width: 4, sampling_ratio }));
      pool(2).forEach((value, at) => {
        expect(value).toBeCloseTo(pool(0)[at], 5);
      });
    }
  });
});

describe('sequences', () => {
  it('have a smaller last part', () => {
    const [parts] = runAll('SplitToSequence', [float([1, 2, 3, 4, 5]), new Tensor('int64', [2n], [])]);
    expect((parts as HostSequence).items.map(numbers)).toEqual([[1, 2], [3, 4], [5]]);
  });
});
