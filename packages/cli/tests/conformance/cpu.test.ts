import { describe, expect, it } from 'vitest';
import { checkSuite } from './check-suite.ts';
import { hasTestData } from './test-data.ts';

const suites = ['node', 'node-releases', 'simple', 'pytorch-operator', 'pytorch-converted', 'light'];

describe.skipIf(!hasTestData)('conformance on cpu', { timeout: 900_000 }, () => {
  it.each(suites)('ONNX %s', async (suite) => {
    const options = { provider: 'cpu', threads: 1, fallback: true } as const;
    expect(await checkSuite(`onnx-backend-tests/${suite}`, options)).toBeGreaterThan(0);
  });

  it.each([1, 2])('models, %i threads', async (threads) => {
    expect(await checkSuite('models', { provider: 'cpu', threads, fallback: true })).toBeGreaterThan(0);
  });
});
