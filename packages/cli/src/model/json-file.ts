import { OnnxTsError } from '@onnx-ts/core';
import { readBytes } from './model-file.ts';

/** @throws OnnxTsError INVALID_INPUT naming the file */
export function readJson(path: string): unknown {
  const bytes = readBytes(path);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new OnnxTsError('INVALID_INPUT', `the file cannot be read as JSON: ${(cause as Error).message}.`, {
      place: { path },
      cause,
    });
  }
}
