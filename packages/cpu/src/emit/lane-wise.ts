// Vector operations that have no instruction: each valid lane goes through scalar code.

import type { ExprType } from '@onnx-ts/tensor-ir';
import type { Local } from '../wasm/function.ts';
import type { LaneOp } from '../wasm/opcodes.ts';
import type { EmitContext } from './context.ts';
import { type NumberShape, shapeOf } from './value-type.ts';

const extract: Readonly<Record<NumberShape, LaneOp>> = {
  f32x4: 'f32x4.extract_lane',
  f64x2: 'f64x2.extract_lane',
  i32x4: 'i32x4.extract_lane',
  i64x2: 'i64x2.extract_lane',
};

const replace: Readonly<Record<NumberShape, LaneOp>> = {
  f32x4: 'f32x4.replace_lane',
  f64x2: 'f64x2.replace_lane',
  i32x4: 'i32x4.replace_lane',
  i64x2: 'i64x2.replace_lane',
};

const splat = { f32x4: 'f32x4.splat', f64x2: 'f64x2.splat', i32x4: 'i32x4.splat', i64x2: 'i64x2.splat' } as const;

/**
 * Replaces the vectors on the stack (shapes `from`) by one vector of shape `to`.
 * @param emitScalar takes one scalar per operand from the stack and pushes the scalar result
 */
export function emitLaneWise(
  c: EmitContext,
  from: readonly NumberShape[],
  to: NumberShape,
  emitScalar: (lane: number) => void,
): void {
  const { f } = c;
  f.scope(() => {
    const operands: Local[] = [];
    for (let i = from.length - 1; i >= 0; i--) {
      operands[i] = f.local('v128');
      f.set(operands[i]);
    }
    for (let lane = 0; lane < c.lanes; lane++) {
      for (const [i, operand] of operands.entries()) {
        f.get(operand);
        emitExtract(c, from[i], lane);
      }
      emitScalar(lane);
      if (lane === 0) f.op(splat[to]);
      else f.lane(replace[to], lane);
    }
  });
}

/** Takes a vector, pushes one of its lanes. */
export function emitExtract(c: EmitContext, shape: NumberShape, lane: number): void {
  c.f.lane(extract[shape], lane);
}

/** Takes a vector and a scalar, pushes the vector with that lane replaced. */
export function emitReplace(c: EmitContext, shape: NumberShape, lane: number): void {
  c.f.lane(replace[shape], lane);
}

/** Takes a scalar, pushes it in all lanes. */
export function emitSplatShape(c: EmitContext, shape: NumberShape): void {
  c.f.op(splat[shape]);
}

/** Scalar of a type → vector. */
export function emitSplat(c: EmitContext, type: ExprType): void {
  if (type === 'bool') {
    emitSplatShape(c, 'i32x4');
    c.f.op('i32x4.neg');
  } else emitSplatShape(c, shapeOf(type));
}

/** Vector of a type → its first lane as a scalar. */
export function emitFirstLane(c: EmitContext, type: ExprType): void {
  emitExtract(c, type === 'bool' ? 'i32x4' : shapeOf(type), 0);
  if (type !== 'bool') return;
  c.f.i32Const(1);
  c.f.op('i32.and');
}
