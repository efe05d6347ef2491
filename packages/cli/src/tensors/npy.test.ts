import { Tensor } from '@onnx-ts/core';
import { describe, expect, it } from 'vitest';
import { decodeElements, encodeElements } from './elements.ts';
import { readNpy, writeNpy } from './npy.ts';

const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

/** A file of version 1 with that header. */
function file(fields: string, body: Uint8Array): Uint8Array {
  const text = `${fields.padEnd(117)}\n`;
  return Uint8Array.from([
    ...Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
    text.length,
    0,
    ...Buffer.from(text),
    ...body,
  ]);
}

describe('files that NumPy wrote', () => {
  it('column-major float32', () => {
    const tensor = readNpy(
      fromBase64(
        'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAABAQAAAgD8AAIBAAAAAQAAAoEA=',
      ),
    );
    expect([tensor.type, tensor.dims, [...tensor.data]]).toEqual(['float32', [2, 3], [0, 1, 2, 3, 4, 5]]);
  });

  it('version 2', () => {
    const tensor = readNpy(
      fromBase64(
        'k05VTVBZAgB0AAAAeydkZXNjcic6ICc8aTgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAAA=',
      ),
    );
    expect([tensor.type, tensor.dims, [...tensor.data]]).toEqual(['int64', [3], [0n, 1n, 2n]]);
  });

  it('version 3 with strings', () => {
    const tensor = readNpy(
      fromBase64(
        'k05VTVBZAwB0AAAAeydkZXNjcic6ICc8VTMnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAphAAAAAAAAAAAAAABiAAAAYwAAAGQAAADpAAAAAAAAAAAAAAAA9gEAAAAAAAAAAAA=',
      ),
    );
    expect([tensor.type, tensor.dims, tensor.data]).toEqual(['string', [2, 2], ['a', 'bcd', 'é', '😀']]);
  });

  it('column-major complex64', () => {
    const tensor = readNpy(
      fromBase64(
        'k05VTVBZAQB2AHsnZGVzY3InOiAnPGM4JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAIA/AAAAQAAAgEAAAAAAAABAQAAAAAAAAAAAAACgQA==',
      ),
    );
    expect([tensor.type, tensor.dims, [...tensor.data]]).toEqual(['complex64', [2, 2], [1, 2, 3, 0, 4, 0, 0, 5]]);
  });

  it('a float16 scalar', () => {
    const tensor = readNpy(
      fromBase64(
        'k05VTVBZAQB2AHsnZGVzY3InOiAnPGYyJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAPg==',
      ),
    );
    expect([tensor.type, tensor.dims, [...(decodeElements(tensor) as Float32Array)]]).toEqual(['float16', [], [1.5]]);
  });
});

it('reads big-endian numbers', () => {
  const header = "{'descr': '>f8', 'fortran_order': False, 'shape': (2,), }";
  const body = new Uint8Array(16);
  new DataView(body.buffer).setFloat64(0, 1.5);
  new DataView(body.buffer).setFloat64(8, -2);
  expect([...readNpy(file(header, body)).data]).toEqual([1.5, -2]);
});

describe('what is written is read back', () => {
  const tensors = [
    new Tensor('float32', new Float32Array([1, Number.NaN, -0, Infinity]), [2, 2]),
    new Tensor('float64', new Float64Array([Math.PI]), []),
    new Tensor('float16', new Uint16Array([0x3c00, 0x7e00]), [2]),
    new Tensor('int8', new Int8Array([-128, 127]), [2, 1]),
    new Tensor('int16', new Int16Array([-3]), [1, 1, 1]),
    new Tensor('int32', new Int32Array(0), [0, 5]),
    new Tensor('int64', new BigInt64Array([-(2n ** 63n), 2n ** 62n]), [2]),
    new Tensor('uint8', new Uint8Array([255]), [1]),
    new Tensor('uint16', new Uint16Array([65535]), [1]),
    new Tensor('uint32', new Uint32Array([2 ** 32 - 1]), [1]),
    new Tensor('uint64', new BigUint64Array([2n ** 64n - 1n]), [1]),
    new Tensor('bool', new Uint8Array([1, 0]), [2]),
    new Tensor('complex128', new Float64Array([1, 2, 3, 4]), [2]),
    new Tensor('string', ['', 'naïve', '日本'], [3]),
  ];
  it.each(tensors.map((tensor) => [tensor.type, tensor] as const))('%s', (_, tensor) => {
    const bytes = writeNpy(tensor);
    const back = readNpy(bytes);
    expect(bytes.length % 64 === 0 || tensor.size > 0).toBe(true);
    expect([back.type, back.dims]).toEqual([tensor.type, tensor.dims]);
    expect(back.data).toEqual(tensor.data);
  });
});

it('widens types that NumPy lacks', () => {
  const types = ['bfloat16', 'float8e5m2', 'float6e3m2', 'float4e2m1', 'int4', 'uint2'] as const;
  const read = types.map((type) => readNpy(writeNpy(encodeElements(type, [0, 1, 2], [3]))));
  expect(read.map((tensor) => tensor.type)).toEqual(['float32', 'float32', 'float32', 'float32', 'int8', 'uint8']);
  for (const tensor of read) expect([...tensor.data]).toEqual([0, 1, 2]);
});

describe('bad files', () => {
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  it.each([
    ['other bytes', new Uint8Array(20), 'no .npy file'],
    ['nothing', new Uint8Array(0), 'no .npy file'],
    ['too few elements', file(header, new Uint8Array(7)), 'promises 8 bytes'],
    ['a cut header', file(header, new Uint8Array(8)).subarray(0, 40), 'ends within its header'],
    ['Python objects', file(header.replace('<f4', '|O'), new Uint8Array(8)), 'type |O'],
    ['long doubles', file(header.replace('<f4', '<f16'), new Uint8Array(32)), 'type <f16'],
    ['fields', file(header.replace("'<f4'", "[('a', '<f4')]"), new Uint8Array(8)), 'structured'],
    ['a huge shape', file(header.replace('(2,)', '(999999999, 999999999)'), new Uint8Array(8)), 'too large'],
  ])('%s', (_, bytes, message) => {
    expect(() => readNpy(bytes)).toThrow(message);
  });
});
