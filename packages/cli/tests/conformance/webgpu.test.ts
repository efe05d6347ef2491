import { describe, expect, it } from 'vitest';
import { CaseProcess } from '../../src/cases/case-process.ts';
import { findCases } from '../../src/cases/find-cases.ts';
import type { Verdict } from '../../src/cases/run-case.ts';
import { checkVerdicts } from './check-suite.ts';
import { hasAdapter, hasTestData, suiteFolder } from './test-data.ts';

// One of each kind: software adapters compile shaders slowly. All of them: onnx-ts test ../shared/models -p webgpu,cpu
const models = [
  'bert-dynamo',
  'bert-dynamic-int8',
  'bytes_in-script',
  'convnext_tiny-script',
  'gpt2-dynamo',
  'llama-gqa-int4',
  'mobilenet_v3_small-script',
  'resnet18-script',
  'unet-script',
  'whisper_encoder-script',
];

describe.skipIf(!hasTestData || !hasAdapter)('conformance on webgpu, cpu', { timeout: 900_000 }, () => {
  it('models', async () => {
    const cases = findCases([suiteFolder('models')]).filter(({ name }) => models.includes(name.split('/').at(-1)!));
    const runner = new CaseProcess({ providers: ['webgpu', 'cpu'], fallback: true }, 300_000);
    try {
      const verdicts = new Map<string, Verdict>();
      for (const test of cases) verdicts.set(test.name, await runner.run(test));
      expect(checkVerdicts('webgpu', verdicts)).toBe(cases.length);
      expect(cases.length).toBeGreaterThan(models.length / 2);
    } finally {
      runner.stop();
    }
  });
});
