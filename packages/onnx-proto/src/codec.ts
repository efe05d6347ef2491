// The decoders and encoders of whole messages, for files and for parts that other formats embed.

import * as decoders from './generated/decode.ts';
import * as encoders from './generated/encode.ts';
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  MapProto,
  ModelProto,
  NodeProto,
  OptionalProto,
  SequenceProto,
  SparseTensorProto,
  TensorProto,
  TypeProto,
  ValueInfoProto,
} from './generated/messages.ts';
import type { MessageInput } from './message-input.ts';
import { type MessageDecoder, WireReader } from './wire/reader.ts';
import { type MessageEncoder, WireWriter } from './wire/writer.ts';

/**
 * Decodes the bytes of a model file.
 *
 * Byte fields of the result (`TensorProto.rawData`, strings of attributes) are views of `bytes`: keep it unchanged.
 * Repeated fields are always there; other fields are absent where the file does not have them.
 * Unknown fields are passed over. Throws a `ProtoDecodeError` for anything that is not a well-formed message;
 * whether it is a valid model is not looked at (no bytes at all are a well-formed, empty message).
 * All other decoders behave the same.
 */
export const decodeModel = (bytes: Uint8Array): ModelProto => decode(decoders.decodeModelProto, bytes);
export const decodeGraph = (bytes: Uint8Array): GraphProto => decode(decoders.decodeGraphProto, bytes);
export const decodeNode = (bytes: Uint8Array): NodeProto => decode(decoders.decodeNodeProto, bytes);
export const decodeAttribute = (bytes: Uint8Array): AttributeProto => decode(decoders.decodeAttributeProto, bytes);
export const decodeFunction = (bytes: Uint8Array): FunctionProto => decode(decoders.decodeFunctionProto, bytes);
export const decodeValueInfo = (bytes: Uint8Array): ValueInfoProto => decode(decoders.decodeValueInfoProto, bytes);
export const decodeType = (bytes: Uint8Array): TypeProto => decode(decoders.decodeTypeProto, bytes);
export const decodeTensor = (bytes: Uint8Array): TensorProto => decode(decoders.decodeTensorProto, bytes);
export const decodeSparseTensor = (bytes: Uint8Array): SparseTensorProto =>
  decode(decoders.decodeSparseTensorProto, bytes);
export const decodeSequence = (bytes: Uint8Array): SequenceProto => decode(decoders.decodeSequenceProto, bytes);
export const decodeMap = (bytes: Uint8Array): MapProto => decode(decoders.decodeMapProto, bytes);
export const decodeOptional = (bytes: Uint8Array): OptionalProto => decode(decoders.decodeOptionalProto, bytes);

/** Bytes in memory of their own. */
type Encoded = Uint8Array<ArrayBuffer>;

/**
 * Encodes a model. Fields that are undefined or null are left out; others are written even where they hold
 * their default value. Throws a RangeError for a number outside the range of its field and for messages that
 * nest more than 100 deep. All other encoders behave the same.
 */
export const encodeModel = (model: MessageInput<ModelProto>): Encoded => encode(encoders.encodeModelProto, model);
export const encodeGraph = (graph: MessageInput<GraphProto>): Encoded => encode(encoders.encodeGraphProto, graph);
export const encodeNode = (node: MessageInput<NodeProto>): Encoded => encode(encoders.encodeNodeProto, node);
export const encodeAttribute = (attribute: MessageInput<AttributeProto>): Encoded =>
  encode(encoders.encodeAttributeProto, attribute);
export const encodeFunction = (definition: MessageInput<FunctionProto>): Encoded =>
  encode(encoders.encodeFunctionProto, definition);
export const encodeValueInfo = (valueInfo: MessageInput<ValueInfoProto>): Encoded =>
  encode(encoders.encodeValueInfoProto, valueInfo);
export const encodeType = (type: MessageInput<TypeProto>): Encoded => encode(encoders.encodeTypeProto, type);
export const encodeTensor = (tensor: MessageInput<TensorProto>): Encoded => encode(encoders.encodeTensorProto, tensor);
export const encodeSparseTensor = (tensor: MessageInput<SparseTensorProto>): Encoded =>
  encode(encoders.encodeSparseTensorProto, tensor);
export const encodeSequence = (sequence: MessageInput<SequenceProto>): Encoded =>
  encode(encoders.encodeSequenceProto, sequence);
export const encodeMap = (map: MessageInput<MapProto>): Encoded => encode(encoders.encodeMapProto, map);
export const encodeOptional = (optional: MessageInput<OptionalProto>): Encoded =>
  encode(encoders.encodeOptionalProto, optional);

function decode<T>(decoder: MessageDecoder<T>, bytes: Uint8Array): T {
  return decoder(new WireReader(bytes));
}

function encode<T>(encoder: MessageEncoder<T>, message: T): Encoded {
  const writer = new WireWriter();
  encoder(message, writer);
  return writer.finish();
}
