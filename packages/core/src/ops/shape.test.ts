// Shapes that depend on symbols: how they pass through Reshape and its relatives, and through arithmetic on sizes.

import { Dim, type DimLike } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { tensorType, typeText } from '../graph/types.ts';
import { inferNode } from '../passes/infer-types.ts';
import { Tensor } from '../session/tensor.ts';
import { FreshDims } from './context.ts';
import { defaultRegistry } from './registry.ts';

const floats = (...shape: DimLike[]): Value => newValue('x', tensorType('float32', shape.map(Dim.from)));

function constant(tensor: Tensor): Value {
  const value = newValue('c', tensorType(tensor.type, tensor.dims.map(Dim.from)));
  value.constant = tensor;
  return value;
}

const integers = (...items: number[]): Value => constant(new Tensor('int64', items.map(BigInt)));
const integer = (item: number): Value => constant(new Tensor('int64', [BigInt(item)], []));

function infer(op: string, inputs: (Value | undefined)[], ints: Record<string, number> = {}, opset = 23): Value {
  const output = newValue('y');
  const attributes = Object.entries(ints).map(([name, value]): [string, AttributeValue] => [
    name,
    { type: 'int', value },
  ]);
  const node: GraphNode = {
    name: 'n',
    domain: '',
    op,
    opset,
    inputs,
    outputs: [output],
    attributes: new Map(attributes),
  };
  inferNode(node, defaultRegistry(), new FreshDims());
  return output;
}

const typeOf = (value: Value): string => typeText(value.type);
const contentsOf = (value: Value): string => (value.contents ? value.contents.join(', ') : 'unknown');

describe('Reshape', () => {
  it('finds the size for −1 exactly where symbols allow', () => {
    expect(typeOf(infer('Reshape', [floats('n', 12, 64), integers(-1, 64)]))).toBe('float32[12*n, 64]');
    expect(typeOf(infer('Reshape', [floats('n', 'm', 64), integers(0, -1, 8, 8)]))).toBe('float32[n, m, 8, 8]');
    expect(typeOf(infer('Reshape', [floats('n', 6), integers(-1, 4)]))).toBe('float32[floordiv(6*n, 4), 4]');
  });

  it('takes targets made of sizes', () => {
    const x = floats('n', 'm', 64);
    const [n] = [infer('Gather', [infer('Shape', [x]), integers(0)], { axis: 0 })];
    const target = infer('Concat', [n, integers(-1), integers(16)], { axis: 0 });
    expect(typeOf(infer('Reshape', [x, target]))).toBe('float32[n, 4*m, 16]');
  });

  it('copies with 0, or makes an empty axis with allowzero', () => {
    expect(typeOf(infer('Reshape', [floats(2, 3), integers(0, 3)]))).toBe('float32[2, 3]');
    expect(typeOf(infer('Reshape', [floats(0, 3), integers(3, 0)], { allowzero: 1 }))).toBe('float32[3, 0]');
  });

  it('knows the rank of a target that only a run can tell', () => {
    const target = newValue('t', tensorType('int64', [Dim.constant(2)]));
    expect(typeOf(infer('Reshape', [floats('n'), target]))).toBe('float32[reshape#0, reshape#1]');
  });

  it('refuses targets that cannot be filled', () => {
    expect(() => infer('Reshape', [floats(2, 3), integers(4)])).toThrow('[2, 3] has 6 elements, which do not fill [4]');
    expect(() => infer('Reshape', [floats(2, 3), integers(-1, -1)])).toThrow('more than one −1');
    expect(() => infer('Reshape', [floats(2), integers(2, 0)])).toThrow('copies an axis');
  });
});

describe('Squeeze, Unsqueeze, Flatten, Expand', () => {
  it('moves axes of size 1', () => {
    expect(typeOf(infer('Squeeze', [floats(1, 'n', 1), integers(0, -1)]))).toBe('float32[n]');
    expect(typeOf(infer('Squeeze', [floats(1, 3, 1)]))).toBe('float32[3]');
    expect(typeOf(infer('Squeeze', [floats(1, 'n')]))).toBe('float32[…]');
    expect(typeOf(infer('Unsqueeze', [floats('n', 3), integers(-1, 0)]))).toBe('float32[1, n, 3, 1]');
    expect(() => infer('Squeeze', [floats(2, 3), integers(0)])).toThrow('axis 0 of [2, 3] has not the size 1');
  });

  it('joins and stretches axes', () => {
    expect(typeOf(infer('Flatten', [floats('n', 3, 4)], { axis: -1 }))).toBe('float32[3*n, 4]');
    expect(typeOf(infer('Expand', [floats(3, 1), infer('Shape', [floats('n', 3, 'm')])]))).toBe('float32[n, 3, m]');
  });
});

describe('contents', () => {
  const shape = infer('Shape', [floats('n', 3, 'm')]);

  it('follows arithmetic on sizes', () => {
    expect(contentsOf(infer('Shape', [floats('n', 3, 'm')], { start: -2 }))).toBe('3, m');
    expect(contentsOf(infer('Mul', [shape, integer(2)]))).toBe('2*n, 6, 2*m');
    expect(contentsOf(infer('Add', [shape, integers(1, -1, 0)]))).toBe('n + 1, 2, m');
    expect(contentsOf(infer('Div', [shape, integer(2)]))).toBe('floordiv(n, 2), 1, floordiv(m, 2)');
    expect(contentsOf(infer('Div', [integer(-7), integer(2)]))).toBe('-3');
    expect(contentsOf(infer('Max', [shape, integer(1)]))).toBe('max(1, n), 3, max(1, m)');
    expect(contentsOf(infer('Size', [floats('n', 3)]))).toBe('3*n');
  });

  it('decides comparisons that no value of the symbols changes', () => {
    const isFree = infer('Equal', [shape, integer(-1)]);
    expect(contentsOf(isFree)).toBe('0, 0, 0');
    expect(contentsOf(infer('Where', [isFree, integers(1, 1, 1), shape]))).toBe('n, 3, m');
    expect(contentsOf(infer('Equal', [shape, integer(4)]))).toBe('unknown');
  });

  it('counts', () => {
    const size = infer('Size', [floats('n')]);
    expect(typeOf(infer('Range', [integer(0), size, integer(1)]))).toBe('int64[n]');
    expect(typeOf(infer('Range', [integer(1), size, integer(2)]))).toBe('int64[floordiv(n, 2)]');
    expect(contentsOf(infer('Range', [integer(5), integer(0), integer(-2)]))).toBe('5, 3, 1');
    expect(contentsOf(infer('ConstantOfShape', [integers(2)]))).toBe('0, 0');
    expect(typeOf(infer('ConstantOfShape', [shape]))).toBe('float32[n, 3, m]');
  });
});

describe('type checks', () => {
  it('says what does not fit', () => {
    expect(() => infer('Add', [floats(2), integers(1, 2)])).toThrow('must have the same type, not float32 and int64');
    expect(() => infer('Add', [floats(2, 3), floats(4)])).toThrow('cannot be broadcast: 3 against 4');
    expect(() => infer('Sqrt', [integers(4)])).toThrow('input 0 is int64, but this operator takes float16');
    expect(() => infer('Add', [floats(2, 3), floats(3)], {}, 6)).toThrow('Set the attribute broadcast to 1');
  });
});
