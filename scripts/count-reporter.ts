// Last line of a test run: `N passed, N failed, N skipped`, also written to .cache/test-counts.txt for .ci/run.
// A file that cannot be loaded, a failed hook of a suite and an error outside of tests each count as one failure.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';

export default class CountReporter implements Reporter {
  #folder = '.cache';

  onInit({ config }: Vitest): void {
    this.#folder = join(config.root, '.cache');
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let [passed, failed, skipped] = [0, unhandledErrors.length, 0];
    for (const module of modules) {
      if (module.errors().length > 0) failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'skipped') skipped++;
        // What was never run, because the run was cut short, did not pass either.
        else failed++;
      }
    }
    const line = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(join(this.#folder, 'test-counts.txt'), `${line}\n`);
    console.log(line);
  }
}
