// 64-bit integers as two 32-bit words, low word first. Add, subtract and multiply wrap; signed numbers are two's complement.

import type { Helper } from './helpers.ts';

const fn = (text: string, ...needs: string[]): Helper => ({ text, needs });

export const wideHelpers: Readonly<Record<string, Helper>> = {
  wide_add: fn(`fn wide_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}`),
  wide_sub: fn(`fn wide_sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}`),
  wide_neg: fn(
    `fn wide_neg(a: vec2<u32>) -> vec2<u32> {
  return wide_sub(vec2<u32>(0u, 0u), a);
}`,
    'wide_sub',
  ),
  wide_abs: fn(
    `fn wide_abs(a: vec2<u32>) -> vec2<u32> {
  return select(a, wide_neg(a), bitcast<i32>(a.y) < 0);
}`,
    'wide_neg',
  ),
  wide_sign: fn(`fn wide_sign(a: vec2<u32>) -> vec2<u32> {
  if ((a.x | a.y) == 0u) { return a; }
  return select(vec2<u32>(1u, 0u), vec2<u32>(0xffffffffu, 0xffffffffu), bitcast<i32>(a.y) < 0);
}`),
  wide_product: fn(`fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let other = a0 * b1 + (middle & 0xffffu);
  return vec2<u32>((other << 16u) | (low & 0xffffu), a1 * b1 + (middle >> 16u) + (other >> 16u));
}`),
  wide_mul: fn(
    `fn wide_mul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = wide_product(a.x, b.x);
  return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}`,
    'wide_product',
  ),
  wide_lt_u: fn(`fn wide_lt_u(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}`),
  wide_lt_i: fn(`fn wide_lt_i(a: vec2<u32>, b: vec2<u32>) -> bool {
  return bitcast<i32>(a.y) < bitcast<i32>(b.y) || (a.y == b.y && a.x < b.x);
}`),
  wide_div_u: fn(
    `fn wide_div_u(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if ((b.x | b.y) == 0u) { return vec2<u32>(0u, 0u); }
  if ((a.y | b.y) == 0u) { return vec2<u32>(a.x / b.x, 0u); }
  var quotient = vec2<u32>(0u, 0u);
  var rest = vec2<u32>(0u, 0u);
  for (var bit = 63i; bit >= 0i; bit--) {
    let overflows = (rest.y >> 31u) != 0u;
    let next = select(a.x >> u32(bit & 31i), a.y >> u32(bit & 31i), bit >= 32i) & 1u;
    rest = vec2<u32>((rest.x << 1u) | next, (rest.y << 1u) | (rest.x >> 31u));
    if (overflows || !wide_lt_u(rest, b)) {
      rest = wide_sub(rest, b);
      if (bit >= 32i) { quotient.y |= 1u << u32(bit - 32i); } else { quotient.x |= 1u << u32(bit); }
    }
  }
  return quotient;
}`,
    'wide_sub',
    'wide_lt_u',
  ),
  wide_rem_u: fn(
    `fn wide_rem_u(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if ((b.x | b.y) == 0u) { return vec2<u32>(0u, 0u); }
  return wide_sub(a, wide_mul(wide_div_u(a, b), b));
}`,
    'wide_div_u',
    'wide_mul',
  ),
  wide_div_i: fn(
    `fn wide_div_i(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let size = wide_div_u(wide_abs(a), wide_abs(b));
  return select(size, wide_neg(size), ((a.y ^ b.y) >> 31u) != 0u);
}`,
    'wide_div_u',
    'wide_abs',
  ),
  wide_rem_i: fn(
    `fn wide_rem_i(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let size = wide_rem_u(wide_abs(a), wide_abs(b));
  return select(size, wide_neg(size), (a.y >> 31u) != 0u);
}`,
    'wide_rem_u',
    'wide_abs',
  ),
  wide_mod_i: fn(
    `fn wide_mod_i(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let rest = wide_rem_i(a, b);
  let crosses = (rest.x | rest.y) != 0u && ((rest.y ^ b.y) >> 31u) != 0u;
  return select(rest, wide_add(rest, b), crosses);
}`,
    'wide_rem_i',
    'wide_add',
  ),
  wide_shl: fn(`fn wide_shl(a: vec2<u32>, by: vec2<u32>) -> vec2<u32> {
  if (by.y != 0u || by.x >= 64u) { return vec2<u32>(0u, 0u); }
  if (by.x == 0u) { return a; }
  if (by.x >= 32u) { return vec2<u32>(0u, a.x << (by.x - 32u)); }
  return vec2<u32>(a.x << by.x, (a.y << by.x) | (a.x >> (32u - by.x)));
}`),
  wide_shr_u: fn(`fn wide_shr_u(a: vec2<u32>, by: vec2<u32>) -> vec2<u32> {
  if (by.y != 0u || by.x >= 64u) { return vec2<u32>(0u, 0u); }
  if (by.x == 0u) { return a; }
  if (by.x >= 32u) { return vec2<u32>(a.y >> (by.x - 32u), 0u); }
  return vec2<u32>((a.x >> by.x) | (a.y << (32u - by.x)), a.y >> by.x);
}`),
  wide_shr_i: fn(`fn wide_shr_i(a: vec2<u32>, by: vec2<u32>) -> vec2<u32> {
  let high = bitcast<i32>(a.y);
  let sign = bitcast<u32>(high >> 31u);
  if (by.y != 0u || by.x >= 64u) { return vec2<u32>(sign, sign); }
  if (by.x == 0u) { return a; }
  if (by.x >= 32u) { return vec2<u32>(bitcast<u32>(high >> (by.x - 32u)), sign); }
  return vec2<u32>((a.x >> by.x) | (a.y << (32u - by.x)), bitcast<u32>(high >> by.x));
}`),
  wide_pow_u: fn(
    `fn wide_pow_u(base: vec2<u32>, exponent: vec2<u32>) -> vec2<u32> {
  var result = vec2<u32>(1u, 0u);
  var square = base;
  var rest = exponent;
  while ((rest.x | rest.y) != 0u) {
    if ((rest.x & 1u) != 0u) { result = wide_mul(result, square); }
    square = wide_mul(square, square);
    rest = vec2<u32>((rest.x >> 1u) | (rest.y << 31u), rest.y >> 1u);
  }
  return result;
}`,
    'wide_mul',
  ),
  wide_pow_i: fn(
    `fn wide_pow_i(base: vec2<u32>, exponent: vec2<u32>) -> vec2<u32> {
  if (bitcast<i32>(exponent.y) < 0) {
    let one = vec2<u32>(1u, 0u);
    let minus = vec2<u32>(0xffffffffu, 0xffffffffu);
    if (all(base == one)) { return one; }
    if (all(base == minus)) { return select(one, minus, (exponent.x & 1u) != 0u); }
    return vec2<u32>(0u, 0u);
  }
  return wide_pow_u(base, exponent);
}`,
    'wide_pow_u',
  ),
  wide_from_i32: fn(`fn wide_from_i32(x: i32) -> vec2<u32> {
  return vec2<u32>(bitcast<u32>(x), bitcast<u32>(x >> 31u));
}`),
  wide_from_f32: fn(
    `fn wide_from_f32(x: f32) -> vec2<u32> {
  let size = trunc(abs(x));
  if (!(size < 3.4028234e38)) { return vec2<u32>(0u, 0u); }
  let high = floor(size * 2.3283064365386963e-10);
  let whole = vec2<u32>(u32(size - high * 4294967296.0), u32(high - floor(high * 2.3283064365386963e-10) * 4294967296.0));
  return select(whole, wide_neg(whole), x < 0.0);
}`,
    'wide_neg',
  ),
  wide_clamp_f32_i: fn(
    `fn wide_clamp_f32_i(x: f32) -> vec2<u32> {
  if (x >= 9223372036854775808.0) { return vec2<u32>(0xffffffffu, 0x7fffffffu); }
  if (x <= -9223372036854775808.0) { return vec2<u32>(0u, 0x80000000u); }
  return wide_from_f32(x);
}`,
    'wide_from_f32',
  ),
  wide_clamp_f32_u: fn(
    `fn wide_clamp_f32_u(x: f32) -> vec2<u32> {
  if (x >= 18446744073709551616.0) { return vec2<u32>(0xffffffffu, 0xffffffffu); }
  if (x <= 0.0) { return vec2<u32>(0u, 0u); }
  return wide_from_f32(x);
}`,
    'wide_from_f32',
  ),
  wide_to_f32_u: fn(`fn wide_to_f32_u(a: vec2<u32>) -> f32 {
  if (a.y == 0u) { return f32(a.x); }
  // The top 32 bits, with what is lost gathered in the last one: rounding them rounds the whole.
  let zeros = countLeadingZeros(a.y);
  let top = select((a.y << zeros) | (a.x >> (32u - zeros)), a.y, zeros == 0u);
  let lost = (a.x << zeros) != 0u;
  return f32(top | select(0u, 1u, lost)) * bitcast<f32>((159u - zeros) << 23u);
}`),
  wide_to_f32_i: fn(
    `fn wide_to_f32_i(a: vec2<u32>) -> f32 {
  let size = wide_to_f32_u(wide_abs(a));
  return select(size, -size, (a.y >> 31u) != 0u);
}`,
    'wide_to_f32_u',
    'wide_abs',
  ),
  /** To i32 with saturation. */
  wide_clamp_i32: fn(`fn wide_clamp_i32(a: vec2<u32>) -> i32 {
  let low = bitcast<i32>(a.x);
  if (a.y == bitcast<u32>(low >> 31u)) { return low; }
  return select(2147483647, -2147483647 - 1, (a.y >> 31u) != 0u);
}`),
  wide_clamp_u32: fn(`fn wide_clamp_u32(a: vec2<u32>) -> u32 {
  return select(0xffffffffu, a.x, a.y == 0u);
}`),
};
