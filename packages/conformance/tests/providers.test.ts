// The providers of this repository keep the contract, and split graphs give what whole ones give. ONNX_TS_SEED sets the
// seed of the graphs.

import { type ProviderFactory, reference } from '@onnx-ts/core';
import { hostInfo } from '@onnx-ts/core/internal';
import { cpu } from '@onnx-ts/cpu';
import { webgpu } from '@onnx-ts/webgpu';
import { describe, expect, it } from 'vitest';
import { type ConformanceOptions, type ConformanceReport, runConformance } from '../src/index.ts';
import { losableWebGpu } from './losable-webgpu.ts';

const [adapter] = await webgpu().discover(hostInfo());

if (!adapter.usable) {
  const message = `no WebGPU (${adapter.reason}): install a Vulkan driver, or name one in VK_DRIVER_FILES`;
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}

const seed = Number(process.env.ONNX_TS_SEED ?? 1);

async function runAll(provider: ProviderFactory, options: ConformanceOptions): Promise<ConformanceReport> {
  const report = await runConformance(provider, { seed, ...options });
  const bad = report.results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
  expect(bad.map(({ name, reason, text }) => `${name}: ${reason}\n${text ?? ''}`)).toEqual([]);
  return report;
}

describe('contract', { timeout: 120_000 }, () => {
  it.each([
    ['reference', () => reference()],
    ['cpu, one thread', () => cpu({ threads: 1 })],
    ['cpu, two threads', () => cpu({ threads: 2 })],
    ['cpu, two threads that leave the caller free', () => cpu({ threads: 2, leader: 'worker' })],
  ] as const)('of %s', async (_name, provider) => {
    const { counts } = await runAll(provider(), { suites: ['contract'] });
    expect(counts.pass).toBeGreaterThanOrEqual(31);
  });

  it.skipIf(!adapter.usable)('of webgpu', async () => {
    const { counts } = await runAll(webgpu(), { suites: ['contract'], losable: losableWebGpu });
    expect(counts.pass).toBeGreaterThanOrEqual(32);
  });
});

describe(`splits (seed ${seed})`, { timeout: 120_000 }, () => {
  it('between reference and reference', async () => {
    await runAll(reference(), { suites: ['partition'], graphs: 25 });
  });

  it('between cpu and reference', async () => {
    await runAll(cpu({ threads: 1 }), { suites: ['partition'], graphs: 40 });
  });

  it('between cpu and cpu, each with two threads', async () => {
    await runAll(cpu({ threads: 2 }), { suites: ['partition'], graphs: 15, partner: cpu({ threads: 2 }) });
  });

  it.skipIf(!adapter.usable)('between webgpu and cpu', async () => {
    await runAll(webgpu(), { suites: ['partition'], graphs: 4, partner: cpu({ threads: 1 }) });
  });
});

describe('cases that the kit carries', { timeout: 120_000 }, () => {
  it.each([
    ['reference', () => reference()],
    ['cpu', () => cpu({ threads: 1 })],
  ] as const)('on %s', async (_name, provider) => {
    const { counts } = await runAll(provider(), { suites: ['onnx', 'microsoft'] });
    expect(counts.pass).toBeGreaterThan(400);
  });
});
