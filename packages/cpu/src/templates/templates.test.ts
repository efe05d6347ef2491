import { createSession, reference, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel, type MessageInput, type ModelProto, type NodeProto } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';
import { disassemble } from '../wasm/disassemble.ts';
import { emitMicroKernel } from './micro-kernel.ts';

const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Park–Miller: small and good enough to vary sizes. */
function randomFrom(start: number): (below: number) => number {
  let state = (start % 2147483646) + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

const floats = (random: (below: number) => number, count: number): Float32Array =>
  Float32Array.from({ length: count }, () => random(2001) / 1000 - 1);

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

interface Case {
  readonly nodes: readonly MessageInput<NodeProto>[];
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly weights: Readonly<Record<string, Tensor>>;
}

function modelOf({ nodes, feeds, weights }: Case): MessageInput<ModelProto> {
  const type = (dims: readonly number[], name: string) => ({
    tensorType: {
      elemType: 1,
      shape: { dim: dims.map((size, axis) => (axis === 0 ? { dimParam: `${name}0` } : { dimValue: size })) },
    },
  });
  return {
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'case',
      input: Object.entries(feeds).map(([name, { dims }]) => ({ name, type: type(dims, name) })),
      initializer: Object.entries(weights).map(([name, { dims, data }]) => ({
        name,
        dataType: 1,
        dims,
        floatData: data as Float32Array,
      })),
      node: nodes,
      output: [{ name: 'y', type: { tensorType: { elemType: 1 } } }],
    },
  };
}

/** Kernel classes that the CPU provider made of it. */
async function expectAgreement(made: Case, threads: number, wideVectors = true): Promise<void> {
  const bytes = encodeModel(modelOf(made));
  await using slow = await createSession(bytes, { providers: [reference()] });
  await using fast = await createSession(bytes, { providers: [cpu({ threads, wideVectors })] });
  const want = (await slow.run(made.feeds)).y;
  const got = (await fast.run(made.feeds)).y;
  expect(got.dims).toEqual(want.dims);
  const [a, b] = [got.data as Float32Array, want.data as Float32Array];
  for (let at = 0; at < b.length; at++) {
    if (Math.abs(a[at] - b[at]) > 1e-4 + 1e-4 * Math.abs(b[at]))
      throw new Error(`at ${at}: ${a[at]} instead of ${b[at]}`);
  }
}

const ints = (name: string, values: readonly number[]) => ({
  name,
  type: AttributeType.INTS,
  ints: values.map(BigInt),
});
const int = (name: string, value: number) => ({ name, type: AttributeType.INT, i: BigInt(value) });

