import { describe, expect, it } from 'vitest';
import { block, bytes, varint } from '../../tests/bytes.ts';
import { NO_DOUBLES, NO_FLOATS, NO_INT32S, NO_INT64S, NO_UINT64S } from './arrays.ts';
import { ProtoDecodeError } from './decode-error.ts';
import { WireReader } from './reader.ts';

const INT64_EDGES = [
  0n,
  1n,
  127n,
  128n,
  300n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -1n,
  -128n,
  -(2n ** 31n),
  -(2n ** 32n),
  -(2n ** 32n) - 1n,
  -(2n ** 53n),
  -(2n ** 63n),
];

const failure = (read: () => unknown): ProtoDecodeError => {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtoDecodeError);
    return error as ProtoDecodeError;
  }
  throw new Error('nothing was thrown');
};

const readTagAndBytes = (reader: WireReader): Uint8Array => {
  reader.tag();
  return reader.bytes();
};

describe('varints', () => {
  it('reads every int64 exactly', () => {
    for (const value of INT64_EDGES) {
      const reader = new WireReader(varint(value));
      expect(reader.int64()).toBe(value);
      expect(reader.pos).toBe(reader.end);
      expect(new WireReader(varint(value)).uint64()).toBe(BigInt.asUintN(64, value));
    }
  });

  it('reads safe integers as numbers and refuses others', () => {
    for (const value of INT64_EDGES) {
      const read = () => new WireReader(bytes(0, varint(value)).subarray(1)).int53();
      if (Number.isSafeInteger(Number(value))) expect(read()).toBe(Number(value));
      else expect(failure(read).offset).toBe(0);
    }
  });

  it('reads int32 in five and in ten bytes', () => {
    expect(new WireReader(varint(-5)).int32()).toBe(-5);
    expect(new WireReader(varint(0xffff_fffb)).int32()).toBe(-5);
    expect(new WireReader(varint(2 ** 31 - 1)).int32()).toBe(2 ** 31 - 1);
  });

  it('accepts padding and refuses an eleventh byte', () => {
    expect(new WireReader(bytes(0x81, 0x80, 0x80, 0x00)).int64()).toBe(1n);
    expect(failure(() => new WireReader(new Uint8Array(11).fill(0x80)).int64()).message).toMatch(/10 bytes/);
  });

  it('says where a cut one is', () => {
    const reader = new WireReader(bytes(5, 0x80, 0x80));
    reader.int32();
    expect(failure(() => reader.int64())).toMatchObject({ name: 'ProtoDecodeError', offset: 1 });
  });
});

describe('packed fields', () => {
  const int64s = bytes(varint(1), varint(-1), varint(2n ** 40n));

  it('append to what is there', () => {
    const payload = bytes(block(1, int64s).subarray(1), block(1, int64s).subarray(1));
    const reader = new WireReader(payload);
    const first = reader.int64s(NO_INT64S);
    expect([...first]).toEqual([1n, -1n, 2n ** 40n]);
    expect([...reader.int64s(first)]).toEqual([1n, -1n, 2n ** 40n, 1n, -1n, 2n ** 40n]);
    expect(NO_INT64S).toHaveLength(0);
  });

  it('have every numeric type', () => {
    const payload = (content: Uint8Array) => new WireReader(block(1, content).subarray(1));
    expect([...payload(int64s).uint64s(NO_UINT64S)]).toEqual([1n, 2n ** 64n - 1n, 2n ** 40n]);
    expect([...payload(bytes(varint(7), varint(-7))).int32s(NO_INT32S)]).toEqual([7, -7]);
    const floats = new Uint8Array(new Float32Array([1.5, -0, Number.NaN]).buffer);
    expect([...payload(floats).floats(NO_FLOATS)]).toEqual([1.5, -0, Number.NaN]);
    const doubles = new Uint8Array(new Float64Array([Math.PI, -1e300]).buffer);
    expect([...payload(doubles).doubles(NO_DOUBLES)]).toEqual([Math.PI, -1e300]);
    expect(payload(bytes()).floats(NO_FLOATS)).toHaveLength(0);
  });

  it('are refused where the last value is cut', () => {
    const cut = (content: Uint8Array) => new WireReader(bytes(block(1, content).subarray(1), 0, 0, 0, 0, 0, 0, 0, 0));
    expect(failure(() => cut(bytes(1, 0x80)).int64s(NO_INT64S)).offset).toBe(1);
    failure(() => cut(bytes(1, 0x80)).int32s(NO_INT32S));
    const plain = cut(bytes(1, 0x80));
    failure(() => plain.packed([], () => plain.int64()));
    expect(failure(() => cut(new Uint8Array(6)).floats(NO_FLOATS)).message).toMatch(/4 bytes have a length of 6/);
    failure(() => cut(new Uint8Array(12)).doubles(NO_DOUBLES));
  }, 1000);
});

