import { expect, it } from 'vitest';
import { Tensor } from '../../session/tensor.ts';
import { node } from '../../testing/build-model.ts';
import { open } from '../../testing/open-session.ts';

const data = new Tensor(
  'float32',
  Float32Array.from({ length: 70 }, (_, at) => at + 1),
  [7, 10],
);
const bool = (value: number): Tensor => new Tensor('bool', Uint8Array.of(value), []);
const ratio = new Tensor('float32', Float32Array.of(0.5), []);
const bit = (words: Uint32Array, at: number): number => (words[at >> 5] >>> (at & 31)) & 1;

async function drop(op: string, inputs: readonly string[], initializers: Readonly<Record<string, Tensor>>) {
  const session = await open({
    domains: { 'com.microsoft': 1 },
    initializers,
    nodes: [node(op, inputs, ['y', 'mask'], { seed: 3 }, { domain: 'com.microsoft' })],
    outputs: ['y', 'mask'],
  });
  const { y, mask } = (await session.run({})) as Record<string, Tensor>;
  return { y: y.data as Float32Array, mask: mask.data as Uint32Array };
}

it('BitmaskDropout keeps everything outside training', async () => {
  const { y, mask } = await drop('BitmaskDropout', ['data'], { data });
  expect(y).toEqual(data.data);
  expect([...mask]).toEqual([0xffffffff, 0xffffffff, 0x3f]);
});

it('BitmaskDropout marks in training what it keeps', async () => {
  const { y, mask } = await drop('BitmaskDropout', ['data', 'ratio', 'training'], { data, ratio, training: bool(1) });
  const kept = Array.from(y, (_, at) => bit(mask, at));
  expect(Array.from(y)).toEqual(kept.map((isKept, at) => (isKept ? 2 * (at + 1) : 0)));
  const count = kept.reduce((sum, value) => sum + value, 0);
  expect(count).toBeGreaterThan(15);
  expect(count).toBeLessThan(55);
});

it('BitmaskBiasDropout adds before and after', async () => {
  const bias = new Tensor('float32', new Float32Array(10).fill(100), [10]);
  const { y } = await drop('BitmaskBiasDropout', ['data', 'bias', 'data'], { data, bias });
  expect(Array.from(y)).toEqual(Array.from(data.data as Float32Array, (x) => 2 * x + 100));
});
