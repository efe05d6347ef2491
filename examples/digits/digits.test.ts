import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { cpu, createSession, type InferenceSession, type ProviderFactory, reference, Tensor } from 'onnx-ts';
import { describe, expect, it } from 'vitest';
import { best, examplePath, meta, modelPath, pixelCount, readImage, testSamples } from './samples.mjs';

const { images, labels } = testSamples();
const runtimes: [string, ProviderFactory, number][] = [
  ['cpu with 1 thread', cpu(), 1],
  ['cpu with 2 threads', cpu(), 2],
  ['reference', reference(), 1],
];

describe.each(runtimes)('on %s', (_, provider, threads) => {
  it('is as accurate as where the model was trained', async () => {
    await using session = await createSession(modelPath, { providers: [provider], threads });
    const { probabilities } = await session.run({ image: batchOf(0, labels.length) });
    expect(probabilities.dims).toEqual([labels.length, 10]);
    const right = labels.filter((label, at) => best(probabilities.data, at * 10, 10) === label);
    expect(labels.length).toBe(meta.testCount);
    expect(right.length / labels.length).toBe(meta.testAccuracy);
  });

  it('reads the example images', async () => {
    await using session = await createSession(modelPath, { providers: [provider], threads });
    for (let digit = 0; digit < 10; digit++) {
      const image = new Tensor('float32', readImage(examplePath(digit)), [1, 1, 8, 8]);
      const { probabilities } = await session.run({ image });
      expect(best(probabilities.data)).toBe(digit);
    }
  });
});

it('uses the CPU when no provider is named, as no GPU can help so small a model', async () => {
  await using session = await createSession(modelPath);
  const used = session.explain().providers.filter(({ isUsed }) => isUsed);
  expect(used.map(({ id }) => id)).toEqual(['cpu']);
});

describe.each([1, 2])('ten thousand runs with %i threads', (threads) => {
  it('keep memory flat', async () => {
    await using session = await createSession(modelPath, { threads });
    await run(session, 2_000);
    const before = memoryNow(session);
    await run(session, 10_000);
    const after = memoryNow(session);
    expect(after.session).toBe(before.session);
    expect(after.heap - before.heap).toBeLessThan(1e6);
    expect(after.buffers - before.buffers).toBeLessThan(1e6);
    expect(after.resident - before.resident).toBeLessThan(24e6);
  });
});

/** One image at a time, and now and then another batch size, more of them than a session keeps ready. */
async function run(session: InferenceSession, times: number): Promise<void> {
  for (let at = 0; at < times; at++) {
    const count = at % 50 === 0 ? 1 + ((at / 50) % 20) : 1;
    const { probabilities } = await session.run({ image: batchOf(at % (labels.length - count), count) });
    expect(probabilities.dims[0]).toBe(count);
  }
}

function batchOf(first: number, count: number): Tensor {
  return new Tensor('float32', images.subarray(first * pixelCount, (first + count) * pixelCount), [count, 1, 8, 8]);
}

/** Bytes after everything that can be collected was. */
function memoryNow(session: InferenceSession) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let round = 0; round < 3; round++) collect();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { session: session.memory().bytesInUse, heap: heapUsed, buffers: arrayBuffers, resident: rss };
}
