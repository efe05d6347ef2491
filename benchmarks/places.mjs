// Where test data, materialised models and results are.

import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const repository = dirname(here);

/** Folder with `models-full`: beside the repository unless ONNX_TS_TEST_DATA says otherwise. */
export const testData = resolve(process.env.ONNX_TS_TEST_DATA ?? join(repository, '..', 'shared'));
export const cache = join(repository, '.cache');
export const results = join(here, 'results');
