// Floats of 16 bits and fewer as bit patterns, from their exponents and mantissas. The parameters come from the tables of
// number formats; see `encodeFloat` and `decodeFloat` of the tensor IR, which these follow.

import type { Helper } from './helpers.ts';

export const formatHelpers: Readonly<Record<string, Helper>> = {
  decode_float: {
    needs: ['not_a_number', 'infinity'],
    text: `fn decode_float(raw: u32, mantissa: u32, min_exponent: i32, sign: u32, max_finite: u32, infinite: u32, no_negative_zero: bool) -> f32 {
  if (no_negative_zero && raw == sign) { return not_a_number(); }
  let rest = raw & (sign - 1u);
  var value = 0.0;
  if (rest > max_finite) {
    value = select(not_a_number(), infinity(), rest == infinite);
  } else {
    let exponent = rest >> mantissa;
    let fraction = rest & ((1u << mantissa) - 1u);
    if (exponent == 0u) {
      value = f32(fraction) * bitcast<f32>(u32(min_exponent - i32(mantissa) + 127) << 23u);
    } else {
      value = bitcast<f32>((u32(i32(exponent) - 1 + min_exponent + 127) << 23u) | (fraction << (23u - mantissa)));
    }
  }
  return select(value, -value, (raw & sign) != 0u);
}`,
  },
  encode_float: {
    text: `fn encode_float(x: f32, mantissa: u32, min_exponent: i32, sign_bit: u32, max_finite: u32, overflow: u32, overflow_signed: bool, nan: u32, no_negative_zero: bool) -> u32 {
  let bits = bitcast<u32>(x);
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return nan; }
  let sign = select(0u, sign_bit, (bits >> 31u) != 0u);
  let over = select(overflow, overflow | sign, overflow_signed);
  if (size == 0x7f800000u) { return over; }
  let field = size >> 23u;
  let own = max(i32(field), 1) - 127;
  let exponent = max(own, min_exponent);
  let whole = (size & 0x7fffffu) | select(0u, 0x800000u, field != 0u);
  let shift = u32(23 - i32(mantissa) + exponent - own);
  var steps = 0u;
  if (shift == 0u) {
    steps = whole;
  } else if (shift < 26u) {
    let half = 1u << (shift - 1u);
    let lost = whole & ((half << 1u) - 1u);
    steps = whole >> shift;
    if (lost > half || (lost == half && (steps & 1u) != 0u)) { steps += 1u; }
  }
  let pattern = (u32(exponent - min_exponent) << mantissa) + steps;
  if (pattern > max_finite) { return over; }
  return select(sign | pattern, 0u, no_negative_zero && pattern == 0u);
}`,
  },
  decode_e8m0: {
    needs: ['not_a_number'],
    text: `fn decode_e8m0(raw: u32) -> f32 {
  if (raw == 255u) { return not_a_number(); }
  return bitcast<f32>(select(raw << 23u, 0x00400000u, raw == 0u));
}`,
  },
  encode_e8m0: {
    text: `fn encode_e8m0(x: f32, saturate: bool) -> u32 {
  let size = bitcast<u32>(x) & 0x7fffffffu;
  if (size >= 0x7f800000u) { return 255u; }
  if (size <= 0x00400000u) { return 0u; }
  // Towards the next power of two.
  let pattern = (size >> 23u) + select(0u, 1u, (size & 0x7fffffu) != 0u);
  return select(pattern, select(255u, 254u, saturate), pattern > 254u);
}`,
  },
};
