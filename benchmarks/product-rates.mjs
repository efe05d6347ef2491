// Times of float32 products of one node in this process, beside the machine's own rate: a child process of `matmul.mjs`, which
// sends `{ cases, threads, wideVectors, seconds }` and gets `{ peak, rows }`. V8's joining of vectors is on for a whole process
// or not at all.

import { InferenceSession, Tensor } from '@onnx-ts/core';
import { hostInfo } from '@onnx-ts/core/internal';
import { cpu } from '@onnx-ts/cpu';
import { nodeModel } from './node-model.mjs';

process.once('message', async ({ cases, threads, wideVectors, seconds }) => {
  const factory = cpu({ wideVectors });
  const { peak, hasWide } = await measurePeak(factory, threads);
  const rows = [];
  for (const [name, given] of cases) rows.push({ name, ...(await measure(factory, given, threads, seconds)) });
  process.send({ peak, hasWide, rows });
  process.disconnect();
});

async function measurePeak(factory, threads) {
  const [device] = await factory.discover(hostInfo());
  const provider = await factory.open(device, { threads });
  try {
    const { flops } = await provider.measure();
    return { peak: flops, hasWide: provider.device.properties.wideVectors === true };
  } finally {
    await provider.dispose();
  }
}

/** Milliseconds of the kernels of a run, each at its fastest. */
async function measure(factory, given, threads, seconds) {
  const session = await InferenceSession.create(nodeModel(given), { providers: [factory], threads });
  try {
    const feeds = Object.fromEntries(
      given.inputs.flatMap(({ tensor, shape }, at) => (tensor ? [] : [[`x${at}`, randomTensor(shape)]])),
    );
    const least = new Map();
    const end = performance.now() + 1000 * seconds;
    for (let run = 0; run < 8 || performance.now() < end; run++) {
      session.startProfiling();
      await session.run(feeds);
      for (const { cat, dur, name } of session.endProfiling().traceEvents) {
        if (cat === 'session') continue;
        const key = `${cat} ${name}`;
        least.set(key, { kind: cat, ms: Math.min(least.get(key)?.ms ?? Infinity, dur / 1000) });
      }
    }
    const kernels = [...least.values()];
    const main = kernels.reduce((a, b) => (b.ms > a.ms ? b : a));
    return { kind: main.kind, ms: main.ms, allMs: kernels.reduce((sum, { ms }) => sum + ms, 0) };
  } finally {
    await session.dispose();
  }
}

function randomTensor(shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: count }, (_, at) => (Math.imul(at + 1, 0x9e3779b1) >>> 8) / 2 ** 23 - 1),
    shape,
  );
}
