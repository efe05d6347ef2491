// Reductions to very few results: the same bits for any number of threads, and what the reference gives.

import { createSession, reference, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';

interface Case {
  readonly op: string;
  readonly dims: readonly number[];
  readonly attributes?: Readonly<Record<string, number>>;
}

function modelOf({ op, dims, attributes = {} }: Case): Uint8Array {
  const shape = { dim: dims.map((dimValue) => ({ dimValue })) };
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 22 }],
    graph: {
      name: 'case',
      node: [
        {
          opType: op,
          input: ['x'],
          output: ['y'],
          attribute: Object.entries(attributes).map(([name, value]) => ({
            name,
            type: AttributeType.INT,
            i: BigInt(value),
          })),
        },
      ],
      input: [{ name: 'x', type: { tensorType: { elemType: 1, shape } } }],
      output: [{ name: 'y' }],
    },
  });
}

describe('long reductions', () => {
  it.each<Case>([
    { op: 'ReduceMean', dims: [300, 200] },
    { op: 'ReduceMax', dims: [2, 150, 200] },
    { op: 'ReduceL2', dims: [64_000] },
    { op: 'Softmax', dims: [1, 40_000], attributes: { axis: 1 } },
    { op: 'LogSoftmax', dims: [40_000], attributes: { axis: 0 } },
    { op: 'ArgMax', dims: [1, 50_257], attributes: { axis: 1 } },
    { op: 'ArgMin', dims: [40_000], attributes: { axis: 0, select_last_index: 1 } },
    { op: 'ArgMax', dims: [333, 1100], attributes: { axis: 0 } },
    { op: 'ArgMin', dims: [3, 131, 77], attributes: { axis: 1, select_last_index: 1 } },
    { op: 'GlobalAveragePool', dims: [1, 1, 200, 300] },
  ])('$op of $dims', async (made) => {
    const count = made.dims.reduce((a, b) => a * b, 1);
    // With several equal greatest and least values, none of them in the first block.
    const x = new Tensor(
      'float32',
      Float32Array.from({ length: count }, (_, at) => Math.fround(Math.sin(at % 9973) + (at % 9973) / 9973)),
      made.dims,
    );
    const run = async (provider: ReturnType<typeof reference>) => {
      await using session = await createSession(modelOf(made), { providers: [provider] });
      return (await session.run({ x })).y.data as Float32Array;
    };
    const want = Array.from(await run(reference()), Number);
    const results: number[][] = [];
    for (const threads of [1, 2, 3]) results.push(Array.from(await run(cpu({ threads })), Number));
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    results[0].forEach((value, at) => {
      if (!(Math.abs(value - want[at]) <= 1e-5 * Math.max(1e-3, Math.abs(want[at]))))
        throw new Error(`at ${at}: ${value} instead of ${want[at]}`);
    });
  });
});
