// Conversions between scalar types on JavaScript values, as the `cast` and `bitcast` expressions define them. The values
// are those of scalar-ops.ts.

import { bitsOf, type DType, type ExprType, integerRange, isBigInteger, isInteger, isUnsigned } from './dtype.ts';
import { decodeFloat, encodeFloat, isSmallFloat, roundToFormat } from './number-formats.ts';
import { bigWrapper, numberWrapper, type ScalarValue } from './scalar-ops.ts';

function unsupported(type: ExprType): never {
  throw new TypeError(`a cast is not defined for ${type}`);
}

/**
 * A double that rounds to any format of fewer bits as the integer itself would: exact up to 2^53, beyond that with the
 * lost bits gathered in the last one ("round to odd").
 */
function oddDouble(x: bigint): number {
  const near = Number(x);
  if (Math.abs(near) <= Number.MAX_SAFE_INTEGER) return near;
  const high = x >> 16n;
  return Number(x & 0xffffn ? high | 1n : high) * 65536;
}

function castFromBig(type: ExprType, saturate: boolean): (x: bigint) => ScalarValue {
  if (type === 'index' || type === 'float64') return Number;
  if (type === 'float32') return (x) => Math.fround(oddDouble(x));
  if (isSmallFloat(type)) return (x) => roundToFormat(type, oddDouble(x), { saturate });
  if (type === 'bool') return (x) => x !== 0n;
  if (!isInteger(type)) return unsupported(type);
  const { min, max } = integerRange(type);
  const clamp = (x: bigint): bigint => (x < min ? min : x > max ? max : x);
  if (isBigInteger(type)) return saturate ? clamp : bigWrapper(type);
  const wrap = numberWrapper(type);
  return saturate ? (x) => Number(clamp(x)) : (x) => wrap(Number(BigInt.asIntN(32, x)));
}

function castFromNumber(type: ExprType, saturate: boolean): (x: number) => ScalarValue {
  if (type === 'float64') return (x) => x;
  if (type === 'float32') return Math.fround;
  if (isSmallFloat(type)) return (x) => roundToFormat(type, x, { saturate });
  if (type === 'bool') return (x) => x !== 0;
  if (type === 'index') return (x) => (Number.isNaN(x) ? 0 : Math.trunc(x) + 0);
  if (!isInteger(type)) return unsupported(type);
  const range = integerRange(type);
  if (isBigInteger(type)) {
    const wrap = bigWrapper(type);
    const toBig = (x: number): bigint => (Math.abs(x) < Infinity ? wrap(BigInt(Math.trunc(x))) : 0n);
    if (!saturate) return toBig;
    const [low, high] = [Number(range.min), Number(range.max)];
    return (x) => (x <= low ? range.min : x >= high ? range.max : toBig(x));
  }
  const wrap = numberWrapper(type);
  if (!saturate) return (x) => wrap(x);
  const [low, high] = [Number(range.min), Number(range.max)];
  return (x) => (x <= low ? low : x >= high ? high : wrap(x));
}

/** Value conversion as the `cast` expression defines it. */
export function castFunction(from: ExprType, to: ExprType, saturate: boolean): (x: never) => ScalarValue {
  if (from === to) return (x: ScalarValue) => x;
  if (from === 'string' || from === 'complex64' || from === 'complex128') return unsupported(from);
  if (isBigInteger(from)) return castFromBig(to, saturate);
  const convert = castFromNumber(to, saturate);
  return from === 'bool' ? (x: boolean) => convert(x ? 1 : 0) : convert;
}

/** Rounds or wraps a number or bigint to what an element of the type can hold. Of strings there is only the empty one. */
export function constantValue(type: ExprType, value: number | bigint): ScalarValue {
  if (type === 'string') return '';
  if (type === 'complex64' || type === 'complex128') return { re: Number(value), im: 0 };
  if (isBigInteger(type)) return bigWrapper(type)(typeof value === 'bigint' ? value : BigInt(Math.trunc(value)));
  if (type === 'bool') return Number(value) !== 0;
  return numberWrapper(type)(Number(value));
}

const scratch = new DataView(new ArrayBuffer(8));

function toBits(type: DType): (x: never) => bigint {
  if (isSmallFloat(type)) return (x: number) => BigInt(encodeFloat(type, x, { saturate: false }));
  if (type === 'bool') return (x: boolean) => (x ? 1n : 0n);
  if (type === 'float32') {
    return (x: number) => {
      scratch.setFloat32(0, x);
      return BigInt(scratch.getUint32(0));
    };
  }
  if (type === 'float64') {
    return (x: number) => {
      scratch.setFloat64(0, x);
      return scratch.getBigUint64(0);
    };
  }
  return (x: number | bigint) => BigInt.asUintN(bitsOf(type), BigInt(x));
}

function fromBits(type: DType): (bits: bigint) => ScalarValue {
  if (isSmallFloat(type)) return (bits) => decodeFloat(type, Number(bits));
  if (type === 'bool') return (bits) => bits !== 0n;
  if (type === 'float32') {
    return (bits) => {
      scratch.setUint32(0, Number(bits));
      return scratch.getFloat32(0);
    };
  }
  if (type === 'float64') {
    return (bits) => {
      scratch.setBigUint64(0, bits);
      return scratch.getFloat64(0);
    };
  }
  const wrap = isUnsigned(type) ? BigInt.asUintN : BigInt.asIntN;
  return isBigInteger(type) ? (bits) => wrap(64, bits) : (bits) => Number(wrap(bitsOf(type), bits));
}

/** Same bits as another type of equal width. NaN payloads are kept as far as JavaScript numbers keep them. */
export function bitcastFunction(from: ExprType, to: ExprType): (x: never) => ScalarValue {
  if (from === 'index' || to === 'index' || bitsOf(from) !== bitsOf(to) || bitsOf(from) > 64 || bitsOf(from) === 0) {
    throw new TypeError(`no bitcast from ${from} to ${to}`);
  }
  const encode = toBits(from);
  const decode = fromBits(to);
  return (x: never) => decode(encode(x));
}
