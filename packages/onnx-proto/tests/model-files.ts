import { existsSync, globSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = resolve(process.env.ONNX_TS_TEST_DATA ?? resolve(root, '../shared'), 'models');

/** Whether the test models are there. Without them tests are skipped, and fail under CI. */
export const haveModels: boolean = existsSync(folder);

if (!haveModels) {
  const message = `no test models at ${folder}: set ONNX_TS_TEST_DATA to the folder that has models/`;
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}

/** Absolute paths below `models/` that match a pattern. */
export function modelFiles(pattern: string): string[] {
  return globSync(pattern, { cwd: folder })
    .sort()
    .map((path) => resolve(folder, path));
}
