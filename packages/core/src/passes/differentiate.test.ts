// Derivatives against finite differences, in float64.

import { Dim } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { type AttributeValue, type Graph, type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { tensorType } from '../graph/types.ts';
import { FreshDims } from '../ops/context.ts';
import type { HostValue } from '../ops/define.ts';
import { defaultRegistry } from '../ops/registry.ts';
import { HostEvaluator } from '../session/host-evaluator.ts';
import { Tensor } from '../session/tensor.ts';
import { differentiate } from './differentiate.ts';

type Attributes = Readonly<Record<string, AttributeValue>>;

const int = (value: number): AttributeValue => ({ type: 'int', value });
const ints = (...value: number[]): AttributeValue => ({ type: 'ints', value });
const strings = (...value: string[]): AttributeValue => ({ type: 'strings', value });
const text = (value: string): AttributeValue => ({ type: 'string', value });
const indices = (...items: number[]): Tensor => new Tensor('int64', BigInt64Array.from(items, BigInt), [items.length]);

/** Numbers that are far enough from each other and from 0 for differences of 1e-5. */
function reals(...dims: number[]): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const items = Array.from({ length: count }, (_, at) => (((at + 3) * 7919) % 97) / 40 - 1.2071);
  return new Tensor('float64', Float64Array.from(items), dims);
}

function positive(...dims: number[]): Tensor {
  const { data } = reals(...dims);
  return new Tensor(
    'float64',
    Float64Array.from(data as Float64Array, (x) => Math.abs(x) + 0.1),
    dims,
  );
}

/** A graph whose inputs have the types of the given tensors. */
class Sketch {
  readonly graph: Graph;
  readonly #inputs: readonly Tensor[];

  constructor(inputs: readonly Tensor[]) {
    this.#inputs = inputs;
    const values = inputs.map(({ type, dims }, at) =>
      newValue(
        `x${at}`,
        tensorType(
          type,
          dims.map((size) => Dim.constant(size)),
        ),
      ),
    );
    this.graph = {
      name: 'g',
      opsets: new Map(),
      inputs: values,
      outputs: [],
      nodes: [],
      initializers: [],
      captures: [],
    };
  }

  add(
    op: string,
    inputs: readonly (Value | undefined)[],
    output: string,
    attributes: Attributes = {},
    domain = '',
  ): Value {
    return this.addAll(op, inputs, [output], attributes, domain)[0];
  }

  addAll(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly string[],
    attributes: Attributes = {},
    domain = '',
  ): Value[] {
    const values = outputs.map((name) => newValue(name));
    const node: GraphNode = {
      name: `${op}${this.graph.nodes.length}`,
      domain,
      op,
      opset: domain === '' ? 24 : 1,
      inputs: [...inputs],
      outputs: [...values],
      attributes: new Map(Object.entries(attributes)),
    };
    for (const value of values) value.producer = node;
    this.graph.nodes.push(node);
    return values;
  }

  run(outputs: readonly Value[], inputs: readonly Tensor[] = this.#inputs): readonly Tensor[] {
    const evaluator = new HostEvaluator(defaultRegistry());
    const values = new Map<Value, HostValue | undefined>(this.graph.inputs.map((value, at) => [value, inputs[at]]));
    for (const node of this.graph.nodes) {
      const results = evaluator.evaluate(
        node,
        node.inputs.map((input) => input && (input.constant ?? values.get(input))),
      );
      for (const [at, output] of node.outputs.entries()) if (output) values.set(output, results[at]);
    }
    return outputs.map((output) => values.get(output) as Tensor);
  }
}

const preview = 'ai.onnx.preview.training';
const numbers = (tensor: Tensor): number[] => tensor.toNumberArray();

