// The com.microsoft attention operators against plain loops, for options that exported models seldom use.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

type Attributes = Record<string, AttributeValue>;

function run(op: string, inputs: readonly (Tensor | undefined)[], outputs: number, attributes: Attributes): Tensor[] {
  const node: GraphNode = {
    name: 'n',
    domain: 'com.microsoft',
    op,
    opset: 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: Array.from({ length: outputs }, (_, at) => newValue(`y${at}`)),
    attributes: new Map(Object.entries(attributes)),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, [...inputs]) as Tensor[];
}

const int = (value: number): AttributeValue => ({ type: 'int', value });
const real = (value: number): AttributeValue => ({ type: 'float', value });
const float = (items: readonly number[], dims: number[]): Tensor =>
  new Tensor('float32', Float32Array.from(items), dims);
const int32 = (items: number[], dims: number[]): Tensor => new Tensor('int32', Int32Array.from(items), dims);
const reals = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, at) => (((at + 1) * 7919 * seed) % 101) / 50 - 1);

const [batch, heads, queries, keys, size] = [2, 2, 3, 4, 8];
const hidden = heads * size;

interface Options {
  readonly bias?: (b: number, h: number, s: number, t: number) => number;
  readonly keep?: (b: number, s: number, t: number) => boolean;
  readonly softcap?: number;
  readonly sink?: readonly number[];
  readonly group?: number;
}

/** [batch, sequence, heads · size] operands, plain loops. */
function attend(
  q: number[],
  k: number[],
  v: number[],
  lengths: readonly [number, number],
  options: Options = {},
): number[] {
  const { bias = () => 0, keep = () => true, softcap = 0, sink, group = 1 } = options;
  const [rows, columns] = lengths;
  const kvHidden = hidden / group;
  const out: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < rows; s++) {
      for (let h = 0; h < heads; h++) {
        const kv = Math.floor(h / group);
        const powers: number[] = [];
        for (let t = 0; t < columns; t++) {
          let dot = 0;
          for (let d = 0; d < size; d++) {
            dot += q[(b * rows + s) * hidden + h * size + d] * k[(b * columns + t) * kvHidden + kv * size + d];
          }
          const scaled = dot / Math.sqrt(size);
          const capped = softcap > 0 ? softcap * Math.tanh(scaled / softcap) : scaled;
          powers.push(keep(b, s, t) ? Math.exp(capped + bias(b, h, s, t)) : 0);
        }
        const total = powers.reduce((sum, power) => sum + power, sink ? Math.exp(sink[h]) : 0);
        for (let d = 0; d < size; d++) {
          let sum = 0;
          for (let t = 0; t < columns; t++) sum += powers[t] * v[(b * columns + t) * kvHidden + kv * size + d];
          out.push(sum / total);
        }
      }
    }
  }
  return out;
}

function expectClose(got: Tensor, want: readonly number[]): void {
  expect(got.size).toBe(want.length);
  got.toNumberArray().forEach((value, at) => {
    expect(value).toBeCloseTo(want[at], 4);
  });
}

describe('MultiHeadAttention', () => {
  const q = reals(batch * queries * hidden, 3);
  const k = reals(batch * keys * hidden, 5);
  const v = reals(batch * keys * hidden, 7);
  const apart = [float(q, [batch, queries, hidden]), float(k, [batch, keys, hidden]), float(v, [batch, keys, hidden])];

  it('adds projection bias, padding mask and attention bias', () => {
    const bias = reals(3 * hidden, 11);
    const added = (x: number[], part: number): number[] =>
      x.map((value, at) => value + bias[part * hidden + (at % hidden)]);
    const mask = [1, 1, 1, 0, 1, 1, 1, 1];
    const extra = reals(queries * keys, 13);
    const inputs = [
      ...apart,
      float(bias, [3 * hidden]),
      int32(mask, [batch, keys]),
      float(extra, [1, 1, queries, keys]),
    ];
    const [y] = run('MultiHeadAttention', inputs, 1, { num_heads: int(heads), mask_filter_value: real(-1e4) });
    const want = attend(added(q, 0), added(k, 1), added(v, 2), [queries, keys], {
      bias: (_, __, s, t) => extra[s * keys + t],
      keep: (b, _, t) => mask[b * keys + t] > 0,
    });
    expectClose(y, want);
  });

  it('reads packed operands', () => {
    const interleave = (parts: number[][], length: number): number[] => {
      const out: number[] = [];
      for (let token = 0; token < batch * length; token++) {
        for (let h = 0; h < heads; h++) {
          for (const part of parts) out.push(...part.slice(token * hidden + h * size, token * hidden + (h + 1) * size));
        }
      }
      return out;
    };
    const pair = float(interleave([k, v], keys), [batch, keys, heads, 2, size]);
    const [y] = run('MultiHeadAttention', [apart[0], pair], 1, { num_heads: int(heads) });
    expectClose(y, attend(q, k, v, [queries, keys]));
    const all = float(interleave([k, v, k], keys), [batch, keys, heads, 3, size]);
    const [z] = run('MultiHeadAttention', [all], 1, { num_heads: int(heads), unidirectional: int(1) });
    expectClose(z, attend(k, v, k, [keys, keys], { keep: (_, s, t) => t <= s }));
  });

  it('appends to a cache by heads', () => {
    const byHeads = (x: number[], length: number): number[] =>
      Array.from({ length: x.length }, (_, at) => {
        const d = at % size;
        const t = Math.floor(at / size) % length;
        const h = Math.floor(at / size / length) % heads;
        const b = Math.floor(at / size / length / heads);
        return x[(b * length + t) * hidden + h * size + d];
      });
    // The first key is past, the other three are new.
    const split = (x: number[], from: number, to: number): number[] =>
      [0, 1].flatMap((b) => x.slice((b * keys + from) * hidden, (b * keys + to) * hidden));
    const inputs = [
      apart[0],
      float(split(k, 1, 4), [batch, 3, hidden]),
      float(split(v, 1, 4), [batch, 3, hidden]),
      undefined,
      undefined,
      undefined,
      float(byHeads(split(k, 0, 1), 1), [batch, heads, 1, size]),
      float(byHeads(split(v, 0, 1), 1), [batch, heads, 1, size]),
    ];
    const [y, presentKey, presentValue] = run('MultiHeadAttention', inputs, 3, { num_heads: int(heads) });
    expectClose(y, attend(q, k, v, [queries, keys]));
    expectClose(presentKey, byHeads(k, keys));
    expectClose(presentValue, byHeads(v, keys));
  });
});

