// Files of ONNX's own with one value each.

import type { HostValue } from '@onnx-ts/core';
import type { ValueType } from '@onnx-ts/core/internal';
import { readBytes } from '../model/model-file.ts';
import { decodeValueFile } from './proto-values.ts';

/** @throws OnnxTsError INVALID_INPUT naming the file */
export function readValueFile(path: string, type: ValueType | undefined): HostValue {
  return decodeValueFile(readBytes(path), type, path);
}
