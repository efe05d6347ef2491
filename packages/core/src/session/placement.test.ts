// Sessions with several providers: what is chosen, what is closed, what is explained, and that results stay the same.

import { describe, expect, it } from 'vitest';
import type { ArtifactStore } from '../artifacts/artifact.ts';
import { memoryArtifacts } from '../artifacts/memory-store.ts';
import { float32, int64, type ModelSpec, model, node, tensorOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import { far, synthetic, usual } from '../testing/synthetic-provider.ts';
import { registerProvider } from './registered-providers.ts';
import { createSession, type InferenceSession } from './session.ts';
import { Tensor } from './tensor.ts';

/** Two branches over a product, joined again. */
const branches: ModelSpec = {
  inputs: { x: float32('N', 64) },
  initializers: {
    w: new Tensor(
      'float32',
      Float32Array.from({ length: 64 * 64 }, (_, at) => Math.sin(at)),
      [64, 64],
    ),
  },
  nodes: [
    node('MatMul', ['x', 'w'], 'product'),
    node('Softmax', ['product'], 'left', { axis: -1 }),
    node('MatMul', ['product', 'w'], 'again'),
    node('Relu', ['again'], 'right'),
    node('Add', ['left', 'right'], 'y'),
  ],
  outputs: ['y'],
};

const x = new Tensor(
  'float32',
  Float32Array.from({ length: 5 * 64 }, (_, at) => Math.cos(at)),
  [5, 64],
);
const run = async (session: InferenceSession): Promise<number[]> =>
  Array.from((await session.run({ x })).y.data as Float32Array);

const placesOf = (session: InferenceSession): Record<string, string> =>
  Object.fromEntries(
    session
      .explain()
      .nodes()
      .map(({ op, place }) => [op, place]),
  );

describe('placement auto', () => {
  it('takes the near device for little work, and closes the far one', async () => {
    const events: string[] = [];
    const onEvent = (event: string): void => void events.push(event);
    const providers = [synthetic('far', { profile: far, onEvent }), synthetic('near', { onEvent })];
    const session = await open(branches, { providers });
    expect(session.explain().providers).toEqual([
      { id: 'far', device: 'device of far', isUsed: false, note: 'the plan without it is faster' },
      { id: 'near', device: 'device of near', isUsed: true },
    ]);
    expect(events).toEqual(['open far', 'open near', 'compile near: MatMul Softmax MatMul Relu Add', 'close far']);
    await using alone = await open(branches);
    expect(await run(session)).toEqual(await run(alone));
    await session.dispose();
    expect(events.at(-1)).toBe('close near');
  });

  it('takes the far device for much work', async () => {
    const providers = [synthetic('near'), synthetic('far', { profile: far })];
    await using session = await open(branches, { providers, placement: { sizes: { N: 1e6 } } });
    const { placement } = session.explain();
    expect(new Set(Object.values(placesOf(session)))).toEqual(new Set(['far']));
    expect(placement!.isOptimal).toBe(true);
    expect(placement!.alternatives.map(({ provider }) => provider)).toEqual(['near', 'far']);
    expect(placement!.seconds).toBe(placement!.alternatives[1].seconds);
    expect(placement!.copies.map(({ value, from, to }) => [value, from, to])).toEqual([
      ['x', 'host', 'far'],
      ['y', 'far', 'host'],
    ]);
    expect(placement!.copies[0].bytes).toBe(4 * 64e6);
  });

  it('divides the work where a device lacks an operator, at the price that it tells', async () => {
    const providers = [
      synthetic('near', { profile: { flops: 1e8 } }),
      synthetic('far', { profile: { ...far, transferLatency: 1e-6, sync: 1e-6 }, without: ['Softmax'] }),
    ];
    await using session = await open(branches, { providers, placement: { sizes: { N: 1000 } } });
    expect(placesOf(session)).toEqual({ MatMul: 'far', Softmax: 'near', Relu: 'far', Add: 'far' });
    const explanation = session.explain();
    expect(explanation.placement!.copies.map(({ value, from, to }) => `${value}: ${from} to ${to}`)).toEqual([
      'x: host to far',
      'product: far to host',
      'product: host to near',
      'left: near to host',
      'left: host to far',
      'y: far to host',
    ]);
    const softmax = explanation.nodes().find(({ op }) => op === 'Softmax')!;
    expect(softmax.refusals).toEqual({ far: 'far has no Softmax' });
    expect(Object.keys(softmax.seconds!)).toEqual(['near']);
    expect(String(explanation)).toContain('estimate of near alone');
    await using alone = await open(branches);
    expect(await run(session)).toEqual(await run(alone));
  });

  it('heeds pins', async () => {
    const providers = [synthetic('a'), synthetic('b'), synthetic('c')];
    const pins = [
      { op: 'Softmax', provider: 'b' },
      { node: /./, op: /^(Relu|Add)$/, provider: 'c' },
    ];
    await using session = await open(branches, { providers, placement: { pins } });
    expect(placesOf(session)).toMatchObject({ Softmax: 'b', Relu: 'c', Add: 'c' });
    await using alone = await open(branches);
    expect(await run(session)).toEqual(await run(alone));
    await using first = await open(branches, { providers, placement: { strategy: 'first', pins } });
    expect(placesOf(first)).toEqual({ MatMul: 'a', Softmax: 'b', Relu: 'c', Add: 'c' });
  });

  it('divides the bodies of control flow too', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('N', 64), trips: int64() },
      initializers: { go: new Tensor('bool', [true], []) },
      nodes: [
        node('Loop', ['trips', 'go', 'x'], ['y', 'trail'], {
          body: {
            body: {
              inputs: { i: int64(), on: tensorOf('bool'), a: float32('N', 64) },
              nodes: [
                node('Identity', 'on', 'more'),
                node('Exp', 'a', 'e'),
                node('ReduceMax', 'e', 'm'),
                node('Div', ['e', 'm'], 'b'),
                node('Relu', 'b', 'c'),
              ],
              outputs: ['more', 'b', 'c'],
            },
          },
        }),
      ],
      outputs: ['y', 'trail'],
    };
    const feeds = { x, trips: new Tensor('int64', [3n], []) };
    const providers = [synthetic('a'), synthetic('b', { without: ['Exp'] })];
    const pins = [{ op: /Div|Relu/, provider: 'b' }];
    await using session = await open(spec, { providers, placement: { pins } });
    const [{ bodies }] = session.explain().steps;
    const used = bodies![0].steps.map(({ provider }) => provider);
    expect(used).toContain('a');
    expect(used).toContain('b');
    await using alone = await open(spec);
    const [got, wanted] = [await session.run(feeds), await alone.run(feeds)];
    for (const name of ['y', 'trail']) expect(got[name].data).toEqual(wanted[name].data);
  });

  it('says which pins cannot be', async () => {
    const providers = [synthetic('a'), synthetic('b', { without: ['Softmax'] })];
    const pinned = (op: string, provider: string) =>
      errorOf(open(branches, { providers, placement: { pins: [{ op, provider }] } }));
    expect((await pinned('Add', 'z')).message).toContain('"z", which this session has not. Its providers are a, b');
    const error = await pinned('Softmax', 'b');
    expect([error.code, error.message]).toEqual(['UNSUPPORTED', expect.stringContaining('b has no Softmax')]);
    expect(error.message).toContain('Softmax');
  });

  it('leaves out what fails to open, and says so', async () => {
    const broken = {
      ...synthetic('broken'),
      open: async () => {
        throw new Error('no driver');
      },
    };
    const missing = { ...synthetic('missing'), discover: async () => [] };
    await using session = await open(branches, { providers: [broken, missing, synthetic('near')] });
    expect(session.explain().providers).toEqual([
      { id: 'near', device: 'device of near', isUsed: true },
      { id: 'missing', device: 'no device', isUsed: false, note: 'no device' },
      { id: 'broken', device: 'device of broken', isUsed: false, note: 'no driver' },
    ]);
    expect((await errorOf(open(branches, { providers: [broken, missing] }))).message).toContain('broken: no driver.');
  });

  it('does not open a device that is a program, unless a pin wants it', async () => {
    const events: string[] = [];
    const soft = synthetic('soft', {
      isSoftware: true,
      profile: { flops: 1e14 },
      onEvent: (event) => events.push(event),
    });
    await using session = await open(branches, { providers: [soft, synthetic('near')] });
    expect(session.explain().providers[1].note).toContain('a program on the processor');
    expect(events).toEqual([]);
    const pins = [{ op: 'Relu', provider: 'soft' }];
    await using pinned = await open(branches, { providers: [soft, synthetic('near')], placement: { pins } });
    expect(placesOf(pinned).Relu).toBe('soft');
  });

  it('keeps to the memory of a device', async () => {
    const fast = synthetic('far', { profile: { ...far, transferLatency: 0, sync: 0 } });
    const sizes = { N: 1000 };
    await using session = await open(branches, { providers: [synthetic('near'), fast], placement: { sizes } });
    expect(placesOf(session).MatMul).toBe('far');
    const memoryBudget = { far: 10_000 };
    await using small = await open(branches, {
      providers: [synthetic('near'), fast],
      placement: { sizes },
      memoryBudget,
    });
    expect(placesOf(small).MatMul).toBe('near');
    expect(small.explain().placement!.alternatives[1].seconds).toBeUndefined();
  });

  it('measures a device once, when it matters, and keeps the result in the store', async () => {
    let probes = 0;
    const probe = async () => {
      probes++;
      return { ...far, flops: 1e15 };
    };
    const artifacts = memoryArtifacts();
    const options = { artifacts, placement: { sizes: { N: 1e5 } } };
    for (const id of ['measured', 'measured']) {
      await using session = await open(branches, {
        ...options,
        providers: [synthetic(id, { probe }), synthetic('near')],
      });
      expect(session.explain().placement!.alternatives[0].profile.flops).toBe(1e15);
    }
    expect(probes).toBe(1);
    // Far too little work for another device to be worth a look.
    const tiny = [synthetic('unmeasured', { profile: far, probe }), synthetic('near')];
    await using session = await open(branches, { artifacts, placement: { sizes: { N: 1 } }, providers: tiny });
    expect(session.explain().placement!.alternatives[0].profile.flops).toBe(far.flops);
    expect(probes).toBe(1);
  });

  it('restores a divided plan from the store', async () => {
    const store = memoryArtifacts();
    const kept: string[] = [];
    const artifacts: ArtifactStore = {
      get: store.get,
      put(key, artifact) {
        kept.push(key);
        return store.put(key, artifact);
      },
    };
    const quick = { ...far, transferLatency: 1e-6, sync: 1e-6 };
    const openStored = () =>
      open(branches, {
        artifacts,
        providers: [
          synthetic('near', { profile: { flops: 1e8 }, artifactKey: '1' }),
          synthetic('far', { profile: quick, without: ['Softmax'], artifactKey: '1' }),
        ],
        placement: { sizes: { N: 1000 } },
      });
    await using first = await openStored();
    const plan = placesOf(first);
    expect(new Set(Object.values(plan))).toEqual(new Set(['near', 'far']));
    const entries = [...kept];
    expect(entries).not.toEqual([]);
    await using second = await openStored();
    // A session that is compiled anew is put into the store again.
    expect(kept).toEqual(entries);
    expect(placesOf(second)).toEqual(plan);
    expect(await run(second)).toEqual(await run(first));
  });

  it('goes on with what it knows when a measurement fails', async () => {
    const probe = async () => {
      throw new Error('lost');
    };
    const providers = [synthetic('failing', { profile: usual, probe }), synthetic('near')];
    await using session = await open(branches, { providers, placement: { sizes: { N: 1e5 } } });
    expect(session.explain().placement!.alternatives[0].profile).toEqual(usual);
  });

  it('leaves out a provider whose devices cannot be looked for, unless it is not to be chosen', async () => {
    const broken = { ...synthetic('broken', {}), discover: () => Promise.reject(new Error('no driver')) };
    const reason = 'its devices could not be looked for: no driver';
    await using session = await open(branches, { providers: [broken, synthetic('near', {})] });
    expect(session.explain().providers.find(({ id }) => id === 'broken')).toMatchObject({
      isUsed: false,
      note: reason,
    });
    const error = await errorOf(open(branches, { providers: [broken, synthetic('near', {})], placement: 'first' }));
    expect(error).toMatchObject({ code: 'PROVIDER', place: { provider: 'broken' } });
    expect(error.message).toContain(reason);
  });

  it('takes undefined parts of the option as absent, and checks its sizes', async () => {
    const providers = [synthetic('far', { profile: far }), synthetic('near', {})];
    const undefinedParts = { strategy: undefined, pins: undefined, sizes: undefined } as object;
    await using session = await open(branches, { providers, placement: undefinedParts });
    expect(session.explain().providers.map(({ isUsed }) => isUsed)).toEqual([false, true]);
    const error = await errorOf(open(branches, { providers, placement: { sizes: { N: Number.NaN } } }));
    expect(error.message).toContain('placement.sizes gives "N" the size NaN');
  });

  it('rejects a budget of a provider that is not there', async () => {
    const error = await errorOf(open(branches, { providers: [synthetic('near')], memoryBudget: { naer: 1e9 } }));
    expect(error.message).toContain('memoryBudget names the provider "naer"');
    expect(error.hint).toContain('near');
  });

  it('disposes of all providers when one fails at that, and then tells', async () => {
    const events: string[] = [];
    const onEvent = (event: string): void => {
      events.push(event);
      if (event === 'close stuck') throw new Error('it is stuck');
    };
    const providers = [synthetic('stuck', { without: ['Softmax'], onEvent }), synthetic('near', { onEvent })];
    const session = await open(branches, { providers, placement: 'first' });
    const error = await errorOf(session.dispose());
    expect(error).toMatchObject({ code: 'PROVIDER', place: { provider: 'stuck' } });
    expect(events.filter((event) => event.startsWith('close'))).toEqual(['close stuck', 'close near']);
  });

  it('rejects a placement that does not exist', async () => {
    const error = await errorOf(open(branches, { placement: 'best' as 'auto' }));
    expect(error.message).toContain('the placement "best" does not exist; known are auto, first, providers');
  });
});

describe('registered providers', () => {
  it('are there for sessions that name none', async () => {
    const remove = registerProvider(synthetic('near'));
    try {
      await using session = await createSession(model(branches));
      expect(placesOf(session).MatMul).toBe('near');
      expect((await errorOf(async () => registerProvider(synthetic('near')))).message).toContain(
        '"near" is registered',
      );
    } finally {
      remove();
    }
    expect((await errorOf(createSession(model(branches)))).message).toContain('no provider was given');
  });
});