describe(`templates against the reference (seed ${seed})`, () => {
  it('matrix products with epilogues', async () => {
    const random = randomFrom(seed);
    for (let round = 0; round < 24; round++) {
      // Long sums are computed in parts.
      const isLong = round % 4 === 3;
      const [m, k, n] = [1 + random(isLong ? 20 : 70), 1 + random(isLong ? 1200 : 40), 1 + random(isLong ? 40 : 150)];
      const batch = random(3) === 0 ? [1 + random(3)] : [];
      const isWeight = random(2) === 0;
      const x = new Tensor('float32', floats(random, product([...batch, m, k])), [...batch, m, k]);
      const w = new Tensor('float32', floats(random, product([...(isWeight ? [] : batch), k, n])), [
        ...(isWeight ? [] : batch),
        k,
        n,
      ]);
      const bias = new Tensor('float32', floats(random, n), [n]);
      await expectAgreement(
        {
          nodes: [
            { opType: 'MatMul', input: ['x', 'w'], output: ['a'] },
            { opType: 'Add', input: ['a', 'bias'], output: ['b'] },
            { opType: random(2) === 0 ? 'Relu' : 'Tanh', input: ['b'], output: ['y'] },
          ],
          feeds: isWeight ? { x } : { x, w },
          weights: isWeight ? { w, bias } : { bias },
        },
        1 + (round % 2),
        random(2) === 0,
      );
    }
  });

  it('chains of convolutions, depthwise ones and pools', async () => {
    const random = randomFrom(seed + 1);
    for (let round = 0; round < 24; round++) {
      const [channels, middle] = [1 + random(9), 1 + random(40)];
      const [height, width] = [5 + random(12), 5 + random(12)];
      const kernel = [1 + random(3), 1 + random(5)];
      const pads = [random(kernel[0]), random(kernel[1]), random(kernel[0]), random(kernel[1])];
      const strides = [1 + random(2), 1 + random(2)];
      const x = new Tensor('float32', floats(random, product([2, channels, height, width])), [
        2,
        channels,
        height,
        width,
      ]);
      const w = new Tensor('float32', floats(random, product([middle, channels, ...kernel])), [
        middle,
        channels,
        ...kernel,
      ]);
      const d = new Tensor('float32', floats(random, middle * 9), [middle, 1, 3, 3]);
      const bias = new Tensor('float32', floats(random, middle), [middle]);
      await expectAgreement(
        {
          nodes: [
            {
              opType: 'Conv',
              input: ['x', 'w', 'bias'],
              output: ['a'],
              attribute: [ints('kernel_shape', kernel), ints('pads', pads), ints('strides', strides)],
            },
            { opType: 'Relu', input: ['a'], output: ['b'] },
            {
              opType: 'Conv',
              input: ['b', 'd'],
              output: ['c'],
              attribute: [ints('kernel_shape', [3, 3]), ints('pads', [1, 1, 1, 1]), int('group', middle)],
            },
            { opType: 'Sigmoid', input: ['c'], output: ['e'] },
            {
              opType: random(2) === 0 ? 'MaxPool' : 'AveragePool',
              input: ['e'],
              output: ['y'],
              attribute: [ints('kernel_shape', [2, 2]), ints('strides', [1, 1]), ints('pads', [1, 0, 0, 1])],
            },
          ],
          feeds: { x },
          weights: { w, d, bias },
        },
        1 + (round % 2),
      );
    }
  });

  it('grouped convolutions', async () => {
    const random = randomFrom(seed + 2);
    for (let round = 0; round < 16; round++) {
      const [groups, perGroup, members] = [2 + random(3), 1 + random(12), 6 + random(14)];
      const [channels, outputs] = [groups * perGroup, groups * members];
      // Large images of plain windows are transformed.
      const side = round % 4 === 0 ? 24 : 5 + random(8);
      const kernel = round % 4 === 0 || random(2) === 0 ? 3 : 1;
      const stride = round % 4 === 0 ? 1 : 1 + random(2);
      const x = new Tensor('float32', floats(random, product([2, channels, side, side])), [2, channels, side, side]);
      const w = new Tensor('float32', floats(random, product([outputs, perGroup, kernel, kernel])), [
        ...[outputs, perGroup],
        ...[kernel, kernel],
      ]);
      const [bias, scale] = [0, 1].map(() => new Tensor('float32', floats(random, outputs), [outputs, 1, 1]));
      const mixed = new Tensor('float32', floats(random, outputs * 8), [8, outputs, 1, 1]);
      const border = (kernel - 1) / 2;
      await expectAgreement(
        {
          nodes: [
            {
              opType: 'Conv',
              input: ['x', 'w'],
              output: ['a'],
              attribute: [
                ints('pads', [border, border, border, border]),
                ints('strides', [stride, stride]),
                int('group', groups),
              ],
            },
            { opType: 'Add', input: ['a', 'bias'], output: ['b'] },
            { opType: 'Mul', input: ['b', 'scale'], output: ['c'] },
            ...(random(2) === 0
              ? [{ opType: 'Conv', input: ['c', 'mixed'], output: ['y'] }]
              : [{ opType: 'Relu', input: ['c'], output: ['y'] }]),
          ],
          feeds: { x },
          weights: { w, bias, scale, mixed },
        },
        1 + (round % 2),
        random(2) === 0,
      );
    }
  });
});

it('the micro-kernel of one row', () => {
  expect(disassemble(emitMicroKernel(1, { arithmetic: 'float32', panel: 'float32', relaxed: true }))).toMatchSnapshot();
});

it('the micro-kernel of six rows without relaxed SIMD', () => {
  expect(
    disassemble(emitMicroKernel(6, { arithmetic: 'float32', panel: 'float32', relaxed: false })),
  ).toMatchSnapshot();
});
