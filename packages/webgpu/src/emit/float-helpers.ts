// Functions of f32 that WGSL lacks, or defines too loosely: its sine may be wrong by 2^-11 and its tanh is NaN for large
// arguments on some devices. Polynomials are those of the Cephes library (S. L. Moshier, Methods and Programs for
// Mathematical Functions, 1989).

import type { Helper } from './helpers.ts';

const fn = (text: string, ...needs: string[]): Helper => ({ text, needs });

/** Horner's scheme with the highest power first. */
function polynomial(coefficients: readonly number[], x: string): string {
  return coefficients.slice(1).reduce((sum, c) => `(${sum} * ${x} + ${literal(c)})`, literal(coefficients[0]));
}

function literal(value: number): string {
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

const sine = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
const cosine = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
const arcTangent = [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1];
const logarithm = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
];
const errorSmall = [
  7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2, 1.128358514861418e-1,
  -3.7612625824233e-1, 1.12837916572671,
];
const errorMiddle = [
  2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1,
  -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1,
];
const errorFar = [
  -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.0152652792027,
  4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
];

const reduceAngle = `  let turns = round(x * 0.6366197723675814);
  let quadrant = u32(i32(turns)) & 3u;
  let r = ((x - turns * 1.5703125) - turns * 4.8375129699707031e-4) - turns * 7.5497899548918821e-8;
  let z = r * r;
  let s = r + r * z * ${polynomial(sine, 'z')};
  let c = 1.0 - 0.5 * z + z * z * ${polynomial(cosine, 'z')};`;

