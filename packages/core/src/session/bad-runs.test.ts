// Runs that are wrong: each fails with an error that says what, where and what to do, and the session stays usable.

import { describe, expect, it } from 'vitest';
import type { OnnxTsError } from '../errors.ts';
import { float32, int64, type ModelSpec, node, optionalOf, sequenceOf, tensorOf } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import type { Feed } from './feeds.ts';
import { Tensor } from './tensor.ts';

type Feeds = Record<string, Feed>;

/** The error of a run; before and after it a good run must succeed. */
async function failing(spec: ModelSpec, good: Feeds, bad: Feeds): Promise<OnnxTsError> {
  const session = await open(spec);
  await session.run(good);
  const [start, memory] = [performance.now(), process.memoryUsage().arrayBuffers];
  const error = await errorOf(session.run(bad));
  expect(performance.now() - start).toBeLessThan(1000);
  expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(1 << 28);
  await session.run(good);
  expect(session.memory().bytesInUse).toBe(0);
  return error;
}

const floats = (...dims: number[]): Tensor => {
  const count = dims.reduce((product, size) => product * size, 1);
  return new Tensor('float32', new Float32Array(count), dims);
};
const ints = (...items: number[]): Tensor => new Tensor('int64', items);

describe('feeds', () => {
  const spec: ModelSpec = {
    inputs: { a: float32('batch', 'n'), b: float32('batch', 'n + 1'), c: int64(2) },
    nodes: [node('Relu', 'a', 'y'), node('Relu', 'b', 'z'), node('Neg', 'c', 'w')],
    outputs: ['y', 'z', 'w'],
  };
  const good = { a: floats(2, 3), b: floats(2, 4), c: ints(1, 2) };
  const message = async (changes: Record<string, unknown>): Promise<string> => {
    const feeds = Object.fromEntries(
      Object.entries({ ...good, ...changes }).filter(([, value]) => value !== undefined),
    );
    const error = await failing(spec, good, feeds as Feeds);
    expect(error.code).toBe('INVALID_INPUT');
    return error.message;
  };

  it('name the inputs', async () => {
    expect(await message({ d: floats(1) })).toBe('the model has no input "d". Its inputs are "a", "b", "c".');
    expect(await message({ c: undefined })).toBe(
      'value "c": this input is missing from the feeds. The input is int64[2].',
    );
    const session = await open(spec);
    expect((await errorOf(session.run(null as never))).message).toContain('the feeds must be an object');
  });

  it('are tensors of the right type', async () => {
    expect(await message({ c: floats(2) })).toBe('value "c": a float32 tensor was fed. The input is int64[2].');
    expect(await message({ a: [1, 2, 3] })).toContain('a feed must be a tensor, not object. Use new Tensor');
    expect(await message({ a: null })).toContain('not null');
    expect(await message({ a: 5 })).toContain('not number');
    expect(await message({ a: { kind: 'sequence', items: [] } })).toContain('a sequence was fed');
    expect(await message({ a: { type: 'float32', data: new Float32Array(5), dims: [2, 3] } })).toContain(
      'needs 6 entries, the data has 5',
    );
    expect(await message({ a: { type: 'float99', data: new Float32Array(6), dims: [2, 3] } })).toContain(
      '"float99" is not an element type',
    );
    const away = {
      type: 'float32',
      dims: [2, 3],
      get data(): never {
        throw new Error('The data is not on CPU.');
      },
    };
    expect(await message({ a: away })).toContain('The data is not on CPU.');
    const disposed = floats(2, 3);
    disposed.dispose();
    const session = await open(spec);
    expect((await errorOf(session.run({ ...good, a: disposed }))).code).toBe('DISPOSED');
  });

  it('have the right sizes, equal where names are', async () => {
    expect(await message({ c: ints(1, 2, 3) })).toBe(
      'value "c": axis 0 must have size 2, but the dims are [3]. The input is int64[2].',
    );
    expect(await message({ a: floats(6) })).toContain('its rank must be 2 ([batch, n]), not 1 ([6])');
    expect(await message({ b: floats(3, 4) })).toContain(
      'axis 0 must have size 2 (batch is 2 elsewhere), but the dims are [3, 4]',
    );
    expect(await message({ b: floats(2, 3) })).toContain(
      'axis 1 must have size 4 (1 + n is 4 elsewhere)'.replace('1 + n', 'n + 1'),
    );
  });

  it('of sequences and optionals are checked, too', async () => {
    const other: ModelSpec = {
      inputs: { s: sequenceOf(float32()), o: optionalOf(float32('n')) },
      nodes: [node('SequenceLength', 's', 'n'), node('OptionalHasElement', 'o', 'has')],
      outputs: ['n', 'has'],
    };
    const list: Feed = { kind: 'sequence', items: [floats(), floats()] };
    const none: Feed = { kind: 'optional', value: undefined };
    const feeds = { s: list, o: none };
    expect((await failing(other, feeds, { ...feeds, s: floats() })).message).toContain(
      'a tensor was fed. The input is sequence(float32[])',
    );
    expect((await failing(other, feeds, { ...feeds, o: list })).message).toContain(
      'a sequence was fed. The input is optional(float32[n])',
    );
  });
});

