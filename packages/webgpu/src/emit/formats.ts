// Calls that convert between f32 and the bit patterns of narrower floats.

import {
  type ExprType,
  encodeFloat,
  floatFormat,
  isSmallFloat as isSmall,
  type SmallFloatType,
} from '@onnx-ts/tensor-ir';
import type { HelperSet } from './helpers.ts';

export function isSmallFloat(type: ExprType): type is SmallFloatType {
  return isSmall(type);
}

/** A u32 whose low bits are the pattern, as an f32. */
export function decodeText(type: SmallFloatType, raw: string, helpers: HelperSet): string {
  if (type === 'bfloat16') return `bitcast<f32>(${raw} << 16u)`;
  const format = floatFormat(type);
  if (!format) return `${helpers.use('decode_e8m0')}(${raw})`;
  const { bits, mantissaBits, minExponent, maxFinite, infinity, unsignedZero } = format;
  const infinite = infinity === undefined ? '0xffffffffu' : `${infinity}u`;
  const name = helpers.use('decode_float');
  const sign = `${2 ** (bits - 1)}u`;
  return `${name}(${raw}, ${mantissaBits}u, ${minExponent}i, ${sign}, ${maxFinite}u, ${infinite}, ${unsignedZero ?? false})`;
}

/** The pattern of an f32, rounded to nearest with halves to even. */
export function encodeText(type: SmallFloatType, x: string, saturate: boolean, helpers: HelperSet): string {
  const format = floatFormat(type);
  if (!format) return `${helpers.use('encode_e8m0')}(${x}, ${saturate})`;
  const { bits, mantissaBits, minExponent, maxFinite, unsignedZero } = format;
  const over = encodeFloat(type, Infinity, { saturate });
  const isSigned = encodeFloat(type, -Infinity, { saturate }) !== over;
  const nan = encodeFloat(type, NaN, { saturate });
  const name = helpers.use('encode_float');
  const sign = `${2 ** (bits - 1)}u`;
  return `${name}(${x}, ${mantissaBits}u, ${minExponent}i, ${sign}, ${maxFinite}u, ${over}u, ${isSigned}, ${nan}u, ${unsignedZero ?? false})`;
}
