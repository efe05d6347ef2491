import { describe, expect, it } from 'vitest';
import { checkSuite } from './check-suite.ts';
import { hasTestData } from './test-data.ts';

describe.skipIf(!hasTestData)('conformance on reference', { timeout: 900_000 }, () => {
  it('models', async () => {
    expect(await checkSuite('models', { provider: 'reference', fallback: true })).toBeGreaterThan(0);
  });
});
