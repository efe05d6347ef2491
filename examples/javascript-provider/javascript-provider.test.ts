import { readdirSync, readFileSync } from 'node:fs';
import { runConformance } from '@onnx-ts/conformance';
import { expect, it } from 'vitest';
import { javascript } from './provider.ts';

it('passes the conformance kit', { timeout: 120_000 }, async () => {
  // All cases: onnx-ts conformance --provider examples/javascript-provider/provider.ts
  const report = await runConformance(javascript(), {
    suites: ['contract', 'microsoft', 'property', 'partition'],
    perGenerator: 1,
    graphs: 20,
  });
  expect(report.results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error')).toEqual([]);
  expect(report.findings).toEqual([]);
  expect(report.counts.pass).toBeGreaterThan(450);
});

it('compiles no text', () => {
  const folder = new URL('.', import.meta.url);
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  for (const name of sources) {
    const code = readFileSync(new URL(name, folder), 'utf8').replaceAll(/\/\/.*/g, '');
    expect(code).not.toMatch(/\bnew Function\b|\beval\(/);
  }
});
