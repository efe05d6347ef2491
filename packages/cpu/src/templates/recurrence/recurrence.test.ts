import { createSession, reference, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import { cpu } from '../../index.ts';
import { disassemble } from '../../wasm/disassemble.ts';
import { emitStateProduct } from './state-product.ts';

const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Park–Miller: small and good enough to vary sizes. */
function randomFrom(start: number): (below: number) => number {
  let state = (start % 2147483646) + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

const gatesOf = { RNN: 1, GRU: 3, LSTM: 4 } as const;

interface Sizes {
  readonly op: keyof typeof gatesOf;
  readonly steps: number;
  readonly batch: number;
  readonly hidden: number;
  readonly directions: 1 | 2;
  readonly dtype?: 'float32' | 'float64';
  readonly lengths?: readonly number[];
  readonly linearBeforeReset?: number;
}

const int = (name: string, value: number) => ({ name, type: AttributeType.INT, i: BigInt(value) });
const text = (name: string, value: string) => ({
  name,
  type: AttributeType.STRING,
  s: new TextEncoder().encode(value),
});

/** A model of one node, with weights in it, and its inputs. */
function modelOf({ op, steps, batch, hidden, directions, dtype = 'float32', lengths, linearBeforeReset }: Sizes) {
  const random = randomFrom(seed);
  const elemType = dtype === 'float32' ? 1 : 11;
  const width = gatesOf[op] * hidden;
  const inputs = 5;
  // Weights of a size that forgets: otherwise differences in the last bit would grow from step to step.
  const scale = 1 / Math.sqrt(hidden);
  const tensor = (dims: readonly number[]): Tensor => {
    const count = dims.reduce((a, b) => a * b, 1);
    const values = Array.from({ length: count }, () => (random(2001) / 1000 - 1) * scale);
    return new Tensor(dtype, dtype === 'float32' ? Float32Array.from(values) : Float64Array.from(values), dims);
  };
  const weights = {
    w: tensor([directions, width, inputs]),
    r: tensor([directions, width, hidden]),
    b: tensor([directions, 2 * width]),
    h: tensor([directions, batch, hidden]),
  };
  const node = {
    opType: op,
    input: ['x', 'w', 'r', 'b', lengths ? 'lengths' : '', 'h'],
    output: ['y', 'last'],
    attribute: [
      int('hidden_size', hidden),
      text('direction', directions === 2 ? 'bidirectional' : 'forward'),
      ...(linearBeforeReset === undefined ? [] : [int('linear_before_reset', linearBeforeReset)]),
    ],
  };
  const bytes = encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 22 }],
    graph: {
      name: 'recurrent',
      input: [
        {
          name: 'x',
          type: {
            tensorType: {
              elemType,
              shape: { dim: [{ dimParam: 'steps' }, { dimParam: 'batch' }, { dimValue: inputs }] },
            },
          },
        },
        ...(lengths
          ? [{ name: 'lengths', type: { tensorType: { elemType: 6, shape: { dim: [{ dimParam: 'batch' }] } } } }]
          : []),
      ],
      initializer: Object.entries(weights).map(([name, { dims, data }]) => ({
        name,
        dims,
        dataType: elemType,
        rawData: new Uint8Array((data as Float32Array).buffer),
      })),
      node: [node],
      output: ['y', 'last'].map((name) => ({ name, type: { tensorType: { elemType } } })),
    },
  });
  const x = tensor([steps, batch, inputs]);
  const feeds: Record<string, Tensor> = lengths
    ? { x, lengths: new Tensor('int32', Int32Array.from(lengths), [batch]) }
    : { x };
  return { bytes, feeds };
}

