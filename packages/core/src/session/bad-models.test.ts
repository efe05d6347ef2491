// Models that are wrong: each is refused with an error that says what, where and what to do, quickly and without
// allocating for what it claims to need.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { OnnxTsError } from '../errors.ts';
import { reference } from '../provider/reference.ts';
import { float32, type GraphSpec, int64, type ModelSpec, model, node, tensorOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import { createSession } from './session.ts';
import { Tensor } from './tensor.ts';

/** The error of opening a model, which must come within a second and without much memory. */
async function refusal(spec: ModelSpec | Uint8Array): Promise<OnnxTsError> {
  const [start, memory] = [performance.now(), process.memoryUsage().arrayBuffers];
  const error = await errorOf(open(spec));
  expect(performance.now() - start).toBeLessThan(1000);
  expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(1 << 28);
  return error;
}

const relu = node('Relu', 'x', 'y');
const x = { x: float32('n') };

describe('bytes that are no model', () => {
  it.each([
    ['nothing', new Uint8Array(0)],
    ['text', new TextEncoder().encode('<html>Not found</html>')],
    ['zeros', new Uint8Array(100)],
    [
      'a Git LFS pointer',
      new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n'),
    ],
    ['half a model', model({ inputs: x, nodes: [relu], outputs: ['y'] }).subarray(0, 40)],
  ])('%s', async (_what, bytes) => {
    const error = await refusal(bytes);
    expect(error.code).toBe('INVALID_MODEL');
    expect(error.message).toContain(`these ${bytes.length} bytes are not an ONNX model`);
  });
});

describe('graphs that make no sense', () => {
  it('a cycle', async () => {
    const error = await refusal({
      inputs: x,
      nodes: [
        node('Add', ['x', 'c'], 'a', {}, { name: 'first' }),
        node('Relu', 'a', 'b'),
        node('Exp', 'b', 'c', {}, { name: 'last' }),
      ],
      outputs: ['c'],
    });
    expect(error.message).toMatch(
      /the graph has a cycle through the nodes .*"first" \(Add\).* A value cannot depend on itself/,
    );
  });

  it('names that are missing or there twice', async () => {
    const missing = await refusal({
      inputs: x,
      nodes: [node('Add', ['x', 'w'], 'y', {}, { name: 'add' })],
      outputs: ['y'],
    });
    expect(missing.message).toBe('node "add", Add: the input "w" is not produced by any node, input or initializer.');
    expect((await refusal({ inputs: x, nodes: [relu], outputs: ['z'] })).message).toContain('value "z"');
    const twice = await refusal({ inputs: x, nodes: [relu, node('Abs', 'x', 'y')], outputs: ['y'] });
    expect(twice.message).toBe('value "y": a value of this name is defined twice.');
    const weight = new Tensor('float32', [1]);
    const bytes = model({ inputs: x, nodes: [relu], outputs: ['y'], initializers: { w: weight, v: weight } });
    expect((await refusal(bytes.map((byte) => (byte === 118 ? 119 : byte)))).message).toContain(
      'two initializers are named "w"',
    );
  });

  it('an operator that nobody knows, or not yet', async () => {
    const unknown = await refusal({
      inputs: x,
      nodes: [node('Frobnicate', 'x', 'y', {}, { name: 'f' })],
      outputs: ['y'],
    });
    expect(unknown).toMatchObject({ code: 'UNKNOWN_OPERATOR', place: { node: 'f', op: 'Frobnicate' } });
    expect(unknown.message).toContain('option `operators`');
    const early = await refusal({ opset: 10, inputs: x, nodes: [node('Mish', 'x', 'y')], outputs: ['y'] });
    expect(early.message).toContain('this operator exists only since version 18');
    const foreign = await refusal({
      domains: { 'com.example': 1 },
      inputs: x,
      nodes: [node('Relu', 'x', 'y', {}, { domain: 'com.example' })],
      outputs: ['y'],
    });
    expect(foreign.message).toContain('com.example.Relu');
  });

  it('types, shapes and attributes that do not fit', async () => {
    const failure = async (inputs: ModelSpec['inputs'], made: ReturnType<typeof node>) =>
      (await refusal({ inputs, nodes: [made], outputs: ['y'] })).message;
    expect(
      await failure({ x: float32(2, 3), w: float32(4, 5) }, node('MatMul', ['x', 'w'], 'y', {}, { name: 'm' })),
    ).toBe(
      'node "m", MatMul (opset 21); input shapes float32[2, 3], float32[4, 5]: the inner sizes of a matrix product must agree, but they are 3 and 4.',
    );
    expect(await failure({ x: float32(2), w: int64(2) }, node('Add', ['x', 'w'], 'y'))).toContain('Insert a Cast.');
    expect(await failure({ x: float32(2), w: float32(3) }, node('Add', ['x', 'w'], 'y'))).toContain(
      'cannot be broadcast',
    );
    expect(await failure(x, node('Softmax', 'x', 'y', { axis: 3 }))).toContain('axis 3 is outside [-1, 0]');
    expect(await failure(x, node('Softmax', 'x', 'y', { axis: 'last' }))).toContain('must be of type int, not string');
    expect(await failure(x, node('Cast', 'x', 'y'))).toContain('the required attribute "to" is missing');
    expect(await failure({ x: tensorOf('string', 1) }, relu)).toContain('input 0 is string');
    expect(await failure(x, node('Relu', [], 'y'))).toContain('input 0 is missing');
    expect(await failure(x, node('Relu', 'x', ['y', 'z']))).toContain('output 1 ("z") does not exist');
  });

  it('functions that call themselves', async () => {
    const call = node('Again', 'a', 'b', {}, { domain: 'local' });
    const functions = [{ name: 'Again', domain: 'local', input: ['a'], output: ['b'], node: [call] }];
    const error = await refusal({
      domains: { local: 1 },
      functions,
      inputs: x,
      nodes: [node('Again', 'x', 'y', {}, { domain: 'local' })],
      outputs: ['y'],
    });
    expect(error.message).toContain('the function "Again" calls itself');
  });

  it('functions that call each other more and more often', async () => {
    const functions = Array.from({ length: 40 }, (_, at) => ({
      name: `F${at}`,
      domain: 'local',
      input: ['a'],
      output: ['b'],
      node: ['a', 'm'].map((from) =>
        node(at === 0 ? 'Relu' : `F${at - 1}`, from, from === 'a' ? 'm' : 'b', {}, { domain: at === 0 ? '' : 'local' }),
      ),
    }));
    const start = performance.now();
    const error = await errorOf(
      open({
        domains: { local: 1 },
        functions,
        inputs: x,
        nodes: [node('F39', 'x', 'y', {}, { domain: 'local' })],
        outputs: ['y'],
      }),
    );
    expect(error.message).toContain('inlining the functions of the model gives over');
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('deep nesting takes no exponential time', async () => {
    // Every level carries a value whose size changes.
    let body: GraphSpec = { nodes: [node('Concat', ['x', 'x'], 'longest', { axis: 0 })], outputs: ['longest'] };
    for (let depth = 0; depth < 24; depth++) {
      const [last] = body.outputs as readonly string[];
      const loop: GraphSpec = {
        inputs: { [`i${depth}`]: int64(), [`go${depth}`]: tensorOf('bool'), [`a${depth}`]: float32('n') },
        nodes: [...body.nodes, node('Concat', [`a${depth}`, last], `b${depth}`, { axis: 0 })],
        outputs: [`go${depth}`, `b${depth}`],
      };
      body = {
        nodes: [node('Loop', ['trips', '', 'x'], `y${depth}`, { body: { body: loop } })],
        outputs: [`y${depth}`],
      };
    }
    const session = await open({ ...body, inputs: { ...x, trips: int64() } });
    const { y23 } = await session.run({ x: new Tensor('float32', [1]), trips: new Tensor('int64', [1n], []) });
    expect(y23.size).toBe(26);
  }, 20_000);
});

describe('sizes that cannot be', () => {
  it('a constant that claims more than the file has', async () => {
    for (const dims of [[10 ** 12], [10 ** 6, 10 ** 6], [2 ** 31, 2 ** 31], [2 ** 52, 2 ** 52]]) {
      const error = await refusal({
        inputs: x,
        initializers: { w: { dataType: 1, dims, rawData: new Uint8Array(16) } },
        nodes: [node('Add', ['x', 'w'], 'y')],
        outputs: ['y'],
      });
      expect(error.code).toBe('INVALID_MODEL');
      expect(error.message).toContain('the tensor "w"');
    }
  });

  it('negative, or of an unknown type', async () => {
    const withWeight = (weight: object) =>
      refusal({ inputs: x, initializers: { w: weight }, nodes: [node('Add', ['x', 'w'], 'y')], outputs: ['y'] });
    expect((await withWeight({ dataType: 1, dims: [-2], floatData: [1, 2] })).message).toContain(
      'negative size in [-2]',
    );
    expect((await withWeight({ dataType: 77, dims: [1], floatData: [1] })).message).toContain('element type 77');
    expect((await withWeight({ dataType: 1, dims: [3], floatData: [1, 2] })).message).toContain(
      'needs 3 entries, but has 2',
    );
    expect((await withWeight({ dataType: 1, dims: [3], rawData: new Uint8Array(13) })).message).toContain(
      'needs 12 bytes, but has 13',
    );
  });

  it('a result of 10^12 elements', async () => {
    const trillion = new Tensor('int64', [10n ** 6n, 10n ** 6n]);
    const growing = (made: ReturnType<typeof node>, initializers: ModelSpec['initializers'] = {}) =>
      open({ inputs: { x: float32(1, 1) }, initializers, nodes: [made], outputs: ['y'] });
    const cases = [
      growing(node('ConstantOfShape', 'shape', 'y'), { shape: trillion }),
      growing(node('Expand', ['x', 'shape'], 'y'), { shape: trillion }),
      growing(node('Tile', ['x', 'shape'], 'y'), { shape: trillion }),
      growing(node('Range', ['from', 'to', 'step'], 'y'), {
        from: new Tensor('int64', [0n], []),
        to: new Tensor('int64', [10n ** 12n], []),
        step: new Tensor('int64', [1n], []),
      }),
    ];
    for (const opening of cases) {
      const start = performance.now();
      // Whether the model is refused or the run does not matter; there is no machine for it.
      const error = await errorOf(async () => {
        const session = await opening;
        await session.run({ x: new Tensor('float32', [1], [1, 1]) });
      });
      expect(['OUT_OF_MEMORY', 'INVALID_MODEL', 'INVALID_INPUT']).toContain(error.code);
      expect(performance.now() - start).toBeLessThan(1000);
    }
  });

  it('negative ones from arithmetic', async () => {
    const shaped = (shape: number[]) =>
      refusal({
        inputs: { x: float32(2, 3) },
        initializers: { shape: new Tensor('int64', shape) },
        nodes: [node('Reshape', ['x', 'shape'], 'y')],
        outputs: ['y'],
      });
    expect((await shaped([-2, 3])).message).toContain('has a negative size');
    expect((await shaped([-1, -1])).message).toContain('has more than one −1');
    expect((await shaped([4, -1])).message).toContain('do not fill [4, -1]');
    expect((await shaped([0, 0, 0])).message).toContain('copies an axis');
    const window = await refusal({
      inputs: { x: float32(1, 1, 2) },
      nodes: [node('MaxPool', 'x', 'y', { kernel_shape: [5] })],
      outputs: ['y'],
    });
    expect(window.code).toBe('INVALID_MODEL');
  });
});

describe('external data', () => {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const inside = join(folder, 'model');
  mkdirSync(join(inside, 'sub'), { recursive: true });
  writeFileSync(join(folder, 'secret.bin'), new Uint8Array(64));
  writeFileSync(join(inside, 'short.bin'), new Uint8Array(7));
  writeFileSync(join(inside, 'sub', 'good.bin'), new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
  symlinkSync(join(folder, 'secret.bin'), join(inside, 'link.bin'));
  symlinkSync(folder, join(inside, 'up'));

  const spec = (entries: Record<string, string>): ModelSpec => ({
    inputs: { x: float32('n', 4) },
    initializers: {
      w: {
        dataType: 1,
        dims: [4],
        dataLocation: 1,
        externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
      },
    },
    nodes: [node('Add', ['x', 'w'], 'y')],
    outputs: ['y'],
  });
  const fromFile = (entries: Record<string, string>) => {
    const path = join(inside, 'model.onnx');
    writeFileSync(path, model(spec(entries)));
    return createSession(path, { providers: [reference()] });
  };

  it.each([
    ['../secret.bin', 'outside the folder of the model'],
    ['sub/../../secret.bin', 'outside the folder of the model'],
    ['..\\secret.bin', 'outside the folder of the model'],
    ['/etc/passwd', 'has an absolute path'],
    ['\\\\server\\share', 'has an absolute path'],
    ['C:\\data.bin', 'has an absolute path'],
    ['file:///etc/passwd', 'has an absolute path'],
    ['http://example.com/w', 'has an absolute path'],
    ['sub/good.bin\0.txt', 'has an absolute path'],
    ['', 'names no file'],
    ['link.bin', 'a link that leaves the folder'],
    ['up/secret.bin', 'a link that leaves the folder'],
    ['none.bin', 'is missing'],
    ['sub', 'it is not a file'],
    ['short.bin', 'bytes 0 to 16 are needed, but the file ends at 7'],
  ])('at %j is refused', async (location, reason) => {
    const error = await errorOf(fromFile({ location }));
    expect(error.code).toBe('EXTERNAL_DATA');
    expect(error.message).toContain(reason);
  });

  it('with wrong numbers is refused', async () => {
    const location = 'sub/good.bin';
    expect((await errorOf(fromFile({ location, offset: '4' }))).message).toContain('bytes 4 to 20');
    expect((await errorOf(fromFile({ location, offset: '-4' }))).message).toContain('has "-4" as offset');
    expect((await errorOf(fromFile({ location, offset: '1e99' }))).message).toContain('has "1e99" as offset');
    expect((await errorOf(fromFile({ location, length: '8' }))).message).toContain(
      'needs 16 bytes, the model states 8',
    );
  });

  it('below the folder of the model is read; from bytes alone there is none', async () => {
    const session = await fromFile({ location: './sub/good.bin', offset: '0', length: '16' });
    const { y } = await session.run({ x: new Tensor('float32', [0, 0, 0, 0], [1, 4]) });
    expect([...(y.data as Float32Array)]).toEqual([1, 2, 3, 4]);
    const alone = await errorOf(open(spec({ location: 'w.bin' })));
    expect(alone.message).toContain('Load the model by path or URL, or pass the file in the option `externalData`.');
    const given = await open(spec({ location: 'w.bin' }), {
      externalData: [{ path: './w.bin', data: new Uint8Array(Float32Array.of(5, 6, 7, 8).buffer) }],
    });
    const sum = (await given.run({ x: new Tensor('float32', [1, 1, 1, 1], [1, 4]) })).y;
    expect([...(sum.data as Float32Array)]).toEqual([6, 7, 8, 9]);
  });
});
