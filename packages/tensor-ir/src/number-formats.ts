// Small number formats as bit patterns: float16, bfloat16, the float8, float6 and float4 kinds, and integers of 4 and 2
// bits packed into bytes. Encoding starts from a JavaScript number and rounds once.

import { bitsOf, type DType } from './dtype.ts';

/** Floating-point types that JavaScript has no number for. */
export type SmallFloatType =
  | 'float16'
  | 'bfloat16'
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'float6e2m3'
  | 'float6e3m2'
  | 'float4e2m1';

/** Element types that share a byte with their neighbours. */
export type PackedType = 'float6e2m3' | 'float6e3m2' | 'float4e2m1' | 'int4' | 'uint4' | 'int2' | 'uint2';

/** How to round to float8e8m0, whose values are the powers of two. */
export type RoundMode = 'up' | 'down' | 'nearest';

/** A binary format with a sign, an exponent and a mantissa. */
export interface FloatFormat {
  readonly bits: number;
  readonly mantissaBits: number;
  /** Exponent of the least normal number; subnormals share it. */
  readonly minExponent: number;
  /** Greatest finite pattern, sign bit aside. */
  readonly maxFinite: number;
  /** Pattern of infinity; undefined where there is none. */
  readonly infinity?: number;
  /** Pattern of NaN; undefined where there is none. */
  readonly nan?: number;
  /** The pattern of −0 means NaN (the "uz" kinds). */
  readonly unsignedZero?: true;
  /** What a value beyond the greatest finite one becomes regardless of `saturate`. */
  readonly overflow?: 'infinity' | 'max';
}

const formats: Readonly<Record<Exclude<SmallFloatType, 'float8e8m0'>, FloatFormat>> = {
  float16: {
    bits: 16,
    mantissaBits: 10,
    minExponent: -14,
    maxFinite: 0x7bff,
    infinity: 0x7c00,
    nan: 0x7e00,
    overflow: 'infinity',
  },
  bfloat16: {
    bits: 16,
    mantissaBits: 7,
    minExponent: -126,
    maxFinite: 0x7f7f,
    infinity: 0x7f80,
    nan: 0x7fc0,
    overflow: 'infinity',
  },
  float8e4m3fn: { bits: 8, mantissaBits: 3, minExponent: -6, maxFinite: 0x7e, nan: 0x7f },
  float8e4m3fnuz: { bits: 8, mantissaBits: 3, minExponent: -7, maxFinite: 0x7f, nan: 0x80, unsignedZero: true },
  float8e5m2: { bits: 8, mantissaBits: 2, minExponent: -14, maxFinite: 0x7b, infinity: 0x7c, nan: 0x7e },
  float8e5m2fnuz: { bits: 8, mantissaBits: 2, minExponent: -15, maxFinite: 0x7f, nan: 0x80, unsignedZero: true },
  float6e2m3: { bits: 6, mantissaBits: 3, minExponent: 0, maxFinite: 0x1f, overflow: 'max' },
  float6e3m2: { bits: 6, mantissaBits: 2, minExponent: -2, maxFinite: 0x1f, overflow: 'max' },
  float4e2m1: { bits: 4, mantissaBits: 1, minExponent: 0, maxFinite: 0x7, overflow: 'max' },
};

/** The format of a type; undefined for float8e8m0, which has an exponent alone. */
export function floatFormat(type: SmallFloatType): FloatFormat | undefined {
  return type === 'float8e8m0' ? undefined : formats[type];
}

export function isSmallFloat(type: string): type is SmallFloatType {
  return type === 'float8e8m0' || type in formats;
}

export function isPacked(dtype: DType): dtype is PackedType {
  return bitsOf(dtype) < 8 && dtype !== 'string';
}

const scratch = new Float64Array(1);
const words = new Uint32Array(scratch.buffer);

/** Exponent of a finite double: floor(log2 |x|), −1023 for zero and subnormals. */
function exponentOf(x: number): number {
  scratch[0] = x;
  return ((words[1] >>> 20) & 0x7ff) - 1023;
}

/** Nearest integer, halves to even, for 0 ≤ x < 2^51. */
function roundHalfEven(x: number): number {
  return x + 4503599627370496 - 4503599627370496;
}

/**
 * The bit pattern of a number in a small format, rounded to nearest with halves to even, directly from the double.
 * Out of range: float16 and bfloat16 give infinities, floats of 6 and 4 bits their greatest value (also for NaN, which they lack),
 * and float8 what ONNX Cast says: with `saturate` the greatest finite value, without it infinity or NaN.
 */
export function encodeFloat(
  type: SmallFloatType,
  x: number,
  options: { readonly saturate?: boolean; readonly roundMode?: RoundMode } = {},
): number {
  const saturate = options.saturate ?? true;
  if (type === 'float8e8m0') return encodeE8M0(x, saturate, options.roundMode ?? 'up');
  return encodeWith(formats[type], x, saturate);
}

