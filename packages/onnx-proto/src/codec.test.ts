import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { block, bytes, integer, varint } from '../tests/bytes.ts';
import * as api from './index.ts';
import {
  AttributeType,
  decodeAttribute,
  decodeMap,
  decodeModel,
  decodeNode,
  decodeTensor,
  decodeType,
  encodeAttribute,
  encodeGraph,
  encodeMap,
  encodeModel,
  encodeSequence,
  encodeTensor,
  encodeType,
  enumName,
  type MessageInput,
  type ModelProto,
  TensorDataType,
} from './index.ts';

const model: MessageInput<ModelProto> = {
  irVersion: 10,
  producerName: 'onnx-ts',
  opsetImport: [
    { domain: '', version: 23 },
    { domain: 'com.microsoft', version: 1 },
  ],
  graph: {
    name: 'main',
    node: [
      {
        opType: 'If',
        input: ['flag'],
        output: ['y'],
        attribute: [
          { name: 'then_branch', type: AttributeType.GRAPH, g: { node: [{ opType: 'Identity', input: ['x', ''] }] } },
          { name: 'alpha', type: AttributeType.FLOAT, f: 0 },
          { name: 'axis', type: AttributeType.INT, i: -1n },
          { name: 'mode', type: AttributeType.STRING, s: new TextEncoder().encode('linear') },
          { name: 'axes', type: AttributeType.INTS, ints: [0n, -(2n ** 63n), 2n ** 63n - 1n] },
          { name: 'scales', type: AttributeType.FLOATS, floats: [0.5, -0, 1] },
        ],
      },
    ],
    initializer: [
      { name: 'w', dims: [2, 0], dataType: TensorDataType.FLOAT, rawData: new Uint8Array(300).fill(3) },
      { name: 'shape', dims: [3], dataType: TensorDataType.INT64, int64Data: [1n, -1n, 2n ** 40n] },
    ],
    input: [
      {
        name: 'x',
        type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'batch' }, { dimValue: 0 }, {}] } } },
      },
    ],
  },
};

describe('round trips', () => {
  it('keeps a model, with the presence of its fields', () => {
    const decoded = decodeModel(encodeModel(model));
    expect(decoded).toMatchObject({
      ...model,
      graph: {
        ...model.graph,
        initializer: [{ dims: [2, 0] }, { int64Data: new BigInt64Array([1n, -1n, 2n ** 40n]) }],
      },
    });
    const [, alpha, axis] = decoded.graph!.node[0].attribute;
    expect(alpha).toHaveProperty('f', 0);
    expect(alpha).not.toHaveProperty('i');
    expect(axis.i).toBe(-1n);
    expect(decoded.graph!.input[0].type!.tensorType!.shape!.dim).toEqual([{ dimParam: 'batch' }, { dimValue: 0 }, {}]);
    expect(encodeModel(decoded)).toEqual(encodeModel(model));
  });

  it('keeps values', () => {
    const map: MessageInput<api.MapProto> = {
      keyType: TensorDataType.INT64,
      keys: [5n, -(2n ** 62n)],
      values: { elemType: api.SequenceElementType.TENSOR, tensorValues: [{ floatData: [1] }, { floatData: [2] }] },
    };
    expect(decodeMap(encodeMap(map))).toMatchObject({ keyType: 7, keys: map.keys, values: { elemType: 1 } });
    const nested = { elemType: 3, sequenceValues: [{ elemType: 4, mapValues: [map] }] };
    expect(encodeSequence(api.decodeSequence(encodeSequence(nested)))).toEqual(encodeSequence(nested));
    const optional = { elemType: api.OptionalElementType.UNDEFINED };
    expect(api.decodeOptional(api.encodeOptional(optional))).toEqual(optional);
    const sparse = { values: { name: 's', floatData: [4] }, indices: { int64Data: [7n] }, dims: [10] };
    expect(api.decodeSparseTensor(api.encodeSparseTensor(sparse)).dims).toEqual([10]);
    const definition = { name: 'f', overload: '', attributeProto: [{ name: 'a', i: 0n }], valueInfo: [{ name: 'v' }] };
    expect(api.decodeFunction(api.encodeFunction(definition))).toMatchObject(definition);
    expect(api.decodeValueInfo(api.encodeValueInfo({ name: 'v' })).name).toBe('v');
    expect(api.decodeGraph(encodeGraph({ name: 'g' })).name).toBe('g');
    expect(decodeNode(api.encodeNode({ opType: 'Add' })).opType).toBe('Add');
  });

  it('gives repeated fields always, others only where they are set', () => {
    expect(decodeNode(bytes())).toEqual({
      input: [],
      output: [],
      attribute: [],
      metadataProps: [],
      deviceConfigurations: [],
    });
    expect(decodeTensor(bytes()).floatData).toEqual(new Float32Array());
  });
});