function checkGradient(op: string, inputs: readonly Tensor[], attributes: Attributes = {}, domain = ''): void {
  const sketch = new Sketch(inputs);
  const { graph } = sketch;
  const variables = inputs.flatMap((tensor, at) => (tensor.type === 'float64' ? [at] : []));
  const y = sketch.add(op, graph.inputs, 'y', attributes, domain);
  // Gradients of y alone, a sum, would be the same for wrong rules that are linear in ȳ.
  const loss = sketch.add('Mul', [y, sketch.add('Cos', [y], 'w')], 'loss');
  const plain = sketch.graph.nodes.slice();
  const gradients = sketch.addAll(
    'Gradient',
    variables.map((at) => graph.inputs[at]),
    variables.map((at) => `d${at}`),
    { xs: strings(...variables.map((at) => `x${at}`)), y: text('loss') },
    preview,
  );
  differentiate(graph, defaultRegistry(), new FreshDims());
  const results = sketch.run(gradients);
  graph.nodes = plain;
  const lossAt = (at: number, k: number, step: number): number => {
    const moved = Float64Array.from(inputs[at].data as Float64Array);
    moved[k] += step;
    const tensor = new Tensor('float64', moved, inputs[at].dims);
    return numbers(sketch.run([loss], inputs.with(at, tensor))[0]).reduce((sum, value) => sum + value, 0);
  };
  for (const [order, at] of variables.entries()) {
    expect(results[order].dims).toEqual(inputs[at].dims);
    for (const [k, value] of numbers(results[order]).entries()) {
      const step = 1e-5;
      expect(value).toBeCloseTo((lossAt(at, k, step) - lossAt(at, k, -step)) / (2 * step), 4);
    }
  }
}

describe('derivatives agree with finite differences', () => {
  const unary = [
    'Abs',
    'Atan',
    'Cos',
    'Cosh',
    'Elu',
    'Erf',
    'Exp',
    'Gelu',
    'Identity',
    'LeakyRelu',
    'Neg',
    'Relu',
    'Sigmoid',
    'Sin',
    'Sinh',
    'Softplus',
    'Softsign',
    'Tan',
    'Tanh',
    'Softmax',
    'LogSoftmax',
    'Floor',
  ];
  it.each(unary)('%s', (op) => checkGradient(op, [reals(2, 5)]));
  it.each(['Log', 'Reciprocal', 'Sqrt'])('%s', (op) => checkGradient(op, [positive(2, 5)]));
  it('Gelu with tanh', () => checkGradient('Gelu', [reals(7)], { approximate: text('tanh') }));
  it.each(['Add', 'Sub', 'Mul', 'Div'])('%s with broadcasting', (op) =>
    checkGradient(op, [reals(2, 1, 3), positive(4, 1)]),
  );
  it('Pow', () => checkGradient('Pow', [positive(2, 3), reals(3)]));
  it.each(['Sum', 'Mean', 'Max', 'Min'])('%s', (op) => checkGradient(op, [reals(2, 3), positive(3), reals(1)]));
  it('Where', () => checkGradient('Where', [new Tensor('bool', [true, false, true]), reals(2, 3), reals(1, 3)]));
  it.each([
    'ReduceSum',
    'ReduceMean',
    'ReduceSumSquare',
    'ReduceL1',
    'ReduceL2',
    'ReduceLogSumExp',
    'ReduceProd',
    'ReduceMax',
    'ReduceMin',
  ])('%s', (op) => {
    checkGradient(op, [positive(2, 3, 2), indices(1)], { keepdims: int(0) });
    checkGradient(op, [positive(2, 2)]);
  });
  it('Reshape', () => checkGradient('Reshape', [reals(2, 6), indices(3, 4)]));
  it('Squeeze', () => checkGradient('Squeeze', [reals(2, 1, 3), indices(1)]));
  it('Transpose', () => checkGradient('Transpose', [reals(2, 3, 4)], { perm: ints(1, 2, 0) }));
  it('Expand', () => checkGradient('Expand', [reals(3, 1), indices(2, 3, 4)]));
  it('Slice', () =>
    checkGradient('Slice', [reals(5, 4), indices(4, 0), indices(-9, 3), indices(0, 1), indices(-2, 2)]));
  it('Gather', () => checkGradient('Gather', [reals(4, 2), indices(1, 3, 1)]));
  it('Tile', () => checkGradient('Tile', [reals(2, 3), indices(2, 2)]));
  it('Pad', () => {
    checkGradient('Pad', [reals(2, 3), indices(0, 1, 1, 2)], { mode: text('reflect') });
    checkGradient('Pad', [reals(2, 3), indices(0, 1, 1, 2)]);
  });
  it('Concat', () => checkGradient('Concat', [reals(2, 3), reals(2, 1)], { axis: int(1) }));
  it('MatMul', () => {
    checkGradient('MatMul', [reals(2, 1, 3, 4), reals(3, 4, 2)]);
    checkGradient('MatMul', [reals(4), reals(4, 2)]);
    checkGradient('MatMul', [reals(3, 4), reals(4)]);
  });
  it('Gemm', () => {
    for (const transA of [0, 1]) {
      for (const transB of [0, 1]) {
        const [a, b] = [transA ? reals(4, 3) : reals(3, 4), transB ? reals(2, 4) : reals(4, 2)];
        const scales: Attributes = { alpha: { type: 'float', value: 0.5 }, beta: { type: 'float', value: 2 } };
        checkGradient('Gemm', [a, b, reals(2)], { transA: int(transA), transB: int(transB), ...scales });
      }
    }
  });
  it('Conv', () => {
    checkGradient('Conv', [reals(2, 2, 5, 4), reals(3, 2, 2, 2), reals(3)], {
      strides: ints(2, 1),
      pads: ints(1, 0, 0, 1),
    });
    checkGradient('Conv', [reals(1, 4, 7), reals(2, 2, 2)], { group: int(2), dilations: ints(2), strides: ints(2) });
  });
  it('pools', () => {
    checkGradient('GlobalAveragePool', [reals(2, 2, 3, 2)]);
    checkGradient('MaxPool', [reals(1, 2, 5)], { kernel_shape: ints(3), strides: ints(1), pads: ints(1, 0) });
  });
  it('LayerNormalization', () => checkGradient('LayerNormalization', [reals(2, 3, 4), reals(4), reals(4)]));
  it('composites by what they expand to', () => {
    checkGradient('FusedConv', [reals(1, 1, 5), reals(2, 1, 3)], { activation: text('Sigmoid') }, 'com.microsoft');
  });
});

