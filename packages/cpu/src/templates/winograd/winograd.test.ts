import { createSession, reference, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../../index.ts';
import { winogradMaps } from './linear-map.ts';

const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Park–Miller: small and good enough to vary sizes. */
function randomFrom(start: number): (below: number) => number {
  let state = (start % 2147483646) + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

interface Convolution {
  readonly image: readonly number[];
  readonly columns: number;
  readonly pads: readonly number[];
  readonly symbols: readonly string[];
}

function tensor(random: (below: number) => number, dims: readonly number[]): Tensor {
  const size = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: size }, () => random(2001) / 1000 - 1),
    dims,
  );
}

/** Conv, then Relu, added to a second Conv of the same image, which is computed: it is stored channels-last. */
function model({ image, columns, pads, symbols }: Convolution, random: (below: number) => number) {
  const weights = {
    w: tensor(random, [columns, image[1], 3, 3]),
    v: tensor(random, [columns, image[1], 3, 3]),
    bias: tensor(random, [columns]),
  };
  const attribute = [{ name: 'pads', type: AttributeType.INTS, ints: pads.map(BigInt) }];
  const dim = image.map((dimValue, axis) => (symbols[axis] ? { dimParam: symbols[axis] } : { dimValue }));
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'case',
      input: [{ name: 'x', type: { tensorType: { elemType: 1, shape: { dim } } } }],
      initializer: Object.entries(weights).map(([name, { dims, data }]) => ({
        name,
        dataType: 1,
        dims,
        floatData: data as Float32Array,
      })),
      node: [
        { opType: 'Tanh', input: ['x'], output: ['t'] },
        { opType: 'Conv', input: ['t', 'w', 'bias'], output: ['a'], attribute },
        { opType: 'Relu', input: ['a'], output: ['b'] },
        { opType: 'Conv', input: ['t', 'v', 'bias'], output: ['c'], attribute },
        { opType: 'Add', input: ['b', 'c'], output: ['y'] },
      ],
      output: [{ name: 'y', type: { tensorType: { elemType: 1 } } }],
    },
  });
}

/** A Conv in float16 behind a function of the image. */
function narrowModel({ image, columns, pads }: Convolution, random: (below: number) => number) {
  const { dims, data } = tensor(random, [columns, image[1], 3, 3]);
  const to = (type: number) => [{ name: 'to', type: AttributeType.INT, i: BigInt(type) }];
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }],
    graph: {
      name: 'case',
      input: [
        { name: 'x', type: { tensorType: { elemType: 1, shape: { dim: image.map((dimValue) => ({ dimValue })) } } } },
      ],
      initializer: [{ name: 'w', dataType: 1, dims, floatData: data as Float32Array }],
      node: [
        { opType: 'Cast', input: ['x'], output: ['h'], attribute: to(10) },
        { opType: 'Cast', input: ['w'], output: ['v'], attribute: to(10) },
        { opType: 'Tanh', input: ['h'], output: ['t'] },
        {
          opType: 'Conv',
          input: ['t', 'v'],
          output: ['c'],
          attribute: [{ name: 'pads', type: AttributeType.INTS, ints: pads.map(BigInt) }],
        },
        { opType: 'Cast', input: ['c'], output: ['y'], attribute: to(1) },
      ],
      output: [{ name: 'y', type: { tensorType: { elemType: 1 } } }],
    },
  });
}

/**
 * Kinds of the kernels that ran.
 * @param tolerance largest error, relative to the largest result
 * @throws Error when the results differ from the reference's
 */
async function kindsOf(convolution: Convolution, threads: number, build = model, tolerance = 1e-5): Promise<string[]> {
  const random = randomFrom(seed);
  const bytes = build(convolution, random);
  const x = tensor(random, convolution.image);
  await using slow = await createSession(bytes, { providers: [reference()] });
  await using fast = await createSession(bytes, { providers: [cpu({ threads })] });
  const want = (await slow.run({ x })).y;
  fast.startProfiling();
  const got = (await fast.run({ x })).y;
  const { traceEvents } = fast.endProfiling();
  expect(got.dims).toEqual(want.dims);
  const [a, b] = [got.data as Float32Array, want.data as Float32Array];
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let at = 0; at < b.length; at++) {
    if (!(Math.abs(a[at] - b[at]) <= tolerance * largest)) throw new Error(`at ${at}: ${a[at]} instead of ${b[at]}`);
  }
  return traceEvents.map(({ cat }) => cat);
}

describe(`Winograd's convolutions against the reference (seed ${seed})`, () => {
  const cases: readonly (Convolution & { readonly threads: number })[] = [
    { image: [1, 16, 24, 22], columns: 24, pads: [1, 1, 1, 1], symbols: [], threads: 1 },
    { image: [2, 20, 23, 25], columns: 72, pads: [0, 1, 1, 0], symbols: ['n'], threads: 2 },
    { image: [1, 16, 26, 26], columns: 16, pads: [0, 0, 0, 0], symbols: [], threads: 1 },
    { image: [1, 16, 13, 11], columns: 136, pads: [1, 1, 1, 1], symbols: [], threads: 2 },
    { image: [3, 16, 12, 12], columns: 16, pads: [2, 2, 2, 2], symbols: ['n'], threads: 1 },
    { image: [1, 16, 14, 19], columns: 24, pads: [1, 1, 1, 1], symbols: ['n', '', 'h', 'w'], threads: 2 },
  ];
  for (const { threads, ...convolution } of cases) {
    it(`${convolution.image.join(' × ')} to ${convolution.columns}, pads ${convolution.pads.join()}`, async () => {
      expect(await kindsOf(convolution, threads)).toContain('winograd');
    });
  }

  it('widens weights of float16', async () => {
    const convolution = { image: [1, 16, 24, 24], columns: 24, pads: [1, 1, 1, 1], symbols: [] };
    expect(await kindsOf(convolution, 1, narrowModel, 2e-3)).toContain('winograd');
  });

  it('leaves small images to the plain product', async () => {
    const convolution = { image: [1, 16, 7, 7], columns: 16, pads: [1, 1, 1, 1], symbols: [] };
    const kinds = await kindsOf(convolution, 1);
    expect(kinds).toContain('product');
    expect(kinds).not.toContain('winograd');
  });
});

it('maps make a convolution of a tile and a window', () => {
  const apply = ({ before = [], matrix, after = [] }: (typeof winogradMaps)[2]['image'], x: readonly number[]) => {
    const mix = (values: number[], pairs: readonly (readonly [number, number])[]) => {
      for (const [p, q] of pairs) [values[p], values[q]] = [values[p] + values[q], values[p] - values[q]];
      return values;
    };
    const mixed = mix([...x], before);
    const product = matrix.map((row) => row.reduce((sum, factor, at) => sum + factor * mixed[at], 0));
    return mix(product, after);
  };
  for (const maps of Object.values(winogradMaps)) {
    const pixels = Array.from({ length: maps.size + 2 }, (_, at) => at * at - 3);
    const window = [2, -1, 5];
    const image = apply(maps.image, pixels);
    const weight = apply(maps.weight, window);
    const result = apply(
      maps.result,
      image.map((value, at) => value * weight[at]),
    );
    for (let at = 0; at < maps.size; at++) {
      const want = window.reduce((sum, factor, tap) => sum + factor * pixels[at + tap], 0);
      expect(result[at]).toBeCloseTo(want, 10);
    }
  }
});
