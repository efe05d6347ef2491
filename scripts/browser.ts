// Which browser tests run in. Without one they are skipped, and fail under CI.

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

export const browserPath: string | undefined = process.env.ONNX_TS_CHROMIUM ?? places.find((path) => existsSync(path));

if (browserPath === undefined) {
  const message = 'no Chromium found: install it, or set ONNX_TS_CHROMIUM to its path';
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}

export interface BrowserOptions {
  /** WebGPU, by a software adapter where the machine has no GPU. */
  readonly webgpu?: boolean;
}

export function launchBrowser({ webgpu = false }: BrowserOptions = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: browserPath!,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(webgpu ? ['--enable-unsafe-webgpu'] : []),
    ],
  });
}
