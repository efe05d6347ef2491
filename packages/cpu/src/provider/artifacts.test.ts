// Sessions that come out of a store: equal to those that were compiled, and never of another model.

import {
  type Artifact,
  type ArtifactStore,
  createSession,
  memoryArtifacts,
  type SessionOptions,
  Tensor,
} from '@onnx-ts/core';
import { AttributeType, encodeModel, type MessageInput, type TensorProto } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';

const bytesOf = (data: Float32Array | Int8Array): Uint8Array => new Uint8Array(data.buffer);

const random = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 12.9898));

interface Weights {
  readonly matrix: Float32Array;
  readonly table: Float32Array;
  readonly bias: Float32Array;
}

const weights: Weights = { matrix: random(64 * 32, 1), table: random(32 * 32, 2), bias: random(64, 3) };

/** y = (gather(table, ids) · matrixᵀ) + bias, on sizes that vary; the branches of an If share the bias. */
function modelOf({ matrix, table, bias }: Weights): Uint8Array {
  const weight = (name: string, dims: number[], data: Float32Array): MessageInput<TensorProto> => ({
    name,
    dims,
    dataType: 1,
    rawData: bytesOf(data),
  });
  const type = (elemType: number, ...dim: (string | number)[]) => ({
    tensorType: {
      elemType,
      shape: { dim: dim.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) },
    },
  });
  const branch = (name: string, opType: string) => ({
    name,
    type: AttributeType.GRAPH,
    g: {
      name,
      node: [{ name: `${name} node`, opType, input: ['p', 'bias'], output: [`${name} y`] }],
      output: [{ name: `${name} y` }],
    },
  });
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'g',
      input: [
        { name: 'ids', type: type(7, 'batch') },
        { name: 'choice', type: type(9) },
      ],
      initializer: [weight('matrix', [64, 32], matrix), weight('table', [32, 32], table), weight('bias', [64], bias)],
      node: [
        { name: 'look up', opType: 'Gather', input: ['table', 'ids'], output: ['e'] },
        { name: 'turn', opType: 'Transpose', input: ['matrix'], output: ['t'] },
        { name: 'multiply', opType: 'MatMul', input: ['e', 't'], output: ['p'] },
        {
          name: 'choose',
          opType: 'If',
          input: ['choice'],
          output: ['y'],
          attribute: [branch('then_branch', 'Add'), branch('else_branch', 'Sub')],
        },
      ],
      output: [{ name: 'y', type: type(1, 'batch', 64) }],
    },
  });
}

/** For each scale, y = the rows' sums of x times the scale. */
function scaledSums(scales: readonly number[]): Uint8Array {
  const type = (...sizes: number[]) => ({
    tensorType: { elemType: 1, shape: { dim: sizes.map((dimValue) => ({ dimValue })) } },
  });
  const scalar = (name: string, value: number) => ({ name, dataType: 1, rawData: bytesOf(Float32Array.of(value)) });
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 13 }],
    graph: {
      name: 'g',
      input: scales.map((_, at) => ({ name: `x${at}`, type: type(2, 4) })),
      initializer: [
        ...scales.map((scale, at) => scalar(`scale${at}`, scale)),
        { name: 'axes', dims: [1], dataType: 7, rawData: new Uint8Array(BigInt64Array.of(1n).buffer) },
      ],
      node: scales.flatMap((_, at) => [
        { opType: 'ReduceSum', input: [`x${at}`, 'axes'], output: [`sum${at}`] },
        { opType: 'Mul', input: [`sum${at}`, `scale${at}`], output: [`y${at}`] },
      ]),
      output: scales.map((_, at) => ({ name: `y${at}`, type: type(2, 1) })),
    },
  });
}

/** A memory store that counts. */
function countingStore(): ArtifactStore & { puts: number; found: number } {
  const store = memoryArtifacts();
  return {
    puts: 0,
    found: 0,
    async get(key) {
      const artifact = await store.get(key);
      if (artifact) this.found++;
      return artifact;
    },
    async put(key, artifact: Artifact) {
      this.puts++;
      await store.put(key, artifact);
    },
  };
}

async function open(model: Uint8Array, artifacts: ArtifactStore, options: SessionOptions = {}) {
  return createSession(model, { providers: [cpu()], threads: 1, artifacts, ...options });
}

const feeds = (ids: readonly number[], choice: boolean) => ({
  ids: new Tensor('int64', ids, [ids.length]),
  choice: new Tensor('bool', [choice], []),
});