describe('repeated numbers', () => {
  const values = [1, -1, 2 ** 40, 0];
  const packed = bytes(...values.map(varint));

  it('are read packed, unpacked and mixed', () => {
    const single = (field: number) => bytes(...values.map((value) => integer(field, value)));
    for (const twice of [
      bytes(block(1, packed), single(1)),
      bytes(single(1), block(1, packed)),
      bytes(block(1, packed), block(1, bytes()), block(1, packed)),
    ]) {
      expect(decodeTensor(twice).dims).toEqual([...values, ...values]);
    }
    const wide = values.map(BigInt);
    for (const field of [7, 11]) {
      const content = decodeTensor(bytes(block(field, packed), single(field), block(field, packed)));
      const expected = [...wide, ...wide, ...wide];
      if (field === 7) expect([...content.int64Data]).toEqual(expected);
      else expect([...content.uint64Data]).toEqual(expected.map((value) => BigInt.asUintN(64, value)));
    }
    expect(decodeAttribute(bytes(single(8), block(8, packed))).ints).toEqual([...wide, ...wide]);
    expect(decodeMap(bytes(single(3), block(3, packed))).keys).toEqual([...wide, ...wide]);
    const float = new Uint8Array(new Float32Array([0.5]).buffer);
    expect([...decodeTensor(bytes(varint(4 * 8 + 5), float, block(4, float))).floatData]).toEqual([0.5, 0.5]);
    expect(decodeAttribute(bytes(varint(7 * 8 + 5), float, block(7, float))).floats).toEqual([0.5, 0.5]);
    expect([...decodeTensor(bytes(integer(5, -7), block(5, varint(-8)))).int32Data]).toEqual([-7, -8]);
    const double = new Uint8Array(new Float64Array([Math.E]).buffer);
    expect([...decodeTensor(bytes(varint(10 * 8 + 1), double, block(10, double))).doubleData]).toEqual([
      Math.E,
      Math.E,
    ]);
  });

  it('are written the way that ONNX declares them', () => {
    expect(encodeTensor({ dims: [2, 300] })).toEqual(bytes(integer(1, 2), integer(1, 300)));
    expect(encodeAttribute({ ints: [1n, -1n] })).toEqual(bytes(integer(8, 1), integer(8, -1)));
    expect(encodeTensor({ int64Data: [1n, -1n] })).toEqual(block(7, bytes(1, varint(-1))));
    expect(encodeTensor({ int32Data: [-1] })).toEqual(block(5, varint(-1)));
    expect(encodeTensor({ floatData: [1] })).toEqual(block(4, bytes(0, 0, 0x80, 0x3f)));
  });

  it('take linear time unpacked or in many small packs', () => {
    const count = 200_000;
    const unpacked = new Uint8Array(count * 2);
    for (let index = 0; index < count; ++index) unpacked.set([7 * 8, index & 127], 2 * index);
    expect(decodeTensor(unpacked).int64Data).toHaveLength(count);
    const packs = new Uint8Array(count * 3);
    for (let index = 0; index < count; ++index) packs.set([7 * 8 + 2, 1, index & 127], 3 * index);
    const { int64Data } = decodeTensor(packs);
    expect(int64Data).toHaveLength(count);
    expect(int64Data[12345]).toBe(BigInt(12345 & 127));
  }, 5000);
});

