import { defineConfig } from 'vitest/config';

// Packages are tested from their sources: the export condition below selects `src/` everywhere.
const conditions = ['@onnx-ts/source', 'module', 'node', 'import', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['{packages,apps}/*/{src,tests}/**/*.test.ts', 'examples/*/*.test.ts', 'scripts/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './scripts/count-reporter.ts'],
  },
});
