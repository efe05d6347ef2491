// The ways in which kernels are built, each on one model of a kind: what a browser without relaxed SIMD, without threads,
// or an engine that joins no vectors gets.

import { type CpuOptions, cpu } from '@onnx-ts/cpu';
import { describe, expect, it } from 'vitest';
import { findCases } from '../../src/cases/find-cases.ts';
import { nodeHost } from '../../src/cases/node-host.ts';
import { runCase } from '../../src/cases/run-case.ts';
import { hasTestData, suiteFolder } from './test-data.ts';

const builds: Readonly<Record<string, CpuOptions>> = {
  'plain SIMD, one thread': { relaxedSimd: false, wideVectors: false, threads: 1 },
  'relaxed SIMD, one thread': { wideVectors: false, threads: 1 },
  'joined vectors, one thread': { threads: 1 },
  'plain SIMD, two threads': { relaxedSimd: false, wideVectors: false, threads: 2 },
  'two threads that leave the caller free': { threads: 2, leader: 'worker' },
};

const models = [
  'bert-dynamic-int8',
  'bert-fp16',
  'convnext_tiny-dynamo',
  'gpt2-dynamo',
  'llama-gqa-int4',
  'mobilenet_v3_small-qoperator',
  'resnet50-qdq-int8',
  'resnet50-script',
  'unet-script',
  'whisper_decoder_past-script',
];

describe.skipIf(!hasTestData)('builds of the kernels', { timeout: 300_000 }, () => {
  const cases = hasTestData ? findCases([suiteFolder('models')]) : [];

  it.each(Object.entries(builds))('%s', async (_name, options) => {
    const chosen = cases.filter(({ name }) => models.includes(name.split('/').at(-1)!));
    expect(chosen).toHaveLength(models.length);
    for (const test of chosen) {
      const verdict = await runCase(test, { providers: [cpu(options)], fallback: true }, nodeHost);
      expect(verdict, test.name).toMatchObject({ outcome: 'pass' });
    }
  });
});
