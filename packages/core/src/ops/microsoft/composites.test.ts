// Operators of com.microsoft against others that must agree with them.

import { expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import { defaultRegistry } from '../registry.ts';

type Inputs = readonly (Tensor | undefined)[];
type Attributes = Readonly<Record<string, AttributeValue>>;

function run(op: string, inputs: Inputs, attributes: Attributes = {}, outputs = 1, domain = 'com.microsoft'): Tensor[] {
  const node: GraphNode = {
    name: 'n',
    domain,
    op,
    opset: domain === '' ? 27 : 1,
    inputs: inputs.map((input, at) => input && newValue(`x${at}`)),
    outputs: Array.from({ length: outputs }, (_, at) => newValue(`y${at}`)),
    attributes: new Map(Object.entries(attributes)),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, [...inputs]) as Tensor[];
}

const int = (value: number): AttributeValue => ({ type: 'int', value });
const ints = (...value: number[]): AttributeValue => ({ type: 'ints', value });
const text = (value: string): AttributeValue => ({ type: 'string', value });
const float = (items: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor('float32', Float32Array.from(items), dims);
const int32 = (items: readonly number[], dims: readonly number[] = [items.length]): Tensor =>
  new Tensor('int32', Int32Array.from(items), dims);

let seed = 1;
function reals(...dims: number[]): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const next = (): number => {
    seed = (seed * 48271) % 2147483647;
    return seed / 1073741824 - 1;
  };
  return float(Array.from({ length: count }, next), dims);
}

const numbers = (tensor: Tensor): number[] => tensor.toNumberArray();

function expectClose(got: Tensor, want: Tensor): void {
  expect(got.dims).toEqual(want.dims);
  numbers(got).forEach((value, at) => {
    expect(value).toBeCloseTo(numbers(want)[at], 4);
  });
}

it('MoE mixes the experts that the router picks', () => {
  const [tokens, hidden, inner, experts] = [3, 4, 5, 3];
  const [x, router] = [reals(tokens, hidden), reals(tokens, experts)];
  const [w1, b1, w2, b2] = [
    reals(experts, inner, hidden),
    reals(experts, inner),
    reals(experts, hidden, inner),
    reals(experts, hidden),
  ];
  const [result] = run('MoE', [x, router, w1, b1, w2, b2], { k: int(2), normalize_routing_weights: int(1) });
  const [X, R, W1, B1, W2, B2] = [x, router, w1, b1, w2, b2].map(numbers);
  const expected: number[] = [];
  for (let t = 0; t < tokens; t++) {
    const logits = R.slice(t * experts, (t + 1) * experts);
    const picked = logits
      .map((_, e) => e)
      .sort((a, b) => logits[b] - logits[a])
      .slice(0, 2);
    const total = picked.reduce((sum, e) => sum + Math.exp(logits[e]), 0);
    for (let o = 0; o < hidden; o++) {
      let sum = 0;
      for (const e of picked) {
        let out = B2[e * hidden + o];
        for (let f = 0; f < inner; f++) {
          let mid = B1[e * inner + f];
          for (let h = 0; h < hidden; h++) mid += X[t * hidden + h] * W1[(e * inner + f) * hidden + h];
          out += Math.max(mid, 0) * W2[(e * hidden + o) * inner + f];
        }
        sum += (Math.exp(logits[e]) / total) * out;
      }
      expected.push(sum);
    }
  }
  expectClose(result, float(expected, [tokens, hidden]));
});

it('QMoE is MoE with dequantised weights', () => {
  const [experts, width] = [2, 16];
  const codes = new Tensor(
    'uint8',
    Uint8Array.from({ length: experts * width * 8 }, (_, k) => (k * 37) % 256),
    [experts, width, 8],
  );
  const scales = reals(experts, width);
  const bytes = codes.data as Uint8Array;
  const weights = Array.from({ length: experts * width * width }, (_, k) => {
    const field = (bytes[k >> 1] >> (4 * (k % 2))) & 15;
    return (field - 8) * numbers(scales)[Math.floor(k / width)];
  });
  const dense = float(weights, [experts, width, width]);
  const [x, router] = [reals(3, width), reals(3, experts)];
  const attributes = { activation_type: text('silu') };
  const [got] = run('QMoE', [x, router, codes, scales, undefined, codes, scales], attributes);
  const [want] = run('MoE', [x, router, dense, undefined, dense], attributes);
  numbers(got).forEach((value, at) => {
    expect(value / numbers(want)[at]).toBeCloseTo(1, 3);
  });
});

it('packed attention is attention without the padding', () => {
  const [heads, width] = [2, 8];
  const [q, k, v] = [reals(1, 3, width), reals(1, 3, width), reals(1, 3, width)];
  const packed = (tensor: Tensor): Tensor => tensor.reshape([3, width]);
  const [got] = run(
    'PackedMultiHeadAttention',
    // Sequences of one and two tokens in [2, 2].
    [packed(q), packed(k), packed(v), undefined, int32([0, 2, 3, 1], [2, 2]), int32([0, 1, 3])],
    { num_heads: int(heads) },
  );
  const part = (tensor: Tensor, from: number, to: number): Tensor =>
    float(numbers(tensor).slice(from * width, to * width), [1, to - from, width]);
  const rows = [
    [0, 1],
    [1, 3],
  ].flatMap(([from, to]) => {
    const inputs = [q, k, v].map((tensor) => part(tensor, from, to));
    return numbers(run('MultiHeadAttention', inputs, { num_heads: int(heads) })[0]);
  });
  expectClose(got, float(rows, [3, width]));
});

it('padding that is removed and restored comes back as zeros', () => {
  const x = reals(2, 3, 2);
  const [tokens, offsets, ends, longest] = run('RemovePadding', [x, int32([1, 3])], {}, 4);
  expect(tokens.dims).toEqual([4, 2]);
  expect(numbers(offsets)).toEqual([0, 3, 4, 5, 1, 2]);
  expect([numbers(ends), numbers(longest)]).toEqual([[0, 1, 4], [3]]);
  const restored = numbers(run('RestorePadding', [tokens, offsets])[0]);
  expect(restored).toEqual(numbers(x).map((value, at) => (at >= 2 && at < 6 ? 0 : value)));
});

it('beams read the cache of the beams that they continue', () => {
  const [heads, size, past, room] = [2, 4, 3, 6];
  const [q, k, v] = [reals(2, 1, 8), reals(2, 1, 8), reals(2, 1, 8)];
  const [keys, values] = [reals(2, heads, room, size), reals(2, heads, room, size)];
  const from = [0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
  const reordered = (cache: Tensor): Tensor => {
    const data = numbers(cache);
    const at = (b: number, h: number, t: number, d: number): number => data[((b * heads + h) * room + t) * size + d];
    const items: number[] = [];
    for (let b = 0; b < 2; b++) {
      for (let h = 0; h < heads; h++) {
        for (let t = 0; t < past; t++) for (let d = 0; d < size; d++) items.push(at(from[b * room + t], h, t, d));
      }
    }
    return float(items, [2, heads, past, size]);
  };
  const shared = [keys, values, int32([past]), int32(from, [1, 2, room])];
  const [got, present] = run(
    'MultiHeadAttention',
    [q, k, v, undefined, undefined, undefined, ...shared],
    { num_heads: int(heads) },
    3,
  );
  const plain = [reordered(keys), reordered(values)];
  const [want] = run(
    'MultiHeadAttention',
    [q, k, v, undefined, undefined, undefined, ...plain],
    { num_heads: int(heads) },
    3,
  );
  expectClose(got, want);
  expect(present.dims).toEqual(keys.dims);
});

it('SparseAttention with every block is GroupQueryAttention', () => {
  const [heads, kv, size, room, total] = [4, 2, 4, 32, 18];
  const q = reals(1, 2, heads * size);
  const [k, v] = [reals(1, 2, kv * size), reals(1, 2, kv * size)];
  const cache = [reals(1, kv, room, size), reals(1, kv, room, size)];
  const attributes = { num_heads: int(heads), kv_num_heads: int(kv) };
  const blocks = [int32([0, 1, 3], [1, 3]), int32([0, 0, 1], [1, 3])];
  const got = run(
    'SparseAttention',
    [q, k, v, ...cache, ...blocks, int32([total]), int32([total])],
    { ...attributes, sparse_block_size: int(16) },
    3,
  );
  const want = run('GroupQueryAttention', [q, k, v, ...cache, int32([total - 1]), int32([total])], attributes, 3);
  got.forEach((tensor, at) => {
    expectClose(tensor, want[at]);
  });
});

it('a window of states ends with the state, and goes back one position a slot', () => {
  const [x, w] = [reals(1, 2, 4), reals(2, 1, 3)];
  const [, window] = run('CausalConvWithState', [x, w], { state_window: int(2) }, 2);
  const states = [3, 4].flatMap((length) => {
    const part = run('Slice', [x, int64(0), int64(length), int64(2)], {}, 1, '')[0];
    return numbers(run('CausalConvWithState', [part, w], {}, 2)[1]);
  });
  expect(numbers(window)).toEqual(states);
});

const int64 = (value: number): Tensor => new Tensor('int64', BigInt64Array.of(BigInt(value)), [1]);

it('CausalConvWithState with the channels last is the same with other strides', () => {
  const [x, w, state] = [reals(2, 3, 5), reals(3, 1, 2), reals(2, 3, 1)];
  const turned = (tensor: Tensor): Tensor => run('Transpose', [tensor], { perm: ints(0, 2, 1) }, 1, '')[0];
  const want = run('CausalConvWithState', [x, w, undefined, state], {}, 2);
  const got = run('CausalConvWithState', [turned(x), w, undefined, turned(state)], { channels_last: int(1) }, 2);
  got.forEach((tensor, at) => {
    expectClose(turned(tensor), want[at]);
  });
});

it('VarlenCausalConvWithState is CausalConvWithState for each sequence', () => {
  const [x, w, state] = [reals(5, 3), reals(3, 1, 3), reals(2, 3, 2)];
  const [got, final] = run('VarlenCausalConvWithState', [x, w, int32([0, 2, 5]), undefined, state], {}, 2);
  const parts = [
    [0, 2],
    [2, 5],
  ].map(([from, to], b) => {
    const rows = float(numbers(x).slice(from * 3, to * 3), [1, to - from, 3]);
    const own = run(
      'Transpose',
      [float(numbers(state).slice(b * 6, b * 6 + 6), [1, 3, 2])],
      { perm: ints(0, 2, 1) },
      1,
      '',
    )[0];
    return run('CausalConvWithState', [rows, w, undefined, own], { channels_last: int(1) }, 2);
  });
  expectClose(
    got,
    float(
      parts.flatMap(([result]) => numbers(result)),
      [5, 3],
    ),
  );
  const states = parts.map(([, after]) => run('Transpose', [after], { perm: ints(0, 2, 1) }, 1, '')[0]);
  expectClose(final, float(states.flatMap(numbers), [2, 3, 2]));
});

it('GatedDeltaNet is LinearAttention on packed tokens', () => {
  const [tokens, heads, size] = [4, 2, 3];
  const [q, k, v] = [reals(tokens, heads, size), reals(tokens, heads, size), reals(tokens, heads, size)];
  const [decay, beta] = [reals(tokens, heads), reals(tokens, heads)];
  const [got] = run('GatedDeltaNet', [q, k, v, int32([0, tokens]), decay, beta], {}, 2);
  const flat = (tensor: Tensor): Tensor => tensor.reshape([1, tokens, tensor.size / tokens]);
  const attributes = { q_num_heads: int(heads), kv_num_heads: int(heads) };
  const [want] = run('LinearAttention', [flat(q), flat(k), flat(v), undefined, flat(decay), flat(beta)], attributes, 2);
  expectClose(flat(got), want);
});

it('a box over the whole image crops all of it', () => {
  const x = reals(1, 2, 3, 4);
  const [result] = run('CropAndResize', [x, float([0, 0, 1, 1], [1, 4]), int32([0]), int32([3, 4])]);
  expectClose(result, x);
});

it('Irfft undoes Rfft', () => {
  const x = reals(2, 6);
  expectClose(run('Irfft', run('Rfft', [x]), { signal_ndim: int(1) })[0], x);
});

it('a matrix times its inverse is the identity', () => {
  const x = reals(2, 3, 3);
  const [product] = run('MatMul', [x, run('Inverse', [x])[0]], {}, 1, '');
  expectClose(product, float([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1], [2, 3, 3]));
});

it('strings are cut, hashed and blocked', () => {
  const words = new Tensor('string', ['Hello World', 'I am'], [2]);
  const attributes = {
    mark: int(0),
    mincharnum: int(1),
    pad_value: text('#'),
    separators: { type: 'strings', value: [' '] } as const,
  };
  expect(run('Tokenizer', [new Tensor('string', ['a b c', 'd'], [2])], attributes)[0].data).toEqual([
    'a',
    'b',
    'c',
    'd',
    '#',
    '#',
  ]);
  // The reference implementation's hashes of "" and "test" with seed 0.
  expect(numbers(run('MurmurHash3', [new Tensor('string', ['', 'test'])])[0])).toEqual([0, 0xba6bd213]);
  expect(run('Tokenizer', [words], { ...attributes, mincharnum: int(3) })[0].data).toEqual([
    'Hello',
    'World',
    '#',
    '#',
  ]);
  const tokens = new Tensor('int64', BigInt64Array.of(1n, 2n, 3n, 1n, 2n), [1, 5]);
  const [scores] = run('NGramRepeatBlock', [tokens, float([0, 1, 2, 3], [1, 4])], { ngram_size: int(3) });
  expect(numbers(scores)).toEqual([0, 1, 2, -Infinity]);
});
