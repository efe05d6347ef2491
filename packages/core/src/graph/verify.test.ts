import { Dim } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { float32, node, tensorOf } from '../testing/build-model.ts';
import { importSpec, prepared } from '../testing/prepare.ts';
import { type Graph, newValue } from './graph.ts';
import { tensorType } from './types.ts';
import { verifyGraph } from './verify.ts';

const chain = (): Graph =>
  prepared({
    inputs: { x: float32('n') },
    nodes: [node('Relu', 'x', 'a'), node('Abs', 'a', 'b'), node('Shape', 'b', 's')],
    outputs: ['b', 's'],
  });

const body = (): Graph =>
  importSpec({
    inputs: { x: float32('n'), flag: tensorOf('bool') },
    nodes: [
      node('If', 'flag', 'y', {
        then_branch: { body: { nodes: [node('Relu', 'x', 'a')], outputs: ['a'] } },
        else_branch: { body: { nodes: [node('Abs', 'x', 'b')], outputs: ['b'] } },
      }),
    ],
    outputs: ['y'],
  }).graph;

/** Breaks a graph and expects the verifier to see it. */
function expectBroken(graph: Graph, damage: (graph: Graph) => void, message: string | RegExp): void {
  verifyGraph(graph);
  damage(graph);
  expect(() => verifyGraph(graph, { typed: true })).toThrow(message);
}

describe('verifyGraph', () => {
  it('wants every value defined before it is read', () => {
    expectBroken(chain(), (graph) => graph.nodes.reverse(), 'before it is defined');
    expectBroken(chain(), ({ nodes }) => nodes[0].inputs.fill(newValue('stray')), 'value "stray"');
    expectBroken(chain(), ({ outputs }) => outputs.push(newValue('stray')), 'the graph reads it');
  });

  it('wants every value defined once, by its producer', () => {
    expectBroken(chain(), ({ nodes }) => nodes.push(nodes[0]), 'it is defined twice');
    expectBroken(chain(), ({ nodes }) => void (nodes[1].outputs[0]!.producer = nodes[0]), 'is not its producer');
    expectBroken(chain(), ({ nodes }) => void (nodes[1].outputs[0]!.name = 'a'), 'another value has the same name');
  });

  it('wants captures listed', () => {
    expectBroken(
      body(),
      ({ nodes }) => {
        const branch = nodes[0].attributes.get('then_branch');
        if (branch?.type === 'graph') branch.value.captures.pop();
      },
      'captures it without saying so',
    );
  });

  it('wants types, constants and contents to agree', () => {
    expectBroken(
      chain(),
      ({ nodes }) => {
        const value = newValue('c', tensorType('float32', [Dim.constant(2)]));
        value.constant = new Tensor('float32', [1, 2, 3]);
        nodes[0].inputs[0] = value;
      },
      'its constant is float32[3], its type float32[2]',
    );
    expectBroken(chain(), ({ outputs }) => void (outputs[1].contents = []), 'it has 0 known elements');
    expectBroken(chain(), ({ nodes }) => void (nodes[1].outputs[0]!.type = undefined), 'it has no type');
    expectBroken(chain(), ({ nodes }) => void delete nodes[1].operator, 'its operator is not resolved');
  });

  it('wants every size defined by a shape', () => {
    expectBroken(
      chain(),
      ({ outputs }) => void (outputs[1].contents = [Dim.symbol('late#7')]),
      'nothing before the node "Shape_2" (Shape) defines the size late#7',
    );
  });
});