it('differentiates twice: x³ has 6 x', () => {
  const sketch = new Sketch([reals(4)]);
  const [x] = sketch.graph.inputs;
  sketch.add('Mul', [sketch.add('Mul', [x, x], 'square'), x], 'cube');
  const first = sketch.add('Gradient', [x], 'first', { xs: strings('x0'), y: text('cube') }, preview);
  const second = sketch.add('Gradient', [x], 'second', { xs: strings('x0'), y: text('first') }, preview);
  differentiate(sketch.graph, defaultRegistry(), new FreshDims());
  const [slope, curvature] = sketch.run([first, second]).map(numbers);
  for (const [at, value] of numbers(reals(4)).entries()) {
    expect(slope[at]).toBeCloseTo(3 * value * value, 8);
    expect(curvature[at]).toBeCloseTo(6 * value, 8);
  }
});

it('takes the gradient at the values of its inputs', () => {
  const sketch = new Sketch([reals(3), positive(3)]);
  const [x, other] = sketch.graph.inputs;
  sketch.add('Mul', [x, x], 'y');
  const result = sketch.add('Gradient', [other], 'd', { xs: strings('x0'), y: text('y') }, preview);
  differentiate(sketch.graph, defaultRegistry(), new FreshDims());
  const [slope] = sketch.run([result]).map(numbers);
  expect(slope).toEqual(numbers(positive(3)).map((value) => 2 * value));
});

it('names the operator that has no derivative', () => {
  const sketch = new Sketch([reals(3)]);
  sketch.add('Hardmax', [sketch.graph.inputs[0]], 'y');
  sketch.add('Gradient', [sketch.graph.inputs[0]], 'd', { xs: strings('x0'), y: text('y') }, preview);
  expect(() => differentiate(sketch.graph, defaultRegistry(), new FreshDims())).toThrow(/Hardmax.*derivative/);
});