function encodeWith(format: FloatFormat, x: number, saturate: boolean): number {
  const signBit = 1 << (format.bits - 1);
  const sign = x < 0 || Object.is(x, -0) ? signBit : 0;
  const { mantissaBits, minExponent } = format;
  // Floats of 6 and 4 bits have no NaN; the greatest positive value stands for it.
  if (Number.isNaN(x)) return format.nan ?? format.maxFinite;
  const size = Math.abs(x);
  if (size === Infinity) return overflowOf(format, sign, saturate);
  const exponent = Math.max(exponentOf(size), minExponent);
  const steps = roundHalfEven(size * 2 ** (mantissaBits - exponent));
  // Counts patterns from zero: a carry out of the mantissa lands in the exponent by itself.
  const pattern = (exponent - minExponent) * 2 ** mantissaBits + steps;
  if (pattern > format.maxFinite) return overflowOf(format, sign, saturate);
  return format.unsignedZero && pattern === 0 ? 0 : sign | pattern;
}

function overflowOf(format: FloatFormat, sign: number, saturate: boolean): number {
  if (format.overflow === 'infinity') return sign | format.infinity!;
  if (saturate || format.overflow === 'max') return sign | format.maxFinite;
  return format.unsignedZero ? format.nan! : sign | (format.infinity ?? format.nan!);
}

/** Sign is dropped; NaN and infinity are the pattern 255; numbers too small give 2^−127. */
function encodeE8M0(x: number, saturate: boolean, mode: RoundMode): number {
  const size = Math.abs(x);
  if (!(size < Infinity)) return 255;
  if (size <= 2 ** -127) return 0;
  const exponent = exponentOf(size);
  const fraction = size * 2 ** -exponent;
  const up = mode === 'up' ? fraction > 1 : mode === 'nearest' && fraction >= 1.5;
  const pattern = exponent + 127 + (up ? 1 : 0);
  return pattern > 254 ? (saturate ? 254 : 255) : pattern;
}

/** The number that a bit pattern of a small format stands for. */
export function decodeFloat(type: SmallFloatType, pattern: number): number {
  if (type === 'float8e8m0') return pattern === 255 ? NaN : 2 ** (pattern - 127);
  const format = formats[type];
  const signBit = 1 << (format.bits - 1);
  if (format.unsignedZero && pattern === signBit) return NaN;
  const sign = pattern & signBit ? -1 : 1;
  const rest = pattern & (signBit - 1);
  if (rest > format.maxFinite) return rest === format.infinity ? sign * Infinity : NaN;
  const step = 2 ** -format.mantissaBits;
  const exponent = rest >>> format.mantissaBits;
  const mantissa = rest & (2 ** format.mantissaBits - 1);
  if (exponent === 0) return sign * mantissa * step * 2 ** format.minExponent;
  return sign * (1 + mantissa * step) * 2 ** (format.minExponent + exponent - 1);
}

const tables = new Map<SmallFloatType, Float32Array>();

/** Values of all patterns of a small format, made on first use. */
export function decodeTable(type: SmallFloatType): Float32Array {
  let table = tables.get(type);
  if (!table) {
    table = Float32Array.from({ length: 2 ** bitsOf(type) }, (_, pattern) => decodeFloat(type, pattern));
    tables.set(type, table);
  }
  return table;
}

/** The value of a small format that is nearest to a number. */
export function roundToFormat(
  type: SmallFloatType,
  x: number,
  options: { readonly saturate?: boolean; readonly roundMode?: RoundMode } = {},
): number {
  return decodeTable(type)[encodeFloat(type, x, options)];
}

/** The raw bits of element `at` in packed bytes, low bits first. `bits` is 6, 4 or 2: those of 6 may lie in two bytes. */
export function packedBits(bytes: Uint8Array, at: number, bits: number): number {
  const shift = (at * bits) & 7;
  const byte = Math.floor((at * bits) / 8);
  const word = shift + bits > 8 ? bytes[byte] | (bytes[byte + 1] << 8) : bytes[byte];
  return (word >> shift) & ((1 << bits) - 1);
}

/** Writes the low `bits` bits of `value` as element `at`. */
export function setPackedBits(bytes: Uint8Array, at: number, bits: number, value: number): void {
  const shift = (at * bits) & 7;
  const mask = ((1 << bits) - 1) << shift;
  const byte = Math.floor((at * bits) / 8);
  bytes[byte] = (bytes[byte] & ~mask) | ((value << shift) & mask);
  if (mask > 0xff) bytes[byte + 1] = (bytes[byte + 1] & ~(mask >> 8)) | (((value << shift) & mask) >> 8);
}

/** Sets the bits behind the last of `count` packed elements to 0; `bytes` ends with that element. */
export function clearPadding(dtype: DType, bytes: Uint8Array, count: number): void {
  const used = (count * bitsOf(dtype)) & 7;
  if (used > 0) bytes[bytes.length - 1] &= (1 << used) - 1;
}

/** Element `at` of a packed tensor as a number. */
export function getPacked(dtype: PackedType, bytes: Uint8Array, at: number): number {
  const bits = bitsOf(dtype);
  const raw = packedBits(bytes, at, bits);
  if (isSmallFloat(dtype)) return decodeFloat(dtype, raw);
  if (dtype === 'int4' || dtype === 'int2') return (raw << (32 - bits)) >> (32 - bits);
  return raw;
}

/** Stores a number as element `at`: integers wrap, floats round and saturate. */
export function setPacked(dtype: PackedType, bytes: Uint8Array, at: number, value: number): void {
  setPackedBits(bytes, at, bitsOf(dtype), isSmallFloat(dtype) ? encodeFloat(dtype, value) : value);
}
