// Quantized operators of com.microsoft against the same computation on real numbers.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

const uint8 = (items: number[], dims?: number[]): Tensor => new Tensor('uint8', Uint8Array.from(items), dims);
const int8 = (items: number[], dims?: number[]): Tensor => new Tensor('int8', Int8Array.from(items), dims);
const float = (items: number[], dims?: number[]): Tensor => new Tensor('float32', Float32Array.from(items), dims);
const scale = (x: number): Tensor => float([x], []);
const zero = (x: number): Tensor => uint8([x], []);

function run(op: string, inputs: (Tensor | undefined)[], attributes: Record<string, AttributeValue> = {}): Tensor {
  const node: GraphNode = {
    name: 'n',
    domain: 'com.microsoft',
    op,
    opset: 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: [newValue('y')],
    attributes: new Map(Object.entries(attributes)),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, inputs)[0] as Tensor;
}

const int = (value: number): AttributeValue => ({ type: 'int', value });
const ints = (...value: number[]): AttributeValue => ({ type: 'ints', value });
const items = (tensor: Tensor): number[] => tensor.toNumberArray();

describe('pointwise', () => {
  const a = [uint8([0, 100, 200]), scale(0.1), zero(100)];
  const b = [uint8([128, 130, 120]), scale(0.5), zero(128)];
  const c = [scale(0.2), zero(50)];

  it('adds, multiplies, selects', () => {
    // a = −10, 0, 10; b = 0, 1, −4
    expect(items(run('QLinearAdd', [...a, ...b, ...c]))).toEqual([0, 55, 80]);
    expect(items(run('QLinearMul', [...a, ...b, ...c]))).toEqual([50, 50, 0]);
    const condition = new Tensor('bool', [true, false, true]);
    expect(items(run('QLinearWhere', [condition, ...a, ...b, ...c]))).toEqual([0, 55, 100]);
  });

  it('applies functions', () => {
    expect(items(run('QLinearSigmoid', [...a, scale(1 / 256), zero(0)]))).toEqual([0, 128, 255]);
    const alpha: AttributeValue = { type: 'float', value: 0.5 };
    expect(items(run('QLinearLeakyRelu', [...a, ...c], { alpha }))).toEqual([25, 50, 100]);
  });

  it('concatenates parts of different scales', () => {
    const y = run('QLinearConcat', [...c, ...a, ...b], { axis: int(0) });
    expect(items(y)).toEqual([0, 50, 100, 50, 55, 30]);
  });

  it('multiplies integers exactly', () => {
    expect(items(run('MulInteger', [a[0], a[2], b[0], b[2]]))).toEqual([0, 0, -800]);
  });
});

describe('through real numbers', () => {
  const image = uint8([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 2]);

  it('pools', () => {
    const attributes = { kernel_shape: ints(2, 2) };
    const inputs = [image, scale(1), zero(0), scale(0.5), zero(0)];
    expect(items(run('QLinearAveragePool', inputs, attributes))).toEqual([5, 13]);
    const last = run('QLinearAveragePool', inputs, { ...attributes, channels_last: int(1) });
    expect([last.dims, items(last)]).toEqual([
      [1, 1, 1, 2],
      [8, 10],
    ]);
    const global = run('QLinearGlobalAveragePool', inputs, { channels_last: int(1) });
    expect([global.dims, items(global)]).toEqual([
      [1, 1, 1, 2],
      [8, 10],
    ]);
    const mean = run('QLinearReduceMean', inputs, { axes: ints(1, 2, 3), keepdims: int(0) });
    expect([mean.dims, items(mean)]).toEqual([[1], [9]]);
  });

  it('normalises rows as the attribute opset says', () => {
    const x = [uint8([3, 3, 3, 3], [1, 2, 2]), scale(1), zero(0), scale(1 / 256), zero(0)];
    expect(items(run('QLinearSoftmax', x, { axis: int(1), opset: int(13) }))).toEqual([128, 128, 128, 128]);
    expect(items(run('QLinearSoftmax', x, { axis: int(1), opset: int(12) }))).toEqual([64, 64, 64, 64]);
  });

  it('sums bytes in 32 bits', () => {
    const sum = run('ReduceSumInteger', [uint8([200, 200, 1, 2], [2, 2])], { axes: ints(1), keepdims: int(1) });
    expect([sum.type, sum.dims, items(sum)]).toEqual(['uint32', [2, 1], [400, 3]]);
  });
});

describe('products', () => {
  const a = uint8([1, 2, 3, 4], [2, 2]);
  const b = int8([1, -1, 2, 0], [2, 2]);
  // (A − 1) · B = [[0, 1], [2, 3]] · [[1, −1], [2, 0]] = [[2, 0], [8, −2]]

  it('scales integer products, with one scale for each column', () => {
    const bias = float([10, 20]);
    const y = run('MatMulIntegerToFloat', [a, b, scale(0.5), float([1, 2]), zero(1), undefined, bias]);
    expect([y.dims, items(y)]).toEqual([
      [2, 2],
      [11, 20, 14, 18],
    ]);
  });

  it('quantizes the left side while running', () => {
    const x = float([0, 1, 2, 255], [2, 2]);
    expect(items(run('DynamicQuantizeMatMul', [x, b, scale(2)]))).toEqual([4, 0, 1024, -4]);
  });

  it('takes transposed operands and quantizes the result', () => {
    const inputs = [a, scale(0.5), zero(1), b, scale(1), int8([0], [])];
    const bias = new Tensor('int32', Int32Array.of(2, 4));
    expect(items(run('QGemm', [...inputs, bias]))).toEqual([2, 2, 5, 1]);
    expect(items(run('QGemm', [...inputs, bias, scale(0.5), zero(10)]))).toEqual([14, 14, 20, 12]);
    // Aᵀ − 1 = [[0, 2], [1, 3]], Bᵀ = [[1, 2], [−1, 0]]
    expect(items(run('QGemm', inputs, { transA: int(1), transB: int(1) }))).toEqual([-1, 0, -1, 1]);
  });

  it('multiplies 16-bit integers', () => {
    const x = new Tensor('int16', Int16Array.of(300, 1), [1, 2]);
    const w = new Tensor('int16', Int16Array.of(300, -5), [2, 1]);
    expect(items(run('MatMulInteger16', [x, w]))).toEqual([89995]);
  });

  it('convolves images with channels last', () => {
    const x = uint8([1, 10, 2, 20, 3, 30, 4, 40], [1, 2, 2, 2]);
    const w = uint8([1, 0, 0, 1], [2, 2, 1, 1]);
    const inputs = [x, scale(1), zero(0), w, scale(1), zero(0), scale(1), zero(5)];
    const y = run('QLinearConv', inputs, { channels_last: int(1) });
    expect([y.dims, items(y)]).toEqual([
      [1, 2, 2, 2],
      [6, 15, 7, 25, 8, 35, 9, 45],
    ]);
  });
});
