// Fused operators against the operators that they were made of.

import { expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

type Inputs = readonly (Tensor | undefined)[];
type Attributes = Record<string, AttributeValue>;

function run(domain: string, op: string, inputs: Inputs, attributes: Attributes = {}, outputs = 1): Tensor[] {
  const node: GraphNode = {
    name: 'n',
    domain,
    op,
    opset: domain === '' ? 24 : 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: Array.from({ length: outputs }, (_, at) => newValue(`y${at}`)),
    attributes: new Map(Object.entries(attributes)),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, [...inputs]) as Tensor[];
}

const onnx = (op: string, inputs: Inputs, attributes?: Attributes): Tensor => run('', op, inputs, attributes)[0];
const microsoft = (op: string, inputs: Inputs, attributes?: Attributes): Tensor =>
  run('com.microsoft', op, inputs, attributes)[0];

const int = (value: number): AttributeValue => ({ type: 'int', value });
const ints = (...value: number[]): AttributeValue => ({ type: 'ints', value });
const float = (items: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('float32', Float32Array.from(items), dims);
const reals = (seed: number, ...dims: number[]): Tensor => {
  const count = dims.reduce((product, size) => product * size, 1);
  return float(
    Array.from({ length: count }, (_, at) => (((at + 1) * 7919 * seed) % 101) / 50 - 1),
    dims,
  );
};

function expectEqual(got: Tensor, want: Tensor): void {
  expect(got.dims).toEqual(want.dims);
  got.toNumberArray().forEach((value, at) => {
    expect(value).toBeCloseTo(Number(want.data[at]), 4);
  });
}

it('FusedMatMul moves rows before the batch, transposes and scales', () => {
  // Stored as [rows, batch, inner] and [batch, columns, inner].
  const [a, b] = [reals(3, 4, 2, 5), reals(5, 2, 3, 5)];
  const attributes: Attributes = { transBatchA: int(1), transB: int(1), alpha: { type: 'float', value: 0.5 } };
  const rows = onnx('Transpose', [a], { perm: ints(1, 0, 2) });
  const columns = onnx('Transpose', [b], { perm: ints(0, 2, 1) });
  const product = onnx('Mul', [onnx('MatMul', [rows, columns]), float([0.5], [])]);
  expectEqual(microsoft('FusedMatMul', [a, b], attributes), product);
});

it('FusedConv adds Z and activates', () => {
  const [x, w, b, z] = [reals(3, 1, 2, 4, 4), reals(5, 3, 2, 3, 3), reals(7, 3), reals(11, 1, 3, 2, 2)];
  const activation: AttributeValue = { type: 'string', value: 'LeakyRelu' };
  const activation_params: AttributeValue = { type: 'floats', value: [0.25] };
  const sum = onnx('Add', [onnx('Conv', [x, w, b]), z]);
  const want = onnx('LeakyRelu', [sum], { alpha: { type: 'float', value: 0.25 } });
  expectEqual(microsoft('FusedConv', [x, w, b, z], { activation, activation_params }), want);
});

it('BiasSoftmax flattens from its axis on', () => {
  const [x, bias] = [reals(3, 2, 3, 4), reals(5, 1, 3, 4)];
  const sum = onnx('Add', [x, bias]).reshape([2, 12]);
  const want = onnx('Softmax', [sum]).reshape([2, 3, 4]);
  expectEqual(microsoft('BiasSoftmax', [x, bias], { axis: int(1), is_inner_broadcast: int(0) }), want);
});

it('GroupNorm and SkipGroupNorm have their channels last', () => {
  const [x, gamma, beta, skip, bias] = [reals(3, 2, 3, 3, 4), reals(5, 4), reals(7, 4), reals(11, 2, 4), reals(13, 4)];
  const toFirst = (image: Tensor): Tensor => onnx('Transpose', [image], { perm: ints(0, 3, 1, 2) });
  const norm = (image: Tensor): Tensor => {
    const y = onnx('GroupNormalization', [toFirst(image), gamma, beta], { num_groups: int(2) });
    return onnx('Transpose', [onnx('Mul', [y, onnx('Sigmoid', [y])])], { perm: ints(0, 2, 3, 1) });
  };
  const attributes = { activation: int(1), groups: int(2) };
  expectEqual(microsoft('GroupNorm', [x, gamma, beta], attributes), norm(x));
  const sum = onnx('Add', [onnx('Add', [x, skip.reshape([2, 1, 1, 4])]), bias]);
  const [y, s] = run('com.microsoft', 'SkipGroupNorm', [x, gamma, beta, skip, bias], attributes, 2);
  expectEqual(s, sum);
  expectEqual(y, norm(sum));
});

it('QAttention is Attention on the numbers that its bytes stand for', () => {
  const bytes = (count: number, seed: number): number[] => Array.from({ length: count }, (_, at) => (at * seed) % 251);
  const [x, w] = [bytes(2 * 3 * 8, 89), bytes(8 * 24, 57)];
  const [scaleX, scaleW, zeroX, zeroW] = [0.02, 0.01, 120, 130];
  const real = (values: number[], scale: number, zero: number): number[] =>
    values.map((value) => (value - zero) * scale);
  const bias = reals(3, 24);
  const uint8 = (values: number[], dims: number[]): Tensor => new Tensor('uint8', Uint8Array.from(values), dims);
  const got = microsoft(
    'QAttention',
    [
      uint8(x, [2, 3, 8]),
      uint8(w, [8, 24]),
      bias,
      float([scaleX], []),
      float([scaleW], [1]),
      undefined,
      uint8([zeroX], []),
      uint8([zeroW], []),
    ],
    { num_heads: int(2), unidirectional: int(1) },
  );
  const plain = [float(real(x, scaleX, zeroX), [2, 3, 8]), float(real(w, scaleW, zeroW), [8, 24]), bias];
  expectEqual(got, microsoft('Attention', plain, { num_heads: int(2), unidirectional: int(1) }));
});

it('EmbedLayerNormalization adds three tables and counts the mask', () => {
  const ids = new Tensor('int32', Int32Array.from([1, 0, 2, 2]), [2, 2]);
  const segments = new Tensor('int32', Int32Array.from([0, 1, 1, 0]), [2, 2]);
  const mask = new Tensor('int32', Int32Array.from([1, 0, 1, 1]), [2, 2]);
  const [words, positions, kinds, gamma, beta] = [
    reals(3, 3, 4),
    reals(5, 6, 4),
    reals(7, 2, 4),
    reals(11, 4),
    reals(13, 4),
  ];
  const inputs = [ids, segments, words, positions, kinds, gamma, beta, mask];
  const [y, lengths, sum] = run('com.microsoft', 'EmbedLayerNormalization', inputs, {}, 3);
  const rows = (table: Tensor, index: Tensor): Tensor => onnx('Gather', [table, index]);
  const places = new Tensor('int32', Int32Array.from([0, 1, 0, 1]), [2, 2]);
  const want = onnx('Add', [onnx('Add', [rows(words, ids), rows(positions, places)]), rows(kinds, segments)]);
  expectEqual(sum, want);
  expectEqual(y, onnx('LayerNormalization', [want, gamma, beta], { epsilon: { type: 'float', value: 1e-12 } }));
  expect(lengths.toNumberArray()).toEqual([1, 2]);
});
