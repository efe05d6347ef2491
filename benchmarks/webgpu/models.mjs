// What the WebGPU benchmark measures: small models of the test data, and a matrix product.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { importTensor } from '@onnx-ts/core/internal';
import { decodeModel, decodeTensor } from '@onnx-ts/onnx-proto';
import { testData } from '../places.mjs';
import { productModel } from './product-model.mjs';

export const modelNames = ['mobilenet_v2-script', 'minilm-script', 'matmul-512x512x512'];

/** @returns the model's bytes and its inputs by name, each `{ type, dims, data }` */
export function openModel(name) {
  const product = /^matmul-(\d+)x(\d+)x(\d+)$/.exec(name);
  if (product) {
    const [m, k, n] = product.slice(1).map(Number);
    const data = Float32Array.from({ length: m * k }, (_, at) => (Math.imul(at + 7, 0x9e3779b1) >>> 8) / 2 ** 23 - 1);
    return { bytes: productModel(m, k, n), feeds: { a: { type: 'float32', dims: [m, k], data } } };
  }
  const folder = join(testData, 'models', name);
  const bytes = readFileSync(join(folder, 'model.onnx'));
  const cases = join(folder, 'test_data_set_0');
  const { graph } = decodeModel(bytes);
  const constants = new Set((graph.initializer ?? []).map((tensor) => tensor.name));
  const names = graph.input.map((input) => input.name).filter((input) => !constants.has(input));
  const files = readdirSync(cases).filter((file) => file.startsWith('input_'));
  const feeds = Object.fromEntries(
    files.map((file) => {
      const { type, dims, data } = importTensor(decodeTensor(readFileSync(join(cases, file))));
      return [names[Number(/\d+/.exec(file))], { type, dims, data }];
    }),
  );
  return { bytes, feeds };
}
