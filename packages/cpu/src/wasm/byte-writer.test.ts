import { expect, test } from 'vitest';
import { ByteWriter } from './byte-writer.ts';

function written(write: (out: ByteWriter) => void): number[] {
  const out = new ByteWriter(1);
  write(out);
  return Array.from(out.toBytes());
}

test.each([
  [0, [0]],
  [1, [1]],
  [127, [0x7f]],
  [128, [0x80, 1]],
  [16383, [0xff, 0x7f]],
  [16384, [0x80, 0x80, 1]],
  [0x7fff_ffff, [0xff, 0xff, 0xff, 0xff, 0x07]],
  [0x8000_0000, [0x80, 0x80, 0x80, 0x80, 0x08]],
  [0xffff_ffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
])('u32 %i', (value, bytes) => {
  expect(written((out) => out.u32(value))).toEqual(bytes);
});

test.each([
  [0, [0]],
  [63, [0x3f]],
  [64, [0xc0, 0]],
  [-1, [0x7f]],
  [-64, [0x40]],
  [-65, [0xbf, 0x7f]],
  [8191, [0xff, 0x3f]],
  [8192, [0x80, 0xc0, 0]],
  [0x7fff_ffff, [0xff, 0xff, 0xff, 0xff, 0x07]],
  [-0x8000_0000, [0x80, 0x80, 0x80, 0x80, 0x78]],
  [0x8000_0000, [0x80, 0x80, 0x80, 0x80, 0x78]],
  [0xffff_ffff, [0x7f]],
])('s32 %i', (value, bytes) => {
  expect(written((out) => out.s32(value))).toEqual(bytes);
});

test.each([
  [0n, [0]],
  [-1n, [0x7f]],
  [64n, [0xc0, 0]],
  [-(1n << 63n), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]],
  [(1n << 63n) - 1n, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]],
  [(1n << 64n) - 1n, [0x7f]],
])('s64 %i', (value, bytes) => {
  expect(written((out) => out.s64(value))).toEqual(bytes);
});

test('values that do not fit are refused', () => {
  const out = new ByteWriter();
  expect(() => out.u32(-1)).toThrow(RangeError);
  expect(() => out.u32(2 ** 32)).toThrow(RangeError);
  expect(() => out.u32(0.5)).toThrow(RangeError);
  expect(() => out.s32(2 ** 32)).toThrow(RangeError);
  expect(() => out.s32(-(2 ** 31) - 1)).toThrow(RangeError);
  expect(() => out.s32(Number.NaN)).toThrow(RangeError);
  expect(() => out.s64(1n << 64n)).toThrow(RangeError);
  expect(out.length).toBe(0);
});

test('floats, names and sized parts', () => {
  expect(written((out) => out.f32(1.5))).toEqual([0, 0, 0xc0, 0x3f]);
  expect(written((out) => out.f64(-2))).toEqual([0, 0, 0, 0, 0, 0, 0, 0xc0]);
  expect(written((out) => out.name('µ'))).toEqual([2, 0xc2, 0xb5]);
  expect(written((out) => out.sized((inner) => inner.bytes([7, 8, 9])))).toEqual([3, 7, 8, 9]);
});

test('grows past its capacity', () => {
  const bytes = Array.from({ length: 1000 }, (_, index) => index & 0xff);
  expect(
    written((out) => {
      for (const byte of bytes) out.u8(byte);
      out.bytes(bytes);
    }),
  ).toEqual([...bytes, ...bytes]);
});
