// Elements of less than a byte, low bits first.

import { bitsOf, type DType, type ExprType, isUnsigned, type TensorRef } from '@onnx-ts/tensor-ir';
import type { Plan } from './plan.ts';
import { Value } from './scope.ts';

export function isPacked(type: ExprType): boolean {
  return type !== 'index' && bitsOf(type) < 8;
}

/** The element of an integer type at an index, as an i32. */
export function packedElement(plan: Plan, tensor: TensorRef, index: Value): Value {
  const bits = bitsOf(tensor.dtype);
  const perByte = Math.log2(8 / bits);
  const address = plan.address(tensor);
  return new Value(
    'i32',
    (c) => {
      const { f } = c;
      address.push(c);
      index.push(c);
      f.i32Const(perByte);
      f.op('i32.shr_u');
      f.op('i32.add');
      f.load('i32.load8_u');
      // Moves the element to the top of the word, then down again with its sign.
      f.i32Const(32 - bits);
      index.push(c);
      f.i32Const(2 ** perByte - 1);
      f.op('i32.and');
      f.i32Const(bits);
      f.op('i32.mul');
      f.op('i32.sub');
      f.op('i32.shl');
      f.i32Const(32 - bits);
      f.op(isUnsigned(tensor.dtype) ? 'i32.shr_u' : 'i32.shr_s');
    },
    false,
  );
}

/** Types whose elements can be loaded but not stored one by one. */
export function assertStorable(type: DType): void {
  if (isPacked(type)) throw new TypeError(`no stores of ${type}`);
}
