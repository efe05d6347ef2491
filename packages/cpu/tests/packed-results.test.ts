// Results of less than a byte per element: what lies behind the last element is zero, whatever the memory held before.

import { createSession, Tensor } from '@onnx-ts/core';
import { AttributeType, encodeModel } from '@onnx-ts/onnx-proto';
import { expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

it('clears the bits behind the last element', async () => {
  const shape = { dim: [{ dimParam: 'n' }] };
  const bytes = encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 21 }],
    graph: {
      name: 'quantize',
      input: [
        { name: 'x', type: { tensorType: { elemType: 1, shape } } },
        { name: 'scale', type: { tensorType: { elemType: 1, shape: { dim: [] } } } },
      ],
      node: [
        {
          opType: 'QuantizeLinear',
          input: ['x', 'scale'],
          output: ['y'],
          attribute: [{ name: 'output_dtype', type: AttributeType.INT, i: 22n }],
        },
      ],
      output: [{ name: 'y', type: { tensorType: { elemType: 22 } } }],
    },
  });
  await using session = await createSession(bytes, { providers: [cpu({ threads: 1 })] });
  for (const count of [5, 4, 5, 3, 8, 7, 1]) {
    const { y } = await session.run({
      x: new Tensor('float32', new Float32Array(count).fill(-1)),
      scale: new Tensor('float32', [1], []),
    });
    const expected = Array.from({ length: Math.ceil(count / 2) }, (_, at) => (2 * at + 2 > count ? 0x0f : 0xff));
    expect(Array.from(y.data as Uint8Array)).toEqual(expected);
  }
});
