// A model of one float32 matrix product, m × k by a constant k × n, for benchmarks.

import { encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';

/** Its input is `a`, its output `c`. */
export function productModel(m, k, n) {
  const weights = Float32Array.from(
    { length: k * n },
    (_, at) => ((Math.imul(at + 1, 0x9e3779b1) >>> 8) / 2 ** 23 - 1) / 16,
  );
  const tensor = (name, dims) => ({
    name,
    type: { tensorType: { elemType: TensorDataType.FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  });
  return encodeModel({
    irVersion: 8,
    producerName: 'onnx-ts benchmarks',
    opsetImport: [{ version: 17 }],
    graph: {
      name: 'product',
      node: [{ opType: 'MatMul', input: ['a', 'b'], output: ['c'] }],
      initializer: [
        { name: 'b', dims: [k, n], dataType: TensorDataType.FLOAT, rawData: new Uint8Array(weights.buffer) },
      ],
      input: [tensor('a', [m, k])],
      output: [tensor('c', [m, n])],
    },
  });
}
