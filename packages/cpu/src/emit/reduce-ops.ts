// The steps of a reduction over lanes. Positions (argmax, argmin) are not reduced here: they are pairs of values, which
// kernels combine by compare and select.

import { type BinaryOp, type DType, type ExprType, identityOf, type ReduceOp } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { emitConstScalar } from './scalar-ops.ts';
import { isWide } from './value-type.ts';
import { emitBinary, emitConst, emitFirstLane } from './vector-ops.ts';

/** Reductions whose partial results combine by one operation. */
export type LaneReduceOp = Exclude<ReduceOp, 'argmax' | 'argmin'>;

const combining: Readonly<Record<LaneReduceOp, BinaryOp>> = {
  sum: 'add',
  prod: 'mul',
  max: 'max',
  min: 'min',
  and: 'and',
  or: 'or',
};

/** The operation by which partial results combine. */
export function combiningOp(op: LaneReduceOp): BinaryOp {
  return combining[op];
}

/** Pushes the result of an empty reduction in all lanes. */
export function emitIdentity(c: EmitContext, op: LaneReduceOp, type: DType): void {
  emitConst(c, type, identityValue(op, type));
}

/** Pushes the result of an empty reduction as a scalar. */
export function emitIdentityScalar(c: EmitContext, op: LaneReduceOp, type: DType): void {
  emitConstScalar(c, type, identityValue(op, type));
}

function identityValue(op: LaneReduceOp, type: DType): number | bigint {
  const identity = identityOf(op, type);
  if (identity.kind !== 'const') throw new TypeError(`${op} of ${type} has no identity`);
  return identity.value;
}

/** a, b → a combined with b, lane by lane. */
export function emitCombine(c: EmitContext, op: LaneReduceOp, type: ExprType): void {
  emitBinary(c, combining[op], type);
}

/** Byte patterns that bring lanes 2 and 3, or lane 1 (of 4 or 8 bytes), to the front. */
const fromWord = (word: number): number[] => Array.from({ length: 16 }, (_, byte) => (byte + 4 * word) % 16);

/**
 * vector → all lanes combined, as a scalar. The order is fixed: (0 ∘ 2) ∘ (1 ∘ 3) of 4 lanes, 0 ∘ 1 of 2.
 */
export function emitHorizontal(c: EmitContext, op: LaneReduceOp, type: ExprType): void {
  const { f, lanes } = c;
  if (type === 'bool' && lanes === 4) {
    if (op === 'or' || op === 'max') {
      f.op('v128.any_true');
      return;
    }
    if (op === 'and' || op === 'min') {
      f.op('i32x4.all_true');
      return;
    }
  }
  const fold = (word: number): void =>
    f.scope(() => {
      const x = f.local('v128');
      f.tee(x);
      f.get(x);
      f.get(x);
      f.shuffle(fromWord(word));
      emitCombine(c, op, type);
    });
  if (isWide(type)) fold(2);
  else {
    if (lanes === 4) fold(2);
    fold(1);
  }
  emitFirstLane(c, type);
}
