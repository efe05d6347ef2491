// Where the test data is. Without it tests are skipped, and fail under CI.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const beside = fileURLToPath(new URL('../../../../../shared', import.meta.url));

/** Folder that holds `onnx-backend-tests` and `models`: beside the repository unless ONNX_TS_TEST_DATA says otherwise. */
const testData = resolve(process.env.ONNX_TS_TEST_DATA ?? beside);

export const hasTestData = ['onnx-backend-tests', 'models'].every((name) => existsSync(join(testData, name)));

if (!hasTestData) {
  const message = `no conformance cases in ${testData}: set ONNX_TS_TEST_DATA to the folder that has onnx-backend-tests and models`;
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}

/** Folder of a suite, such as `onnx-backend-tests/node`. */
export function suiteFolder(suite: string): string {
  return join(testData, suite);
}
