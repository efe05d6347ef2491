import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { float32, node, tensorOf } from '../../testing/build-model.ts';
import { errorOf, open } from '../../testing/open-session.ts';

const [hidden, heads, size, past, room] = [8, 2, 4, 3, 6];
const reals = (dims: readonly number[], seed: number): Tensor => {
  const count = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: count }, (_, at) => Math.sin(seed + at * 1.7)),
    dims,
  );
};

function attend(inputs: Readonly<Record<string, Tensor>>, attributes = {}) {
  const names = ['x', 'w', '', '', 'past', '', inputs.length ? 'length' : ''];
  return open({
    domains: { 'com.microsoft': 1 },
    inputs: { x: float32(1, 2, hidden), past: float32(2, 1, heads, inputs.past.dims[3], size) },
    initializers: { w: inputs.w, ...(inputs.length && { length: inputs.length }) },
    nodes: [
      node(
        'Attention',
        names,
        ['y', 'present'],
        { num_heads: heads, unidirectional: 1, ...attributes },
        { domain: 'com.microsoft' },
      ),
    ],
    outputs: { y: float32(1, 2, hidden), present: tensorOf('float32', 2, 1, heads, undefined, size) },
  });
}

it('Attention writes into a cache that is one buffer for past and present', async () => {
  const [x, w, buffer] = [
    reals([1, 2, hidden], 1),
    reals([hidden, 3 * hidden], 2),
    reals([2, 1, heads, room, size], 3),
  ];
  const rows = (tensor: Tensor, length: number, kept: number): number[] =>
    Array.from({ length: 2 * heads }, (_, part) => part).flatMap((part) =>
      Array.from((tensor.data as Float32Array).slice(part * length * size, (part * length + kept) * size)),
    );
  const shorter = new Tensor('float32', Float32Array.from(rows(buffer, room, past)), [2, 1, heads, past, size]);
  const length = new Tensor('int32', Int32Array.of(past), [1]);
  const shared = await attend({ w, past: buffer, length }, { past_present_share_buffer: 1 });
  const grown = await attend({ w, past: shorter });
  const [a, b] = [await shared.run({ x, past: buffer }), await grown.run({ x, past: shorter })];
  expect((a.y as Tensor).data).toEqual((b.y as Tensor).data);
  expect((a.present as Tensor).dims).toEqual([2, 1, heads, room, size]);
  expect(rows(a.present as Tensor, room, past + 2)).toEqual(rows(b.present as Tensor, past + 2, past + 2));
  const last = (tensor: Tensor): number[] => Array.from((tensor.data as Float32Array).slice(-size));
  expect(last(a.present as Tensor)).toEqual(last(buffer));
});

it('a shared cache needs its length', async () => {
  const error = await errorOf(
    attend(
      { w: reals([hidden, 3 * hidden], 2), past: reals([2, 1, heads, room, size], 3) },
      { past_present_share_buffer: 1 },
    ),
  );
  expect(error.message).toContain('past_present_share_buffer needs the inputs past and past_sequence_length');
});
