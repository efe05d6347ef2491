// ONNX's own cases on every provider, run once for two purposes: each outcome is as known-failures.json says, and
// docs/coverage.md tells the truth.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defaultRegistry } from '@onnx-ts/core/internal';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TestCase } from '../../src/cases/find-cases.ts';
import { coverageReport } from '../../src/operator-coverage/coverage-report.ts';
import { findSuiteCases, resultsOf, runCoverage, type Verdicts } from '../../src/operator-coverage/run-coverage.ts';
import { textDifference } from '../../src/operator-coverage/text-difference.ts';
import { checkVerdicts } from './check-suite.ts';
import { hasAdapter, hasTestData, suiteFolder } from './test-data.ts';

const providers = hasAdapter ? ['cpu', 'webgpu', 'reference'] : ['cpu', 'reference'];
const table = fileURLToPath(new URL('../../../../docs/coverage.md', import.meta.url));

describe.skipIf(!hasTestData)("ONNX's suites", () => {
  let cases: readonly TestCase[];
  let verdicts: Verdicts;

  beforeAll(async () => {
    cases = findSuiteCases(suiteFolder('onnx-backend-tests'));
    verdicts = await runCoverage(cases, { providers, threads: 1 });
  }, 900_000);

  it.each(providers)('come out as they should on %s', (provider) => {
    expect(checkVerdicts(provider, verdicts.get(provider)!)).toBeGreaterThan(2000);
  });

  it.skipIf(!hasAdapter)('are what docs/coverage.md says', () => {
    const report = coverageReport(resultsOf(cases, verdicts), providers, defaultRegistry().names());
    const difference = textDifference(readFileSync(table, 'utf8'), report);
    if (difference === undefined) return;
    expect.fail(`docs/coverage.md is not current: onnx-ts coverage --output docs/coverage.md\n${difference}`);
  });
});
