// Elements of less than a byte: loads by index instead of by address.

import { bitsOf, type ExprType, type TensorRef } from '@onnx-ts/tensor-ir';
import { emitLoadPackedScalar } from '../emit/packed-ops.ts';
import { scalarOf } from '../emit/value-type.ts';
import type { Plan } from './plan.ts';
import { Value } from './scope.ts';

export function isPacked(type: ExprType): boolean {
  return type !== 'index' && bitsOf(type) < 8;
}

/** The element at an index, as a scalar. */
export function packedElement(plan: Plan, tensor: TensorRef, index: Value): Value {
  const address = plan.address(tensor);
  return new Value(
    scalarOf(tensor.dtype),
    (c) => {
      address.push(c);
      index.push(c);
      emitLoadPackedScalar(c, tensor.dtype);
    },
    false,
  );
}
