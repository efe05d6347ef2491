// Integers of up to 32 bits where WGSL's own operators differ from the IR: division by zero gives 0, shifts by the width
// and more shift everything out.

import type { Helper } from './helpers.ts';

function forBoth(name: string, text: (type: 'i32' | 'u32') => string): Record<string, Helper> {
  return {
    [`${name}_i32`]: { text: text('i32') },
    [`${name}_u32`]: { text: text('u32') },
  };
}

export const integerHelpers: Readonly<Record<string, Helper>> = {
  ...forBoth(
    'divide',
    (t) => `fn divide_${t}(a: ${t}, b: ${t}) -> ${t} {
  return select(a / select(b, ${t}(1), b == ${t}(0)), ${t}(0), b == ${t}(0));
}`,
  ),
  ...forBoth(
    'remainder',
    (t) => `fn remainder_${t}(a: ${t}, b: ${t}) -> ${t} {
  return select(a % select(b, ${t}(1), b == ${t}(0)), ${t}(0), b == ${t}(0));
}`,
  ),
  modulo_i32: {
    needs: ['remainder_i32'],
    text: `fn modulo_i32(a: i32, b: i32) -> i32 {
  let rest = remainder_i32(a, b);
  return select(rest, rest + b, rest != 0 && ((rest < 0) != (b < 0)));
}`,
  },
  ...forBoth(
    'power',
    (t) => `fn power_${t}(base: ${t}, exponent: ${t}) -> ${t} {
  if (exponent < ${t}(0)) {
    if (base == ${t}(1)) { return ${t}(1); }
    ${t === 'i32' ? 'if (base == -1) { return select(1, -1, (exponent & 1) != 0); }' : ''}
    return ${t}(0);
  }
  var result = ${t}(1);
  var square = base;
  var rest = exponent;
  while (rest != ${t}(0)) {
    if ((rest & ${t}(1)) != ${t}(0)) { result = result * square; }
    square = square * square;
    rest = rest >> 1u;
  }
  return result;
}`,
  ),
  ...forBoth(
    'shift_left',
    (t) => `fn shift_left_${t}(a: ${t}, by: ${t}, width: u32) -> ${t} {
  let amount = u32(by);
  return select(${t}(0), a << (amount & 31u), amount < width);
}`,
  ),
  shift_right_u32: {
    text: `fn shift_right_u32(a: u32, by: u32, width: u32) -> u32 {
  return select(0u, a >> (by & 31u), by < width);
}`,
  },
  shift_right_i32: {
    text: `fn shift_right_i32(a: i32, by: i32, width: u32) -> i32 {
  let amount = u32(by);
  return select(select(0, -1, a < 0), a >> (amount & 31u), amount < width);
}`,
  },
  magnitude_u32: {
    // Modulo 2^32 of the whole part; 0 for NaN and infinities.
    text: `fn magnitude_u32(x: f32) -> u32 {
  let size = trunc(abs(x));
  if (!(size < 3.4028234e38)) { return 0u; }
  let high = floor(size * 2.3283064365386963e-10);
  return u32(size - high * 4294967296.0);
}`,
  },
  wrap_float_u32: {
    needs: ['magnitude_u32'],
    text: `fn wrap_float_u32(x: f32) -> u32 {
  let size = magnitude_u32(x);
  return select(size, 0u - size, x < 0.0);
}`,
  },
  clamp_float_i32: {
    text: `fn clamp_float_i32(x: f32, low: i32, high: i32) -> i32 {
  if (x != x) { return 0; }
  if (x <= f32(low)) { return low; }
  if (x >= f32(high)) { return high; }
  return i32(x);
}`,
  },
  clamp_float_u32: {
    text: `fn clamp_float_u32(x: f32, high: u32) -> u32 {
  if (!(x > 0.0)) { return 0u; }
  if (x >= f32(high)) { return high; }
  return u32(x);
}`,
  },
};