describe('sizes that only a run can tell', () => {
  it('of inputs that the model does not tie together', async () => {
    const spec = (made: ReturnType<typeof node>, b: (string | number)[] = ['p', 'q']): ModelSpec => ({
      inputs: { a: float32('m', 'k'), b: float32(...b) },
      nodes: [node('Relu', 'a', 'x'), made],
      outputs: ['y'],
    });
    const product = await failing(
      spec(node('MatMul', ['x', 'b'], 'y', {}, { name: 'm' })),
      { a: floats(2, 3), b: floats(3, 4) },
      { a: floats(2, 3), b: floats(2, 4) },
    );
    expect(product.message).toBe(
      'node "m", MatMul (opset 21); input shapes float32[m, k], float32[p, q]: the inner sizes of a matrix product must agree, but k = 3 and p = 2 differ. The inputs give m = 2, k = 3, p = 2, q = 4.',
    );
    const sum = await failing(
      spec(node('Add', ['x', 'b'], 'y')),
      { a: floats(2, 3), b: floats(1, 3) },
      { a: floats(2, 3), b: floats(3, 3) },
    );
    expect(sum).toMatchObject({ code: 'INVALID_INPUT', place: { op: 'Add' } });
    const wider = await failing(
      spec(node('Add', ['x', 'b'], 'y'), [5]),
      { a: floats(2, 5), b: floats(5) },
      { a: floats(2, 3), b: floats(5) },
    );
    expect(wider.message).toContain('must agree or be 1, but k = 3 and 5 differ');
    const joined = await failing(
      spec(node('Concat', ['x', 'b'], 'y', { axis: 0 })),
      { a: floats(2, 3), b: floats(1, 3) },
      { a: floats(2, 3), b: floats(1, 4) },
    );
    expect(joined.place.op).toBe('Concat');
    const gathered = await failing(
      {
        inputs: { a: float32('m', 'k'), i: int64('p', 'q') },
        nodes: [node('Relu', 'a', 'x'), node('GatherElements', ['x', 'i'], 'y', { axis: 0 })],
        outputs: ['y'],
      },
      { a: floats(2, 3), i: new Tensor('int64', [0, 1], [1, 2]) },
      { a: floats(2, 3), i: new Tensor('int64', [0, 1, 0, 1], [1, 4]) },
    );
    expect(gathered.message).toContain(
      'along axis 1, which has the size 3. The sizes of its inputs do not fit each other.',
    );
  });

  it('that a reshape cannot have', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n', 'm') },
      initializers: { shape: ints(-1, 4), half: ints(2), sizes: ints(0), axis: ints(1) },
      nodes: [node('Relu', 'x', 'r'), node('Reshape', ['r', 'shape'], 'y')],
      outputs: ['y'],
    };
    const error = await failing(spec, { x: floats(2, 6) }, { x: floats(3, 3) });
    expect(error.message).toContain('the numbers of elements of [n, m] and of the target [-1, 4] must agree');
    const squeezed = await failing(
      { ...spec, nodes: [node('Relu', 'x', 'r'), node('Squeeze', ['r', 'axis'], 'y')] },
      { x: floats(3, 1) },
      { x: floats(3, 2) },
    );
    expect(squeezed.message).toContain(
      'the size of axis 1, which is squeezed, and 1 must agree, but m = 2 and 1 differ',
    );
    const split = await failing(
      { ...spec, nodes: [node('Relu', 'x', 'r'), node('Split', 'r', ['y', 'z'], { axis: 1 })], opset: 13 },
      { x: floats(3, 4) },
      { x: floats(3, 5) },
    );
    expect(split.message).toContain('2 equal parts and the size of the axis must agree, but');
  });

  it('that are negative', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32(1, 1, 'n') },
      initializers: { w: new Tensor('float32', [1, 1, 1, 1, 1], [1, 1, 5]) },
      nodes: [node('Conv', ['x', 'w'], 'c'), node('Relu', 'c', 'y')],
      outputs: ['y'],
    };
    const error = await failing(spec, { x: floats(1, 1, 5) }, { x: floats(1, 1, 2) });
    expect(error.code).toBe('INVALID_INPUT');
    expect(error.place.op).toBe('Conv');
  });

  it('that come from a division by zero', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n', 'm') },
      initializers: {
        at: new Tensor('int64', [0n], []),
        total: new Tensor('int64', [12n], []),
        zero: ints(0),
        rest: ints(-1),
      },
      nodes: [
        node('Shape', 'x', 'shape'),
        node('Gather', ['shape', 'at'], 'n'),
        node('Div', ['total', 'n'], 'parts'),
        node('Unsqueeze', ['parts', 'zero'], 'first'),
        node('Concat', ['first', 'rest'], 'target', { axis: 0 }),
        node('Constant', [], 'base', { value: floats(12) }),
        node('Reshape', ['base', 'target'], 'view'),
        node('Identity', 'view', 'y'),
        node('Relu', 'x', 'z'),
      ],
      outputs: ['y', 'z'],
    };
    const error = await failing(spec, { x: floats(3, 1) }, { x: floats(0, 1) });
    expect(error.code).toBe('INVALID_INPUT');
  });

  it('that no machine has room for', async () => {
    const grown = (nodes: ModelSpec['nodes']): ModelSpec => ({ inputs: { n: int64(2) }, nodes, outputs: ['y'] });
    for (const spec of [
      grown([node('ConstantOfShape', 'n', 'y')]),
      grown([node('ConstantOfShape', 'n', 'c'), node('Relu', 'c', 'y')]),
      grown([node('Constant', [], 'one', { value: floats(1, 1) }), node('Expand', ['one', 'n'], 'y')]),
      grown([node('Constant', [], 'one', { value: floats(1, 1) }), node('Tile', ['one', 'n'], 'y')]),
    ]) {
      const error = await failing(spec, { n: ints(2, 2) }, { n: ints(1e6, 1e6) });
      expect(error.code).toBe('OUT_OF_MEMORY');
      expect(error.place.op).toMatch(/ConstantOfShape|Expand|Tile/);
    }
    const range: ModelSpec = {
      inputs: { n: int64() },
      initializers: { zero: new Tensor('int64', [0n], []), one: new Tensor('int64', [1n], []) },
      nodes: [node('Range', ['zero', 'n', 'one'], 'y')],
      outputs: ['y'],
    };
    const scalar = (value: bigint) => ({ n: new Tensor('int64', [value], []) });
    expect((await failing(range, scalar(3n), scalar(10n ** 12n))).code).toBe('OUT_OF_MEMORY');
    const outer: ModelSpec = {
      inputs: { x: float32('n'), y: float32('m') },
      initializers: { one: ints(1) },
      nodes: [node('Unsqueeze', ['x', 'one'], 'column'), node('Mul', ['column', 'y'], 'z')],
      outputs: ['z'],
    };
    const error = await failing(outer, { x: floats(2), y: floats(3) }, { x: floats(1e6), y: floats(1e6) });
    expect(error.code).toBe('OUT_OF_MEMORY');
  });
});

