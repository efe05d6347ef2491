// Models of one node, for measurements of single operators.

import { AttributeType, encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';

const dataTypes = {
  float32: [TensorDataType.FLOAT, Float32Array],
  float16: [TensorDataType.FLOAT16, Uint16Array],
  int64: [TensorDataType.INT64, BigInt64Array],
  int32: [TensorDataType.INT32, Int32Array],
  int8: [TensorDataType.INT8, Int8Array],
  uint8: [TensorDataType.UINT8, Uint8Array],
  bool: [TensorDataType.BOOL, Uint8Array],
};

/** @returns an input with its values drawn anew for each measurement: `range` is [lo, hi), integers include hi */
export function variable(shape, dtype = 'float32', range = dtype === 'float32' ? [-1, 1] : [0, 9]) {
  return { shape, dtype, range };
}

/** @param valueAt of the flat index; spread over −0.5 to 0.5 without a pattern unless given. Halves are given as their bits. */
export function weight(
  shape,
  valueAt = (at) => (Math.imul(at + 1, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5,
  dtype = 'float32',
) {
  const count = shape.reduce((product, size) => product * size, 1);
  const [dataType, ArrayType] = dataTypes[dtype];
  const convert = dtype === 'int64' ? (at) => BigInt(valueAt(at)) : valueAt;
  const data = ArrayType.from({ length: count }, (_, at) => convert(at));
  return { shape, dtype, tensor: { dims: shape, dataType, rawData: new Uint8Array(data.buffer) } };
}

/** A constant list of integers: sizes, axes, pads. */
export function integers(...values) {
  return weight([values.length], (at) => values[at], 'int64');
}

export function scalar(value, dtype = 'float32') {
  return weight([], () => value, dtype);
}

/** Of an attribute whose number is a float even when it is whole. */
export function float(value) {
  return { float: value };
}

/**
 * @param attributes numbers and lists of numbers are integers, see `float`
 * @param inputs what `variable` and `weight` give, or undefined for an input that is left out
 */
export function nodeModel({ op, domain = '', opset = 22, attributes = {}, inputs, outputs = 1 }) {
  const given = inputs.map((input, at) => input && { name: `x${at}`, ...input });
  const tensorType = ({ dtype, shape }) => ({
    tensorType: { elemType: dataTypes[dtype][0], shape: { dim: shape.map((dimValue) => ({ dimValue })) } },
  });
  const names = Array.from({ length: outputs }, (_, at) => `y${at}`);
  return encodeModel({
    irVersion: 10,
    producerName: 'onnx-ts benchmarks',
    opsetImport: [{ version: opset }, ...(domain === '' ? [] : [{ domain, version: 1 }])],
    graph: {
      name: op,
      node: [
        {
          opType: op,
          domain,
          input: given.map((input) => input?.name ?? ''),
          output: names,
          attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
        },
      ],
      initializer: given.filter((input) => input?.tensor).map(({ name, tensor }) => ({ name, ...tensor })),
      input: given
        .filter((input) => input && !input.tensor)
        .map((input) => ({ name: input.name, type: tensorType(input) })),
      output: names.map((name) => ({ name })),
    },
  });
}

/** Values of the model's inputs, in the form of `inputs.json`. */
export function nodeInputs({ inputs }, tolerance) {
  const free = inputs.flatMap((input, at) => (input && !input.tensor ? [{ name: `x${at}`, ...input }] : []));
  const specs = free.map(({ name, dtype, shape, range: [lo, hi] }, at) => {
    const kind = dtype.startsWith('float') ? 'uniform' : 'uniform_int';
    return { name, dtype, shape, seed: at + 1, dist: { kind, lo, hi } };
  });
  return { tolerance, cases: [{ name: 'values', inputs: specs }] };
}

function attribute(name, value) {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: BigInt(value) };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: AttributeType.INTS, ints: value.map(BigInt) };
  return { name, type: AttributeType.FLOAT, f: value.float };
}
