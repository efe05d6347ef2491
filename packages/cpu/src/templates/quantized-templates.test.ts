import { createSession, reference, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel, type MessageInput, type NodeProto } from '@onnx-ts/onnx-proto';
import { decodeFloat } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { cpu } from '../index.ts';
import { disassemble } from '../wasm/disassemble.ts';
import { emitDotKernel } from './dot-kernel.ts';
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

type Random = (below: number) => number;
type Type = 'float32' | 'int8' | 'uint8' | 'int32' | 'float16';

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** Extremes are more frequent than chance would have them. */
function bytes(random: Random, type: 'int8' | 'uint8', dims: readonly number[]): Tensor {
  const low = type === 'int8' ? -128 : 0;
  const data = Array.from({ length: product(dims) }, () => low + (random(4) === 0 ? random(2) * 255 : random(256)));
  return new Tensor(type, data, dims);
}

function floats(random: Random, dims: readonly number[], scale = 1): Tensor {
  const data = Float32Array.from({ length: product(dims) }, () => ((random(20001) - 10000) / 10000) * scale);
  return new Tensor('float32', data, dims);
}

const codes: Readonly<Record<Type, number>> = { float32: 1, uint8: 2, int8: 3, int32: 6, float16: 10 };

interface Case {
  readonly nodes: readonly MessageInput<NodeProto>[];
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly weights: Readonly<Record<string, Tensor>>;
  readonly output: Type;
}

function encode({ nodes, feeds, weights, output }: Case): Uint8Array {
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 21 }, { domain: 'com.microsoft', version: 1 }],
    graph: {
      name: 'case',
      input: Object.entries(feeds).map(([name, { type, dims }]) => ({
        name,
        type: {
          tensorType: {
            elemType: codes[type as Type],
            shape: { dim: dims.map((size, axis) => (axis === 0 ? { dimParam: `${name}0` } : { dimValue: size })) },
          },
        },
      })),
      initializer: Object.entries(weights).map(([name, { type, dims, data }]) => {
        const array = data as Uint8Array;
        const rawData = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        return { name, dataType: codes[type as Type], dims, rawData };
      }),
      node: nodes,
      output: [{ name: 'y', type: { tensorType: { elemType: codes[output] } } }],
    },
  });
}

function numbers({ type, data }: Tensor): ArrayLike<number> & { reduce: Float32Array['reduce'] } {
  return type === 'float16'
    ? Float32Array.from(data as Uint16Array, (bits) => decodeFloat('float16', bits))
    : (data as Float32Array);
}

/**
 * @param tolerance largest difference relative to the largest value; 0 for equal bits
 * @param noise difference that may be there in any case
 */
async function expectAgreement(
  made: Case,
  options: { threads: number; tolerance?: number; noise?: number; templates?: number; wideVectors?: boolean },
): Promise<number> {
  const { threads, tolerance = 0, noise = 0, templates, wideVectors = true } = options;
  const model = encode(made);
  await using slow = await createSession(model, { providers: [reference()] });
  await using fast = await createSession(model, { providers: [cpu({ threads, wideVectors })] });
  const want = (await slow.run(made.feeds)).y;
  const got = (await fast.run(made.feeds)).y;
  expect(got.dims).toEqual(want.dims);
  const [a, b] = [numbers(got), numbers(want)];
  const scale = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let at = 0; at < b.length; at++) {
    if (!(Math.abs(a[at] - b[at]) <= Math.max(tolerance * scale, noise)))
      throw new Error(`at ${at} of [${got.dims}]: ${a[at]} instead of ${b[at]}`);
  }
  const kinds = fast.explain().steps.flatMap((step) => ('kernels' in step ? step.kernels : [])) as readonly {
    kind: string;
  }[];
  const taken = kinds.filter(({ kind }) => kind.endsWith('product')).length;
  if (templates !== undefined) expect(taken, `kernels ${kinds.map(({ kind }) => kind)}`).toBe(templates);
  return taken;
}

const int = (name: string, value: number) => ({ name, type: AttributeType.INT, i: BigInt(value) });
const ints = (name: string, values: readonly number[]) => ({
  name,
  type: AttributeType.INTS,
  ints: values.map(BigInt),
});

