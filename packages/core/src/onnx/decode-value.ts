// Values in ONNX's own encoding as the host's: a TensorProto, SequenceProto, OptionalProto or MapProto, as the declared
// type says.

import { decodeMap, decodeOptional, decodeSequence, decodeSparseTensor, decodeTensor } from '@onnx-ts/onnx-proto';
import type { ValueType } from '../graph/types.ts';
import type { HostValue } from '../ops/define.ts';
import { importMap, importOptional, importSequence, importSparseTensor, importTensor } from './import-tensor.ts';

/**
 * @param type absent for a tensor
 * @throws Error for bytes that are not what the type says
 */
export function decodeValue(bytes: Uint8Array, type: ValueType | undefined): HostValue {
  switch (type?.kind) {
    case undefined:
    case 'tensor':
      return importTensor(decodeTensor(bytes));
    case 'sparse-tensor':
      return { kind: 'sparse-tensor', ...importSparseTensor(decodeSparseTensor(bytes)) };
    case 'sequence':
      // The message does not say what an empty sequence would hold; the model does.
      return Object.assign({ element: type.element }, importSequence(decodeSequence(bytes)));
    case 'optional':
      return importOptional(decodeOptional(bytes));
    case 'map':
      return importMap(decodeMap(bytes));
  }
}
