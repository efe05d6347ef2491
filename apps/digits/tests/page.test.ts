// The built page in a real browser: with threads where it is cross-origin isolated, without them on a plain page.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meta } from '../../../examples/digits/samples.mjs';
import { browserPath, launchBrowser } from '../../../scripts/browser.ts';
import { buildPage } from '../build.mjs';
import { servePage } from '../serve.mjs';

/** What a page shows once it has read all test images. */
interface Shown {
  readonly threads: string;
  readonly reason: string;
  readonly isolated: boolean;
  readonly accuracy: number;
  readonly answers: readonly string[];
}

describe.skipIf(browserPath === undefined)('the page in Chromium', () => {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-digits-'));
  const servers: { close(): Promise<void> }[] = [];
  const errors: string[] = [];
  let browser: Browser;
  let isolated: Page;
  let plain: Page;

  beforeAll(async () => {
    await buildPage(folder, { conditions: ['@onnx-ts/source'] });
    browser = await launchBrowser();
    [isolated, plain] = [await open(true), await open(false)];
  });

  afterAll(async () => {
    await browser?.close();
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(isIsolated: boolean): Promise<Page> {
    const server = await servePage({ folder, isolated: isIsolated });
    servers.push(server);
    const page = await browser.newPage();
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto(`${server.url}?threads=2`);
    await page.waitForSelector('#tests[data-state=done], #runtime[data-threads=none]');
    return page;
  }

  it('reads all test images alike with two threads and with one', async () => {
    const [withThreads, alone] = [await read(isolated), await read(plain)];
    expect(errors).toEqual([]);
    expect(withThreads).toMatchObject({ isolated: true, threads: expect.stringContaining('2 threads') });
    expect(alone).toMatchObject({
      isolated: false,
      threads: expect.stringContaining('1 thread'),
      reason: expect.stringContaining('not cross-origin isolated'),
    });
    for (const { accuracy, answers } of [withThreads, alone]) {
      expect(answers).toHaveLength(meta.testCount);
      expect(accuracy).toBe(meta.testAccuracy);
    }
    expect(alone.answers).toEqual(withThreads.answers);
  });

  it('reads a digit that is drawn', async () => {
    for (const page of [isolated, plain]) {
      for (const [digit, line] of Object.entries(drawings)) {
        await page.click('#clear');
        await draw(page, line);
        await page.waitForFunction((wanted) => document.querySelector('#digit')!.textContent === wanted, digit);
      }
    }
    expect(errors).toEqual([]);
  });

  it('reads a sample that is chosen', async () => {
    for (const page of [isolated, plain]) {
      for (const digit of ['3', '8']) {
        await page.click(`#samples button:nth-child(${Number(digit) + 1})`);
        await page.waitForFunction((wanted) => document.querySelector('#digit')!.textContent === wanted, digit);
        expect(await page.getAttribute(`#samples button:nth-child(${Number(digit) + 1})`, 'aria-pressed')).toBe('true');
      }
    }
    expect(errors).toEqual([]);
  });
});

/** Points in fractions of the pad. */
const drawings: Record<string, readonly (readonly [number, number])[]> = {
  0: Array.from({ length: 33 }, (_, at) => [
    0.5 + 0.22 * Math.sin((at / 32) * 2 * Math.PI),
    0.5 - 0.36 * Math.cos((at / 32) * 2 * Math.PI),
  ]),
  7: [
    [0.25, 0.15],
    [0.72, 0.15],
    [0.45, 0.85],
  ],
};

async function draw(page: Page, line: readonly (readonly [number, number])[]): Promise<void> {
  const box = (await page.locator('#pad').boundingBox())!;
  const [first, ...rest] = line.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height] as const);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 4 });
  await page.mouse.up();
}

function read(page: Page): Promise<Shown> {
  return page.evaluate(() => ({
    threads: document.querySelector('#runtime .threads')!.textContent!,
    reason: document.querySelector('#runtime .reason')!.textContent!,
    isolated: crossOriginIsolated,
    accuracy: Number(document.querySelector<HTMLElement>('#tests')!.dataset.accuracy),
    answers: [...document.querySelectorAll<HTMLElement>('#grid button')].map((cell) => cell.dataset.answer!),
  }));
}
