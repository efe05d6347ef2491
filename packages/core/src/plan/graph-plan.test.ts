// Plans on the reference provider: sizes that steps find out, bodies, and the order that follows from both.

import { describe, expect, it } from 'vitest';
import type { HostValue } from '../ops/define.ts';
import { Tensor } from '../session/tensor.ts';
import {
  anyTensor,
  float32,
  int64,
  type ModelSpec,
  node,
  optionalOf,
  sequenceOf,
  tensorOf,
} from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';

const floats = (...items: number[]): Tensor => new Tensor('float32', items);
const ints = (...items: number[]): Tensor => new Tensor('int64', items);
const scalar = (value: number): Tensor => new Tensor('int64', [value], []);
const flag = (value: boolean): Tensor => new Tensor('bool', [value], []);

type Plain = number[] | string[] | Plain[] | undefined;

function plain(value: HostValue | undefined): Plain {
  if (value === undefined) return undefined;
  if (Tensor.is(value)) return Array.isArray(value.data) ? value.data : value.toNumberArray();
  if (value.kind === 'sequence') return value.items.map(plain);
  if (value.kind === 'optional') return plain(value.value);
  throw new Error(`unexpected ${value.kind}`);
}

async function run(spec: ModelSpec, feeds: Record<string, HostValue>): Promise<Record<string, Plain>> {
  await using session = await open(spec);
  const results = await session.run(feeds);
  return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, plain(value)]));
}

describe('sizes that steps find out', () => {
  it('are known to all that need them, in whatever order the nodes come', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n') },
      initializers: { one: ints(1), axis: ints(0), at: scalar(1), two: new Tensor('float32', [2]) },
      nodes: [
        // The size of `found` is read through nodes that vanish into sizes.
        node('Mul', ['x', 'two'], 'doubled'),
        node('NonZero', 'doubled', 'found'),
        node('Shape', 'found', 'shape'),
        node('Gather', ['shape', 'at'], 'count'),
        node('Unsqueeze', ['count', 'axis'], 'length'),
        node('ConstantOfShape', 'length', 'zeros'),
        node('Add', ['zeros', 'two'], 'twos'),
        node('Transpose', 'found', 'rows', { perm: [1, 0] }),
        node('GatherND', ['doubled', 'rows'], 'values'),
        node('Add', ['values', 'twos'], 'y'),
        node('Cast', 'count', 'float', { to: 1 }),
      ],
      outputs: ['y', 'float', 'length'],
    };
    expect(await run(spec, { x: floats(0, 3, 0, 5) })).toEqual({ y: [8, 12], float: [2], length: [2] });
    expect(await run(spec, { x: floats(0) })).toEqual({ y: [], float: [0], length: [0] });
  });

  it('may be those of values whose rank is not known before', async () => {
    const spec: ModelSpec = {
      inputs: { x: anyTensor('float32') },
      initializers: { half: new Tensor('float32', [0.5], []) },
      nodes: [
        node('Relu', 'x', 'a'),
        node('Shape', 'a', 's'),
        node('Mul', ['a', 'half'], 'b'),
        node('Reshape', ['b', 's'], 'c'),
        node('ReduceSum', 'c', 'total', { keepdims: 0 }),
        node('Size', 'c', 'n'),
      ],
      outputs: ['c', 'total', 'n'],
    };
    expect(await run(spec, { x: new Tensor('float32', [1, -2, 3, 4], [2, 2]) })).toEqual({
      c: [0.5, 0, 1.5, 2],
      total: [4],
      n: [4],
    });
    expect(await run(spec, { x: new Tensor('float32', [6], []) })).toEqual({ c: [3], total: [3], n: [1] });
  });

  it('of an optional are those of what it holds', async () => {
    const spec: ModelSpec = {
      inputs: { o: optionalOf(float32('k')) },
      nodes: [
        node('OptionalHasElement', 'o', 'has'),
        node('If', 'has', 'y', {
          then_branch: {
            body: {
              nodes: [
                node('OptionalGetElement', 'o', 'v'),
                node('Relu', 'v', 'r'),
                node('Concat', ['r', 'r'], 'rr', { axis: 0 }),
              ],
              outputs: ['rr'],
            },
          },
          else_branch: { body: { nodes: [node('Constant', [], 'none', { value: floats(7) })], outputs: ['none'] } },
        }),
        node('Neg', 'y', 'z'),
      ],
      outputs: ['z'],
    };
    expect(await run(spec, { o: { kind: 'optional', value: floats(1, -1) } })).toEqual({ z: [-1, -0, -1, -0] });
    expect(await run(spec, { o: { kind: 'optional', value: undefined } })).toEqual({ z: [-7] });
  });
});