describe('indices from data', () => {
  const spec = (made: ReturnType<typeof node>): ModelSpec => ({
    inputs: { x: float32('n', 3), i: int64('k') },
    nodes: [node('Relu', 'x', 'r'), made, node('Abs', 'g', 'y')],
    outputs: ['y'],
  });

  it('are checked', async () => {
    const gather = spec(node('Gather', ['r', 'i'], 'g', {}, { name: 'rows' }));
    const good = { x: floats(2, 3), i: ints(0, -2, 1) };
    const error = await failing(gather, good, { x: floats(2, 3), i: ints(0, 5) });
    expect(error).toMatchObject({ code: 'OUT_OF_RANGE', place: { node: 'rows', op: 'Gather' } });
    expect(error.message).toContain('the index 5 is outside [-2, 1]. Check the indices that are fed to the model.');
    expect((await failing(gather, good, { x: floats(2, 3), i: ints(-3) })).code).toBe('OUT_OF_RANGE');
    expect((await failing(gather, good, { x: floats(0, 3), i: ints(0) })).code).toBe('OUT_OF_RANGE');
  });

  it('in a branch fail only when it is taken', async () => {
    const branching: ModelSpec = {
      inputs: { x: float32(3), flag: tensorOf('bool') },
      initializers: { far: new Tensor('int64', [7n], []) },
      nodes: [
        node('If', 'flag', 'y', {
          then_branch: { body: { nodes: [node('Gather', ['x', 'far'], 'a', {}, { name: 'far' })], outputs: ['a'] } },
          else_branch: { body: { nodes: [node('ReduceSum', 'x', 'b', { keepdims: 0 })], outputs: ['b'] } },
        }),
      ],
      outputs: ['y'],
    };
    const flag = (value: boolean) => ({ x: floats(3), flag: new Tensor('bool', [value], []) });
    expect((await failing(branching, flag(false), flag(true))).place.node).toBe('far');
  });
});

describe('loops', () => {
  it('whose iterations do not fit together', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n'), trips: int64() },
      nodes: [
        node(
          'Loop',
          ['trips', '', 'x'],
          ['last', 'all'],
          {
            body: {
              body: {
                inputs: { i: int64(), go: tensorOf('bool'), a: float32('n') },
                nodes: [node('Concat', ['a', 'x'], 'b', { axis: 0 })],
                outputs: ['go', 'b', 'a'],
              },
            },
          },
          { name: 'growing' },
        ),
      ],
      outputs: ['all'],
    };
    const feeds = (trips: bigint): Feeds => ({ x: floats(2), trips: new Tensor('int64', [trips], []) });
    const error = await failing(spec, feeds(1n), feeds(3n));
    expect(error.message).toContain('node "growing", Loop');
    expect(error.message).toContain('its iterations give [2] and then [4]');
  });
});
