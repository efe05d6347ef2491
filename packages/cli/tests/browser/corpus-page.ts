// The page that runs conformance cases: its bundle, a server for it and for the cases, and a browser that has it open.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../../../../scripts/browser.ts';
import type { TestCase } from '../../src/cases/find-cases.ts';
import type { Verdict } from '../../src/cases/run-case.ts';
import type { CorpusPage } from './page.ts';

declare const corpus: CorpusPage;

/** Threads need them. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Where the server has the folder of cases. */
const dataPath = '/data/';

export class CorpusBrowser {
  readonly #browser: Browser;
  readonly #url: string;
  readonly #data: string;
  readonly #close: () => Promise<void>;
  #page: Page | undefined;

  private constructor(browser: Browser, url: string, data: string, close: () => Promise<void>) {
    this.#browser = browser;
    this.#url = url;
    this.#data = data;
    this.#close = close;
  }

  /** @param data folder that has the files of all cases, perhaps further down */
  static async open(data: string): Promise<CorpusBrowser> {
    const server = await serve(await bundle(), data);
    try {
      const browser = await launchBrowser({ webgpu: true });
      return new CorpusBrowser(browser, server.url, data, server.close);
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  async #open(): Promise<Page> {
    if (!this.#page || this.#page.isClosed()) {
      this.#page = await this.#browser.newPage();
      await this.#page.goto(this.#url);
      await this.#page.waitForFunction(() => 'corpus' in globalThis);
    }
    return this.#page;
  }

  /** See `CorpusPage`. */
  async adapter(): Promise<string | undefined> {
    return (await this.#open()).evaluate(() => corpus.adapter());
  }

  /** A case that takes longer is an error; the next one gets a new page. Never throws. */
  async run(test: TestCase, providers: readonly string[], timeoutMs: number): Promise<Verdict> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const page = await this.#open();
      const running = page.evaluate(([found, ids]) => corpus.runCase(found, ids), [
        this.#served(test),
        providers,
      ] as const);
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
      });
      return await Promise.race([running, late]);
    } catch (error) {
      await this.#page?.close().catch(() => {});
      this.#page = undefined;
      return { outcome: 'error', reason: (error as Error).message };
    } finally {
      clearTimeout(timer);
    }
  }

  /** The case with URLs for paths. */
  #served({ dataSets, ...test }: TestCase): TestCase {
    const url = (path: string): string =>
      new URL(dataPath + relative(this.#data, path).split(sep).map(encodeURIComponent).join('/'), this.#url).href;
    const urls = (paths: readonly (string | undefined)[]) => paths.map((path) => path && url(path));
    return {
      ...test,
      model: url(test.model),
      dataSets: dataSets.map((set) => ({
        ...set,
        inputFiles: urls(set.inputFiles),
        outputFiles: urls(set.outputFiles),
      })),
    };
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#close();
  }
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page.ts', import.meta.url))],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2023',
    conditions: ['@onnx-ts/source'],
    logLevel: 'warning',
  });
  return outputFiles[0].text;
}

async function serve(script: string, data: string): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url!, 'http://localhost');
    const send = (type: string, body: string | Uint8Array): void => {
      response.writeHead(200, { 'Content-Type': type, ...isolation }).end(body);
    };
    try {
      if (pathname === '/') send('text/html', '<!doctype html><script type="module" src="/page.js"></script>');
      else if (pathname === '/page.js') send('text/javascript', script);
      else if (!pathname.startsWith(dataPath)) throw new Error('no such path');
      else {
        const path = normalize(decodeURIComponent(pathname.slice(dataPath.length)));
        send('application/octet-stream', await readFile(join(data, path)));
      }
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve()).closeAllConnections();
      }),
  };
}