/** Runs both providers and compares; gives the names of what is run on the CPU. */
async function expectAgreement(sizes: Sizes, threads: number): Promise<readonly string[]> {
  const { bytes, feeds } = modelOf(sizes);
  await using slow = await createSession(bytes, { providers: [reference()] });
  await using fast = await createSession(bytes, { providers: [cpu({ threads })] });
  const [want, got] = [await slow.run(feeds), await fast.run(feeds)];
  for (const name of ['y', 'last']) {
    expect(got[name].dims).toEqual(want[name].dims);
    const [a, b] = [got[name].data as Float32Array, want[name].data as Float32Array];
    for (let at = 0; at < b.length; at++) {
      if (!(Math.abs(a[at] - b[at]) <= 1e-4 + 1e-4 * Math.abs(b[at])))
        throw new Error(`${JSON.stringify(sizes)}: ${name} at ${at}: ${a[at]} instead of ${b[at]}`);
    }
  }
  return fast
    .explain()
    .steps.flatMap((step) => ('kernels' in step ? (step.kernels ?? []).map(({ kind }) => kind) : []));
}

describe(`recurrences against the reference (seed ${seed})`, () => {
  it('blocks of units and rows of all sizes, one direction or both', async () => {
    const random = randomFrom(seed);
    for (let round = 0; round < 18; round++) {
      const op = (['RNN', 'GRU', 'LSTM'] as const)[round % 3];
      const sizes: Sizes = {
        op,
        steps: 1 + random(4),
        batch: [1, 1 + random(10), 30 + random(10)][random(3)],
        hidden: [4 + random(6), 60 + random(12), 125 + random(70)][random(3)],
        directions: random(2) === 0 ? 1 : 2,
        ...(op === 'GRU' && { linearBeforeReset: random(2) }),
      };
      const kinds = await expectAgreement(sizes, 1 + (round % 2));
      expect(kinds, JSON.stringify(sizes)).toContain('recurrent product');
    }
  });

  it('two threads share the units of one sequence, step by step', async () => {
    for (const linearBeforeReset of [0, 1]) {
      await expectAgreement({ op: 'GRU', steps: 40, batch: 1, hidden: 200, directions: 1, linearBeforeReset }, 2);
    }
    await expectAgreement({ op: 'LSTM', steps: 40, batch: 3, hidden: 200, directions: 2 }, 2);
  });

  it('sequences of their own lengths', async () => {
    const lengths = [3, 0, 5, 1];
    await expectAgreement({ op: 'LSTM', steps: 5, batch: 4, hidden: 20, directions: 2, lengths }, 1);
    await expectAgreement({ op: 'GRU', steps: 5, batch: 4, hidden: 20, directions: 2, lengths }, 1);
  });

  it('sequences without steps or entries', async () => {
    await expectAgreement({ op: 'LSTM', steps: 0, batch: 2, hidden: 8, directions: 1 }, 1);
    await expectAgreement({ op: 'LSTM', steps: 2, batch: 0, hidden: 8, directions: 1 }, 1);
  });

  it('what no template takes runs in generated loops', async () => {
    const sizes: Sizes = { op: 'LSTM', steps: 3, batch: 2, hidden: 9, directions: 2, dtype: 'float64' };
    expect(await expectAgreement(sizes, 1)).toContain('recurrence');
    expect(await expectAgreement({ ...sizes, op: 'GRU', hidden: 2, dtype: 'float32' }, 1)).toContain('recurrence');
  });
});

it('a length beyond the sequence is an error that names the node', async () => {
  const { bytes, feeds } = modelOf({ op: 'LSTM', steps: 2, batch: 1, hidden: 8, directions: 1, lengths: [3] });
  await using session = await createSession(bytes, { providers: [cpu({ threads: 1 })] });
  await expect(session.run(feeds)).rejects.toThrow(/LSTM/);
});

it('one row times two panels', () => {
  const options = { rows: 1, streams: 2, units: 6, rowBytes: 24, relaxed: true };
  expect(disassemble(emitStateProduct({ ...options, outOffset: (_row, stream) => stream * 32 }))).toMatchSnapshot();
});
