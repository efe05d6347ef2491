// The descriptor of ONNX's messages, with the choices that this package makes about names and types.

import { readFileSync } from 'node:fs';

/** Messages of files that nobody exchanges (operator sets as protobuf). */
const LEFT_OUT = new Set(['OperatorProto', 'OperatorSetProto', 'OperatorStatus']);

/** 64-bit fields that hold any value. The others are sizes, versions and device numbers, and decode as numbers. */
const BIGINT_FIELDS = new Set([
  'AttributeProto.i',
  'AttributeProto.ints',
  'MapProto.keys',
  'TensorProto.int64Data',
  'TensorProto.uint64Data',
]);

/** Tensor contents: packed values that may run to millions. */
const TYPED_ARRAYS = {
  'TensorProto.floatData': { type: 'Float32Array', empty: 'NO_FLOATS' },
  'TensorProto.doubleData': { type: 'Float64Array', empty: 'NO_DOUBLES' },
  'TensorProto.int32Data': { type: 'Int32Array', empty: 'NO_INT32S' },
  'TensorProto.int64Data': { type: 'BigInt64Array', empty: 'NO_INT64S' },
  'TensorProto.uint64Data': { type: 'BigUint64Array', empty: 'NO_UINT64S' },
};

/** Public names of the enums. */
const ENUM_NAMES = {
  'AttributeProto.AttributeType': 'AttributeType',
  'TensorProto.DataType': 'TensorDataType',
  'TensorProto.DataLocation': 'DataLocation',
  'SequenceProto.DataType': 'SequenceElementType',
  'OptionalProto.DataType': 'OptionalElementType',
  Version: 'IrVersion',
};

const SCALARS = {
  string: 'string',
  bytes: 'Uint8Array',
  float: 'number',
  double: 'number',
  int32: 'number',
  int64: 'number',
  uint64: 'number',
};

const camelCase = (name) => name.replace(/(?<=.)_([a-z])/g, (_, letter) => letter.toUpperCase());

/** `TypeProto.Tensor` → `TypeProtoTensor`. */
export const flatName = (path) => path.replaceAll('.', '');

/**
 * Reads the descriptor into
 * `messages`: `{ path, fields: [{ name, type, repeated, wire, message?, bigint, typed? }], oneofs: { name: [field, …] } }`,
 * where `type` is the TypeScript type of one element and `wire` the protobuf type;
 * `enums`: `{ name, values }`; and
 * `source`: the descriptor that protobufjs-cli is given.
 */
export function readDescriptor(url) {
  const source = JSON.parse(readFileSync(url, 'utf8'));
  const root = source.nested.onnx.nested;
  for (const name of LEFT_OUT) delete root[name];
  const messages = [];
  const enums = [];

  const visit = (nested, scope) => {
    for (const [name, item] of Object.entries(nested)) {
      const path = scope === '' ? name : `${scope}.${name}`;
      if (item.values) {
        if (!ENUM_NAMES[path]) throw new Error(`${path}: an enum without a public name`);
        enums.push({ name: ENUM_NAMES[path], values: item.values });
        continue;
      }
      // ONNX is proto2: a field that is present with its default value differs from an absent one.
      item.edition = 'proto2';
      item.fields = Object.fromEntries(Object.entries(item.fields).map(([field, rest]) => [camelCase(field), rest]));
      for (const oneof of Object.values(item.oneofs ?? {})) oneof.oneof = oneof.oneof.map(camelCase);
      const oneofs = Object.fromEntries(Object.entries(item.oneofs ?? {}).map(([key, value]) => [key, value.oneof]));
      messages.push({ path, fields: Object.entries(item.fields).map((entry) => describe(path, ...entry)), oneofs });
      visit(item.nested ?? {}, path);
    }
  };

  const describe = (path, name, field) => {
    const isEnum = Object.keys(ENUM_NAMES).includes(field.type);
    // Enums stay open, so that values of later ONNX versions reach the one who can say what is unsupported.
    if (isEnum) field.type = 'int32';
    const key = `${path}.${name}`;
    const message = SCALARS[field.type] === undefined ? field.type : undefined;
    const bigint = BIGINT_FIELDS.has(key);
    return {
      name,
      repeated: field.rule === 'repeated',
      wire: field.type,
      message,
      bigint,
      typed: TYPED_ARRAYS[key],
      type: message ? flatName(message) : bigint ? 'bigint' : SCALARS[field.type],
    };
  };

  visit(root, '');
  const known = new Set(messages.map(({ path }) => path));
  for (const { path, fields } of messages) {
    for (const { name, message } of fields) {
      if (message && !known.has(message)) throw new Error(`${path}.${name}: unknown type ${message}`);
    }
  }
  return { messages, enums, source };
}
