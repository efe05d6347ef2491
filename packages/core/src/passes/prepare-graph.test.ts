// The passes together, on small graphs that show what each of them does. The verifier runs after every pass.

import { describe, expect, it } from 'vitest';
import { printGraph } from '../graph/print.ts';
import { Tensor } from '../session/tensor.ts';
import { float32, int64, type ModelSpec, node, sequenceOf, tensorOf } from '../testing/build-model.ts';
import { prepared } from '../testing/prepare.ts';

const text = (spec: ModelSpec): string => printGraph(prepared(spec));
const ints = (...items: number[]): Tensor => new Tensor('int64', items);
const scalar = (value: number): Tensor => new Tensor('int64', [value], []);

describe('sizes', () => {
  it('pass through the float arithmetic of old resize exports', () => {
    const graph = text({
      opset: 11,
      inputs: { x: float32('n', 3, 'h', 'w') },
      initializers: {
        two: new Tensor('float32', [2], []),
        start: ints(2),
        end: ints(4),
        empty: new Tensor('float32', []),
      },
      nodes: [
        node('Shape', 'x', 'shape'),
        node('Slice', ['shape', 'start', 'end'], 'sides'),
        node('Cast', 'sides', 'real', { to: 1 }),
        node('Mul', ['real', 'two'], 'scaled'),
        node('Floor', 'scaled', 'floored'),
        node('Cast', 'floored', 'sizes', { to: 7 }),
        node('Slice', ['shape', 'zero', 'start'], 'kept'),
        node('Concat', ['kept', 'sizes'], 'target', { axis: 0 }),
        node('Resize', ['x', 'empty', 'empty', 'target'], 'y', { mode: 'nearest' }),
        node('Constant', [], 'zero', { value_ints: [0] }),
      ],
      outputs: ['y'],
    });
    expect(
      graph
        .split('\n')
        .filter((line) => /Mul|Resize/.test(line))
        .map((line) => line.trim()),
    ).toMatchInlineSnapshot(`
      [
        "scaled: float32[2] = [2*h, 2*w] = Mul(real, float32 2)",
        "y: float32[n, 3, 2*h, 2*w] = Resize(x, float32[], float32[], target) {mode="nearest"}",
      ]
    `);
  });

  it('that only a run can tell are the same symbol each time a node is inferred', () => {
    expect(
      text({
        inputs: { x: float32('n') },
        nodes: [
          node('NonZero', 'x', 'a'),
          node('NonZero', 'x', 'b'),
          node('Add', ['a', 'b'], 'sum'),
          node('Shape', 'b', 'shape'),
        ],
        outputs: ['sum', 'shape'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n]
      a: int64[1, nonzero#0] = NonZero(x)
      sum: int64[1, nonzero#0] = Add(a, a)
      shape: int64[2] = [1, nonzero#0] = Shape(a)
      output sum, shape"
    `);
  });
});

describe('constants', () => {
  it('are computed before the run, but not when they are large', () => {
    const graph = text({
      inputs: { x: float32('n', 4) },
      initializers: {
        a: new Tensor('float32', [1, 2, 3, 4]),
        big: new Tensor('float32', new Float32Array(1 << 20), [1 << 18, 4]),
      },
      nodes: [
        node('Exp', 'a', 'b'),
        node('Add', ['x', 'b'], 'y'),
        node('Exp', 'big', 'c'),
        node('Gather', ['c', 'index'], 'row'),
        node('Add', ['y', 'row'], 'z'),
        node('Constant', [], 'index', { value_int: 3 }),
      ],
      outputs: ['z'],
    });
    expect(graph).toMatch(/y: float32\[n, 4\] = Add\(x, float32\[2.718\d+, 7.38\d+, 20.08\d+, 54.59\d+\]\)/);
    expect(graph).toContain('c: float32[262144, 4] = Exp(float32[262144, 4] "big")');
  });

  it('that are equal become one', () => {
    const large = (first: number): Tensor => new Tensor('float32', new Float32Array(4096).fill(1).fill(first, 0, 1));
    const graph = prepared({
      inputs: { x: float32(4096) },
      initializers: {
        a: large(1),
        b: large(1),
        c: large(2),
        d: new Tensor('float32', [-0]),
        e: new Tensor('float32', [0]),
      },
      nodes: [
        node('Add', ['x', 'a'], 'p'),
        node('Mul', ['p', 'b'], 'q'),
        node('Add', ['q', 'c'], 'r'),
        node('Add', ['r', 'd'], 's'),
        node('Add', ['s', 'e'], 't'),
      ],
      outputs: ['t'],
    });
    const [first, second, third, fourth, fifth] = graph.nodes.map(({ inputs }) => inputs[1]);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(fifth).not.toBe(fourth);
    expect(graph.initializers.map(({ name }) => name)).toEqual(['a', 'c', 'd', 'e']);
  });

  it('are shared with bodies without being captured', () => {
    const graph = prepared({
      inputs: { x: float32(2), flag: tensorOf('bool') },
      initializers: { w: new Tensor('float32', [1, 2]) },
      nodes: [
        node('Add', ['x', 'w'], 'a'),
        node('If', 'flag', 'y', {
          then_branch: {
            body: {
              initializers: { v: new Tensor('float32', [1, 2]) },
              nodes: [node('Mul', ['a', 'v'], 'm')],
              outputs: ['m'],
            },
          },
          else_branch: { body: { nodes: [node('Mul', ['a', 'w'], 'k')], outputs: ['k'] } },
        }),
      ],
      outputs: ['y'],
    });
    const [then, otherwise] = ['then_branch', 'else_branch'].map((name) => graph.nodes[1].attributes.get(name)!);
    if (then.type !== 'graph' || otherwise.type !== 'graph') throw new Error('no bodies');
    expect(then.value.captures.map(({ name }) => name)).toEqual(['a']);
    expect(then.value.nodes[0].inputs[1]).toBe(otherwise.value.nodes[0].inputs[1]);
    expect(then.value.nodes[0].inputs[1]).toBe(graph.nodes[0].inputs[1]);
  });
});

describe('nodes that change nothing', () => {
  it('go', () => {
    expect(
      text({
        inputs: { x: float32('n', 4) },
        initializers: {
          none: ints(0, 0, 0, 0),
          zero: ints(0),
          end: ints(2 ** 40),
          ones: ints(1, 1),
          nothing: new Tensor('float32', [], [0, 4]),
          same: ints(0, -1),
        },
        nodes: [
          node('Pad', ['x', 'none'], 'a'),
          node('Slice', ['a', 'zero', 'end'], 'b'),
          node('Concat', ['b', 'nothing'], 'c', { axis: 0 }),
          node('Tile', ['c', 'ones'], 'd'),
          node('Reshape', ['d', 'same'], 'e'),
          node('Cast', 'e', 'f', { to: 1 }),
          node('Transpose', 'f', 'g', { perm: [0, 1] }),
          node('Dropout', 'g', 'h'),
          node('Sum', 'h', 'i'),
          node('Relu', 'i', 'j'),
          node('Identity', 'j', 'k'),
        ],
        outputs: ['k'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n, 4]
      j: float32[n, 4] = Relu(x)
      output j"
    `);
  });

  it('stay where inputs, outputs or other work would suffer', () => {
    const graph = text({
      inputs: { x: float32('n') },
      initializers: {
        zero: ints(0),
        end: ints(2 ** 40),
        back: ints(-1),
        start: ints(-1),
        least: ints(-(2 ** 40)),
        axis: ints(0),
      },
      nodes: [
        node('Identity', 'x', 'copy'),
        node('Relu', 'x', 'a'),
        node('Identity', 'a', 'b'),
        node('Slice', ['a', 'start', 'least', 'axis', 'back'], 'reversed'),
      ],
      outputs: ['copy', 'a', 'b', 'reversed'],
    });
    expect(graph.match(/Identity|Slice/g)).toEqual(['Identity', 'Identity', 'Slice']);
    expect(graph).toContain('output copy, a, b, reversed');
  });
});

describe('equal nodes', () => {
  it('become one, with all that anybody asks of them', () => {
    expect(
      text({
        inputs: { x: float32('n', 8), seed: float32(1) },
        initializers: { one: scalar(1), uno: scalar(1) },
        nodes: [
          node('TopK', ['x', 'k1'], ['values', '']),
          node('TopK', ['x', 'k2'], ['', 'places']),
          node('Exp', 'x', 'e1'),
          node('Exp', 'x', 'e2'),
          node('Add', ['e1', 'e2'], 'sum'),
          node('RandomNormalLike', 'x', 'r1'),
          node('RandomNormalLike', 'x', 'r2'),
          node('Add', ['r1', 'r2'], 'noise'),
          node('Constant', [], 'k1', { value_ints: [2] }),
          node('Constant', [], 'k2', { value: ints(2) }),
        ],
        outputs: ['values', 'places', 'sum', 'noise'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n, 8]
      input seed: float32[1]
      values: float32[n, 2], places: int64[n, 2] = TopK(x, int64[2])
      e1: float32[n, 8] = Exp(x)
      sum: float32[n, 8] = Add(e1, e1)
      r1: float32[n, 8] = RandomNormalLike(x)
      r2: float32[n, 8] = RandomNormalLike(x)
      noise: float32[n, 8] = Add(r1, r2)
      output values, places, sum, noise"
    `);
  });
});

describe('an If', () => {
  const relu = { body: { nodes: [node('Relu', 'x', 'y1')], outputs: ['y1'] } };
  const abs = { body: { nodes: [node('Abs', 'x', 'y2')], outputs: ['y2'] } };

  it('with a known condition gives way to its branch; the other need not be valid', () => {
    expect(
      text({
        inputs: { x: float32('n', 1) },
        initializers: { one: scalar(1), axis: ints(1), at: scalar(1) },
        nodes: [
          node('Shape', 'x', 'shape'),
          node('Gather', ['shape', 'at'], 'size'),
          node('Equal', ['size', 'one'], 'narrow'),
          node('If', 'narrow', 'y', {
            then_branch: { body: { nodes: [node('Squeeze', ['x', 'axis'], 'flat')], outputs: ['flat'] } },
            else_branch: { body: { nodes: [node('NoSuchOperator', 'x', 'never')], outputs: ['never'] } },
          }),
          node('Neg', 'y', 'z'),
        ],
        outputs: ['z'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n, 1]
      flat: float32[n] = Squeeze(x, int64[1])
      z: float32[n] = Neg(flat)
      output z"
    `);
  });

  it('with a branch that cannot run has the type of the other', () => {
    expect(
      text({
        inputs: { x: float32('n', 2), flag: tensorOf('bool') },
        initializers: { axis: ints(1) },
        nodes: [
          node('If', 'flag', 'y', {
            then_branch: { body: { nodes: [node('Squeeze', ['x', 'axis'], 'flat')], outputs: ['flat'] } },
            else_branch: abs,
          }),
        ],
        outputs: ['y'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n, 2]
      input flag: bool[]
      y: float32[n, 2] = If(flag)
        then_branch:
          fails: node "Squeeze_1", Squeeze (opset 21); input shapes float32[n, 2], int64[1]: axis 1 of [n, 2] has not the size 1.
          flat: unknown = Squeeze(x, int64[1])
          output flat
        else_branch:
          y2: float32[n, 2] = Abs(x)
          output y2
      output y"
    `);
  });

  it('passes on sizes on which its branches agree', () => {
    const graph = text({
      inputs: { x: float32('n', 'm'), flag: tensorOf('bool') },
      initializers: { at: scalar(1) },
      nodes: [
        node('Shape', 'x', 'shape'),
        node('If', 'flag', 'size', {
          then_branch: { body: { nodes: [node('Gather', ['shape', 'at'], 'one', { axis: 0 })], outputs: ['one'] } },
          else_branch: {
            body: { nodes: [node('Shape', 'x', 'again'), node('Gather', ['again', 'at'], 'two')], outputs: ['two'] },
          },
        }),
        node('Unsqueeze', ['size', 'zero'], 'target'),
        node('Reshape', ['row', 'target'], 'y'),
        node('ReduceSum', ['x', 'zero'], 'row', { keepdims: 1 }),
        node('Constant', [], 'zero', { value_ints: [0] }),
      ],
      outputs: ['y'],
    });
    expect(graph).toContain('size: int64[] = [m] = If(flag)');
    expect(graph).toContain('y: float32[m] = Reshape');
  });

  it('inside a branch is taken apart, too, and names stay unique', () => {
    const inner = (name: string) => node('If', 'yes', name, { then_branch: relu, else_branch: abs });
    const graph = prepared({
      inputs: { x: float32('n') },
      initializers: { yes: new Tensor('bool', [true], []) },
      nodes: [
        node(
          'If',
          'yes',
          'p',
          { then_branch: { body: { nodes: [inner('q')], outputs: ['q'] } }, else_branch: abs },
          { name: 'outer' },
        ),
        node('If', 'yes', 'r', {
          then_branch: { body: { nodes: [node('Neg', 'x', 'y1')], outputs: ['y1'] } },
          else_branch: abs,
        }),
        node('Add', ['p', 'r'], 'sum'),
      ],
      outputs: ['sum'],
    });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "input x: float32[n]
      y1: float32[n] = Relu(x)
      If_5/y1: float32[n] = Neg(x)
      sum: float32[n] = Add(y1, If_5/y1)
      output sum"
    `);
  });
});

describe('a loop', () => {
  it('carries sizes that change under symbols of their own', () => {
    expect(
      text({
        inputs: { x: float32('n', 2), trips: int64() },
        nodes: [
          node('Loop', ['trips', '', 'x'], ['last', 'rows'], {
            body: {
              body: {
                inputs: { i: int64(), go: tensorOf('bool'), a: float32('batch', 2) },
                nodes: [
                  node('Concat', ['a', 'x'], 'longer', { axis: 0 }),
                  node('ReduceSum', ['a', 'axis'], 'row', { keepdims: 0 }),
                  node('Identity', 'go', 'on'),
                  node('Constant', [], 'axis', { value_ints: [0] }),
                ],
                outputs: ['on', 'longer', 'row'],
              },
            },
          }),
        ],
        outputs: ['last', 'rows'],
      }),
    ).toMatchInlineSnapshot(`
      "input x: float32[n, 2]
      input trips: int64[]
      last: float32[body#3, 2], rows: float32[body#4, 2] = Loop(trips, _, x)
        body:
          input i: int64[]
          input go: bool[]
          input a: float32[carried#0, 2]
          longer: float32[carried#0 + n, 2] = Concat(a, x) {axis=0}
          row: float32[2] = ReduceSum(a, int64[0]) {keepdims=0}
          on: bool[] = Identity(go)
          output on, longer, row
      output last, rows"
    `);
  });

  it('folds nothing that only holds for the first iteration', () => {
    const graph = text({
      inputs: { trips: int64() },
      initializers: { x: new Tensor('float32', [1, 2, 3]) },
      nodes: [
        node('Loop', ['trips', '', 'x'], ['last'], {
          body: {
            body: {
              inputs: { i: int64(), go: tensorOf('bool'), a: float32(3) },
              nodes: [
                node('Concat', ['a', 'a'], 'longer', { axis: 0 }),
                node('Shape', 'a', 'shape'),
                node('Cast', 'shape', 'float', { to: 1 }),
                node('Mul', ['longer', 'float'], 'scaled'),
              ],
              outputs: ['go', 'scaled'],
            },
          },
        }),
      ],
      outputs: ['last'],
    });
    expect(graph).toMatch(/shape: int64\[1\] = \[carried#\d\] = Shape\(a\)/);
  });

  it('may change the shapes in a sequence', () => {
    const graph = text({
      inputs: { x: float32('n'), trips: int64() },
      nodes: [
        node('SequenceConstruct', 'x', 'start'),
        node('Loop', ['trips', '', 'start'], 'list', {
          body: {
            body: {
              inputs: { i: int64(), go: tensorOf('bool'), items: sequenceOf(float32('n')) },
              nodes: [
                node('SequenceAt', ['items', 'last'], 'item'),
                node('Concat', ['item', 'item'], 'longer', { axis: 0 }),
                node('SequenceInsert', ['items', 'longer'], 'more'),
                node('Constant', [], 'last', { value_int: -1 }),
              ],
              outputs: ['go', 'more'],
            },
          },
        }),
      ],
      outputs: ['list'],
    });
    expect(graph).toContain('list: sequence(float32[…]) = Loop(trips, _, start)');
  });
});

describe('optimisation', () => {
  it('can be left out; what must happen still does', () => {
    const spec: ModelSpec = {
      inputs: { x: float32('n') },
      initializers: { yes: new Tensor('bool', [true], []) },
      nodes: [
        node('Exp', 'x', 'a'),
        node('Exp', 'x', 'b'),
        node('Add', ['a', 'b'], 'sum'),
        node('If', 'yes', 'y', {
          then_branch: { body: { nodes: [node('Relu', 'sum', 'r')], outputs: ['r'] } },
          else_branch: { body: { nodes: [node('Neg', 'sum', 's')], outputs: ['s'] } },
        }),
      ],
      outputs: ['y'],
    };
    const operators = (optimize: boolean): string[] => prepared(spec, { optimize }).nodes.map(({ op }) => op);
    expect(operators(true)).toEqual(['Exp', 'Add', 'Relu']);
    expect(operators(false)).toEqual(['Exp', 'Exp', 'Add', 'Relu', 'Identity']);
  });
});
