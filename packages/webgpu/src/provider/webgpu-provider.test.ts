// The provider on whatever adapter the machine has; vitest.config.ts names a software driver.

import { createSession, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, int64, type ModelSpec, model, node } from '../../../core/src/testing/build-model.ts';
import { errorOf } from '../../../core/src/testing/open-session.ts';
import { gpu, hasAdapter, newDevice } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';

const open = (spec: ModelSpec, options = {}) =>
  createSession(model(spec), { providers: [webgpu({ gpu })], placement: 'providers', ...options });

const ramp = (size: number, from = 0): Float32Array => Float32Array.from({ length: size }, (_, at) => at + from);

describe.skipIf(!hasAdapter)('the WebGPU provider', () => {
  it('runs a model, again and again, for other sizes', async () => {
    await using session = await open({
      inputs: { x: float32('N', 3) },
      nodes: [node('Relu', 'x', 'y')],
      outputs: ['y'],
    });
    for (const rows of [1, 5, 0, 40, 5]) {
      const x = ramp(rows * 3, -4);
      const { y } = await session.run({ x: new Tensor('float32', x, [rows, 3]) });
      expect((y as Tensor).dims).toEqual([rows, 3]);
      expect((y as Tensor).data).toEqual(x.map((value) => Math.max(value, 0)));
    }
  });

  it('reads more tensors than a shader may bind', async () => {
    const names = Array.from({ length: 20 }, (_, at) => `x${at}`);
    await using session = await open({
      inputs: Object.fromEntries(names.map((name) => [name, float32('N')])),
      nodes: [node('Sum', names, 'y')],
      outputs: ['y'],
    });
    const feeds = Object.fromEntries(names.map((name, at) => [name, new Tensor('float32', ramp(5, at), [5])]));
    const { y } = await session.run(feeds);
    expect((y as Tensor).data).toEqual(ramp(5).map((value) => 20 * value + 190));
  });

  it('has more invocations than fit into one dimension of a grid', async () => {
    await using session = await open({
      inputs: { x: float32('N') },
      nodes: [node('Neg', 'x', 'y')],
      outputs: ['y'],
    });
    const x = ramp(64 * 65_535 + 777);
    const { y } = await session.run({ x: new Tensor('float32', x, [x.length]) });
    const { data } = y as Tensor;
    expect([data[0], data[64 * 65_535], data[x.length - 1]]).toEqual([-0, -(64 * 65_535), -(x.length - 1)]);
  });

  it('computes with 64-bit integers exactly', async () => {
    await using session = await open({
      inputs: { a: int64(4), b: int64(4) },
      nodes: [
        node('Mul', ['a', 'b'], 'product'),
        node('Div', ['a', 'b'], 'quotient'),
        node('Mod', ['a', 'b'], 'rest'),
        node('Sub', ['a', 'b'], 'difference'),
      ],
      outputs: ['product', 'quotient', 'rest', 'difference'],
    });
    const a = [9007199254740993n, -9223372036854775808n, 123456789012345n, -7n];
    const b = [-3n, 1000000007n, 98765n, 2n];
    const results = await session.run({
      a: new Tensor('int64', BigInt64Array.from(a), [4]),
      b: new Tensor('int64', BigInt64Array.from(b), [4]),
    });
    const of = (name: string): bigint[] => [...((results[name] as Tensor).data as BigInt64Array)];
    expect(of('product')).toEqual(a.map((x, at) => BigInt.asIntN(64, x * b[at])));
    expect(of('quotient')).toEqual(a.map((x, at) => x / b[at]));
    expect(of('rest')).toEqual(a.map((x, at) => ((x % b[at]) + b[at]) % b[at]));
    expect(of('difference')).toEqual(a.map((x, at) => BigInt.asIntN(64, x - b[at])));
  });

  it('multiplies matrices without elements', async () => {
    for (const [m, n] of [
      [0, 5],
      [5, 0],
      [1, 0],
    ]) {
      await using session = await open({
        inputs: { a: float32(m, 3), b: float32(3, n) },
        nodes: [node('Einsum', ['a', 'b'], 'y', { equation: 'ij,jk->ik' })],
        outputs: ['y'],
      });
      const feeds = { a: new Tensor('float32', ramp(3 * m), [m, 3]), b: new Tensor('float32', ramp(3 * n), [3, n]) };
      const { y } = await session.run(feeds);
      expect([(y as Tensor).dims, (y as Tensor).data.length]).toEqual([[m, n], 0]);
    }
  });

  it('keeps the logarithm of 1 + x accurate where x is small', async () => {
    await using session = await open({
      inputs: { x: float32('N') },
      nodes: [node('Softplus', 'x', 'y')],
      outputs: ['y'],
    });
    const x = Float32Array.from({ length: 2001 }, (_, at) => (at - 1000) / 100);
    const { y } = await session.run({ x: new Tensor('float32', x, [x.length]) });
    for (const [at, value] of ((y as Tensor).data as Float32Array).entries()) {
      const expected = Math.max(x[at], 0) + Math.log1p(Math.exp(-Math.abs(x[at])));
      // What WGSL grants to exp(-|x|), and 4 units for the rest.
      expect(Math.abs(value / expected - 1), `at ${x[at]}`).toBeLessThan((7 + 2 * Math.abs(x[at])) * 2 ** -23);
    }
  });

  it('clamps 64-bit numbers that are beyond every index', async () => {
    await using session = await open({
      inputs: { x: float32(2, 2), k: int64() },
      nodes: [node('Trilu', ['x', 'k'], 'y')],
      outputs: ['y'],
    });
    const x = new Tensor('float32', ramp(4, 1), [2, 2]);
    for (const far of [2n ** 31n, 2n ** 32n, 2n ** 40n, 2n ** 63n - 1n]) {
      const of = async (k: bigint) => ((await session.run({ x, k: new Tensor('int64', [k], []) })).y as Tensor).data;
      expect(await of(far)).toEqual(new Float32Array(4));
      expect(await of(-1n - far)).toEqual(ramp(4, 1));
    }
  });

  it('names the node that read an index out of range, and stays usable', async () => {
    await using session = await open({
      inputs: { table: float32(4, 2), at: int64('N') },
      nodes: [node('Gather', ['table', 'at'], 'y', {}, { name: 'lookup' })],
      outputs: ['y'],
    });
    const table = new Tensor('float32', ramp(8), [4, 2]);
    const at = (...indices: bigint[]) => new Tensor('int64', BigInt64Array.from(indices), [indices.length]);
    const error = await errorOf(session.run({ table, at: at(1n, 4n) }));
    expect([error.code, error.place.node, error.place.provider]).toEqual(['OUT_OF_RANGE', 'lookup', 'webgpu']);
    expect((await errorOf(session.run({ table, at: at(4294967296n) }))).code).toBe('OUT_OF_RANGE');
    const { y } = await session.run({ table, at: at(-1n, 0n) });
    expect((y as Tensor).data).toEqual(Float32Array.of(6, 7, 0, 1));
  });

  it('names the right one of two nodes, in one kernel and in equal ones', async () => {
    const chain = (name: string) => [
      node('Gather', [name, `${name}At`], `${name}1`, {}, { name: `${name} first` }),
      node('Relu', `${name}1`, `${name}2`),
      node('Gather', [`${name}2`, `${name}Then`], `${name}3`, {}, { name: `${name} second` }),
      node('Exp', `${name}3`, `${name}4`),
    ];
    const ids = (...indices: bigint[]) => new Tensor('int64', BigInt64Array.from(indices), [indices.length]);
    const feedsOf = (name: string) => ({
      [name]: new Tensor('float32', ramp(10), [5, 2]),
      [`${name}At`]: ids(0n, 1n, 2n),
      [`${name}Then`]: ids(0n, 1n, 2n),
    });
    await using session = await open({
      inputs: Object.fromEntries(
        ['p', 'q'].flatMap((name) => [
          [name, float32(5, 2)],
          [`${name}At`, int64(3)],
          [`${name}Then`, int64(3)],
        ]),
      ),
      nodes: ['p', 'q'].flatMap(chain),
      outputs: ['p4', 'q4'],
    });
    const feeds = { ...feedsOf('p'), ...feedsOf('q') };
    await session.run(feeds);
    for (const [input, blamed] of Object.entries({
      pAt: 'p first',
      pThen: 'p second',
      qAt: 'q first',
      qThen: 'q second',
    })) {
      const error = await errorOf(session.run({ ...feeds, [input]: ids(0n, 9n, 1n) }));
      expect([error.code, error.place.node]).toEqual(['OUT_OF_RANGE', blamed]);
    }
  });

  it('refuses what its memory budget does not hold', async () => {
    const session = await open(
      { inputs: { x: float32('N') }, nodes: [node('Neg', 'x', 'y')], outputs: ['y'] },
      { memoryBudget: 1e6 },
    );
    const error = await errorOf(session.run({ x: new Tensor('float32', ramp(1e6), [1e6]) }));
    expect([error.code, error.place.provider]).toEqual(['OUT_OF_MEMORY', 'webgpu']);
    await session.dispose();
  });

  it('leaves to others what WGSL cannot compute', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32(3) },
      nodes: [node('Cast', 'x', 'd', { to: 11 }), node('Sqrt', 'd', 'r'), node('Cast', 'r', 'y', { to: 1 })],
      outputs: ['y'],
    };
    await using session = await open(spec);
    expect(session.explain().toString()).toContain('WebGPU has no float64');
    const { y } = await session.run({ x: new Tensor('float32', [4, 9, 16], [3]) });
    expect((y as Tensor).data).toEqual(Float32Array.of(2, 3, 4));
  });

  it("leaves errors on the caller's device to the caller", async () => {
    const device = await newDevice();
    const heard: string[] = [];
    device.onuncapturederror = ({ error }) => heard.push(error.message);
    const spec: ModelSpec = { inputs: { x: float32('N') }, nodes: [node('Neg', 'x', 'y')], outputs: ['y'] };
    await using session = await createSession(model(spec), { providers: [webgpu({ device })], placement: 'providers' });
    device.createBuffer({ size: 16, usage: 0x3 });
    const x = new Tensor('float32', ramp(3), [3]);
    expect(((await session.run({ x })).y as Tensor).data).toEqual(Float32Array.of(-0, -1, -2));
    expect(heard).toHaveLength(1);
    device.destroy();
  });

  it('runs sessions side by side', async () => {
    const spec: ModelSpec = { inputs: { x: float32('N') }, nodes: [node('Exp', 'x', 'y')], outputs: ['y'] };
    const sessions = await Promise.all([open(spec), open(spec), open(spec)]);
    const runs = sessions.flatMap((session, at) =>
      [0, 1, 2].map(async (step) => {
        const { y } = await session.run({ x: new Tensor('float32', [at + step], [1]) });
        return (y as Tensor).data[0] as number;
      }),
    );
    const values = await Promise.all(runs);
    for (const [at, value] of values.entries()) {
      expect(value).toBeCloseTo(Math.exp(Math.floor(at / 3) + (at % 3)), 3);
    }
    await Promise.all(sessions.map((session) => session.dispose()));
  });
});
