// Results do not depend on which thread happened to be faster: the same thread count gives the same bits.

import { createSession, type HostValue, type Tensor } from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';
import { describe, expect, it } from 'vitest';
import { findCases, type TestCase } from '../../src/cases/find-cases.ts';
import { freeInputs } from '../../src/model/declared-values.ts';
import { readModelFile } from '../../src/model/model-file.ts';
import { readValueFile } from '../../src/tensors/proto-files.ts';
import { hasTestData, suiteFolder } from './test-data.ts';

const architectures =
  /\/(mobilenet_v2|resnet50|squeezenet1_1|vit_b_16|unet|bert|minilm|gpt2|llama)-(dynamo|script)\d*$/;

describe.skipIf(!hasTestData)('two sessions', () => {
  const cases = hasTestData ? findCases([suiteFolder('models')]).filter(({ name }) => architectures.test(name)) : [];

  it('are tried on all architectures', () => {
    expect(cases.length).toBeGreaterThanOrEqual(18);
  });

  it.each(cases.map((test) => [test.name, test] as const))('agree bit for bit on %s', async (_, test) => {
    for (const threads of [1, 2]) {
      const [first, second] = [await outputs(test, threads), await outputs(test, threads)];
      expect(first.length).toBeGreaterThan(0);
      expect(first.length).toBe(second.length);
      for (const [at, bytes] of first.entries()) expect(Buffer.compare(bytes, second[at])).toBe(0);
    }
  });
});

/** Bytes of every output of every data set, from a session of its own. */
async function outputs(test: TestCase, threads: number): Promise<Uint8Array[]> {
  await using session = await createSession(test.model, { providers: [cpu()], threads });
  const inputs = freeInputs(readModelFile(test.model));
  const all: Uint8Array[] = [];
  for (const set of test.dataSets) {
    const feeds: Record<string, HostValue> = {};
    for (const [at, file] of set.inputFiles.entries()) {
      if (file) feeds[inputs[at].name] = readValueFile(file, inputs[at].type);
    }
    const results = await session.run(feeds);
    for (const name of session.outputNames) {
      const { data } = results[name] as Tensor;
      if (ArrayBuffer.isView(data)) all.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  }
  return all;
}
