// What the machine has of what tests need: test data, and an adapter for WebGPU. Without it tests are skipped, and fail
// under CI.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostInfo } from '@onnx-ts/core/internal';
import { webgpu } from '@onnx-ts/webgpu';

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

const [device] = await webgpu().discover(hostInfo());

/** WebGPU can be used here. */
export const hasAdapter = device.usable;

if (!hasAdapter) {
  const message = `no WebGPU (${device.reason}): install a Vulkan driver, or name one in VK_DRIVER_FILES`;
  if (process.env.CI) throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
}
