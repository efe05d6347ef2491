import { describe, expect, it } from 'vitest';
import { block, bytes, varint } from '../../tests/bytes.ts';
import { WireWriter } from './writer.ts';

const written = (write: (writer: WireWriter) => void): Uint8Array => {
  const writer = new WireWriter();
  write(writer);
  return writer.finish();
};

describe('integers', () => {
  it('are written as the shortest varint', () => {
    for (const exponent of [0, 6, 7, 8, 27, 28, 31, 32, 34, 35, 52]) {
      for (const value of [2 ** exponent - 1, 2 ** exponent, -(2 ** exponent)]) {
        expect(written((writer) => writer.int53(value))).toEqual(varint(value));
        expect(written((writer) => writer.int64(BigInt(value)))).toEqual(varint(value));
        if (value >= 0) expect(written((writer) => writer.uint64(BigInt(value)))).toEqual(varint(value));
        if ((value | 0) === value) expect(written((writer) => writer.int32(value))).toEqual(varint(value));
      }
    }
    for (const value of [2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(written((writer) => writer.int64(value))).toEqual(varint(value));
    }
    expect(written((writer) => writer.uint64(2n ** 64n - 1n))).toEqual(varint(2n ** 64n - 1n));
  });

  it('must be in range', () => {
    const bad: ((writer: WireWriter) => void)[] = [
      (writer) => writer.int32(2 ** 31),
      (writer) => writer.int32(0.5),
      (writer) => writer.int53(2 ** 53),
      (writer) => writer.int53(Number.NaN),
      (writer) => writer.int64(2n ** 63n),
      (writer) => writer.uint64(-1n),
      (writer) => writer.uint64(2n ** 64n),
    ];
    for (const write of bad) expect(() => written(write)).toThrow(RangeError);
  });
});

describe('lengths', () => {
  it('are right for every size of content', () => {
    for (const size of [0, 1, 127, 128, 255, 256, 257, 1023, 1024, 16383, 16384, 70000, 3_000_000]) {
      const content = new Uint8Array(size).fill(7);
      const whole = block(2, block(1, content));
      const actual = written((writer) => {
        writer.uint32(18).message((value, inner) => inner.uint32(10).bytes(value), content);
      });
      expect(Buffer.compare(actual, whole)).toBe(0);
    }
  });

  it('are right for many small pieces', () => {
    const values = Array.from({ length: 100_000 }, (_, index) => index - 50_000);
    const packed = Buffer.concat(values.map(varint));
    expect(
      Buffer.compare(
        written((writer) => writer.uint32(10).int32s(values)),
        block(1, packed),
      ),
    ).toBe(0);
    const bigints = values.map(BigInt);
    expect(
      Buffer.compare(
        written((writer) => writer.uint32(10).int64s(bigints)),
        block(1, packed),
      ),
    ).toBe(0);
    const floats = new Uint8Array(Float32Array.from(values).buffer);
    expect(
      Buffer.compare(
        written((writer) => writer.uint32(10).floats(values)),
        block(1, floats),
      ),
    ).toBe(0);
    const doubles = new Uint8Array(Float64Array.from(values).buffer);
    expect(
      Buffer.compare(
        written((writer) => writer.uint32(10).doubles(values)),
        block(1, doubles),
      ),
    ).toBe(0);
  });
});

it('writes text as UTF-8', () => {
  expect(written((writer) => writer.uint32(10).string('größe 🙂'))).toEqual(block(1, 'größe 🙂'));
  expect(written((writer) => writer.uint32(10).string('\uD800'))).toEqual(block(1, bytes(0xef, 0xbf, 0xbd)));
});

it('gives memory of its own', () => {
  const result = written((writer) => writer.uint32(8).int53(1));
  expect(result.buffer.byteLength).toBe(result.length);
});
