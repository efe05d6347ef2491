// Values in ONNX's own encoding: a TensorProto, SequenceProto, OptionalProto or MapProto, as the declared type says. Reads
// no files, so that it works in browsers, too.

import { type HostValue, OnnxTsError } from '@onnx-ts/core';
import { decodeValue, type ValueType } from '@onnx-ts/core/internal';

/** @throws OnnxTsError INVALID_INPUT naming the file */
export function decodeValueFile(bytes: Uint8Array, type: ValueType | undefined, path: string): HostValue {
  try {
    return decodeValue(bytes, type);
  } catch (cause) {
    throw new OnnxTsError(
      'INVALID_INPUT',
      `the file is no ONNX ${type?.kind ?? 'tensor'}: ${(cause as Error).message}`,
      {
        place: { path },
        cause,
      },
    );
  }
}