describe('sizes', () => {
  it('must be exact as numbers', () => {
    expect(decodeTensor(integer(1, -1)).dims).toEqual([-1]);
    expect(() => decodeTensor(integer(1, 2n ** 53n))).toThrow(api.ProtoDecodeError);
    expect(() => decodeModel(integer(1, -(2n ** 63n)))).toThrow(api.ProtoDecodeError);
    expect(() => encodeTensor({ dims: [2 ** 53] })).toThrow(RangeError);
    expect(() => encodeTensor({ dims: [1.5] })).toThrow(RangeError);
  });
});

describe('messages', () => {
  it('merge where a field occurs again', () => {
    const first = encodeModel({ graph: { name: 'a', node: [{ opType: 'Add' }], docString: 'kept' } });
    const second = encodeModel({ graph: { name: 'b', node: [{ opType: 'Mul' }] } });
    const { graph } = decodeModel(bytes(first, second));
    expect(graph).toMatchObject({ name: 'b', docString: 'kept', node: [{ opType: 'Add' }, { opType: 'Mul' }] });
  });

  it('keep the last member of a oneof', () => {
    const type = decodeType(
      bytes(encodeType({ mapType: { keyType: 7 } }), encodeType({ tensorType: { elemType: 1 } })),
    );
    expect(type).toEqual({ tensorType: { elemType: 1 } });
    const dim = bytes(integer(1, 5), block(2, 'n'));
    expect(decodeType(block(1, block(2, block(1, dim)))).tensorType!.shape!.dim).toEqual([{ dimParam: 'n' }]);
  });

  it('pass over unknown fields and known ones of another wire type', () => {
    const node = bytes(block(4, 'Relu'), block(500, 'later'), integer(4, 9), varint(30 * 8 + 5), 1, 2, 3, 4);
    expect(decodeNode(node).opType).toBe('Relu');
  });

  it('keep enum values of later versions', () => {
    expect(decodeAttribute(integer(20, 99)).type).toBe(99);
    expect(decodeTensor(integer(14, 7)).dataLocation).toBe(7);
  });
});

describe('weights', () => {
  const file = Buffer.concat([Buffer.alloc(3), encodeModel(model)]).subarray(3);

  it('are views of the file', () => {
    const { graph } = decodeModel(file);
    const { rawData } = graph!.initializer[0];
    expect(rawData!.buffer).toBe(file.buffer);
    expect(rawData).toHaveLength(300);
    expect(graph!.node[0].attribute[3].s!.buffer).toBe(file.buffer);
  });

  it('decode at memory speed in typed fields', () => {
    const count = 1_000_000;
    const floatData = new Float32Array(count).map((_, index) => index / 3);
    const int64Data = BigInt64Array.from({ length: count }, (_, index) => BigInt(index - 500));
    const floats = encodeTensor({ floatData });
    const int64s = encodeTensor({ int64Data });
    decodeTensor(floats);
    const started = performance.now();
    expect(Buffer.compare(asBytes(decodeTensor(floats).floatData), asBytes(floatData))).toBe(0);
    const between = performance.now();
    expect(Buffer.compare(asBytes(decodeTensor(int64s).int64Data), asBytes(int64Data))).toBe(0);
    // Loose bounds for busy machines; typically a few milliseconds and a few tens.
    expect(between - started).toBeLessThan(200);
    expect(performance.now() - between).toBeLessThan(1000);
  });
});

const asBytes = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

it('refuses to encode what nests in a circle', () => {
  const attribute: { g?: MessageInput<api.GraphProto> } = {};
  attribute.g = { node: [{ attribute: [attribute] }] };
  expect(() => encodeAttribute(attribute)).toThrow(RangeError);
});

it('names enum values', () => {
  expect(enumName(TensorDataType, 10)).toBe('FLOAT16');
  expect(enumName(TensorDataType, 99)).toBe('99');
  expect(Object.keys(TensorDataType)).toHaveLength(29);
});

it('works where code must not be made from strings', () => {
  const script = `import { decodeNode, encodeNode } from '@onnx-ts/onnx-proto';
    console.log(decodeNode(encodeNode({ opType: 'Relu' })).opType);`;
  const flags = ['--disallow-code-generation-from-strings', '--conditions=@onnx-ts/source', '--input-type=module'];
  const output = execFileSync(process.execPath, [...flags, '-e', script], { cwd: import.meta.dirname });
  expect(output.toString()).toBe('Relu\n');
});
