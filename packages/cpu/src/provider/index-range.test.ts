// Indices beyond 32 bits: they are compared before they are narrowed, on every provider.

import { createSession, reference, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';

const providers = { cpu: () => cpu({ threads: 1 }), reference };
const values = (...dims: number[]): Tensor =>
  new Tensor(
    'float32',
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, at) => at),
    dims,
  );
const indices = (value: bigint, ...dims: number[]): Tensor =>
  new Tensor('int64', new BigInt64Array(dims.reduce((a, b) => a * b, 1)).fill(value), dims);

/** Their low 32 bits would be indices 0, 1, 0 and −1. */
const beyond = [2n ** 32n, 2n ** 32n + 1n, -(2n ** 32n), -(2n ** 32n) - 1n, 2n ** 62n, -(2n ** 63n)];

interface Case {
  readonly op: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number>>;
  readonly inputs: (index: bigint) => readonly Tensor[];
}

const cases: readonly Case[] = [
  { op: 'Gather', inputs: (i) => [values(5, 4), indices(i, 9)] },
  { op: 'Gather', attributes: { axis: 1 }, inputs: (i) => [values(3, 5), indices(i, 1)] },
  { op: 'GatherElements', attributes: { axis: 1 }, inputs: (i) => [values(3, 5), indices(i, 3, 9)] },
  { op: 'GatherND', inputs: (i) => [values(3, 5), indices(i, 4, 2)] },
  { op: 'ScatterElements', inputs: (i) => [values(5, 4), indices(i, 2, 4), values(2, 4)] },
  { op: 'ScatterND', inputs: (i) => [values(5, 4), indices(i, 2, 1), values(2, 4)] },
  { op: 'NegativeLogLikelihoodLoss', inputs: (i) => [values(3, 5), indices(i, 3)] },
  { op: 'SoftmaxCrossEntropyLoss', inputs: (i) => [values(3, 5), indices(i, 3)] },
  {
    op: 'RotaryEmbedding',
    inputs: (i) => [values(1, 2, 3, 4), values(5, 2), values(5, 2), indices(i, 1, 3)],
  },
  {
    op: 'RotaryEmbedding',
    domain: 'com.microsoft',
    inputs: (i) => [values(1, 2, 3, 4), indices(i, 1, 3), values(5, 2), values(5, 2)],
  },
  {
    op: 'RotaryEmbedding',
    domain: 'com.microsoft',
    inputs: (i) => [values(1, 2, 3, 4), indices(i, 1), values(5, 2), values(5, 2)],
  },
  { op: 'ArrayFeatureExtractor', domain: 'ai.onnx.ml', inputs: (i) => [values(3, 5), indices(i, 4)] },
  {
    op: 'RoiAlign',
    attributes: { sampling_ratio: 1 },
    inputs: (i) => [values(2, 1, 5, 5), values(2, 4), indices(i, 2)],
  },
  { op: 'ReverseSequence', inputs: (i) => [values(4, 2), indices(i, 2)] },
  {
    op: 'TensorScatter',
    inputs: (i) => [values(2, 5, 3), values(2, 2, 3), indices(i, 2)],
  },
  { op: 'TorchEmbedding', domain: 'com.microsoft', inputs: (i) => [values(5, 4), indices(i, 3)] },
  {
    op: 'GatherBlockQuantized',
    domain: 'com.microsoft',
    attributes: { block_size: 16, bits: 8 },
    inputs: (i) => [new Tensor('uint8', new Uint8Array(5 * 32), [5, 32]), indices(i, 3), values(5, 2)],
  },
];

/** Offsets of 32 bits: they are bounds as much. */
const offsets: readonly (readonly [string, readonly number[], number])[] = [
  ['behind the last place', [0, 6], 2],
  ['before the first place', [-1, 1], 2],
  ['far away', [2 ** 30, 1], 2],
  ['missing for the last of the tokens', [0, 1], 7],
];

function open({ op, domain = '', attributes = {}, inputs }: Case, provider: keyof typeof providers) {
  const given = inputs(0n);
  const names = given.map((_, at) => `x${at}`);
  const elemTypes: Readonly<Record<string, number>> = { float32: 1, uint8: 2, int32: 6, int64: 7 };
  const model = encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 24 }, { domain: 'com.microsoft', version: 1 }, { domain: 'ai.onnx.ml', version: 3 }],
    graph: {
      name: 'g',
      input: given.map(({ type, dims }, at) => ({
        name: names[at],
        type: { tensorType: { elemType: elemTypes[type], shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
      })),
      node: [
        {
          opType: op,
          domain,
          name: 'picks',
          input: names,
          output: ['y'],
          attribute: Object.entries(attributes).map(([name, i]) => ({ name, type: 2, i: BigInt(i) })),
        },
      ],
      output: [{ name: 'y' }],
    },
  });
  return createSession(model, { providers: [providers[provider]()] });
}

describe.each(Object.keys(providers) as (keyof typeof providers)[])('an index beyond 32 bits, on %s', (provider) => {
  it.each(cases.map((item, at) => [`${item.domain ?? ''} ${item.op} (${at})`, item] as const))(
    'is out of the range of %s',
    async (_, item) => {
      await using session = await open(item, provider);
      const feeds = (index: bigint) => Object.fromEntries(item.inputs(index).map((tensor, at) => [`x${at}`, tensor]));
      await session.run(feeds(1n));
      for (const index of beyond) {
        await expect(session.run(feeds(index)), String(index)).rejects.toMatchObject({
          code: 'OUT_OF_RANGE',
          place: { node: 'picks', op: item.op },
        });
      }
    },
  );
});

describe.each(Object.keys(providers) as (keyof typeof providers)[])('OneHot on %s', (provider) => {
  it('has no hot entry for an index beyond 32 bits', async () => {
    const depth = new Tensor('int64', BigInt64Array.of(3n), []);
    const ends = new Tensor('float32', Float32Array.of(-1, 1), [2]);
    const item: Case = { op: 'OneHot', inputs: (i) => [indices(i, 2), depth, ends] };
    await using session = await open(item, provider);
    for (const index of beyond) {
      const { y } = await session.run({ x0: indices(index, 2), x1: depth, x2: ends });
      expect((y as Tensor).toNumberArray(), String(index)).toEqual(Array(6).fill(-1));
    }
  });
});

describe.each(Object.keys(providers) as (keyof typeof providers)[])('RestorePadding on %s', (provider) => {
  it.each(offsets)('refuses an offset that is %s', async (_, first, count) => {
    const x1 = new Tensor('int32', Int32Array.from([...first, 2, 3, 4, 5]), [2, 3]);
    const item: Case = { op: 'RestorePadding', domain: 'com.microsoft', inputs: () => [values(count, 4), x1] };
    await using session = await open(item, provider);
    await expect(session.run({ x0: values(count, 4), x1 })).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
      place: { node: 'picks', op: 'RestorePadding' },
    });
  });
});
