import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { runCli } from '../cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('runs the kit on a provider and writes what came out', async () => {
  const lines: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((text: string) => void lines.push(text));
  const [json, table, badge] = ['report.json', 'table.md', 'badge.json'].map((name) => join(folder, name));
  const files = ['--json', json, '--table', table, '--badge', badge];
  const code = await runCli(['conformance', '-p', 'cpu', '-s', 'microsoft', '-f', 'Gelu', ...files]);
  log.mockRestore();
  expect(code).toBe(0);
  expect(lines.join('\n')).toMatch(/cpu: WebAssembly SIMD[\s\S]*\d+ passed, 0 failed, \d+ skipped$/);
  const report = JSON.parse(readFileSync(json, 'utf8'));
  expect(report).toMatchObject({ format: 1, provider: 'cpu', isComplete: true, findings: [] });
  expect(report.results[0]).toMatchObject({ suite: 'microsoft', outcome: 'pass', op: 'com.microsoft:BiasGelu' });
  expect(readFileSync(table, 'utf8')).toContain('| com.microsoft:QuickGelu |');
  expect(JSON.parse(readFileSync(badge, 'utf8'))).toMatchObject({ schemaVersion: 1 });
});

it('explains what is wrong with its arguments', async () => {
  const written: string[] = [];
  const error = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  const codes = [
    await runCli(['conformance', '-p', 'cpu', '-s', 'everything']),
    await runCli(['conformance', '-p', './nowhere.js']),
    await runCli(['conformance', '-p', 'cpu', '-f', '(']),
  ];
  error.mockRestore();
  expect(codes).toEqual([2, 2, 2]);
  expect(written.join('')).toMatch(/there is no suite "everything"[\s\S]*cannot be imported[\s\S]*--filter \(/);
});
