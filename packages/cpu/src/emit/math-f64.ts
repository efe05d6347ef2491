// Elementary functions of float64 lanes, each a function of the module (vector in, vector out), since they are long and
// rarely run. The families are in `exp-f64.ts`, `log-f64.ts`, `trig-f64.ts` and `pow-f64.ts`; coefficients are as in
// `math-f32.ts`. Errors are below 2.5 units in the last place.

import type { HelperDefinition } from './context.ts';
import { cosh, erf, exp, expm1, sigmoid, sinh, tanh } from './exp-f64.ts';
import { acosh, asinh, atanh, log, log1p } from './log-f64.ts';
import type { MathOp } from './math-f32.ts';
import { pow } from './pow-f64.ts';
import { type Term, Terms } from './terms.ts';
import { acos, asin, atan, cos, sin, tan } from './trig-f64.ts';

type Formula = (t: Terms<'f64x2'>, x: Term) => Term;

function define(op: MathOp, formula: Formula): HelperDefinition {
  return {
    name: `f64x2.${op}`,
    params: { x: 'v128' },
    result: 'v128',
    body: (c, [x]) => {
      const t = new Terms(c, 'f64x2');
      formula(t, t.read(x))();
    },
  };
}

export const mathF64: Readonly<Record<MathOp, HelperDefinition>> = {
  exp: define('exp', exp),
  expm1: define('expm1', expm1),
  sigmoid: define('sigmoid', sigmoid),
  tanh: define('tanh', tanh),
  erf: define('erf', erf),
  sinh: define('sinh', sinh),
  cosh: define('cosh', cosh),
  log: define('log', log),
  log1p: define('log1p', log1p),
  asinh: define('asinh', asinh),
  acosh: define('acosh', acosh),
  atanh: define('atanh', atanh),
  sin: define('sin', sin),
  cos: define('cos', cos),
  tan: define('tan', tan),
  asin: define('asin', asin),
  acos: define('acos', acos),
  atan: define('atan', atan),
};

export const powF64: HelperDefinition = {
  name: 'f64x2.pow',
  params: { x: 'v128', y: 'v128' },
  result: 'v128',
  body: (c, [x, y]) => {
    const t = new Terms(c, 'f64x2');
    pow(t, t.read(x), t.read(y))();
  },
};