describe(`quantised templates against the reference (seed ${seed})`, () => {
  it('MatMulInteger: all types and zero points, bit by bit', async () => {
    const random = randomFrom(seed);
    const pick = (): 'int8' | 'uint8' => (random(2) === 0 ? 'int8' : 'uint8');
    for (let round = 0; round < 32; round++) {
      // Long sums are computed in parts.
      const isLong = round % 4 === 3;
      const [m, k, n] = [1 + random(isLong ? 20 : 70), 1 + random(isLong ? 2600 : 70), 2 + random(isLong ? 30 : 150)];
      const batch = random(3) === 0 ? [1 + random(3)] : [];
      const [ta, tb] = [pick(), pick()];
      const isWeight = random(3) > 0 || m < 4;
      const a = bytes(random, ta, [...batch, m, k]);
      const b = bytes(random, tb, [...(isWeight ? [] : batch), k, n]);
      const za = random(2) === 0 ? { za: bytes(random, ta, []) } : undefined;
      const zb = random(2) === 0 ? { zb: random(2) === 0 ? bytes(random, tb, []) : bytes(random, tb, [n]) } : undefined;
      const input = ['a', 'b', za ? 'za' : '', zb ? 'zb' : ''];
      await expectAgreement(
        {
          nodes: [{ opType: 'MatMulInteger', input, output: ['y'] }],
          feeds: isWeight ? { a, ...za } : { a, b, ...za },
          weights: isWeight ? { b, ...zb } : { ...zb },
          output: 'int32',
        },
        { threads: 1 + (round % 2), templates: 1, wideVectors: random(2) === 0 },
      );
    }
  });

  it('DynamicQuantizeLinear, MatMulInteger, scales and bias', async () => {
    const random = randomFrom(seed + 1);
    for (let round = 0; round < 12; round++) {
      const [m, k, n] = [1 + random(40), 1 + random(70), 2 + random(90)];
      const x = floats(random, [m, k], 3);
      await expectAgreement(
        {
          nodes: [
            { opType: 'DynamicQuantizeLinear', input: ['x'], output: ['q', 's', 'z'] },
            { opType: 'MatMulInteger', input: ['q', 'b', 'z', 'zb'], output: ['i'] },
            { opType: 'Cast', input: ['i'], output: ['f'], attribute: [int('to', 1)] },
            { opType: 'Mul', input: ['s', 'sb'], output: ['both'] },
            { opType: 'Mul', input: ['f', 'both'], output: ['r'] },
            { opType: 'Add', input: ['r', 'bias'], output: ['y'] },
          ],
          feeds: { x },
          weights: {
            b: bytes(random, 'int8', [k, n]),
            zb: new Tensor('int8', [0], []),
            sb: floats(random, [n]),
            bias: floats(random, [n]),
          },
          output: 'float32',
        },
        { threads: 1 + (round % 2), tolerance: 1e-6, templates: 1 },
      );
    }
  });

  it('ConvInteger: windows, pads and strides, bit by bit', async () => {
    const random = randomFrom(seed + 2);
    let taken = 0;
    for (let round = 0; round < 24; round++) {
      const [channels, outputs] = [1 + random(20), 2 + random(40)];
      const size = [4 + random(9), 4 + random(9)];
      const kernel = [1 + random(3), 1 + random(3)];
      const pads = [random(kernel[0]), random(kernel[1]), random(kernel[0]), random(kernel[1])];
      const type = random(2) === 0 ? 'int8' : 'uint8';
      const zw = random(2) === 0 ? { zw: bytes(random, 'int8', [outputs]) } : undefined;
      taken += await expectAgreement(
        {
          nodes: [
            {
              opType: 'ConvInteger',
              input: ['x', 'w', 'zx', ...(zw ? ['zw'] : [])],
              output: ['y'],
              attribute: [
                ints('kernel_shape', kernel),
                ints('pads', pads),
                ints('strides', [1 + random(2), 1 + random(2)]),
                ints('dilations', [1, 1 + random(2)]),
              ],
            },
          ].map((node) =>
            size.some((s, d) => s + pads[d] + pads[d + 2] < 2 * kernel[d])
              ? { ...node, attribute: node.attribute.slice(0, 3) }
              : node,
          ),
          feeds: { x: bytes(random, type, [2, channels, ...size]), zx: bytes(random, type, []) },
          weights: { w: bytes(random, 'int8', [outputs, channels, ...kernel]), ...zw },
          output: 'int32',
        },
        { threads: 1 + (round % 2) },
      );
    }
    // Results of a few rows or columns are not worth a template.
    expect(taken).toBeGreaterThan(12);
  });

  it('convolutions and products between QuantizeLinear and DequantizeLinear', async () => {
    const random = randomFrom(seed + 7);
    for (let round = 0; round < 16; round++) {
      const [channels, middle, outputs] = [1 + random(20), 4 + random(30), 4 + random(30)];
      const size = [5 + random(6), 5 + random(6)];
      const type = random(2) === 0 ? 'int8' : 'uint8';
      const scale = (value: number): Tensor => new Tensor('float32', [value], []);
      const zero = bytes(random, type, []);
      const quantised = (from: string, to: string, step: string) => [
        { opType: 'QuantizeLinear', input: [from, step, 'z'], output: [`${to}q`] },
        { opType: 'DequantizeLinear', input: [`${to}q`, step, 'z'], output: [to] },
      ];
      const kernel = [ints('kernel_shape', [3, 3]), ints('pads', [1, 1, 1, 1])];
      await expectAgreement(
        {
          nodes: [
            ...quantised('x', 'a', 'sx'),
            { opType: 'DequantizeLinear', input: ['w', 'sw'], output: ['wf'], attribute: [int('axis', 0)] },
            { opType: 'Conv', input: ['a', 'wf', 'bias'], output: ['b'], attribute: kernel },
            { opType: 'Relu', input: ['b'], output: ['c'] },
            ...quantised('c', 'd', 'sd'),
            { opType: 'DequantizeLinear', input: ['v', 'sv'], output: ['vf'] },
            { opType: 'Conv', input: ['d', 'vf'], output: ['e'], attribute: kernel },
            { opType: 'GlobalAveragePool', input: ['e'], output: ['f'] },
            { opType: 'Flatten', input: ['f'], output: ['g'] },
            ...quantised('g', 'h', 'sh'),
            { opType: 'DequantizeLinear', input: ['u', 'sv'], output: ['uf'] },
            { opType: 'Gemm', input: ['h', 'uf'], output: ['y'], attribute: [int('transB', 1)] },
          ],
          feeds: { x: floats(random, [2, channels, ...size]) },
          weights: {
            w: bytes(random, 'int8', [middle, channels, 3, 3]),
            v: bytes(random, 'int8', [outputs, middle, 3, 3]),
            u: bytes(random, 'int8', [9, outputs]),
            z: zero,
            bias: floats(random, [middle]),
            sw: new Tensor(
              'float32',
              Float32Array.from({ length: middle }, () => (1 + random(9)) / 500),
              [middle],
            ),
            sv: scale(1 / 256),
            sx: scale(1 / 100),
            sd: scale(1 / 4),
            sh: scale(1 / 2),
          },
          output: 'float32',
        },
        // Sums round differently, so that a few values are quantised to the next step.
        { threads: 1 + (round % 2), tolerance: 5e-2, templates: 3 },
      );
    }
  });

  it('float16: products, convolutions and 4-bit weights', async () => {
    const random = randomFrom(seed + 11);
    const half = (dims: readonly number[]): Tensor => {
      // 2⁻⁴ … 2⁻¹ with any fraction, either sign.
      const data = Uint16Array.from(
        { length: product(dims) },
        () => (random(2) << 15) | ((11 + random(4)) << 10) | random(1024),
      );
      return new Tensor('float16', data, dims);
    };
    for (let round = 0; round < 12; round++) {
      const [m, k, n] = [4 + random(60), 1 + random(60), 4 + random(90)];
      const bits = round % 3 === 2;
      const blocks = Math.ceil(k / 32);
      const nodes = bits
        ? [
            {
              opType: 'MatMulNBits',
              domain: 'com.microsoft',
              input: ['x', 'b', 's'],
              output: ['y'],
              attribute: [int('K', k), int('N', n), int('bits', 4), int('block_size', 32)],
            },
          ]
        : round % 3 === 1
          ? [
              {
                opType: 'Conv',
                input: ['x', 'w', 'bias'],
                output: ['a'],
                attribute: [ints('kernel_shape', [3, 3]), ints('pads', [1, 1, 1, 1])],
              },
              { opType: 'Relu', input: ['a'], output: ['y'] },
            ]
          : [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }];
      await expectAgreement(
        {
          nodes,
          feeds: { x: round % 3 === 1 ? half([2, k, 6, 7]) : half([m, k]) },
          weights: bits
            ? { b: bytes(random, 'uint8', [n, blocks, 16]), s: half([n * blocks]) }
            : round % 3 === 1
              ? { w: half([n, k, 3, 3]), bias: half([n]) }
              : { w: half([k, n]) },
          output: 'float16',
        },
        { threads: 1 + (round % 2), tolerance: 2e-3, templates: 1 },
      );
    }
  });

  for (const level of [0, 4]) {
    it.each([1, 2, 4, 8])(`MatMulNBits of %i bits at accuracy level ${level}`, async (bits) => {
      const random = randomFrom(seed + 3 + level);
      for (let round = 0; round < 24; round++) {
        const block = [16, 32, 64, 128, 256][random(5)] * (bits === 1 ? 2 : 1);
        const blocks = 1 + random(4);
        const k = block * blocks - (random(2) === 0 ? random(block) : 0);
        const [m, n] = [random(2) === 0 ? 1 : 1 + random(70), 2 + random(150)];
        const input = ['a', 'b', 's'];
        const weights: Record<string, Tensor> = {
          b: bytes(random, 'uint8', [n, blocks, (block * bits) / 8]),
          s: floats(random, random(2) === 0 ? [n, blocks] : [n * blocks]),
        };
        const zeros = random(3);
        if (zeros === 1) weights.z = bytes(random, 'uint8', [n * Math.ceil((blocks * bits) / 8)]);
        if (zeros === 2) weights.z = floats(random, [n, blocks], 8);
        if (zeros > 0) input.push('z');
        const batch = random(3) === 0 ? [1 + random(2)] : [];
        // A rounded to 8 bits: each element is off by up to half a step of 1/127, a third of that in the mean square; times
        // the largest weight, and six standard deviations of such a sum.
        const largestWeight = 2 ** bits + (zeros === 2 ? 8 : 0);
        const roundingNoise = (6 * Math.sqrt(k / 3) * largestWeight) / 254;
        await expectAgreement(
          {
            nodes: [
              {
                opType: 'MatMulNBits',
                domain: 'com.microsoft',
                input,
                output: ['y'],
                attribute: [
                  int('K', k),
                  int('N', n),
                  int('bits', bits),
                  int('block_size', block),
                  int('accuracy_level', level),
                ],
              },
            ],
            feeds: { a: floats(random, [...batch, m, k]) },
            weights,
            output: 'float32',
          },
          { threads: 1 + (round % 2), tolerance: 2e-5, noise: level === 4 ? roundingNoise : 0, templates: 1 },
        );
      }
    });
  }
});

it('the micro-kernel of one row of int16', () => {
  expect(disassemble(emitMicroKernel(1, { arithmetic: 'int16', panel: 'int8', relaxed: false }))).toMatchSnapshot();
});

it('the dot kernel of one row of bytes', () => {
  expect(
    disassemble(emitDotKernel({ rows: 1, bits: 4, blockBytes: 16, factors: 'int8', zero: 8, relaxed: true })),
  ).toMatchSnapshot();
});

it('the dot kernel of one row of floats', () => {
  expect(
    disassemble(
      emitDotKernel({ rows: 1, bits: 4, blockBytes: 16, factors: 'float32', zero: undefined, relaxed: false }),
    ),
  ).toMatchSnapshot();
});
