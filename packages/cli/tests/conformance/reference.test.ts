import { describe, expect, it } from 'vitest';
import { checkSuite } from './check-suite.ts';
import { hasTestData } from './test-data.ts';

// Not `light`: image classifiers in full size take the interpreter minutes.
const suites = ['node', 'node-releases', 'simple', 'pytorch-operator', 'pytorch-converted'];

describe.skipIf(!hasTestData)('conformance on reference', { timeout: 900_000 }, () => {
  it.each(suites)('ONNX %s', async (suite) => {
    const options = { provider: 'reference', fallback: true } as const;
    expect(await checkSuite(`onnx-backend-tests/${suite}`, options)).toBeGreaterThan(0);
  });

  it('models', async () => {
    expect(await checkSuite('models', { provider: 'reference', fallback: true })).toBeGreaterThan(0);
  });
});
