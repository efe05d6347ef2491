// Elementary functions of float32 lanes, as inlined instruction sequences without multiply-add, so that results do not
// depend on the engine's relaxed SIMD. The families are in `exp-f32.ts`, `log-f32.ts`, `trig-f32.ts` and `pow-f32.ts`.
//
// Largest errors in units in the last place, over all float32 arguments tried (the tests hold them): exp 1, expm1 1.7,
// log 0.8, log1p 1.4, tanh 1.3, sigmoid 2.5, erf 5, sin and cos 1.6, tan 2.8, asin 2.4, acos 1.2, atan 1.5, sinh 1.6,
// cosh 1.4, asinh 1.7, acosh 1.8, atanh 1.1, pow 0.6. Signs of zeros, infinities, NaN and denormals are right, on both
// sides, except that results of exp and sigmoid below 2^−125 (2.4e−38) lose a bit or are 0. Angles may be of any size.
//
// Polynomial coefficients are minimax fits (Remez exchange, relative error, each coefficient rounded to float32 before
// the next is fitted), made for this package; the reductions are those of Cephes (Moshier) and fdlibm (Sun).

import type { UnaryOp } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { cosh, erf, exp, expm1, sigmoid, sinh, tanh } from './exp-f32.ts';
import { acosh, asinh, atanh, log, log1p } from './log-f32.ts';
import { pow } from './pow-f32.ts';
import { type Term, Terms } from './terms.ts';
import { acos, asin, atan, cos, sin, tan } from './trig-f32.ts';

export type MathOp = Exclude<
  UnaryOp,
  'neg' | 'abs' | 'sign' | 'floor' | 'ceil' | 'round' | 'trunc' | 'sqrt' | 'not' | 'popcount'
>;

type Formula = (t: Terms<'f32x4'>, x: Term) => Term;

const formulas: Readonly<Record<MathOp, Formula>> = {
  exp,
  expm1,
  sigmoid,
  tanh,
  erf,
  sinh,
  cosh,
  log,
  log1p,
  asinh,
  acosh,
  atanh,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
};

/** x → op x, on float32 lanes. */
export function emitMathF32(c: EmitContext, op: MathOp): void {
  c.f.scope(() => {
    const t = new Terms(c, 'f32x4');
    formulas[op](t, t.pop())();
  });
}

/** x, y → x^y, on float32 lanes. */
export function emitPowF32(c: EmitContext): void {
  c.f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const y = t.pop();
    const x = t.pop();
    pow(t, x, y)();
  });
}
