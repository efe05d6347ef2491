// Files written by real exporters: ONNX's own library writes fields in the order that we do, so bytes can be compared.

import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { haveModels, modelFiles } from '../tests/model-files.ts';
import { decodeModel, decodeSequence, decodeTensor, encodeModel, encodeSequence, encodeTensor } from './index.ts';

describe.skipIf(!haveModels)('real files', () => {
  const files = haveModels ? modelFiles('*/model.onnx') : [];

  it.each(files.map((file) => [basename(dirname(file)), file]))('%s survives a round trip', (_, file) => {
    const bytes = readFileSync(file);
    const model = decodeModel(bytes);
    expect(model.graph!.node.length).toBeGreaterThan(0);
    expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
    for (const tensor of model.graph!.initializer) {
      if (tensor.rawData) expect(tensor.rawData.buffer).toBe(bytes.buffer);
    }
  });

  it('reads the tensors beside them', () => {
    const tensors = modelFiles('*/test_data_set_0/*.pb').map((file) => [file, readFileSync(file)] as const);
    expect(tensors.length).toBeGreaterThan(0);
    for (const [file, bytes] of tensors) {
      const isSequence = bytes.length > 0 && Buffer.compare(encodeTensor(decodeTensor(bytes)), bytes) !== 0;
      if (isSequence) expect(Buffer.compare(encodeSequence(decodeSequence(bytes)), bytes), file).toBe(0);
    }
  });
});