describe('bodies', () => {
  /** Sums x[0..i] for each i below `trips` and collects the sums; stops once a sum is over 10. */
  const sums: ModelSpec = {
    inputs: { x: float32('n'), trips: int64() },
    initializers: { zero: floats(0), one: ints(1), ten: new Tensor('float32', [10], []), start: ints(0) },
    nodes: [
      node('Loop', ['trips', '', 'x'], ['left', 'all'], {
        body: {
          body: {
            inputs: { i: int64(), go: tensorOf('bool'), rest: float32('m') },
            nodes: [
              node('Unsqueeze', ['i', 'start'], 'from'),
              node('Add', ['from', 'one'], 'to'),
              node('Slice', ['x', 'start', 'to'], 'head'),
              node('ReduceSum', 'head', 'sum', { keepdims: 0 }),
              node('LessOrEqual', ['sum', 'ten'], 'on'),
              node('Slice', ['rest', 'one', 'end'], 'shorter'),
              node('Constant', [], 'end', { value_ints: [1000] }),
            ],
            outputs: ['on', 'shorter', 'sum'],
          },
        },
      }),
      node('Shape', 'left', 'size'),
    ],
    outputs: ['left', 'all', 'size'],
  };

  it('of loops see the values around them and carry others of changing size', async () => {
    const x = floats(1, 2, 3, 4);
    expect(await run(sums, { x, trips: scalar(3) })).toEqual({ left: [4], all: [1, 3, 6], size: [1] });
    expect(await run(sums, { x, trips: scalar(0) })).toEqual({ left: [1, 2, 3, 4], all: [], size: [4] });
    expect(await run(sums, { x: floats(9, 9, 9), trips: scalar(9) })).toEqual({ left: [9], all: [9, 18], size: [1] });
  });

  it('may be in each other, and use what is outside of both', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n'), trips: int64() },
      initializers: { two: scalar(2) },
      nodes: [
        node('Exp', 'x', 'outer'),
        node('Loop', ['trips', '', 'x'], ['y'], {
          body: {
            body: {
              inputs: { i: int64(), go: tensorOf('bool'), a: float32('n') },
              nodes: [
                node('Mod', ['i', 'two'], 'rest'),
                node('Cast', 'rest', 'odd', { to: 9 }),
                node('If', 'odd', 'b', {
                  then_branch: {
                    body: {
                      nodes: [
                        node('Loop', ['two', '', 'a'], ['deep'], {
                          body: {
                            body: {
                              inputs: { j: int64(), again: tensorOf('bool'), c: float32('n') },
                              nodes: [node('Add', ['c', 'outer'], 'd')],
                              outputs: ['again', 'd'],
                            },
                          },
                        }),
                      ],
                      outputs: ['deep'],
                    },
                  },
                  else_branch: { body: { nodes: [node('Neg', 'a', 'negative')], outputs: ['negative'] } },
                }),
              ],
              outputs: ['go', 'b'],
            },
          },
        }),
      ],
      outputs: ['y'],
    };
    // −0, then + 2 · e^0, then negated
    expect(await run(spec, { x: floats(0, 0), trips: scalar(3) })).toEqual({ y: [-2, -2] });
  });

  it('leave none of what they were given on the device', async () => {
    const loop = (op: string, inputs: string[], body: ModelSpec, attributes = {}): ModelSpec => ({
      inputs: { x: float32(2, 2), trips: int64(), list: sequenceOf(float32(2)) },
      nodes: [node(op, inputs, ['y'], { ...attributes, body: { body } })],
      outputs: ['y'],
    });
    const counted = [node('Cast', 'i', 'f', { to: 1 }), node('Mul', ['f', 'a'], 'b')];
    const cases = [
      loop('Loop', ['trips', '', 'x'], {
        inputs: { i: int64(), go: tensorOf('bool'), a: float32(2, 2) },
        nodes: counted,
        outputs: ['go', 'b'],
      }),
      loop(
        'Scan',
        ['x'],
        { inputs: { a: float32(2) }, nodes: [node('Exp', 'a', 'b')], outputs: ['b'] },
        { num_scan_inputs: 1 },
      ),
      loop('SequenceMap', ['list'], { inputs: { a: float32(2) }, nodes: [node('Exp', 'a', 'b')], outputs: ['b'] }),
    ];
    const list: HostValue = { kind: 'sequence', items: [floats(1, 2), floats(3, 4)] };
    for (const spec of cases) {
      await using session = await open(spec);
      await session.run({ x: new Tensor('float32', [1, 2, 3, 4], [2, 2]), trips: scalar(3), list });
      expect([spec.nodes[0].opType, session.memory().bytesInUse]).toEqual([spec.nodes[0].opType, 0]);
    }
  });

  it('of a SequenceMap run once for each item', async () => {
    const spec: ModelSpec = {
      inputs: { list: sequenceOf(float32('k')), shift: float32() },
      nodes: [
        node('SequenceMap', ['list', 'shift'], ['moved', 'sizes'], {
          body: {
            body: {
              inputs: { item: float32('k'), by: float32() },
              nodes: [node('Add', ['item', 'by'], 'sum'), node('Shape', 'item', 'size')],
              outputs: ['sum', 'size'],
            },
          },
        }),
        node('ConcatFromSequence', 'moved', 'joined', { axis: 0 }),
      ],
      outputs: ['moved', 'sizes', 'joined'],
    };
    const list: HostValue = { kind: 'sequence', items: [floats(1, 2), floats(3)] };
    expect(await run(spec, { list, shift: new Tensor('float32', [10], []) })).toEqual({
      moved: [[11, 12], [13]],
      sizes: [[2], [1]],
      joined: [11, 12, 13],
    });
  });

  it('that were refused fail only when they are reached', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n', 2), go: tensorOf('bool') },
      initializers: { axis: ints(1) },
      nodes: [
        node('If', 'go', 'y', {
          then_branch: {
            body: { nodes: [node('Squeeze', ['x', 'axis'], 'flat', {}, { name: 'bad' })], outputs: ['flat'] },
          },
          else_branch: { body: { nodes: [node('Abs', 'x', 'positive')], outputs: ['positive'] } },
        }),
      ],
      outputs: ['y'],
    };
    const x = new Tensor('float32', [-1, 2], [1, 2]);
    expect(await run(spec, { x, go: flag(false) })).toEqual({ y: [1, 2] });
    await expect(run(spec, { x, go: flag(true) })).rejects.toThrow('node "bad", Squeeze');
  });

  it('keep their weights when the file is closed', async () => {
    const spec: ModelSpec = {
      inputs: { x: float32(2), go: tensorOf('bool') },
      initializers: { w: floats(10, 20), words: new Tensor('string', ['a', 'b']) },
      nodes: [
        node('Add', ['x', 'w'], 'outside'),
        node('If', 'go', ['y', 's'], {
          then_branch: {
            body: {
              nodes: [node('Mul', ['x', 'w'], 'p'), node('StringConcat', ['words', 'words'], 'q')],
              outputs: ['p', 'q'],
            },
          },
          else_branch: {
            body: { nodes: [node('Identity', 'w', 'r'), node('Identity', 'words', 't')], outputs: ['r', 't'] },
          },
        }),
      ],
      outputs: ['outside', 'y', 's'],
    };
    expect(await run(spec, { x: floats(1, 2), go: flag(true) })).toEqual({
      outside: [11, 22],
      y: [10, 40],
      s: ['aa', 'bb'],
    });
    expect(await run(spec, { x: floats(1, 2), go: flag(false) })).toEqual({
      outside: [11, 22],
      y: [10, 20],
      s: ['a', 'b'],
    });
  });
});

describe('what is not a number', () => {
  it('moves through operators of numbers', async () => {
    const spec: ModelSpec = {
      opset: 23,
      inputs: { words: tensorOf('string', 'n'), z: tensorOf('complex64', 2, 2) },
      initializers: { pads: ints(1, 1), shape: ints(4) },
      nodes: [
        node('Pad', ['words', 'pads'], 'padded'),
        node('CenterCropPad', ['words', 'shape'], 'centred'),
        node('Trilu', 'z', 'upper'),
        node('Identity', 'words', 'same'),
        node('Cast', 'words', 'numbers', { to: 1 }),
        node('Cast', 'numbers', 'texts', { to: 8 }),
      ],
      outputs: ['padded', 'centred', 'upper', 'same', 'numbers', 'texts'],
    };
    const feeds = {
      words: new Tensor('string', ['1', '2.5']),
      z: new Tensor('complex64', Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [2, 2]),
    };
    expect(await run(spec, feeds)).toEqual({
      padded: ['', '1', '2.5', ''],
      centred: ['', '1', '2.5', ''],
      upper: [1, 2, 3, 4, 0, 0, 7, 8],
      same: ['1', '2.5'],
      numbers: [1, 2.5],
      texts: ['1.0', '2.5'],
    });
  });
});
