// Reductions of the reference interpreter: where they start, how they go on, and fast innermost loops for float sums.

import { integerRange, isBigInteger, isFloat } from './dtype.ts';
import type { StreamingLoad } from './interpret-expr.ts';
import { bigWrapper, binaryFunction, numberWrapper, type ScalarValue } from './scalar-ops.ts';
import type { ReduceOp, Stage } from './stage.ts';

export type Step = (sum: ScalarValue, term: ScalarValue) => ScalarValue;
export type FoldOp = Exclude<ReduceOp, 'argmax' | 'argmin'>;

/** The start and the step of a reduction. Float sums and products stay in double precision. */
export function foldOf(op: FoldOp, dtype: Stage['dtype']): { identity: ScalarValue; step: Step } {
  const isBig = isBigInteger(dtype);
  const isBool = dtype === 'bool';
  switch (op) {
    case 'sum':
    case 'prod': {
      const identity = op === 'sum' ? 0 : 1;
      const float = op === 'sum' ? (a: number, b: number) => a + b : (a: number, b: number) => a * b;
      if (isFloat(dtype)) return { identity, step: float as Step };
      const step = binaryFunction(op === 'sum' ? 'add' : 'mul', dtype) as Step;
      return { identity: isBig ? BigInt(identity) : identity, step };
    }
    case 'max':
    case 'min':
      return { identity: extremeOf(op, dtype), step: binaryFunction(op, dtype) as Step };
    case 'and':
    case 'or': {
      const ones = isBig ? bigWrapper(dtype)(-1n) : numberWrapper(dtype)(-1);
      const identity = isBool ? op === 'and' : op === 'and' ? ones : isBig ? 0n : 0;
      return { identity, step: binaryFunction(op, dtype) as Step };
    }
  }
}

/** What leaves a maximum or minimum unchanged: an infinity for floats, the end of the range for integers. */
function extremeOf(op: 'max' | 'min', dtype: Stage['dtype']): ScalarValue {
  if (isFloat(dtype)) return op === 'max' ? -Infinity : Infinity;
  if (dtype === 'bool') return op === 'min';
  const { min, max } = integerRange(dtype);
  const value = op === 'max' ? min : max;
  return isBigInteger(dtype) ? value : Number(value);
}

/** Where a streaming load reads in this run of the innermost loop: memory, or its fill value again and again. */
function streamStart(load: StreamingLoad, fill: Float32Array): { data: Float32Array; at: number; stride: number } {
  if (!load.guard || load.guard()) return { data: load.data, at: load.offset(), stride: load.stride };
  fill[0] = load.fill!();
  return { data: fill, at: 0, stride: 0 };
}

export function productLoop(left: StreamingLoad, right: StreamingLoad, size: number): (sum: number) => number {
  const [leftFill, rightFill] = [new Float32Array(1), new Float32Array(1)];
  return (start) => {
    const a = streamStart(left, leftFill);
    const b = streamStart(right, rightFill);
    const { data: x, stride: dx } = a;
    const { data: y, stride: dy } = b;
    let sum = start;
    for (let i = 0, p = a.at, q = b.at; i < size; i++, p += dx, q += dy) sum += Math.fround(x[p] * y[q]);
    return sum;
  };
}

export function elementLoop(load: StreamingLoad, size: number): (sum: number) => number {
  const fill = new Float32Array(1);
  return (start) => {
    const a = streamStart(load, fill);
    const { data, stride } = a;
    let sum = start;
    for (let i = 0, p = a.at; i < size; i++, p += stride) sum += data[p];
    return sum;
  };
}
