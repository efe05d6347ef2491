import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reference } from '@onnx-ts/core';
import { afterAll, describe, expect, it } from 'vitest';
import { badgeOf, conformanceCases, reportMarkdown, runConformance } from '../src/index.ts';
import { directoryCases, directoryIndex, importProvider, runIsolated } from '../src/node/index.ts';
import { carriedCases } from '../src/stored/carried-cases.ts';

const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-conformance-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const isGelu = (name: string): boolean => /Gelu/.test(name);

it('names every case once, the same each time', async () => {
  const names = async () => (await conformanceCases()).map(({ suite, name }) => `${suite}/${name}`);
  const [first, second] = [await names(), await names()];
  expect(new Set(first).size).toBe(first.length);
  expect(second).toEqual(first);
});

describe('a report', () => {
  it('is a table and a badge', async () => {
    const report = await runConformance(reference(), { suites: ['microsoft'], filter: isGelu });
    expect(reportMarkdown(report)).toMatch(/# Conformance of reference[\s\S]*\| com.microsoft:BiasGelu \| 3 \|/);
    expect(badgeOf(report)).toMatchObject({ schemaVersion: 1, color: 'brightgreen' });
    expect(badgeOf({ ...report, findings: ['something'] })).toMatchObject({ color: 'red' });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('of an aborted run says so', async () => {
    const controller = new AbortController();
    const report = await runConformance(reference(), {
      suites: ['microsoft'],
      signal: controller.signal,
      onResult: (_result, done) => done === 3 && controller.abort(),
    });
    expect(report).toMatchObject({ isComplete: false, findings: [] });
    expect(report.results).toHaveLength(3);
  });

  it('without a device skips what needs one', async () => {
    const absent = {
      ...reference(),
      discover: async () => [
        { provider: 'reference', name: 'none', usable: false, reason: 'it is out', properties: {} },
      ],
    };
    const { counts, results } = await runConformance(absent, { suites: ['contract', 'microsoft'] });
    expect(counts).toMatchObject({ pass: 3, fail: 0, error: 0 });
    expect(results.find(({ outcome }) => outcome === 'skip')?.reason).toBe('no device: it is out');
  });
});

describe('cases in folders', () => {
  it("of ONNX's form give what carried ones give", async () => {
    const carried = (await carriedCases('microsoft')).filter(({ name }) => isGelu(name));
    for (const { name, load } of carried) {
      const { model, dataSets } = await load();
      const set = join(folder, 'cases', name, 'test_data_set_0');
      mkdirSync(set, { recursive: true });
      writeFileSync(join(folder, 'cases', name, 'model.onnx'), model);
      for (const [at, bytes] of dataSets[0].inputs.entries()) writeFileSync(join(set, `input_${at}.pb`), bytes!);
      for (const [at, bytes] of dataSets[0].outputs.entries()) writeFileSync(join(set, `output_${at}.pb`), bytes!);
    }
    const onnxCases = directoryCases(join(folder, 'cases'));
    expect(onnxCases).toHaveLength(carried.length);
    const { counts } = await runConformance(reference(), { suites: ['onnx'], onnxCases });
    // The tolerance is ONNX's: that of the carried cases is theirs.
    expect(counts).toMatchObject({ fail: 0, error: 0 });
    expect(counts.pass).toBeGreaterThan(carried.length / 2);
    const [entry] = directoryIndex(join(folder, 'cases'));
    expect(entry).toEqual({ name: onnxCases[0].name, dataSets: [{ inputs: expect.any(Number), outputs: 1 }] });
  });

  it('must be there', () => {
    expect(() => directoryCases(join(folder, 'nowhere'))).toThrow('there is no such folder');
  });
});

describe('a module', () => {
  const ending = fileURLToPath(new URL('./ending-provider.ts', import.meta.url));

  it('may end its process: the others go on', async () => {
    const { results } = await runIsolated({
      module: ending,
      suites: ['property'],
      pattern: '^property/elementwise/(Abs|Neg|Ceil)/',
      perGenerator: 1,
    });
    expect(results.map(({ op, outcome }) => [op, outcome])).toEqual(
      expect.arrayContaining([
        ['Abs', 'pass'],
        ['Neg', 'error'],
        ['Ceil', 'pass'],
      ]),
    );
    expect(results.find(({ outcome }) => outcome === 'error')?.reason).toBe('its process ended with code 3');
  });

  it('is found by path, by package, and by the name of an export', async () => {
    expect((await importProvider(ending)).provider.id).toBe('reference');
    expect((await importProvider('@onnx-ts/cpu#cpu')).provider.id).toBe('cpu');
    await expect(importProvider('@onnx-ts/cpu#nothing')).rejects.toThrow('the module exports no provider');
    await expect(importProvider('./nowhere.js')).rejects.toThrow('the module cannot be imported');
  });
});
