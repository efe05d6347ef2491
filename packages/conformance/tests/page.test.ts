// The kit on a page, in a real browser.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browserPath, launchBrowser } from '../../../scripts/browser.ts';
import { buildPage } from '../page/build.mjs';
import { servePage } from '../page/serve.mjs';
import type { ConformanceReport } from '../src/index.ts';

describe.skipIf(browserPath === undefined)('the page in Chromium', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-conformance-'));
  const errors: string[] = [];
  let server: Awaited<ReturnType<typeof servePage>>;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    await buildPage(folder);
    server = await servePage({ folder });
    browser = await launchBrowser();
    page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
    page.on('pageerror', (error) => errors.push(error.message));
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(query: string): Promise<ConformanceReport> {
    await page.goto(`${server.url}?${query}&run`);
    await page.waitForSelector('html[data-state=done]', { timeout: 100_000 });
    return page.evaluate(
      () => (globalThis as unknown as { conformancePage: { report: ConformanceReport } }).conformancePage.report,
    );
  }

  it('tries the contract and splits on cpu', async () => {
    const { counts, results, isComplete } = await run('provider=cpu&suites=contract,partition&graphs=6');
    expect(results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error')).toEqual([]);
    expect(counts.pass).toBeGreaterThan(35);
    expect(isComplete).toBe(true);
    expect(errors).toEqual([]);
  });

  it('shows counts by suite and the table of operators', async () => {
    const { counts } = await run('provider=reference&suites=microsoft,property&cases=1&filter=Gelu');
    expect(counts.pass).toBeGreaterThan(5);
    expect(await page.textContent('#status')).toContain('all as it should be');
    const rows = await page.locator('#operators tbody tr').allTextContents();
    expect(rows.find((row) => row.startsWith('com.microsoft:BiasGelu'))).toBeDefined();
    if (process.env.ONNX_TS_SCREENSHOT) await page.screenshot({ path: process.env.ONNX_TS_SCREENSHOT });
    expect(errors).toEqual([]);
  });

  it('stops when it is asked to', async () => {
    await page.goto(`${server.url}?provider=reference&suites=property&cases=4&run`);
    await page.waitForFunction(() => Number(document.querySelector('td.pass')?.textContent ?? 0) > 3);
    await page.click('button');
    await page.waitForSelector('html[data-state=done]');
    expect(await page.textContent('#status')).toContain('Stopped before the end');
  });
});
