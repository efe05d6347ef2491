// The list of what is missing must not outlive it.

import { existsSync } from 'node:fs';
import { defaultRegistry } from '@onnx-ts/core/internal';
import { describe, expect, it } from 'vitest';
import { knownCaseNames, missingOperators } from './check-suite.ts';
import { hasTestData, suiteFolder } from './test-data.ts';

describe('known-failures.json', () => {
  it('lists no operator that is there', () => {
    const names = defaultRegistry()
      .names()
      .map(({ domain, name }) => (domain ? `${domain}.${name}` : name));
    expect(names.filter((name) => missingOperators.has(name))).toEqual([]);
  });

  it.skipIf(!hasTestData)('lists no case that does not exist', () => {
    const exists = (name: string) =>
      existsSync(suiteFolder(name)) || existsSync(suiteFolder(`onnx-backend-tests/${name}`));
    expect(knownCaseNames.filter((name) => !exists(name))).toEqual([]);
  });
});
