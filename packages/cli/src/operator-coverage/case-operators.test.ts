import { decodeModel, encodeModel, type ModelProto } from '@onnx-ts/onnx-proto';
import { expect, it } from 'vitest';
import { operatorsOf } from './case-operators.ts';

type Encodable = Parameters<typeof encodeModel>[0];

const model = (content: Encodable): ModelProto => decodeModel(encodeModel({ irVersion: 8, ...content }));

it('takes the operators of the graph, each once, with the opset of their domain', () => {
  const found = operatorsOf(
    model({
      opsetImport: [{ version: 17 }, { domain: 'ai.onnx.ml', version: 3 }],
      graph: {
        node: [{ opType: 'Add' }, { opType: 'Add', domain: 'ai.onnx' }, { opType: 'Scaler', domain: 'ai.onnx.ml' }],
      },
    }),
  );
  expect(found).toEqual([
    { domain: '', name: 'Add', opset: 17 },
    { domain: 'ai.onnx.ml', name: 'Scaler', opset: 3 },
  ]);
});

it("a call of the model's own function stands for its nodes; bodies of control flow do not count", () => {
  const found = operatorsOf(
    model({
      opsetImport: [{ version: 17 }, { domain: 'mine', version: 1 }],
      functions: [{ domain: 'mine', name: 'Twice', opsetImport: [{ version: 13 }], node: [{ opType: 'Mul' }] }],
      graph: {
        node: [
          { opType: 'Twice', domain: 'mine' },
          { opType: 'Loop', attribute: [{ name: 'body', g: { node: [{ opType: 'Sub' }] } }] },
        ],
      },
    }),
  );
  expect(found.map(({ name, opset }) => [name, opset])).toEqual([
    ['Mul', 13],
    ['Loop', 17],
  ]);
});
