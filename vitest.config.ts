import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Software drivers on which WebGPU runs without a GPU: what scripts/vulkan-driver.sh has fetched, or what Chromium brings.
const drivers = [
  fileURLToPath(new URL('.cache/vulkan/driver.json', import.meta.url)),
  '/usr/lib/chromium/vk_swiftshader_icd.json',
];
const driver = process.env.VK_DRIVER_FILES ?? drivers.find(existsSync);
if (driver) process.env.VK_DRIVER_FILES = driver;

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
