// Element types, by the names that JavaScript users of ONNX know. The IR computes in a subset of them (`ComputeType`).

/** Every ONNX element type. `complex64` and `complex128` are stored as interleaved pairs. */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'bool'
  | 'string'
  | 'complex64'
  | 'complex128'
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'float6e2m3'
  | 'float6e3m2'
  | 'float4e2m1'
  | 'int4'
  | 'uint4'
  | 'int2'
  | 'uint2';

/** What an expression may evaluate to: an element type, or `index`, the machine integer that addresses elements. */
export type ExprType = DType | 'index';

interface DTypeInfo {
  /** Bits one element takes in a tensor's buffer. Below 8, elements are packed, low bits first. */
  readonly bits: number;
  readonly kind: 'float' | 'int' | 'uint' | 'bool' | 'string' | 'complex';
}

const table: Readonly<Record<DType, DTypeInfo>> = {
  float32: { bits: 32, kind: 'float' },
  float64: { bits: 64, kind: 'float' },
  float16: { bits: 16, kind: 'float' },
  bfloat16: { bits: 16, kind: 'float' },
  int8: { bits: 8, kind: 'int' },
  int16: { bits: 16, kind: 'int' },
  int32: { bits: 32, kind: 'int' },
  int64: { bits: 64, kind: 'int' },
  uint8: { bits: 8, kind: 'uint' },
  uint16: { bits: 16, kind: 'uint' },
  uint32: { bits: 32, kind: 'uint' },
  uint64: { bits: 64, kind: 'uint' },
  bool: { bits: 8, kind: 'bool' },
  string: { bits: 0, kind: 'string' },
  complex64: { bits: 64, kind: 'complex' },
  complex128: { bits: 128, kind: 'complex' },
  float8e4m3fn: { bits: 8, kind: 'float' },
  float8e4m3fnuz: { bits: 8, kind: 'float' },
  float8e5m2: { bits: 8, kind: 'float' },
  float8e5m2fnuz: { bits: 8, kind: 'float' },
  float8e8m0: { bits: 8, kind: 'float' },
  float6e2m3: { bits: 6, kind: 'float' },
  float6e3m2: { bits: 6, kind: 'float' },
  float4e2m1: { bits: 4, kind: 'float' },
  int4: { bits: 4, kind: 'int' },
  uint4: { bits: 4, kind: 'uint' },
  int2: { bits: 2, kind: 'int' },
  uint2: { bits: 2, kind: 'uint' },
};

export const allDTypes = Object.keys(table) as readonly DType[];

export function bitsOf(dtype: DType): number {
  return table[dtype].bits;
}

/** Bytes that `count` elements take, packed types rounded up to a whole byte. Strings take no bytes here. */
export function byteLength(dtype: DType, count: number): number {
  return Math.ceil((table[dtype].bits * count) / 8);
}

export function isFloat(type: ExprType): boolean {
  return type !== 'index' && table[type].kind === 'float';
}

/** True for signed and unsigned integers of any width, and for `index`. */
export function isInteger(type: ExprType): boolean {
  return type === 'index' || table[type].kind === 'int' || table[type].kind === 'uint';
}

export function isUnsigned(type: ExprType): boolean {
  return type !== 'index' && (table[type].kind === 'uint' || table[type].kind === 'bool');
}

export function isNumeric(type: ExprType): boolean {
  return isFloat(type) || isInteger(type);
}

/** True for 64-bit integers, whose values are bigints in JavaScript. */
export function isBigInteger(type: ExprType): boolean {
  return type === 'int64' || type === 'uint64';
}

/** Least and greatest value of an integer type, as bigints. */
export function integerRange(dtype: DType): { readonly min: bigint; readonly max: bigint } {
  const { bits, kind } = table[dtype];
  if (kind === 'int') return { min: -(1n << BigInt(bits - 1)), max: (1n << BigInt(bits - 1)) - 1n };
  if (kind === 'uint') return { min: 0n, max: (1n << BigInt(bits)) - 1n };
  if (kind === 'bool') return { min: 0n, max: 1n };
  throw new TypeError(`${dtype} is not an integer type`);
}
