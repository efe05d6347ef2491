import { createSession, OnnxTsError, reference, Tensor } from '@onnx-ts/core';
import { kernelPack } from '@onnx-ts/core/provider';
import { cpu } from '@onnx-ts/cpu';
import { AttributeType, encodeModel } from '@onnx-ts/onnx-proto';
import { describe, expect, it } from 'vitest';
import * as custom from './operators.ts';

const operators = Object.values(custom);

/** y = 2 · Op(x + 1) with a symbolic length. */
function model(op: string): Uint8Array {
  const vector = { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'length' }] } } };
  return encodeModel({
    irVersion: 10,
    opsetImport: [{ version: 20 }, { domain: 'com.example', version: 1 }],
    graph: {
      name: 'example',
      input: [{ name: 'x', type: vector }],
      output: [{ name: 'y', type: vector }],
      initializer: [
        { name: 'one', dataType: 1, dims: [], floatData: [1] },
        { name: 'two', dataType: 1, dims: [], floatData: [2] },
      ],
      node: [
        { opType: 'Add', input: ['x', 'one'], output: ['a'] },
        {
          opType: op,
          domain: 'com.example',
          input: ['a'],
          output: ['b'],
          attribute: [{ name: 'scale', type: AttributeType.FLOAT, f: 2 }],
        },
        { opType: 'Mul', input: ['b', 'two'], output: ['y'] },
      ],
    },
  });
}

const x = [-3, -1, -0.5, 0, 0.25, 4, 11];
const expected = x.map((value) => 2 * (value + 1 - Math.tanh((value + 1) / 2)));

async function run(op: string, providers: Parameters<typeof createSession>[1] & object) {
  await using session = await createSession(model(op), { ...providers, operators });
  const { y } = await session.run({ x: new Tensor('float32', x) });
  for (const [at, value] of expected.entries()) expect((y.data as Float32Array)[at]).toBeCloseTo(value, 5);
  return session.explain();
}

describe('a custom operator', () => {
  for (const op of ['TanhShrink', 'TanhShrinkOfNodes', 'TanhShrinkOnHost']) {
    it(`${op} runs on the reference provider and on the CPU`, async () => {
      await run(op, { providers: [reference()] });
      await run(op, { providers: [cpu({ threads: 1 })] });
    });
  }

  it('is fused with its neighbours when it is a tensor expression', async () => {
    const { steps } = await run('TanhShrink', { providers: [cpu({ threads: 1 })] });
    expect(steps).toHaveLength(1);
    expect(steps[0].kernels).toHaveLength(1);
  });

  it('runs on the provider that has a kernel for it', async () => {
    const pack = kernelPack({
      id: 'mine',
      kernels: {
        'com.example:TanhShrinkOfProvider': ({ inputs, outputs, attributes }) => {
          const [source, target] = [inputs[0]!.data as Float32Array, outputs[0]!.data as Float32Array];
          for (const [at, value] of source.entries())
            target[at] = value - Math.tanh(value / (attributes.scale as number));
        },
      },
    });
    const { steps } = await run('TanhShrinkOfProvider', { providers: [cpu({ threads: 1 }), pack] });
    expect(steps.map((step) => step.provider)).toEqual(['cpu', 'mine', 'cpu']);
  });

  it('says what is missing when no provider has a kernel', async () => {
    const attempt = run('TanhShrinkOfProvider', { providers: [cpu({ threads: 1 })] });
    await expect(attempt).rejects.toThrow(OnnxTsError);
    await expect(attempt).rejects.toMatchObject({ code: 'UNSUPPORTED', place: { op: 'TanhShrinkOfProvider' } });
  });

  it('is unknown without being registered', async () => {
    const attempt = createSession(model('TanhShrink'), { providers: [reference()] });
    await expect(attempt).rejects.toMatchObject({ code: 'UNKNOWN_OPERATOR' });
  });
});
