// Small models and folders for the tests of this package.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encodeModel, encodeTensor, TensorDataType } from '@onnx-ts/onnx-proto';
import { onTestFinished } from 'vitest';

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-ts-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeFile(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** y = op(x) on float32 of the dims; names are symbols. */
export function unaryModel(op: string, dims: readonly (number | string)[] = ['batch', 2]): Uint8Array {
  const shape = { dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) };
  const type = { tensorType: { elemType: TensorDataType.FLOAT, shape } };
  return encodeModel({
    irVersion: 8,
    producerName: 'test',
    opsetImport: [{ version: 17 }],
    graph: {
      name: 'unary',
      node: [{ opType: op, name: 'only', input: ['x'], output: ['y'] }],
      input: [{ name: 'x', type }],
      output: [{ name: 'y', type }],
    },
  });
}

export function floatTensor(dims: readonly number[], values: readonly number[]): Uint8Array {
  return encodeTensor({ dims, dataType: TensorDataType.FLOAT, floatData: values });
}

/** A case in ONNX's form. */
export function writeCase(folder: string, model: Uint8Array, input: Uint8Array, output: Uint8Array): void {
  writeFile(join(folder, 'model.onnx'), model);
  writeFile(join(folder, 'test_data_set_0', 'input_0.pb'), input);
  writeFile(join(folder, 'test_data_set_0', 'output_0.pb'), output);
}
