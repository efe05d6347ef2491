import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { anyTensor, float32, int64, type ModelSpec, node, tensorOf } from '../testing/build-model.ts';
import { importSpec, prepared } from '../testing/prepare.ts';
import { printGraph } from './print.ts';

const branching: ModelSpec = {
  inputs: { x: float32('batch', 3), flag: tensorOf('bool') },
  nodes: [
    node('Shape', 'x', 'shape'),
    node('If', 'flag', 'picked', {
      then_branch: { body: { nodes: [node('Add', ['x', 'w'], 'sum')], outputs: ['sum'] } },
      else_branch: {
        body: { nodes: [node('LeakyRelu', 'x', 'leaky', { alpha: { float: 0.5 } })], outputs: ['leaky'] },
      },
    }),
    node('Split', 'picked', ['a', '', 'c'], { axis: 1, num_outputs: 3 }),
  ],
  outputs: ['a', 'c', 'shape'],
  initializers: { w: new Tensor('float32', [1, 2, 3], [3]) },
};

describe('printGraph', () => {
  it('shows types, known contents, attributes, constants and bodies', () => {
    expect(printGraph(prepared(branching))).toMatchInlineSnapshot(`
      "input x: float32[batch, 3]
      input flag: bool[]
      shape: int64[2] = [batch, 3] = Shape(x)
      picked: float32[batch, 3] = If(flag)
        then_branch:
          sum: float32[batch, 3] = Add(x, float32[1, 2, 3])
          output sum
        else_branch:
          leaky: float32[batch, 3] = LeakyRelu(x) {alpha=0.5}
          output leaky
      a: float32[batch, 1], _, c: float32[batch, 1] = Split(picked) {axis=1, num_outputs=3}
      output a, c, shape"
    `);
  });

  it('shows what is not inferred yet, and node names on request', () => {
    const { graph } = importSpec({
      inputs: { x: anyTensor('float32') },
      nodes: [node('Relu', 'x', 'y', {}, { name: 'first' })],
      outputs: ['y'],
    });
    expect(printGraph(graph, { nodeNames: true })).toMatchInlineSnapshot(`
      "input x: float32[…]
      y: unknown = Relu(x)  // first
      output y"
    `);
  });

  it('tells values of one name apart', () => {
    const { graph } = importSpec({ inputs: { x: int64() }, nodes: [node('Neg', 'x', 'y')], outputs: ['y'] });
    graph.nodes[0].outputs[0]!.name = 'x';
    expect(printGraph(graph)).toContain('x′2: unknown = Neg(x)');
  });
});
