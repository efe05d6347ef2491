// Failures of runs: each names the node whose input is to blame, also where nodes share a kernel.

import { createSession, Tensor } from '@onnx-ts/core';
import { encodeModel, type MessageInput, type NodeProto } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';

type Input = readonly [name: string, elemType: number, ...dims: readonly (number | string)[]];

function open(inputs: readonly Input[], node: readonly MessageInput<NodeProto>[], output: string) {
  const bytes = encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'g',
      input: inputs.map(([name, elemType, ...dims]) => ({
        name,
        type: {
          tensorType: {
            elemType,
            shape: { dim: dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
          },
        },
      })),
      node,
      output: [{ name: output }],
    },
  });
  return createSession(bytes, { providers: [cpu()], threads: 1 });
}

const float = (...dims: number[]): Tensor =>
  new Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
const ids = (...values: number[]): Tensor => new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);

describe('an index out of range', () => {
  it('is blamed on the Gather that reads it, wherever it was fused to', async () => {
    const nodes = [
      { opType: 'Gather', name: 'first', input: ['x', 'i'], output: ['a'] },
      { opType: 'Relu', name: 'between', input: ['a'], output: ['b'] },
      { opType: 'Gather', name: 'second', input: ['b', 'j'], output: ['c'] },
      { opType: 'Exp', name: 'last', input: ['c'], output: ['y'] },
    ];
    await using session = await open(
      [
        ['x', 1, 5, 4],
        ['i', 7, 3],
        ['j', 7, 3],
      ],
      nodes,
      'y',
    );
    const x = float(5, 4);
    const blamed = (node: string) => ({ code: 'OUT_OF_RANGE', place: { node, op: 'Gather' } });
    await expect(session.run({ x, i: ids(0, 1, 9), j: ids(0, 1, 2) })).rejects.toMatchObject(blamed('first'));
    await expect(session.run({ x, i: ids(0, 1, 2), j: ids(0, 1, 7) })).rejects.toMatchObject(blamed('second'));
  });

  it('is blamed on the right one of equal kernels', async () => {
    const nodes = ['p', 'q'].flatMap((name) => [
      { opType: 'Gather', name: `gather ${name}`, input: ['x', name], output: [`a${name}`] },
      { opType: 'Exp', name: `exp ${name}`, input: [`a${name}`], output: [`b${name}`] },
      { opType: 'ReduceSum', name: `sum ${name}`, input: [`b${name}`], output: [`c${name}`] },
    ]);
    const sum = { opType: 'Add', name: 'sum', input: ['cp', 'cq'], output: ['y'] };
    await using session = await open(
      [
        ['x', 1, 5, 4],
        ['p', 7, 3],
        ['q', 7, 3],
      ],
      [...nodes, sum],
      'y',
    );
    for (const name of ['p', 'q']) {
      const run = session.run({
        x: float(5, 4),
        p: ids(0, 0, name === 'p' ? 5 : 0),
        q: ids(0, 0, name === 'q' ? 5 : 0),
      });
      await expect(run).rejects.toMatchObject({ code: 'OUT_OF_RANGE', place: { node: `gather ${name}` } });
    }
  });
});

it('a result that no memory holds is OUT_OF_MEMORY', async () => {
  const nodes = [{ opType: 'Mul', name: 'big', input: ['a', 'b'], output: ['y'] }];
  await using session = await open(
    [
      ['a', 1, 'n', 1],
      ['b', 1, 1, 'n'],
    ],
    nodes,
    'y',
  );
  await expect(session.run({ a: float(1e6, 1), b: float(1, 1e6) })).rejects.toMatchObject({
    code: 'OUT_OF_MEMORY',
    place: { node: 'big' },
  });
});
