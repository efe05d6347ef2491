// Tensors in buffers of WebGPU, the session's and the caller's.

import { createSession, reference, type SessionOptions, Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, model, node, tensorOf } from '../../../core/src/testing/build-model.ts';
import { errorOf } from '../../../core/src/testing/open-session.ts';
import { hasAdapter, newDevice, usage } from '../../tests/test-gpu.ts';
import { webgpu } from '../index.ts';

/** y = x + 1, z = relu(x) */
const spec: ModelSpec = {
  inputs: { x: float32('N') },
  initializers: { one: new Tensor('float32', [1], [1]) },
  nodes: [node('Add', ['x', 'one'], 'y'), node('Relu', 'x', 'z')],
  outputs: ['y', 'z'],
};

const everywhere = usage.storage | usage.copySource | usage.copyTarget;

const open = (device: GPUDevice, options: SessionOptions = {}) =>
  createSession(model(spec), { providers: [webgpu({ device })], placement: 'providers', ...options });

function bufferOf(device: GPUDevice, values: readonly number[], flags: number = everywhere, size?: number): GPUBuffer {
  const buffer = device.createBuffer({
    size: size ?? Math.ceil(values.length / 4) * 16,
    usage: flags,
    mappedAtCreation: true,
  });
  new Float32Array(buffer.getMappedRange()).set(values);
  buffer.unmap();
  return buffer;
}

async function read(device: GPUDevice, buffer: GPUBuffer, count: number): Promise<number[]> {
  const staging = device.createBuffer({ size: count * 4, usage: usage.mapRead | usage.copyTarget });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, count * 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  return [...new Float32Array(staging.getMappedRange())];
}

const numbers = async (tensor: Tensor): Promise<number[]> => [...((await tensor.getData()) as Float32Array)];

