// ONNX's protobuf messages: their types, decoding and encoding. Nothing here knows what a model means.

export {
  decodeAttribute,
  decodeFunction,
  decodeGraph,
  decodeMap,
  decodeModel,
  decodeNode,
  decodeOptional,
  decodeSequence,
  decodeSparseTensor,
  decodeTensor,
  decodeType,
  decodeValueInfo,
  encodeAttribute,
  encodeFunction,
  encodeGraph,
  encodeMap,
  encodeModel,
  encodeNode,
  encodeOptional,
  encodeSequence,
  encodeSparseTensor,
  encodeTensor,
  encodeType,
  encodeValueInfo,
} from './codec.ts';
export { enumName } from './enum-name.ts';
export {
  AttributeType,
  DataLocation,
  IrVersion,
  OptionalElementType,
  SequenceElementType,
  TensorDataType,
} from './generated/enums.ts';
export type * from './generated/messages.ts';
export type { MessageInput } from './message-input.ts';
export { ProtoDecodeError } from './wire/decode-error.ts';
