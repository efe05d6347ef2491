import { defineConfig } from 'vitest/config';

// Packages are tested from their sources: the export condition below selects `src/` everywhere.
const conditions = ['@onnx-ts/source', 'module', 'node', 'import', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/tests/**/*.test.ts', 'examples/*/*.test.ts', 'apps/*/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    reporters: ['default'],
  },
});
