// Values in ONNX's own encoding: a TensorProto, SequenceProto, OptionalProto or MapProto, as the declared type says. Reads
// no files, so that it works in browsers, too.

import { type HostValue, OnnxTsError } from '@onnx-ts/core';
import {
  importMap,
  importOptional,
  importSequence,
  importSparseTensor,
  importTensor,
  type ValueType,
} from '@onnx-ts/core/internal';
import { decodeMap, decodeOptional, decodeSequence, decodeSparseTensor, decodeTensor } from '@onnx-ts/onnx-proto';

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

function decodeValue(bytes: Uint8Array, type: ValueType | undefined): HostValue {
  switch (type?.kind) {
    case undefined:
    case 'tensor':
      return importTensor(decodeTensor(bytes));
    case 'sparse-tensor':
      return { kind: 'sparse-tensor', ...importSparseTensor(decodeSparseTensor(bytes)) };
    case 'sequence':
      // The file does not say what an empty sequence would hold; the model does.
      return Object.assign({ element: type.element }, importSequence(decodeSequence(bytes)));
    case 'optional':
      return importOptional(decodeOptional(bytes));
    case 'map':
      return importMap(decodeMap(bytes));
  }
}
