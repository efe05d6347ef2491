import { expect, test } from 'vitest';
import { probeCapabilities } from './capabilities.ts';

test('on Node everything is there', () => {
  const { concurrency, ...rest } = probeCapabilities();
  expect(rest).toEqual({ compile: { ok: true }, simd: true, relaxedSimd: true, threads: { ok: true }, canBlock: true });
  expect(concurrency).toBeGreaterThanOrEqual(1);
});

test('a page without isolation has no threads, and says what to do', () => {
  const host = globalThis as { crossOriginIsolated?: boolean };
  host.crossOriginIsolated = false;
  try {
    const { threads } = probeCapabilities();
    expect(threads).toEqual({ ok: false, reason: expect.stringContaining('Cross-Origin-Opener-Policy') });
  } finally {
    delete host.crossOriginIsolated;
  }
});
