// Recognises what quantises: round(x) + zero point, saturated to a narrow integer type. Clamped first, x is small enough to
// be rounded by an addition, whose sum has the integer in its low bits; see `emitRoundedCast`.

import {
  bitsOf,
  cast,
  constant,
  type DType,
  type Expr,
  integerRange,
  isInteger,
  isUnsigned,
  sub,
} from '@onnx-ts/tensor-ir';
import { roundingBits } from '../emit/rounded-cast.ts';

export interface RoundedCast {
  readonly x: Expr;
  /** Bounds of x in float32, both integers: those of the type without the zero point. */
  readonly low: Expr;
  readonly high: Expr;
  /** What is to be taken from the bits of the sum: int32. */
  readonly bias: Expr;
  /** Whether a NaN ends up at the lower bound although it should become 0. */
  readonly checksNaN: boolean;
}

/** Zero points and bounds of these types are exact as float32, and far from where floats are sparse. */
const mostBits = 16;

export function readRoundedCast(e: Expr): RoundedCast | undefined {
  if (e.kind !== 'cast' || !e.saturate || e.x.type !== 'float32' || !isNarrow(e.type)) return undefined;
  const sum = e.x.kind === 'binary' && e.x.op === 'add' ? e.x : undefined;
  const rounded = sum ? sum.a : e.x;
  const zero = sum ? zeroPoint(sum.b) : constant('int32', 0);
  if (!zero || rounded.kind !== 'unary' || rounded.op !== 'round') return undefined;
  const { min, max } = integerRange(e.type);
  const bound = (limit: bigint): Expr =>
    zero.kind === 'const'
      ? constant('float32', Number(limit) - Number(zero.value))
      : sub(constant('float32', Number(limit)), cast('float32', zero));
  const bias =
    zero.kind === 'const'
      ? constant('int32', roundingBits - Number(zero.value))
      : sub(constant('int32', roundingBits), cast('int32', zero));
  return { x: rounded.x, low: bound(min), high: bound(max), bias, checksNaN: !isUnsigned(e.type) };
}

function isNarrow(type: Expr['type']): type is DType {
  return type !== 'index' && type !== 'bool' && isInteger(type) && bitsOf(type) <= mostBits;
}

/** The integer, of type int32 or a narrow type, that a float32 was made from. */
function zeroPoint(e: Expr): Expr | undefined {
  if (e.kind === 'const') {
    const value = Number(e.value);
    return Number.isInteger(value) && Math.abs(value) < 2 ** mostBits ? constant('int32', value) : undefined;
  }
  return e.kind === 'cast' && isNarrow(e.x.type) ? e.x : undefined;
}