describe.skipIf(!hasAdapter)('tensors on the GPU', () => {
  it('are results in buffers of the device, and feeds of the next run', async () => {
    const device = await newDevice();
    await using session = await open(device, { preferredOutputLocation: { y: 'gpu-buffer' } });
    const { y, z } = await session.run({ x: new Tensor('float32', [1, -2, 3]) });
    expect([y.location, z.location]).toEqual(['gpu-buffer', 'cpu']);
    expect((await errorOf(() => y.data)).message).toContain('getData()');
    expect((await errorOf(() => z.gpuBuffer)).message).toContain('preferredOutputLocation');
    expect(await read(device, y.gpuBuffer, 3)).toEqual([2, -1, 4]);
    const submits = countSubmits(device);
    const next = await session.run({ x: y }, ['y']);
    expect([submits(), await numbers(next.y)]).toEqual([1, [3, 0, 5]]);
    const buffer = y.gpuBuffer;
    expect(await y.getData(true)).toEqual(Float32Array.of(2, -1, 4));
    expect(y.location).toBe('none');
    expect((await errorOf(() => y.gpuBuffer)).code).toBe('DISPOSED');
    // Memory that nobody holds is used again.
    const again = await session.run({ x: new Tensor('float32', [7]) }, ['y']);
    expect(again.y.gpuBuffer).toBe(buffer);
    expect((await errorOf(() => y.gpuBuffer)).code).toBe('DISPOSED');
    device.destroy();
  });

  it('are read together', async () => {
    const device = await newDevice();
    await using session = await open(device);
    const x = new Tensor('float32', [1, -2, 3]);
    await session.run({ x });
    const submits = countSubmits(device);
    const { y, z } = await session.run({ x });
    // One for the launches, one for both results.
    expect(submits()).toBe(2);
    expect([y.data, z.data]).toEqual([Float32Array.of(2, -1, 4), Float32Array.of(1, 0, 3)]);
    expect((y.data as Float32Array).buffer).not.toBe((z.data as Float32Array).buffer);
    device.destroy();
  });

  it("are the caller's buffers, read where they are", async () => {
    const device = await newDevice();
    await using session = await open(device, { preferredOutputLocation: 'gpu-buffer' });
    const buffer = bufferOf(device, [1, 2, 3, 4, 5]);
    const x = Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims: [5] });
    expect([x.location, x.type, x.dims, x.gpuBuffer === buffer]).toEqual(['gpu-buffer', 'float32', [5], true]);
    const { bytesInUse } = session.memory();
    const { y } = await session.run({ x });
    expect(await numbers(y)).toEqual([2, 3, 4, 5, 6]);
    expect(await numbers(x)).toEqual([1, 2, 3, 4, 5]);
    // Only the results are new.
    expect(session.memory().bytesInUse - bytesInUse).toBeLessThanOrEqual(2 * 256);
    device.queue.writeBuffer(buffer, 0, Float32Array.of(10));
    expect((await numbers((await session.run({ x })).y))[0]).toBe(11);
    // As other libraries say it.
    const foreign = { type: 'float32', dims: [2], location: 'gpu-buffer', gpuBuffer: buffer, data: undefined };
    expect(await numbers((await session.run({ x: foreign })).y)).toEqual([11, 3]);
    device.destroy();
  });

  it('are copied on the device when kernels cannot read them as they are', async () => {
    const device = await newDevice();
    await using session = await open(device);
    const buffers = [
      bufferOf(device, [1, 2, 3], usage.copySource),
      bufferOf(device, [1, 2, 3], usage.storage | usage.copySource, 12),
    ];
    for (const buffer of buffers) {
      const { y } = await session.run({ x: Tensor.fromGpuBuffer(buffer, { dims: [3] }) });
      expect((y as Tensor).data).toEqual(Float32Array.of(2, 3, 4));
    }
    device.destroy();
  });

  it('take results', async () => {
    const device = await newDevice();
    await using session = await open(device);
    const target = Tensor.fromGpuBuffer(bufferOf(device, [0, 0, 0]), { dims: [3] });
    const { y } = await session.run({ x: new Tensor('float32', [1, 2, 3]) }, { y: target });
    expect(y).toBe(target);
    expect(await read(device, target.gpuBuffer, 3)).toEqual([2, 3, 4]);
    const other = session.run({ x: new Tensor('float32', [1]) }, { y: target });
    expect((await errorOf(other)).code).toBe('INVALID_INPUT');
    device.destroy();
  });

  it('go from one session to another on the same device', async () => {
    const device = await newDevice();
    await using first = await open(device, { preferredOutputLocation: 'gpu-buffer' });
    await using second = await open(device, { preferredOutputLocation: 'gpu-buffer' });
    const { y } = await first.run({ x: new Tensor('float32', [1, 2]) });
    const { bytesInUse } = second.memory();
    const result = await second.run({ x: y }, ['y']);
    expect(second.memory().bytesInUse - bytesInUse).toBe(256);
    expect(await numbers(result.y)).toEqual([3, 4]);
    device.destroy();
  });

  it('are brought from where else they were computed', async () => {
    const device = await newDevice();
    await using session = await createSession(
      model({
        inputs: { x: tensorOf('float64', 'N') },
        nodes: [node('Neg', 'x', 'y'), node('Cast', 'y', 'z', { to: 1 })],
        outputs: ['z', 'y'],
      }),
      {
        providers: [webgpu({ device }), reference()],
        placement: 'providers',
        preferredOutputLocation: { z: 'gpu-buffer', y: 'device' },
      },
    );
    const { y, z } = await session.run({ x: new Tensor('float64', [1, 2], [2]) });
    expect([y.location, z.location]).toEqual(['device', 'gpu-buffer']);
    expect(await read(device, z.gpuBuffer, 2)).toEqual([-1, -2]);
    device.destroy();
  });

  it('of other devices, or unfit ones, are refused', async () => {
    const [device, other] = [await newDevice(), await newDevice()];
    await using session = await open(device);
    const refused: Readonly<Record<string, GPUBuffer>> = {
      'webgpu({ device }) of the device that made the buffer': bufferOf(other, [1]),
      'neither the usage STORAGE nor COPY_SRC': bufferOf(device, [1], usage.vertex | usage.copyTarget),
      'it is mapped': device.createBuffer({ size: 16, usage: usage.storage, mappedAtCreation: true }),
    };
    for (const [message, buffer] of Object.entries(refused)) {
      const error = await errorOf(session.run({ x: Tensor.fromGpuBuffer(buffer, { dims: [1] }) }));
      expect([error.code, error.place.value], message).toEqual(['INVALID_INPUT', 'x']);
      expect(error.message).toContain(message);
    }
    expect((await errorOf(() => Tensor.fromGpuBuffer(bufferOf(device, [1]), { dims: [5] }))).message).toContain(
      'needs 20 bytes, the buffer has 16',
    );
    const unread = Tensor.fromGpuBuffer(bufferOf(device, [1]), { dims: [1] });
    expect((await errorOf(unread.getData())).message).toContain('download');
    const { y } = await session.run({ x: new Tensor('float32', [1]) });
    expect((y as Tensor).data).toEqual(Float32Array.of(2));
    for (const made of [device, other]) made.destroy();
  });

  it('need a GPU among the providers, or a way to read them', async () => {
    const device = await newDevice();
    await using session = await createSession(model(spec), { providers: [reference()] });
    const buffer = bufferOf(device, [1]);
    const error = await errorOf(session.run({ x: Tensor.fromGpuBuffer(buffer, { dims: [1] }) }));
    expect([error.code, error.message]).toEqual([
      'INVALID_INPUT',
      expect.stringContaining('no provider of the session'),
    ]);
    let disposals = 0;
    const x = Tensor.fromGpuBuffer(buffer, {
      dims: [1],
      download: async () => Float32Array.of(41),
      dispose: () => disposals++,
    });
    expect(((await session.run({ x })).y as Tensor).data).toEqual(Float32Array.of(42));
    x.dispose();
    expect([disposals, x.location]).toEqual([1, 'none']);
    device.destroy();
  });
});

/** How often the device's queue has been given work since. */
function countSubmits(device: GPUDevice): () => number {
  let count = 0;
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    count++;
    return submit(commands);
  };
  return () => count;
}
