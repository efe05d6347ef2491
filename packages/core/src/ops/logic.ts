// Comparisons, logical operators, and tests for special values. Results are bool.

import {
  and,
  constant,
  type Expr,
  eq,
  ge,
  gt,
  isInfinite,
  isNotANumber,
  le,
  lt,
  not,
  or,
  xor,
} from '@onnx-ts/tensor-ir';
import { int } from './define.ts';
import { float8s, floats, numbers, pair, pairSinceOpset1, pointwise } from './pointwise.ts';
import { certainlyEqual, certainlyLess, negation } from './symbolic.ts';

const onBools = { dtypes: ['bool'], result: 'bool' } as const;
const onNumbers = { dtypes: numbers, result: 'bool' } as const;

export const And = pairSinceOpset1('And', { ...onBools, symbolic: (a, b) => a.min(b) }, and);
export const Or = pairSinceOpset1('Or', { ...onBools, symbolic: (a, b) => a.max(b) }, or);
export const Xor = pairSinceOpset1('Xor', onBools, xor);
export const Not = pointwise('Not', { since: 1, ...onBools, symbolic: negation }, not);

export const Equal = pairSinceOpset1(
  'Equal',
  { dtypes: [...numbers, 'bool', 'string'], result: 'bool', symbolic: certainlyEqual },
  eq,
);

export const Less = pairSinceOpset1('Less', { ...onNumbers, symbolic: certainlyLess }, lt);
export const Greater = pairSinceOpset1('Greater', { ...onNumbers, symbolic: (a, b) => certainlyLess(b, a) }, gt);
export const LessOrEqual = pair(
  'LessOrEqual',
  { since: 12, ...onNumbers, symbolic: (a, b) => negation(certainlyLess(b, a)) },
  le,
);
export const GreaterOrEqual = pair(
  'GreaterOrEqual',
  { since: 12, ...onNumbers, symbolic: (a, b) => negation(certainlyLess(a, b)) },
  ge,
);

export const IsNaN = pointwise('IsNaN', { since: 9, dtypes: [...floats, ...float8s], result: 'bool' }, isNotANumber);

export const IsInf = pointwise(
  'IsInf',
  {
    since: 10,
    dtypes: [...floats, ...float8s],
    result: 'bool',
    attributes: { detect_negative: int(1), detect_positive: int(1) },
  },
  (x, { detect_negative, detect_positive }): Expr => {
    const tests: Expr[] = [];
    if (detect_positive !== 0) tests.push(isInfinite(x, 'positive'));
    if (detect_negative !== 0) tests.push(isInfinite(x, 'negative'));
    return tests.length === 0 ? constant('bool', false) : tests.reduce((any, test) => or(any, test));
  },
);
