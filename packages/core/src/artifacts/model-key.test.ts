// Keys tell models apart by everything but the data of large initializers.

import { describe, expect, it } from 'vitest';
import { Tensor } from '../session/tensor.ts';
import { float32, model, node } from '../testing/build-model.ts';
import { hostDigest } from './digest.ts';
import { modelKey, weightRanges } from './model-key.ts';
import { digestReads, WeightReads } from './weight-reads.ts';

const digest = hostDigest()!;

/** Raw data, as exporters write it. */
const raw = (data: Float32Array) => ({ dataType: 1, dims: [data.length], rawData: new Uint8Array(data.buffer) });

function modelOf(large: Float32Array, small: Float32Array, scale = 1): Uint8Array {
  return model({
    inputs: { x: float32(large.length) },
    initializers: { large: raw(large), small: raw(small), typed: new Tensor('float32', [1, 2], [2]) },
    nodes: [
      node('LeakyRelu', 'x', 'a', { alpha: { float: scale } }),
      node('Add', ['a', 'large'], 'b'),
      node('Mul', ['b', 'small'], 'y'),
    ],
    outputs: ['y'],
  });
}

const key = (bytes: Uint8Array, settings: unknown = {}) => modelKey(bytes, settings, digest);

describe('modelKey', () => {
  const [large, small] = [new Float32Array(1000).fill(1), Float32Array.of(2)];
  const base = modelOf(large, small);

  it('leaves out the data of large initializers, and nothing else', async () => {
    const [range, ...others] = weightRanges(base)!;
    expect(others).toEqual([]);
    expect(base.subarray(range.start, range.end)).toEqual(new Uint8Array(large.buffer));
    for (let at = 0; at < base.byteLength; at++) {
      const changed = base.slice();
      changed[at] ^= 1;
      const isWeight = at >= range.start && at < range.end;
      expect((await key(changed)) === (await key(base)), `byte ${at}`).toBe(isWeight);
    }
  });

  it('depends on settings', async () => {
    expect(await key(base, { a: 1 })).not.toBe(await key(base, { a: 2 }));
    expect(await key(base, { a: 1 })).toBe(await key(base.slice(), { a: 1 }));
  });

  it('is none for bytes that are no model', async () => {
    expect(await key(base.subarray(0, base.length - 3))).toBeUndefined();
    expect(await key(Uint8Array.of(0x3a, 0xff, 0xff))).toBeUndefined();
    expect(await key(new Uint8Array(8).fill(0xff))).toBeUndefined();
  });
});

describe('digestReads', () => {
  const file = Uint8Array.from({ length: 9 << 20 }, (_, at) => at % 251);
  const digestOf = (bytes: Uint8Array, reads: WeightReads) =>
    digestReads(reads.all, ({ offset }, target) => target.set(bytes.subarray(offset, offset + target.length)), digest);

  it('depends on what was read, and on nothing else', async () => {
    const reads = new WeightReads();
    reads.note({ location: '', offset: 10 }, 5);
    reads.note({ location: '', offset: 100 }, 8 << 20);
    reads.note({ location: '', offset: 10 }, 5);
    const base = await digestOf(file, reads);
    for (const [at, isRead] of [
      [9, false],
      [10, true],
      [14, true],
      [15, false],
      [100, true],
      [(8 << 20) + 99, true],
      [(8 << 20) + 100, false],
    ] as const) {
      const changed = file.slice();
      changed[at] ^= 1;
      expect((await digestOf(changed, reads)) !== base, `byte ${at}`).toBe(isRead);
    }
  });

  it('counts the reads of a partition that was kept, up to there', () => {
    const reads = new WeightReads();
    const note = (offset: number) => reads.note({ location: 'w', offset }, 4);
    note(0);
    reads.beginPartition();
    note(1);
    reads.endPartition();
    reads.beginPartition();
    note(2);
    reads.keepPartition();
    note(3);
    reads.endPartition();
    note(4);
    expect(reads.all.map(({ offset }) => offset)).toEqual([0, 2, 4]);
  });
});
