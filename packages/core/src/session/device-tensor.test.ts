// Results that stay on their device: reading, feeding and writing into them, and their end.

import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, node } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import type { SessionOptions } from './options.ts';
import { Tensor } from './tensor.ts';

/** y = x + w, z = x · w */
const adding: ModelSpec = {
  inputs: { x: float32('batch', 2) },
  initializers: { w: new Tensor('float32', [10, 20]) },
  nodes: [node('Add', ['x', 'w'], 'y'), node('Mul', ['x', 'w'], 'z')],
  outputs: ['y', 'z'],
};

const onDevice: SessionOptions = { preferredOutputLocation: 'device', placement: 'providers' };
const x = (...items: number[]): Tensor => new Tensor('float32', items, [items.length / 2, 2]);
const elements = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.getData()) as Float32Array);

describe('preferredOutputLocation', () => {
  it('leaves outputs where they were computed', async () => {
    await using session = await open(adding, onDevice);
    const { y, z } = await session.run({ x: x(1, 2) });
    expect([y.location, z.location, y.dims, y.type]).toEqual(['device', 'device', [1, 2], 'float32']);
    expect((await errorOf(() => y.data)).message).toBe(
      'the elements of this tensor are on a device. Use await tensor.getData().',
    );
    expect(await elements(y)).toEqual([11, 22]);
    const copy = (await y.getData()) as Float32Array;
    copy.fill(0);
    expect(await elements(y)).toEqual([11, 22]);
    expect(await elements((await session.run({ x: y })).z)).toEqual([110, 440]);
  });

  it('is for all outputs or by name', async () => {
    await using session = await open(adding, { ...onDevice, preferredOutputLocation: { z: 'gpu-buffer' } });
    const { y, z } = await session.run({ x: x(1, 2) });
    expect([y.location, z.location]).toEqual(['cpu', 'device']);
    const unknown = open(adding, { preferredOutputLocation: { present: 'device' } });
    expect((await errorOf(unknown)).message).toContain('names "present", which is no output');
    const nowhere = open(adding, { preferredOutputLocation: 'texture' as never });
    expect((await errorOf(nowhere)).message).toContain('has "texture", which is no location');
  });

  it('does not concern what the host computes', async () => {
    await using session = await open(
      { inputs: { s: float32('n') }, nodes: [node('Shape', 's', 'n')], outputs: ['n'] },
      onDevice,
    );
    expect((await session.run({ s: new Tensor('float32', [1, 2]) })).n.location).toBe('cpu');
  });
});

describe('tensors on a device', () => {
  it('are written into as fetches, even when they are fed too', async () => {
    await using session = await open(adding, onDevice);
    const { y, z } = await session.run({ x: x(1, 2) });
    const again = await session.run({ x: y }, { y, z: null });
    expect(again.y).toBe(y);
    expect([await elements(y), await elements(z), await elements(again.z)]).toEqual([
      [21, 42],
      [10, 40],
      [110, 440],
    ]);
    const wrong = session.run({ x: x(1, 2, 3, 4) }, { y });
    expect((await errorOf(wrong)).message).toContain(
      'the output is float32[2, 2], but the tensor to write it into is float32[1, 2]',
    );
  });

  it('free their memory when they are disposed', async () => {
    await using session = await open(adding, onDevice);
    const { bytesInUse } = session.memory();
    const { y, z } = await session.run({ x: x(1, 2) });
    expect(session.memory().bytesInUse).toBe(bytesInUse + 16);
    y.dispose();
    y.dispose();
    await z.getData(true);
    expect([y.location, z.location]).toEqual(['none', 'none']);
    expect(session.memory().bytesInUse).toBe(bytesInUse);
    expect((await errorOf(y.getData())).code).toBe('DISPOSED');
    expect((await errorOf(session.run({ x: y }))).code).toBe('DISPOSED');
  });

  it('can be fed to other sessions, but not written into by them', async () => {
    await using first = await open(adding, onDevice);
    await using second = await open(adding, onDevice);
    const { y } = await first.run({ x: x(1, 2) });
    expect(await elements((await second.run({ x: y })).y)).toEqual([21, 42]);
    expect(await elements(y)).toEqual([11, 22]);
    expect((await errorOf(second.run({ x: x(1, 2) }, { y }))).message).toContain('belongs to another session');
  });

  it('end with their session', async () => {
    const session = await open(adding, onDevice);
    const { y } = await session.run({ x: x(1, 2) });
    await session.dispose();
    expect((await errorOf(y.getData())).message).toContain('the session that this tensor belongs to was disposed');
    y.dispose();
    await using other = await open(adding);
    expect((await errorOf(other.run({ x: y }))).code).toBe('DISPOSED');
  });
});