describe('Attention', () => {
  it('projects, then attends with lengths as mask', () => {
    const x = reals(batch * keys * hidden, 3);
    const w = reals(hidden * 3 * hidden, 5).map((value) => value / 8);
    const bias = reals(3 * hidden, 7);
    const project = (part: number): number[] =>
      Array.from({ length: batch * keys * hidden }, (_, at) => {
        const [token, column] = [Math.floor(at / hidden), (at % hidden) + part * hidden];
        let sum = bias[column];
        for (let i = 0; i < hidden; i++) sum += x[token * hidden + i] * w[i * 3 * hidden + column];
        return sum;
      });
    const inputs = [float(x, [batch, keys, hidden]), float(w, [hidden, 3 * hidden]), float(bias, [3 * hidden])];
    const lengths = [3, 4];
    const [y] = run('Attention', [...inputs, int32(lengths, [batch])], 1, { num_heads: int(heads) });
    const keep = (b: number, _: number, t: number): boolean => t < lengths[b];
    expectClose(y, attend(project(0), project(1), project(2), [keys, keys], { keep }));
  });
});

describe('GroupQueryAttention', () => {
  const kvHidden = size;
  const q = reals(batch * keys * hidden, 3);
  const k = reals(batch * keys * kvHidden, 5);
  const v = reals(batch * keys * kvHidden, 7);
  const attributes = { num_heads: int(heads), kv_num_heads: int(1) };
  const prompt = (lengths: number[], extra: readonly (Tensor | undefined)[]): (Tensor | undefined)[] => [
    float(q, [batch, keys, hidden]),
    float(k, [batch, keys, kvHidden]),
    float(v, [batch, keys, kvHidden]),
    undefined,
    undefined,
    int32(
      lengths.map((length) => length - 1),
      [batch],
    ),
    int32([keys], [1]),
    ...extra,
  ];

  it('caps scores, adds a bias, and lets sinks take part', () => {
    const bias = reals(keys * keys, 11);
    const sink = [0.5, -1];
    const extra = [undefined, undefined, undefined, float(bias, [1, 1, keys, keys]), float(sink, [heads])];
    const [y] = run('GroupQueryAttention', prompt([keys, keys], extra), 3, { ...attributes, softcap: real(0.7) });
    const want = attend(q, k, v, [keys, keys], {
      bias: (_, __, s, t) => bias[s * keys + t],
      keep: (_, s, t) => t <= s,
      softcap: 0.7,
      sink,
      group: heads,
    });
    expectClose(y, want);
  });

  it('looks back as far as its window, within padded sequences', () => {
    const lengths = [2, 4];
    const [y] = run('GroupQueryAttention', prompt(lengths, []), 3, { ...attributes, local_window_size: int(2) });
    const want = attend(q, k, v, [keys, keys], {
      keep: (b, s, t) => {
        const end = Math.min(s + 1, lengths[b]);
        return t < end && t >= end - 2;
      },
      group: heads,
    });
    expectClose(y, want);
  });

  it('writes the next token into a cache of fixed size', () => {
    const room = 6;
    const cache = reals(batch * room * size, 13);
    const lengths = [3, 5];
    const token = (x: number[], width: number): number[] =>
      [0, 1].flatMap((b) => x.slice(b * keys * width, (b * keys + 1) * width));
    const inputs = [
      float(token(q, hidden), [batch, 1, hidden]),
      float(token(k, size), [batch, 1, size]),
      float(token(v, size), [batch, 1, size]),
      float(cache, [batch, 1, room, size]),
      float(cache, [batch, 1, room, size]),
      int32(
        lengths.map((length) => length - 1),
        [batch],
      ),
      int32([5], []),
    ];
    const [y, presentKey, presentValue] = run('GroupQueryAttention', inputs, 3, attributes);
    const appended = (x: number[]): number[] =>
      cache.map((value, at) => {
        const [b, t, d] = [Math.floor(at / (room * size)), Math.floor(at / size) % room, at % size];
        return t === lengths[b] - 1 ? x[b * size + d] : value;
      });
    const [wholeKeys, wholeValues] = [appended(token(k, size)), appended(token(v, size))];
    expectClose(presentKey, wholeKeys);
    expectClose(presentValue, wholeValues);
    const keep = (b: number, _: number, t: number): boolean => t < lengths[b];
    expectClose(y, attend(token(q, hidden), wholeKeys, wholeValues, [1, room], { keep, group: heads }));
  });
});
