// Runs conformance cases in a page of a browser, with the CLI's own judgement. Bundled by corpus-page.ts.

import type { ProviderFactory } from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';
import { webgpu } from '@onnx-ts/webgpu';
import type { TestCase } from '../../src/cases/find-cases.ts';
import { type CaseHost, runCase, type Verdict } from '../../src/cases/run-case.ts';

const factories: Readonly<Record<string, ProviderFactory>> = { cpu: cpu(), webgpu: webgpu() };

const pageHost: CaseHost = {
  async read(path) {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  },
  operators: () => undefined,
  generate() {
    throw new Error('cases in a page have all their inputs in files');
  },
};

/** What a test calls in the page. The paths of the case are URLs. */
export interface CorpusPage {
  runCase(test: TestCase, providers: readonly string[]): Promise<Verdict>;
  /** Description of the adapter; undefined when there is none. */
  adapter(): Promise<string | undefined>;
}

const page: CorpusPage = {
  runCase: (test, providers) =>
    runCase(test, { providers: providers.map((id) => factories[id]), fallback: true }, pageHost),
  async adapter() {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter ? [adapter.info.vendor, adapter.info.architecture].filter(Boolean).join(' ') : undefined;
  },
};

Object.assign(globalThis, { corpus: page });
