import { describe, expect, it } from 'vitest';
import type { GraphNode } from '../graph/graph.ts';
import { Tensor } from '../session/tensor.ts';
import { float32, type ModelSpec, node } from '../testing/build-model.ts';
import { prepared } from '../testing/prepare.ts';
import { fuseNodes } from './fusion-clusters.ts';

const weights = new Tensor('float32', new Float32Array(16), [4, 4]);

function clustersOf(spec: ModelSpec, kindOf: (node: GraphNode) => string | undefined = () => ''): string[] {
  const graph = prepared(spec);
  const outputs = new Set(graph.outputs);
  const clusters = fuseNodes(graph.nodes, kindOf, (value) => outputs.has(value));
  return clusters.map(({ nodes, kernels }) => `${nodes.map(({ op }) => op).join(' ')}: ${kernels?.length}`);
}

describe('fuseNodes', () => {
  it('keeps together what would be one kernel', () => {
    const spec: ModelSpec = {
      inputs: { x: float32('N', 4) },
      initializers: { w: weights },
      nodes: [
        node('MatMul', ['x', 'w'], 'a'),
        node('Relu', 'a', 'b'),
        node('MatMul', ['b', 'w'], 'c'),
        node('Softmax', 'c', 'd'),
        node('Neg', 'd', 'y'),
      ],
      outputs: ['y'],
    };
    expect(clustersOf(spec)).toEqual(['MatMul Relu: 1', 'MatMul: 1', 'Softmax Neg: 1']);
  });

  it('leaves apart what several kernels would compute anew, and what cannot be at the same places', () => {
    const spec: ModelSpec = {
      inputs: { x: float32('N', 4) },
      initializers: { w: weights },
      nodes: [
        node('Neg', 'x', 'a'),
        node('MatMul', ['a', 'w'], 'b'),
        node('ReduceMax', ['a'], 'c'),
        node('Relu', 'b', 'd'),
        node('Add', ['d', 'c'], 'y'),
      ],
      outputs: ['y'],
    };
    expect(clustersOf(spec).map((text) => text.split(':')[0])).toContain('Neg');
    const apart = clustersOf(spec, ({ op }) => (op === 'Relu' ? 'b' : 'a'));
    expect(apart.some((text) => text.startsWith('Relu:'))).toBe(true);
  });

  it('takes apart what would read something that depends on itself', () => {
    const spec: ModelSpec = {
      inputs: { x: float32('N', 4) },
      nodes: [node('Exp', 'x', 'a'), node('ReduceSum', 'a', 'sum'), node('Div', ['a', 'sum'], 'y')],
      outputs: ['y'],
    };
    // The sum in the middle is somebody else's.
    const clusters = clustersOf(spec, ({ op }) => (op === 'ReduceSum' ? undefined : ''));
    expect(clusters.map((text) => text.split(':')[0])).toEqual(['Exp', 'ReduceSum', 'Div']);
  });
});