describe('artifacts', () => {
  it('give the session that was kept, without compiling', async () => {
    const store = countingStore();
    await using first = await open(modelOf(weights), store);
    expect(store).toMatchObject({ puts: 2, found: 0 });
    await using second = await open(modelOf(weights), store);
    expect(store).toMatchObject({ puts: 2, found: 2 });
    for (const choice of [true, false]) {
      for (const ids of [[3], [0, 31, 7, 7]]) {
        const [a, b] = [await first.run(feeds(ids, choice)), await second.run(feeds(ids, choice))];
        expect(b.y.dims).toEqual([ids.length, 64]);
        expect(b.y.data).toEqual(a.y.data);
      }
    }
    expect(second.inputMetadata).toEqual(first.inputMetadata);
    expect(second.outputMetadata).toEqual(first.outputMetadata);
    const options = { dims: { batch: 4 } };
    expect(second.explain(options).toString()).toBe(first.explain(options).toString());
  });

  it('serve sessions of several threads, which are others than those of one', async () => {
    const store = countingStore();
    await (await open(modelOf(weights), store)).dispose();
    await using first = await open(modelOf(weights), store, { threads: 2 });
    await using second = await open(modelOf(weights), store, { threads: 2 });
    expect(store).toMatchObject({ puts: 4, found: 2 });
    const ids = [5, 6, 7];
    expect((await second.run(feeds(ids, false))).y.data).toEqual((await first.run(feeds(ids, false))).y.data);
  });

  it('hold the numbers by which equal kernels differ', async () => {
    const texts: string[] = [];
    const memory = memoryArtifacts();
    const store: ArtifactStore = {
      get: (key) => memory.get(key),
      put(key, artifact) {
        texts.push(artifact.text);
        return memory.put(key, artifact);
      },
    };
    const scales = [0.3, 0.7];
    const model = scaledSums(scales);
    const x = random(8, 4);
    const inputs = { x0: new Tensor('float32', x, [2, 4]), x1: new Tensor('float32', x, [2, 4]) };
    for (let session = 0; session < 2; session++) {
      await using opened = await open(model, store);
      const results = await opened.run(inputs);
      for (const [at, scale] of scales.entries()) {
        for (const row of [0, 1]) {
          const sum = x.subarray(4 * row, 4 * row + 4).reduce((total, value) => total + value, 0);
          expect(results[`y${at}`].data[row]).toBeCloseTo(sum * scale, 5);
        }
      }
    }
    expect(texts.length).toBe(2);
    expect(texts[0]).toContain(`[${Math.fround(0.7)}]`);
  });

  it('name the node whose index is out of range', async () => {
    const store = memoryArtifacts();
    await (await open(modelOf(weights), store)).dispose();
    await using session = await open(modelOf(weights), store);
    await expect(session.run(feeds([32], true))).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
      place: { node: 'look up', op: 'Gather' },
    });
  });

  it('serve other weights of the same model, as they are', async () => {
    const store = countingStore();
    await (await open(modelOf(weights), store)).dispose();
    const others: Weights = { matrix: random(64 * 32, 9), table: random(32 * 32, 8), bias: random(64, 7) };
    await using fromStore = await open(modelOf(others), store);
    await using compiled = await createSession(modelOf(others), { providers: [cpu()], threads: 1 });
    const ids = [1, 2, 30];
    expect((await fromStore.run(feeds(ids, true))).y.data).toEqual((await compiled.run(feeds(ids, true))).y.data);
  });

  it('notice a weight that two names share no longer', async () => {
    const store = countingStore();
    const shared = random(32 * 32, 5);
    const model = (second: Float32Array): Uint8Array =>
      encodeModel({
        irVersion: 10,
        opsetImport: [{ version: 20 }],
        graph: {
          name: 'g',
          input: [
            { name: 'x', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 1 }, { dimValue: 32 }] } } } },
          ],
          initializer: [
            { name: 'a', dims: [32, 32], dataType: 1, rawData: bytesOf(shared) },
            { name: 'b', dims: [32, 32], dataType: 1, rawData: bytesOf(second) },
          ],
          node: [
            { opType: 'MatMul', input: ['x', 'a'], output: ['p'] },
            { opType: 'MatMul', input: ['p', 'b'], output: ['y'] },
          ],
          output: [{ name: 'y', type: { tensorType: { elemType: 1 } } }],
        },
      });
    await (await open(model(shared), store)).dispose();
    // Equal wherever a sample would look.
    const changed = shared.slice();
    changed[200] += 1;
    await using fromStore = await open(model(changed), store);
    await using compiled = await createSession(model(changed), { providers: [cpu()], threads: 1 });
    const x = new Tensor('float32', random(32, 4), [1, 32]);
    expect((await fromStore.run({ x })).y.data).toEqual((await compiled.run({ x })).y.data);
  });

  it.each<[string, SessionOptions]>([
    ['fixed sizes', { freeDimensionOverrides: { batch: 2 } }],
    ['no optimisation', { graphOptimizationLevel: 'disabled' }],
    ['other vectors', { providers: [cpu({ relaxedSimd: false, wideVectors: false })] }],
    ['everything on providers', { placement: 'providers' }],
  ])('of other options are others: %s', async (_, options) => {
    const store = countingStore();
    await (await open(modelOf(weights), store, { providers: [cpu({ wideVectors: false })] })).dispose();
    await (await open(modelOf(weights), store, options)).dispose();
    expect(store.found).toBe(0);
  });

  it('that are of no use do no harm', async () => {
    const kept = new Map<string, Artifact>();
    const store: ArtifactStore = {
      get: async (key) => kept.get(key),
      put: async (key, artifact) => void kept.set(key, artifact),
    };
    await (await open(modelOf(weights), store)).dispose();
    const [key] = [...kept.keys()].filter((name) => name.includes('-'));
    const good = kept.get(key)!;
    const damaged: Artifact[] = [
      { ...good, text: '{}' },
      { ...good, text: 'no JSON' },
      { ...good, code: [] },
      { ...good, code: [new Uint8Array(8)] },
      { ...good, text: good.text.replaceAll(/"name":"cpu-\d+"/g, '"name":"cpu-9"') },
    ];
    for (const artifact of damaged) {
      kept.set(key, artifact);
      await using session = await open(modelOf(weights), store);
      expect((await session.run(feeds([1], true))).y.dims).toEqual([1, 64]);
      // It was compiled again.
      expect(kept.get(key)?.text).toBe(good.text);
    }
  });

  it('that a store cannot give or take do no harm', async () => {
    const broken: ArtifactStore = {
      get: () => Promise.reject(new Error('no')),
      put: () => Promise.reject(new Error('full')),
    };
    await using session = await open(modelOf(weights), broken);
    expect((await session.run(feeds([1], false))).y.dims).toEqual([1, 64]);
  });
});
