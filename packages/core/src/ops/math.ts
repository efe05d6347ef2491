// Unary mathematical functions and the bitwise operators.

import {
  abs,
  and,
  bitsOf,
  cast,
  ceil,
  type Dim,
  div,
  type Expr,
  erf,
  exp,
  floor,
  isFloat,
  isUnsigned,
  log,
  neg,
  not,
  or,
  round,
  shl,
  shr,
  sigmoid,
  sqrt,
  tanh,
  type UnaryOp,
  unary,
  xor,
} from '@onnx-ts/tensor-ir';
import { required, string } from './define.ts';
import { floats, integers, numbers, pair, pointwise, signedIntegers } from './pointwise.ts';

/** Applies a formula for real numbers to a value of any numeric type, and converts the result back. */
export function inRealNumbers(x: Expr, formula: (x: Expr) => Expr): Expr {
  if (isFloat(x.type)) return formula(x);
  const wide = bitsOf(x.type as 'int64') > 16;
  return cast(x.type, formula(cast(wide ? 'float64' : 'float32', x)), { saturate: true });
}

const call = (op: UnaryOp) => (x: Expr) => unary(op, x);
const sameSize = (x: Dim): Dim => x;

export const Abs = pointwise('Abs', { since: 1, dtypes: numbers, symbolic: absolute }, (x) =>
  isUnsigned(x.type) ? x : abs(x),
);
export const Neg = pointwise(
  'Neg',
  { since: 1, dtypes: [...floats, ...signedIntegers], symbolic: (x) => x.negate() },
  neg,
);
export const Sign = pointwise('Sign', { since: 9, dtypes: numbers }, call('sign'));
export const Reciprocal = pointwise('Reciprocal', { since: 1 }, (x) => div(1, x));
export const Sqrt = pointwise('Sqrt', { since: 1 }, sqrt);
export const Exp = pointwise('Exp', { since: 1 }, exp);
export const Log = pointwise('Log', { since: 1 }, log);
export const Erf = pointwise('Erf', { since: 9, dtypes: numbers }, (x) => inRealNumbers(x, erf));
export const Sigmoid = pointwise('Sigmoid', { since: 1 }, sigmoid);

export const Floor = pointwise('Floor', { since: 1, symbolic: sameSize }, floor);
export const Ceil = pointwise('Ceil', { since: 1, symbolic: sameSize }, ceil);
export const Round = pointwise('Round', { since: 11, symbolic: sameSize }, round);

export const Sin = pointwise('Sin', { since: 7 }, call('sin'));
export const Cos = pointwise('Cos', { since: 7 }, call('cos'));
export const Tan = pointwise('Tan', { since: 7 }, call('tan'));
export const Asin = pointwise('Asin', { since: 7 }, call('asin'));
export const Acos = pointwise('Acos', { since: 7 }, call('acos'));
export const Atan = pointwise('Atan', { since: 7 }, call('atan'));
export const Sinh = pointwise('Sinh', { since: 9 }, call('sinh'));
export const Cosh = pointwise('Cosh', { since: 9 }, call('cosh'));
export const Tanh = pointwise('Tanh', { since: 1 }, tanh);
export const Asinh = pointwise('Asinh', { since: 9 }, call('asinh'));
export const Acosh = pointwise('Acosh', { since: 9 }, call('acosh'));
export const Atanh = pointwise('Atanh', { since: 9 }, call('atanh'));

export const BitwiseNot = pointwise('BitwiseNot', { since: 18, dtypes: integers }, not);
export const BitwiseAnd = pair('BitwiseAnd', { since: 18, dtypes: integers }, and);
export const BitwiseOr = pair('BitwiseOr', { since: 18, dtypes: integers }, or);
export const BitwiseXor = pair('BitwiseXor', { since: 18, dtypes: integers }, xor);

/** A distance below 0 or of at least the width shifts everything out: to the right the sign stays, to the left nothing. */
export const BitShift = pair(
  'BitShift',
  {
    since: 11,
    dtypes: integers,
    attributes: { direction: required(string()) },
    choices: { direction: ['LEFT', 'RIGHT'] },
  },
  (x, distance, { direction }) => (direction === 'LEFT' ? shl(x, distance) : shr(x, distance)),
);

function absolute(x: Dim): Dim | undefined {
  if (x.lowerBound >= 0) return x;
  return x.upperBound <= 0 ? x.negate() : undefined;
}
