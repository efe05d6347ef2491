import { createSession, Tensor } from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';
import { decodeModel, encodeModel, TensorDataType } from '@onnx-ts/onnx-proto';
import { expect, it } from 'vitest';
import { unaryModel } from '../../tests/fixtures.ts';
import { imageOperators } from './image-codecs.ts';

const ofType = (name: string, rank: number) => ({
  name,
  type: {
    tensorType: {
      elemType: TensorDataType.UINT8,
      shape: { dim: Array.from({ length: rank }, (_, at) => ({ dimParam: `${name}${at}` })) },
    },
  },
});

const model = encodeModel({
  irVersion: 9,
  opsetImport: [{ version: 20 }],
  graph: {
    name: 'image',
    node: [{ opType: 'ImageDecoder', name: 'decode', input: ['bytes'], output: ['pixels'] }],
    input: [ofType('bytes', 1)],
    output: [ofType('pixels', 3)],
  },
});

async function decode(bytes: Uint8Array): Promise<Tensor> {
  await using session = await createSession(model, {
    providers: [cpu()],
    threads: 1,
    operators: imageOperators(decodeModel(model)),
  });
  const { pixels } = await session.run({ bytes: new Tensor('uint8', bytes, [bytes.length]) });
  return pixels as Tensor;
}

/** One opaque pixel, lossless. */
const webp = Buffer.from('UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==', 'base64');

it('reads WebP and drops its opacity', async () => {
  const pixels = await decode(new Uint8Array(webp));
  expect(pixels.dims).toEqual([1, 1, 3]);
});

it('says what is wrong with damaged files, and with which node', async () => {
  await expect(decode(new Uint8Array(webp.subarray(0, 20)))).rejects.toThrow(/decode.*webp image cannot be read/s);
  const jpeg2000 = Uint8Array.of(0xff, 0x4f, 0xff, 0x51, 1, 2, 3, 4, 5);
  await expect(decode(jpeg2000)).rejects.toThrow(/decode.*jpeg2000 image cannot be read/s);
});

it('leaves models without images alone', () => {
  expect(imageOperators(decodeModel(unaryModel('Relu')))).toBeUndefined();
});
