// The session as onnxruntime-common's users know it: creating, running in all forms, metadata, queues, ends.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as ort from 'onnxruntime-common';
import { afterAll, describe, expect, it } from 'vitest';
import { reference } from '../provider/reference.ts';
import { float32, int64, type ModelSpec, model, node, sequenceOf, tensorOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import type { Progress } from './options.ts';
import { createSession, InferenceSession } from './session.ts';
import { Tensor } from './tensor.ts';

const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const options = { providers: [reference()] };

/** y = x + w, n = the number of columns */
const adding: ModelSpec = {
  inputs: { x: float32('batch', 2) },
  initializers: { w: new Tensor('float32', [10, 20]) },
  nodes: [node('Add', ['x', 'w'], 'y'), node('Shape', 'x', 'n')],
  outputs: ['y', 'n'],
};

const x = (...items: number[]): Tensor => new Tensor('float32', items, [items.length / 2, 2]);
const numbers = (tensor: { readonly data: unknown }): number[] => Array.from(tensor.data as number[], Number);

/** Counts down from the feed: a run that takes a while and can be aborted. */
const counting: ModelSpec = {
  inputs: { trips: int64() },
  initializers: { zero: new Tensor('int64', [0n], []), one: new Tensor('int64', [1n], []) },
  nodes: [
    node('Loop', ['trips', '', 'zero'], 'count', {
      body: {
        body: {
          inputs: { i: int64(), go: tensorOf('bool'), before: int64() },
          nodes: [node('Add', ['before', 'one'], 'after')],
          outputs: ['go', 'after'],
        },
      },
    }),
  ],
  outputs: ['count'],
};
const trips = (count: number): { trips: Tensor } => ({ trips: new Tensor('int64', [BigInt(count)], []) });

describe('create', () => {
  const bytes = model(adding);

  it('takes a path, a URL, bytes, a buffer, and a part of a buffer', async () => {
    const path = join(folder, 'adding.onnx');
    writeFileSync(path, bytes);
    const padded = new Uint8Array(bytes.length + 7);
    padded.set(bytes, 3);
    const shared = new SharedArrayBuffer(bytes.length);
    new Uint8Array(shared).set(bytes);
    const sessions = [
      await InferenceSession.create(path, options),
      await InferenceSession.create(pathToFileURL(path), options),
      await InferenceSession.create(pathToFileURL(path).href, options),
      await InferenceSession.create(bytes, options),
      await InferenceSession.create(bytes.slice().buffer, options),
      await InferenceSession.create(shared, options),
      await InferenceSession.create(padded.buffer, 3, bytes.length, options),
      await InferenceSession.create(padded.buffer.slice(0, bytes.length + 3), 3, undefined, options),
      await createSession(padded.subarray(3, 3 + bytes.length), options),
    ];
    for (const session of sessions) expect(numbers((await session.run({ x: x(1, 2) })).y)).toEqual([11, 22]);
  });

  it('explains what cannot be a model', async () => {
    expect((await errorOf(createSession(join(folder, 'none.onnx'), options))).message).toContain('cannot be read');
    expect((await errorOf(createSession(folder, options))).message).toContain('cannot be read');
    expect((await errorOf(createSession(17 as never, options))).message).toContain(
      'must be a path, a URL or bytes, not number',
    );
    expect((await errorOf(createSession(null as never, options))).message).toContain('not null');
    const beyond = InferenceSession.create(new ArrayBuffer(8), 4, 8, options);
    expect((await errorOf(beyond)).message).toBe('the buffer of 8 bytes has no 8 bytes at 4.');
  });

  it('wants providers, not their names', async () => {
    expect((await errorOf(createSession(bytes))).message).toContain('no provider was given. Pass one');
    const named = createSession(bytes, { executionProviders: ['wasm'] });
    expect((await errorOf(named)).message).toContain('the provider "wasm" is a name, not a provider. Import it');
    const object = createSession(bytes, { executionProviders: [{ name: 'webgpu' }] });
    expect((await errorOf(object)).message).toContain('"webgpu"');
    const twice = createSession(bytes, { providers: [reference(), reference()] });
    expect((await errorOf(twice)).message).toBe('the provider "reference" was given twice.');
    const session = await createSession(bytes, { executionProviders: [reference()], graphOptimizationLevel: 'all' });
    expect(session.inputNames).toEqual(['x']);
  });

  it('says why no provider can be used, and closes those that were opened', async () => {
    const log: string[] = [];
    const good = {
      ...reference(),
      id: 'good',
      open: async () => {
        const opened = await reference().open({ ...(await reference().discover({ kind: 'node', concurrency: 1 }))[0] });
        return Object.assign(opened, { dispose: async () => void log.push('closed') });
      },
    };
    const absent = {
      id: 'gpu',
      apiVersion: 1 as const,
      discover: async () => [],
      open: async () => {
        throw new Error('never');
      },
    };
    const broken = {
      ...reference(),
      id: 'broken',
      open: async () => {
        throw new Error('no driver');
      },
    };
    expect((await errorOf(createSession(bytes, { providers: [absent] }))).message).toContain('gpu: no device');
    const listed = createSession(bytes, { providers: [good, broken], placement: 'first' });
    expect((await errorOf(listed)).message).toContain('no driver');
    expect((await errorOf(createSession(bytes.subarray(9), { providers: [good] }))).code).toBe('INVALID_MODEL');
    expect(log).toEqual(['closed', 'closed']);
  });

  it('checks the values of options', async () => {
    expect((await errorOf(open(adding, { threads: 0 }))).message).toContain(
      'threads must be a number of at least 1, not 0',
    );
    const negative = open(adding, { freeDimensionOverrides: { batch: -1 } });
    expect((await errorOf(negative)).message).toContain('gives "batch" the size -1');
    const unknown = open(adding, { freeDimensionOverrides: { sequence: 1 } });
    expect((await errorOf(unknown)).message).toBe(
      'no input has a size named "sequence". Sizes that may vary are batch.',
    );
  });

  it('reports progress, and can be aborted before and meanwhile', async () => {
    const seen: Progress[] = [];
    await open(adding, { onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toEqual({ phase: 'compile', fraction: 1, what: 'ready' });
    const before = open(adding, { signal: AbortSignal.abort('enough') });
    expect(await errorOf(before)).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    const controller = new AbortController();
    const meanwhile = open(adding, { signal: controller.signal, onProgress: () => controller.abort() });
    expect((await errorOf(meanwhile)).code).toBe('ABORTED');
  });
});

describe('metadata', () => {
  it('names sizes, also those that are computed', async () => {
    const session = await open({
      inputs: {
        ids: int64('batch', 'past + 1'),
        past: float32('batch', 'past', 4),
        free: float32(undefined, 2),
        list: sequenceOf(float32()),
        rank: { tensorType: { elemType: 1 } },
      },
      nodes: [
        node('Concat', ['past', 'past'], 'twice', { axis: 1 }),
        node('NonZero', 'free', 'found'),
        node('SequenceLength', 'list', 'length'),
        node('Identity', 'list', 'same'),
        node('Relu', 'rank', 'any'),
        node('Identity', 'ids', 'copy'),
      ],
      outputs: ['twice', 'found', 'length', 'same', 'any', 'copy'],
    });
    expect(session.inputMetadata).toEqual([
      { name: 'ids', isTensor: true, type: 'int64', shape: ['batch', 'past + 1'] },
      { name: 'past', isTensor: true, type: 'float32', shape: ['batch', 'past', 4] },
      { name: 'free', isTensor: true, type: 'float32', shape: ['', 2] },
      { name: 'list', isTensor: false, kind: 'sequence' },
      { name: 'rank', isTensor: true, type: 'float32', shape: undefined },
    ]);
    expect(session.outputMetadata).toEqual([
      { name: 'twice', isTensor: true, type: 'float32', shape: ['batch', '2*past', 4] },
      { name: 'found', isTensor: true, type: 'int64', shape: [2, ''] },
      { name: 'length', isTensor: true, type: 'int64', shape: [] },
      { name: 'same', isTensor: false, kind: 'sequence' },
      { name: 'any', isTensor: true, type: 'float32', shape: undefined },
      { name: 'copy', isTensor: true, type: 'int64', shape: ['batch', 'past + 1'] },
    ]);
    expect(session.inputNames).toEqual(['ids', 'past', 'free', 'list', 'rank']);
    expect(session.outputNames).toEqual(['twice', 'found', 'length', 'same', 'any', 'copy']);
  });

  it('keeps the names of outputs whatever becomes of their nodes', async () => {
    const session = await open({
      inputs: { x: float32(2) },
      initializers: { c: new Tensor('float32', [1, 2]) },
      nodes: [
        node('Relu', 'x', 'r'),
        node('Identity', 'r', 'a'),
        node('Identity', 'r', 'b'),
        node('Identity', 'c', 'd'),
      ],
      outputs: ['a', 'b', 'x', 'c', 'd'],
    });
    const feed = new Tensor('float32', [-1, 5]);
    const results = await session.run({ x: feed });
    expect(Object.entries(results).map(([name, tensor]) => [name, numbers(tensor)])).toEqual([
      ['a', [0, 5]],
      ['b', [0, 5]],
      ['x', [-1, 5]],
      ['c', [1, 2]],
      ['d', [1, 2]],
    ]);
    // Every result is the caller's own: none shares memory with another, with the feed or with a constant.
    for (const tensor of Object.values(results)) (tensor.data as Float32Array).fill(7);
    expect(numbers(feed)).toEqual([-1, 5]);
    expect(numbers((await session.run({ x: feed })).d)).toEqual([1, 2]);
    (results.a.data as Float32Array).fill(3);
    expect(numbers(results.b)).toEqual([7, 7]);
  });
});

describe('run', () => {
  it('says which sizes of a norm and its scale differ, though nothing would be read', async () => {
    await using session = await open({
      inputs: { x: tensorOf('float64', 'N', 'M'), scale: tensorOf('float64', 2) },
      nodes: [node('RMSNormalization', ['x', 'scale'], 'y')],
      outputs: ['y'],
      opset: 23,
    });
    const scale = new Tensor('float64', [1, 1], [2]);
    const runOn = (dims: readonly [number, number]) =>
      session.run({ x: new Tensor('float64', new Float64Array(dims[0] * dims[1]), dims), scale });
    expect(((await runOn([0, 2])).y as Tensor).dims).toEqual([0, 2]);
    for (const [rows, columns] of [
      [0, 4],
      [3, 1],
    ] as const) {
      const error = await errorOf(runOn([rows, columns]));
      expect(error.code).toBe('INVALID_INPUT');
      expect(error.message).toContain('axis 0 of input 1 and axis 1');
    }
  });

  it('gives the outputs that are asked for', async () => {
    const session = await open(adding);
    const feeds = { x: x(1, 2, 3, 4) };
    expect(Object.keys(await session.run(feeds))).toEqual(['y', 'n']);
    expect(Object.keys(await session.run(feeds, {}))).toEqual(['y', 'n']);
    expect(Object.keys(await session.run(feeds, { signal: new AbortController().signal }))).toEqual(['y', 'n']);
    expect(Object.keys(await session.run(feeds, ['n']))).toEqual(['n']);
    expect(Object.keys(await session.run(feeds, ['y'], { signal: new AbortController().signal }))).toEqual(['y']);
    expect(Object.keys(await session.run(feeds, { n: null }))).toEqual(['n']);
    expect(Object.keys(await session.run(feeds, { n: null, y: null }, {}))).toEqual(['y', 'n']);
  });

  it('writes into tensors that are given', async () => {
    const session = await open(adding);
    const y = new Tensor('float32', new Float32Array(4), [2, 2]);
    const results = await session.run({ x: x(1, 2, 3, 4) }, { y });
    expect(results.y).toBe(y);
    expect(numbers(y)).toEqual([11, 22, 13, 24]);
    const foreign = new ort.Tensor('float32', new Float32Array(2), [1, 2]);
    await session.run({ x: x(1, 2) }, { y: foreign });
    expect(numbers(foreign)).toEqual([11, 22]);
    const small = session.run({ x: x(1, 2) }, { y });
    expect((await errorOf(small)).message).toBe(
      'value "y": the output is float32[1, 2], but the tensor to write it into is float32[2, 2].',
    );
  });

  it('takes tensors of onnxruntime-common', async () => {
    const session = await open({
      inputs: {
        a: tensorOf('float16', 2),
        b: tensorOf('int64', 1),
        c: tensorOf('bool', 2),
        d: tensorOf('string', 1),
        e: float32(0),
      },
      nodes: ['a', 'b', 'c', 'd', 'e'].map((name) => node('Identity', name, `${name}2`)),
      outputs: ['a2', 'b2', 'c2', 'd2', 'e2'],
    });
    const results = await session.run({
      a: new ort.Tensor('float16', Uint16Array.of(0x3c00, 0xc000), [2]),
      b: new ort.Tensor('int64', [5n], [1]),
      c: new ort.Tensor('bool', [true, false], [2]),
      d: new ort.Tensor(['text'], [1]),
      e: new ort.Tensor('float32', new Float32Array(0), [0]),
    });
    expect(Object.values(results).map(({ type, dims }) => `${type}[${dims.join()}]`)).toEqual([
      'float16[2]',
      'int64[1]',
      'bool[2]',
      'string[1]',
      'float32[0]',
    ]);
    expect([...(results.a2.data as Uint16Array)]).toEqual([0x3c00, 0xc000]);
    expect(results.d2.data).toEqual(['text']);
    const float16 = (globalThis as { Float16Array?: new (items: number[]) => ArrayBufferView }).Float16Array;
    if (!float16) return;
    const feeds = {
      a: { type: 'float16', data: new float16([1, -2]), dims: [2] },
      b: new Tensor('int64', [1], [1]),
      c: new Tensor('bool', [true, true]),
      d: new Tensor('string', ['']),
      e: new Tensor('float32', [], [0]),
    };
    expect([...((await session.run(feeds, ['a2'])).a2.data as Uint16Array)]).toEqual([0x3c00, 0xc000]);
    const target = { type: 'float16', data: new float16([0, 0]), dims: [2] };
    await session.run(feeds, { a2: target });
    expect(Array.from(target.data as unknown as ArrayLike<number>)).toEqual([1, -2]);
  });

  it('runs on nothing', async () => {
    const session = await open(adding);
    const { y, n } = await session.run({ x: new Tensor('float32', [], [0, 2]) });
    expect(y.dims).toEqual([0, 2]);
    expect(y.size).toBe(0);
    expect(numbers(n)).toEqual([0, 2]);
  });

  it('lets inputs with a default be left out', async () => {
    const spec: ModelSpec = { ...adding, inputs: { x: float32('batch', 2), w: float32(2) } };
    const feeds = { x: x(1, 2), w: new Tensor('float32', [5, 5]) };
    const fixed = await open(spec);
    expect(fixed.inputNames).toEqual(['x']);
    expect((await errorOf(fixed.run(feeds))).message).toContain('overridableInitializers: true');
    const session = await open(spec, { overridableInitializers: true });
    expect(session.inputNames).toEqual(['x']);
    expect(numbers((await session.run({ x: x(1, 2) })).y)).toEqual([11, 22]);
    expect(numbers((await session.run(feeds)).y)).toEqual([6, 7]);
    expect(numbers((await session.run({ x: x(1, 2) })).y)).toEqual([11, 22]);
    const old = await open({ ...spec, irVersion: 3 }, { overridableInitializers: true });
    expect((await errorOf(old.run(feeds))).code).toBe('INVALID_INPUT');
  });

  it('queues up; other sessions run at the same time', async () => {
    const [first, second] = [await open(counting), await open(counting)];
    const results = await Promise.all(
      [first, second, first, second, first].map((session, at) => session.run(trips(at * 10))),
    );
    expect(results.map(({ count }) => Number(count.data[0]))).toEqual([0, 10, 20, 30, 40]);
    const [bad, good] = await Promise.allSettled([first.run({}), first.run(trips(3))]);
    expect([bad.status, good.status]).toEqual(['rejected', 'fulfilled']);
  });

  it('can be aborted before and meanwhile, and goes on after that', async () => {
    const session = await open(counting);
    const before = session.run(trips(1), { signal: AbortSignal.abort() });
    expect((await errorOf(before)).code).toBe('ABORTED');
    const start = performance.now();
    const meanwhile = session.run(trips(1e9), { signal: AbortSignal.timeout(30) });
    expect((await errorOf(meanwhile)).code).toBe('ABORTED');
    expect(performance.now() - start).toBeLessThan(2000);
    expect(Number((await session.run(trips(4))).count.data[0])).toBe(4);
  });

  it('may carry what others put on it', async () => {
    const session = await open(adding);
    Object.assign(session, { config: { model_type: 'test' } });
    expect((session as unknown as { config: unknown }).config).toEqual({ model_type: 'test' });
    expect((await errorOf(session.run({ x: x(1, 2) }, ['z']))).message).toBe(
      'the model has no output "z". Its outputs are "y", "n".',
    );
    expect((await errorOf(session.run({ x: x(1, 2) }, x(1, 2) as never))).code).toBe('INVALID_INPUT');
    expect((await errorOf(session.run({ x: x(1, 2) }, { y: 5 } as never, {}))).message).toContain(
      'a fetch must be a tensor',
    );
  });
});

describe('dispose', () => {
  it('waits for the run under way; others fail', async () => {
    const session = await open(counting);
    const running = session.run(trips(100));
    await Promise.resolve();
    await Promise.resolve();
    const waiting = session.run(trips(1));
    const end = session.dispose();
    expect(Number((await running).count.data[0])).toBe(100);
    expect((await errorOf(waiting)).code).toBe('DISPOSED');
    await Promise.all([end, session.dispose(), session.release()]);
    expect((await errorOf(session.run(trips(1)))).message).toBe('this session was disposed.');
    expect(session.memory().bytesInUse).toBe(0);
  });

  it('happens at the end of a scope', async () => {
    let kept: InferenceSession;
    {
      await using session = await open(adding);
      kept = session;
      await session.run({ x: x(1, 2) });
    }
    expect((await errorOf(kept.run({ x: x(1, 2) }))).code).toBe('DISPOSED');
  });
});

describe('explain', () => {
  it('tells what runs where, inside bodies too, and shows the graph', async () => {
    const session = await open(counting);
    const explanation = session.explain();
    expect(explanation.toString()).toMatchInlineSnapshot(`
      "provider reference: TypeScript interpreter

      step 0: host: Loop "Loop_0"
        body:

          step 0: host: Add "Add_1": a few integers that are on the host already"
    `);
    expect(explanation.steps[0].bodies?.[0].steps[0].nodes).toEqual([{ name: 'Add_1', op: 'Add' }]);
    expect(explanation.graphText()).toContain('count: int64[] = Loop(trips, _, int64 0)');
  });
});

describe('profile', () => {
  it('is a Chrome trace', async () => {
    const session = await open(adding, { enableProfiling: true });
    await session.run({ x: x(1, 2) });
    const { traceEvents } = JSON.parse(JSON.stringify(session.endProfiling())) as ReturnType<
      typeof session.endProfiling
    >;
    expect(traceEvents.at(-1)).toMatchObject({ name: 'run', cat: 'session', ph: 'X', pid: 1 });
    for (const event of traceEvents) expect(event.dur).toBeGreaterThanOrEqual(0);
    await session.run({ x: x(1, 2) });
    expect(session.endProfiling().traceEvents).toEqual([]);
    session.startProfiling();
    await session.run({ x: x(1, 2) });
    expect(session.endProfiling().traceEvents.length).toBeGreaterThan(0);
  });
});