describe('strings and bytes', () => {
  const text = (content: string | Uint8Array) => new WireReader(block(1, content).subarray(1)).string();

  it('are read in any script and length', () => {
    const long = 'ascii '.repeat(100);
    for (const value of ['', 'name', 'größe', '入力', '🙂', '\uFEFFmark', 'é'.repeat(40), long, `${long}ü`]) {
      expect(text(value)).toBe(value);
    }
  });

  it('replace broken UTF-8', () => {
    expect(text(bytes(0x61, 0xff, 0x62))).toBe('a\uFFFDb');
  });

  it('are views of the input, also of a Buffer and of shared memory', () => {
    const file = Buffer.concat([Buffer.from([9]), block(1, 'weights').subarray(1)]).subarray(1);
    const view = new WireReader(file).bytes();
    expect(view.buffer).toBe(file.buffer);
    expect(view.byteOffset).toBe(file.byteOffset + 1);
    expect(Object.getPrototypeOf(view)).toBe(Uint8Array.prototype);

    const shared = new Uint8Array(new SharedArrayBuffer(120));
    shared.set(block(1, 'ü'.repeat(40)).subarray(1));
    expect(new WireReader(shared).string()).toBe('ü'.repeat(40));
    expect(new WireReader(shared).bytes().buffer).toBe(shared.buffer);
  });

  it('never reach beyond the message they are in', () => {
    const inner = bytes(varint(10), varint(5), 1, 2, 3);
    const reader = new WireReader(bytes(varint(inner.length), inner, 4, 5, 6, 7));
    expect(failure(() => reader.message(readTagAndBytes)).message).toMatch(/length of 5 where 3/);
  });

  it('need the bytes that their length promises', () => {
    for (const length of [2 ** 31, 2 ** 32, 2n ** 63n, 2n ** 64n - 1n]) {
      failure(() => new WireReader(bytes(varint(length), 1, 2)).bytes());
      failure(() => new WireReader(bytes(varint(length), 1, 2)).floats(NO_FLOATS));
      failure(() => new WireReader(bytes(varint(length), 1, 2)).skip(2, 1));
    }
  });
});

describe('tags and unknown fields', () => {
  it('refuses field number zero and numbers beyond 29 bits', () => {
    failure(() => new WireReader(bytes(2)).tag());
    failure(() => new WireReader(varint(2n ** 32n + 8n)).tag());
  });

  it('passes over every wire type', () => {
    const fields: [number, Uint8Array][] = [
      [0, varint(-1)],
      [1, new Uint8Array(8)],
      [2, block(1, 'abc').subarray(1)],
      [3, bytes(varint(5 * 8), 1, varint(6 * 8 + 3), varint(6 * 8 + 4), varint(9 * 8 + 4))],
      [5, new Uint8Array(4)],
    ];
    for (const [wireType, content] of fields) {
      const reader = new WireReader(content);
      reader.skip(wireType, 9);
      expect(reader.pos).toBe(content.length);
    }
  });

  it('refuses groups that end wrongly, and unknown wire types', () => {
    failure(() => new WireReader(bytes(varint(8 * 8 + 4))).skip(3, 9));
    failure(() => new WireReader(bytes(varint(5 * 8), 1)).skip(3, 9));
    for (const wireType of [4, 6, 7]) failure(() => new WireReader(bytes(1)).skip(wireType, 9));
  });

  it('limits the depth of groups', () => {
    const start = varint(9 * 8 + 3);
    failure(() => new WireReader(bytes(...Array<Uint8Array>(5000).fill(start))).skip(3, 9));
  });
});

it('takes nothing but bytes', () => {
  expect(() => new WireReader([1, 2] as unknown as Uint8Array)).toThrow(TypeError);
});
