// Test cases in Node: data out of files, and the image formats that packages decode.

import { imageOperators } from '../model/image-codecs.ts';
import { readBytes } from '../model/model-file.ts';
import { generateTensor } from '../tensors/generator.ts';
import type { CaseHost } from './run-case.ts';

export const nodeHost: CaseHost = { read: readBytes, generate: generateTensor, operators: imageOperators };
