// Products with packed weights against the same product with the weights unpacked by hand.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

function run(op: string, inputs: (Tensor | undefined)[], attributes: Record<string, number>): number[] {
  const entries = Object.entries(attributes).map(([name, value]): [string, AttributeValue] => [
    name,
    { type: 'int', value },
  ]);
  const node: GraphNode = {
    name: 'n',
    domain: 'com.microsoft',
    op,
    opset: 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: [newValue('y')],
    attributes: new Map(entries),
  };
  const [result] = new HostEvaluator(defaultRegistry()).evaluate(node, inputs);
  return (result as Tensor).toNumberArray();
}

/** Numbers that look random but are the same each time. */
const levels = (count: number, range: number): number[] =>
  Array.from({ length: count }, (_, at) => (at * 7919 + 31 * (at % 13)) % range);
const reals = (count: number): number[] => levels(count, 41).map((level) => (level - 20) / 16);
const float = (items: number[], dims: number[]): Tensor => new Tensor('float32', Float32Array.from(items), dims);

/** Packs fields of `bits` bits, low bits first; every row begins with a new byte. */
function pack(rows: number[][], bits: number): Uint8Array {
  const perByte = 8 / bits;
  const bytes = rows.flatMap((row) => {
    const packed = new Array<number>(Math.ceil(row.length / perByte)).fill(0);
    row.forEach((value, at) => {
      packed[Math.floor(at / perByte)] |= value << (bits * (at % perByte));
    });
    return packed;
  });
  return Uint8Array.from(bytes);
}

const chunk = <T>(items: T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));

describe.each([2, 4, 8])('MatMulNBits of %i bits', (bits) => {
  const [m, n, k, block] = [3, 5, 40, 16];
  const blocks = Math.ceil(k / block);
  const a = reals(m * k);
  const weights = levels(n * blocks * block, 2 ** bits);
  const scales = reals(n * blocks).map((scale) => scale + 0.03);
  const zeros = levels(n * blocks, 2 ** bits);
  const b = new Tensor('uint8', pack(chunk(weights, block), bits), [n, blocks, (block * bits) / 8]);
  const attributes = { K: k, N: n, bits, block_size: block };

  const expected = (zeroAt: (row: number, group: number) => number, groupOf = (at: number) => Math.floor(at / block)) =>
    Array.from({ length: m * n }, (_, at) => {
      const [row, column] = [Math.floor(at / n), at % n];
      let sum = 0;
      for (let i = 0; i < k; i++) {
        const group = groupOf(i);
        const level = weights[column * blocks * block + i];
        sum += a[row * k + i] * (level - zeroAt(column, group)) * scales[column * blocks + group];
      }
      return sum;
    });
  const close = (got: number[], want: number[]): void => {
    expect(got.length).toBe(want.length);
    got.forEach((value, at) => {
      expect(value).toBeCloseTo(want[at], 2);
    });
  };
  const base = [float(a, [m, k]), b, float(scales, [n * blocks])];

  it('has its zero in the middle by default', () => {
    close(
      run('MatMulNBits', base, attributes),
      expected(() => 2 ** (bits - 1)),
    );
  });

  it('reads packed and real zero points', () => {
    const packed = pack(chunk(zeros, blocks), bits);
    const want = expected((row, group) => zeros[row * blocks + group]);
    close(run('MatMulNBits', [...base, new Tensor('uint8', packed, [packed.length])], attributes), want);
    close(run('MatMulNBits', [...base, float(zeros, [n, blocks])], attributes), want);
  });

  it('looks groups up by g_idx, and adds a bias', () => {
    const groups = levels(k, blocks);
    const bias = reals(n);
    const index = new Tensor('int32', Int32Array.from(groups), [k]);
    const got = run('MatMulNBits', [...base, undefined, index, float(bias, [n])], attributes);
    const want = expected(
      () => 2 ** (bits - 1),
      (at) => groups[at],
    );
    close(
      got,
      want.map((value, at) => value + bias[at % n]),
    );
  });
});

it('MatMulBnb4 reads codes high half first', () => {
  const [n, k, block] = [3, 8, 16];
  const codes = levels(n * k, 16);
  const bytes = chunk(codes, 2).map(([high, low]) => (high << 4) | low);
  const absmax = [2, 3];
  const a = reals(k);
  const fp4 = [0, 1 / 192, 2 / 3, 1, 1 / 3, 0.5, 1 / 6, 0.25];
  const want = Array.from({ length: n }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < k; i++) {
      const at = row * k + i;
      const code = codes[at];
      sum += a[i] * (code < 8 ? fp4[code] : -fp4[code - 8]) * absmax[Math.floor(at / block)];
    }
    return sum;
  });
  const inputs = [float(a, [1, k]), new Tensor('uint8', Uint8Array.from(bytes)), float(absmax, [2])];
  const got = run('MatMulBnb4', inputs, { K: k, N: n, block_size: block, quant_type: 0 });
  got.forEach((value, at) => {
    expect(value).toBeCloseTo(want[at], 4);
  });
});