export const floatHelpers: Readonly<Record<string, Helper>> = {
  is_nan: fn(`fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`),
  infinity: fn(
    `fn infinity() -> f32 {
  return bitcast<f32>(0x7f800000u | zero_bits);
}`,
    'zero_bits',
  ),
  not_a_number: fn(
    `fn not_a_number() -> f32 {
  return bitcast<f32>(0x7fc00000u | zero_bits);
}`,
    'zero_bits',
  ),
  is_infinite: fn(`fn is_infinite(x: f32, bits: u32) -> bool {
  return bitcast<u32>(x) == bits;
}`),
  max_f32: fn(
    `fn max_f32(a: f32, b: f32) -> f32 {
  return select(select(max(a, b), b, is_nan(b)), a, is_nan(a));
}`,
    'is_nan',
  ),
  min_f32: fn(
    `fn min_f32(a: f32, b: f32) -> f32 {
  return select(select(min(a, b), b, is_nan(b)), a, is_nan(a));
}`,
    'is_nan',
  ),
  sign_f32: fn(
    `fn sign_f32(x: f32) -> f32 {
  return select(sign(x), x, is_nan(x));
}`,
    'is_nan',
  ),
  expm1_f32: fn(`fn expm1_f32(x: f32) -> f32 {
  if (abs(x) < 0.35) {
    // x + x^2/2 + …: enough terms for 24 bits.
    return x + x * x * (0.5 + x * (0.16666667 + x * (0.041666668 + x * (0.008333334 + x * (0.0013888889 + x * 0.0001984127)))));
  }
  return exp(x) - 1.0;
}`),
  log_f32: fn(
    `fn log_f32(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  if (x <= 0.0) { return select(not_a_number(), -infinity(), x == 0.0); }
  if (x == infinity()) { return x; }
  let is_tiny = x < 1.1754944e-38;
  let bits = bitcast<u32>(select(x, x * 8388608.0, is_tiny));
  // x = m 2^e with m between the square roots of 1/2 and 2.
  var e = f32(i32(bits >> 23u) - 126) - select(0.0, 23.0, is_tiny);
  var m = bitcast<f32>((bits & 0x7fffffu) | 0x3f000000u);
  if (m < 0.7071067811865475) {
    e -= 1.0;
    m = m + m;
  }
  m -= 1.0;
  let z = m * m;
  let y = m * z * ${polynomial(logarithm, 'm')} - 2.12194440e-4 * e - 0.5 * z;
  return m + y + 0.693359375 * e;
}`,
    'is_nan',
    'infinity',
    'not_a_number',
  ),
  // Not log(1 + x) times x / ((1 + x) - 1): compilers of shaders may take (1 + x) - 1 for x.
  log1p_f32: fn(
    `fn log1p_f32(x: f32) -> f32 {
  if (x > -0.2928932 && x < 0.4142135) {
    let z = x * x;
    return x + (x * z * ${polynomial(logarithm, 'x')} - 0.5 * z);
  }
  return log_f32(1.0 + x);
}`,
    'log_f32',
  ),
  sin_f32: fn(
    `fn sin_f32(x: f32) -> f32 {
  if (!(abs(x) < 65536.0)) { return sin(x); }
${reduceAngle}
  let value = select(s, c, (quadrant & 1u) != 0u);
  return select(value, -value, (quadrant & 2u) != 0u);
}`,
  ),
  cos_f32: fn(
    `fn cos_f32(x: f32) -> f32 {
  if (!(abs(x) < 65536.0)) { return cos(x); }
${reduceAngle}
  let value = select(c, s, (quadrant & 1u) != 0u);
  return select(value, -value, ((quadrant + 1u) & 2u) != 0u);
}`,
  ),
  tan_f32: fn(
    `fn tan_f32(x: f32) -> f32 {
  return sin_f32(x) / cos_f32(x);
}`,
    'sin_f32',
    'cos_f32',
  ),
  atan_f32: fn(`fn atan_f32(x: f32) -> f32 {
  let size = abs(x);
  var base = 0.0;
  var t = size;
  if (size > 2.414213562373095) {
    base = 1.5707963267948966;
    t = -1.0 / size;
  } else if (size > 0.4142135623730950) {
    base = 0.7853981633974483;
    t = (size - 1.0) / (size + 1.0);
  }
  let z = t * t;
  let value = base + (${polynomial(arcTangent, 'z')} * z * t + t);
  return select(value, -value, x < 0.0);
}`),
  asin_f32: fn(
    `fn asin_f32(x: f32) -> f32 {
  if (abs(x) == 1.0) { return x * 1.5707963267948966; }
  if (!(abs(x) < 1.0)) { return not_a_number(); }
  return atan_f32(x / sqrt((1.0 - x) * (1.0 + x)));
}`,
    'atan_f32',
    'not_a_number',
  ),
  acos_f32: fn(
    `fn acos_f32(x: f32) -> f32 {
  if (!(abs(x) <= 1.0)) { return not_a_number(); }
  if (x == -1.0) { return 3.1415926535897931; }
  return 2.0 * atan_f32(sqrt((1.0 - x) / (1.0 + x)));
}`,
    'atan_f32',
    'not_a_number',
  ),
  sinh_f32: fn(
    `fn sinh_f32(x: f32) -> f32 {
  let size = abs(x);
  if (size > 80.0) {
    let half = exp(0.5 * size);
    let value = 0.5 * half * half;
    return select(value, -value, x < 0.0);
  }
  let e = expm1_f32(size);
  let value = 0.5 * (e + e / (e + 1.0));
  return select(value, -value, x < 0.0);
}`,
    'expm1_f32',
  ),
  cosh_f32: fn(`fn cosh_f32(x: f32) -> f32 {
  let half = exp(0.5 * abs(x));
  let e = half * half;
  return 0.5 * half * half + 0.5 / e;
}`),
  tanh_f32: fn(
    `fn tanh_f32(x: f32) -> f32 {
  let size = abs(x);
  if (size > 10.0) { return select(1.0, -1.0, x < 0.0); }
  let e = expm1_f32(2.0 * size);
  let value = e / (e + 2.0);
  return select(value, -value, x < 0.0);
}`,
    'expm1_f32',
  ),
  asinh_f32: fn(
    `fn asinh_f32(x: f32) -> f32 {
  let size = abs(x);
  var value = size;
  if (size > 67108864.0) {
    value = log_f32(size) + 0.6931471805599453;
  } else {
    let square = size * size;
    value = log1p_f32(size + square / (1.0 + sqrt(square + 1.0)));
  }
  return select(value, -value, x < 0.0);
}`,
    'log1p_f32',
  ),
  acosh_f32: fn(
    `fn acosh_f32(x: f32) -> f32 {
  if (!(x >= 1.0)) { return not_a_number(); }
  if (x > 67108864.0) { return log_f32(x) + 0.6931471805599453; }
  let t = x - 1.0;
  return log1p_f32(t + sqrt(2.0 * t + t * t));
}`,
    'log1p_f32',
    'not_a_number',
  ),
  atanh_f32: fn(
    `fn atanh_f32(x: f32) -> f32 {
  if (x == 1.0) { return infinity(); }
  if (x == -1.0) { return -infinity(); }
  if (!(abs(x) < 1.0)) { return not_a_number(); }
  return 0.5 * log1p_f32(2.0 * x / (1.0 - x));
}`,
    'log1p_f32',
    'infinity',
    'not_a_number',
  ),
  erf_f32: fn(
    `fn erf_f32(x: f32) -> f32 {
  let size = abs(x);
  if (is_nan(x)) { return x; }
  if (size <= 1.0) {
    let z = x * x;
    return x * ${polynomial(errorSmall, 'z')};
  }
  if (size > 6.0) { return select(1.0, -1.0, x < 0.0); }
  let q = 1.0 / size;
  let z = q * q;
  let p = select(${polynomial(errorFar, 'z')}, ${polynomial(errorMiddle, 'z')}, size < 2.0);
  let value = 1.0 - exp(-size * size) * q * p;
  return select(value, -value, x < 0.0);
}`,
    'is_nan',
  ),
  sigmoid_f32: fn(`fn sigmoid_f32(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}`),
  power_f32: fn(
    `fn power_f32(a: f32, b: f32) -> f32 {
  if (b == 0.0 || a == 1.0) { return 1.0; }
  if (is_nan(a) || is_nan(b)) { return not_a_number(); }
  let size = abs(a);
  let is_whole = trunc(b) == b;
  let is_odd = is_whole && abs(b) < 16777216.0 && (i32(b) & 1) != 0;
  let negative = (bitcast<u32>(a) >> 31u) != 0u;
  var value = 0.0;
  if (size == 1.0) {
    value = 1.0;
  } else if (size == 0.0) {
    value = select(0.0, infinity(), b < 0.0);
  } else if (is_whole && abs(b) <= 32.0) {
    value = 1.0;
    var square = size;
    for (var rest = u32(abs(b)); rest != 0u; rest >>= 1u) {
      if ((rest & 1u) != 0u) { value = value * square; }
      square = square * square;
    }
    value = select(value, 1.0 / value, b < 0.0);
  } else if (b == 0.5) {
    value = sqrt(size);
  } else {
    value = exp2(b * log2(size));
  }
  if (negative && size != 0.0 && size != 1.0 && !is_whole && size < infinity()) { return not_a_number(); }
  if (negative && size == 1.0 && !is_whole) { return not_a_number(); }
  return select(value, -value, negative && is_odd);
}`,
    'is_nan',
    'infinity',
    'not_a_number',
  ),
  remainder_f32: fn(
    `fn remainder_f32(a: f32, b: f32) -> f32 {
  let size = abs(b);
  if (is_nan(a) || is_nan(b) || b == 0.0 || abs(a) == infinity()) { return not_a_number(); }
  if (size == infinity()) { return a; }
  // Exact: each step takes away a multiple of b that has as many leading bits.
  var rest = abs(a);
  for (var step = 0; step < 32 && rest >= size; step++) {
    let quotient = trunc(rest / size);
    if (quotient < 4096.0) {
      rest = fma(-quotient, size, rest);
      rest = select(rest, rest + size, rest < 0.0);
    } else {
      let scale = exp2(floor(log2(quotient)) - 11.0);
      let part = floor(quotient / scale) * scale;
      rest = fma(-part, size, rest);
      rest = select(rest, rest + size * scale, rest < 0.0);
    }
  }
  rest = select(rest, rest - size, rest >= size);
  return bitcast<f32>(bitcast<u32>(rest) | (bitcast<u32>(a) & 0x80000000u));
}`,
    'is_nan',
    'infinity',
    'not_a_number',
  ),
  modulo_f32: fn(
    `fn modulo_f32(a: f32, b: f32) -> f32 {
  let rest = remainder_f32(a, b);
  // By its bits: compilers may drop the sign of a zero.
  if (rest == 0.0) { return bitcast<f32>(bitcast<u32>(b) & 0x80000000u); }
  return select(rest, rest + b, (rest < 0.0) != (b < 0.0));
}`,
    'remainder_f32',
  ),
};
