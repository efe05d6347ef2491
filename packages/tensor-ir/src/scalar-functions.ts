// Functions of one real number that JavaScript's Math lacks, in double precision.

/** Nearest integer, halves to even. */
export function roundHalfToEven(x: number): number {
  const size = Math.abs(x);
  if (!(size < 4503599627370496)) return x;
  const rounded = size + 4503599627370496 - 4503599627370496;
  return x < 0 || Object.is(x, -0) ? -rounded : rounded;
}

/** 1 / (1 + e^−x) without overflow on either side. */
export function sigmoidOf(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const power = Math.exp(x);
  return power / (1 + power);
}

/** Power as C and IEEE 754 define it, where `**` gives NaN for a base of ±1. */
export function powerOf(base: number, exponent: number): number {
  if (base === 1) return 1;
  if (base === -1 && Math.abs(exponent) === Infinity) return 1;
  return base ** exponent;
}

/** Remainder with the sign of the divisor. */
export function floorModulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

// The error function and its coefficients follow s_erf.c of FreeBSD's msun (fdlibm), Copyright (C) 1993 by Sun
// Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this software is freely
// granted, provided that this notice is preserved.

const erx = 0.8450629115104675;

const small = {
  p: [0.12837916709551256, -0.3250421072470015, -0.02848174957559851, -0.005770270296489442, -2.3763016656650163e-5],
  q: [1, 0.39791722395915535, 0.0650222499887673, 0.005081306281875766, 0.00013249473800432164, -3.960228278775368e-6],
};

const nearOne = {
  p: [
    -0.0023621185607526594, 0.41485611868374833, -0.3722078760357013, 0.31834661990116175, -0.11089469428239668,
    0.035478304325618236, -0.002166375594868791,
  ],
  q: [
    1, 0.10642088040084423, 0.540397917702171, 0.07182865441419627, 0.12617121980876164, 0.01363708391202905,
    0.011984499846799107,
  ],
};

const middle = {
  p: [
    -0.009864944034847148, -0.6938585727071818, -10.558626225323291, -62.375332450326006, -162.39666946257347,
    -184.60509290671104, -81.2874355063066, -9.814329344169145,
  ],
  q: [
    1, 19.651271667439257, 137.65775414351904, 434.56587747522923, 645.3872717332679, 429.00814002756783,
    108.63500554177944, 6.570249770319282, -0.0604244152148581,
  ],
};

const far = {
  p: [
    -0.0098649429247001, -0.799283237680523, -17.757954917754752, -160.63638485582192, -637.5664433683896,
    -1025.0951316110772, -483.5191916086514,
  ],
  q: [
    1, 30.33806074348246, 325.7925129965739, 1536.729586084437, 3199.8582195085955, 2553.0504064331644,
    474.52854120695537, -22.44095244658582,
  ],
};

/** Polynomial with the constant coefficient first. */
function polynomial(coefficients: readonly number[], x: number): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * x + coefficients[i];
  return sum;
}

function quotient(terms: { readonly p: readonly number[]; readonly q: readonly number[] }, x: number): number {
  return polynomial(terms.p, x) / polynomial(terms.q, x);
}

const truncated = new Float64Array(1);
const truncatedWords = new Uint32Array(truncated.buffer);

/** Error function; relative error below one unit in the last place. */
export function erfOf(x: number): number {
  const size = Math.abs(x);
  if (size < 0.84375) {
    if (size < 2 ** -28) return x + 0.1283791670955126 * x;
    return x + x * quotient(small, x * x);
  }
  const sign = x < 0 ? -1 : 1;
  if (size < 1.25) return sign * (erx + quotient(nearOne, size - 1));
  if (size >= 6) return Number.isNaN(size) ? NaN : sign;
  // e^−x² in two factors: z is x without its low word, so that z² is exact.
  truncated[0] = size;
  truncatedWords[0] = 0;
  const z = truncated[0];
  const ratio = quotient(size < 1 / 0.35 ? middle : far, 1 / (size * size));
  const tail = Math.exp(-z * z - 0.5625) * Math.exp((z - size) * (z + size) + ratio);
  return sign * (1 - tail / size);
}
