import { describe, expect, it } from 'vitest';
import { checkSuite } from './check-suite.ts';
import { hasTestData } from './test-data.ts';

describe.skipIf(!hasTestData)('conformance on cpu', { timeout: 900_000 }, () => {
  it.each([1, 2])('models, %i threads', async (threads) => {
    expect(await checkSuite('models', { provider: 'cpu', threads, fallback: true })).toBeGreaterThan(0);
  });
});
