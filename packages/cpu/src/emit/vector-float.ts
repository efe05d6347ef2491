// Float operations on vectors, except the functions of `math-f32.ts` and `math-f64.ts`.

import type { BinaryOp, CompareOp, ExprType, TestOp, UnaryOp } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { remainderHelpers } from './float-remainder.ts';
import { emitLaneWise } from './lane-wise.ts';
import { emitMathF32, emitPowF32 } from './math-f32.ts';
import { mathF64, powF64 } from './math-f64.ts';
import { Terms } from './terms.ts';
import { unsupported } from './value-type.ts';
import { emitLowWords } from './vector-integer.ts';

/** What the caller knows of the operands, for shorter code. */
export interface BinaryFacts {
  /** The second operand is never NaN, such as the bound of a clip. */
  readonly rightIsNumber?: boolean;
}

export function emitFloatUnary(c: EmitContext, op: UnaryOp, type: ExprType): void {
  const { f } = c;
  const shape = type === 'float64' ? 'f64x2' : 'f32x4';
  switch (op) {
    case 'neg':
    case 'abs':
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'sqrt':
      f.op(`${shape}.${op}`);
      return;
    case 'round':
      f.op(`${shape}.nearest`);
      return;
    case 'sign':
      emitSign(c, shape);
      return;
    case 'not':
    case 'popcount':
      unsupported(op, type);
      return;
    default:
      if (shape === 'f32x4') emitMathF32(c, op);
      else c.helpers.call(f, mathF64[op]);
  }
}

/** ±1, +0 for zeros of both signs, NaN for NaN. */
function emitSign(c: EmitContext, shape: 'f32x4' | 'f64x2'): void {
  c.f.scope(() => {
    const t = new Terms(c, shape);
    const x = t.pop();
    const unit = t.or(t.and(t.const(1), t.gt(x, t.const(0))), t.and(t.const(-1), t.lt(x, t.const(0))));
    // All bits set is a NaN.
    t.or(unit, t.ne(x, x))();
  });
}

export function emitFloatBinary(c: EmitContext, op: BinaryOp, type: ExprType, facts: BinaryFacts): void {
  const { f } = c;
  const shape = type === 'float64' ? 'f64x2' : 'f32x4';
  switch (op) {
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
      f.op(`${shape}.${op}`);
      return;
    case 'min':
    case 'max':
      emitExtreme(c, op, shape, facts);
      return;
    case 'rem':
    case 'mod': {
      const helper = remainderHelpers[`${op}_${shape === 'f64x2' ? 'f64' : 'f32'}`];
      emitLaneWise(c, [shape, shape], shape, () => c.helpers.call(f, helper));
      return;
    }
    case 'pow':
      if (shape === 'f32x4') {
        emitPowF32(c);
        return;
      }
      c.helpers.call(f, powF64);
      return;
    default:
      unsupported(op, type);
  }
}

/**
 * The instructions `min` and `max` take about eight machine instructions, `pmin` and `pmax` one. Those give the first
 * operand if either is NaN, so a NaN on the right is added as bits. Which zero wins between −0 and +0 is unspecified.
 */
function emitExtreme(c: EmitContext, op: 'min' | 'max', shape: 'f32x4' | 'f64x2', facts: BinaryFacts): void {
  const { f } = c;
  if (facts.rightIsNumber) {
    f.op(`${shape}.p${op}`);
    return;
  }
  f.scope(() => {
    const t = new Terms(c, shape);
    const b = t.pop();
    const a = t.pop();
    t.or(t.op(`${shape}.p${op}`, a, b), t.ne(b, b))();
  });
}

export function emitFloatCompare(c: EmitContext, op: CompareOp, type: ExprType): void {
  if (type !== 'float64') {
    c.f.op(`f32x4.${op}`);
    return;
  }
  c.f.op(`f64x2.${op}`);
  emitLowWords(c);
}

export function emitFloatTest(c: EmitContext, op: TestOp, type: ExprType): void {
  const shape = type === 'float64' ? 'f64x2' : 'f32x4';
  c.f.scope(() => {
    const t = new Terms(c, shape);
    const x = t.pop();
    if (op === 'isnan') t.ne(x, x)();
    else t.eq(x, t.const(op === 'isposinf' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY))();
  });
  if (shape === 'f64x2') emitLowWords(c);
}
