// The usual input of ai.onnx.ml: [N, F] is N rows of F features, [F] a single row.

import { Dim, type DType } from '@onnx-ts/tensor-ir';
import type { Tensor } from '../../session/tensor.ts';
import type { NodeContext } from '../define.ts';
import { expectRank } from '../expect.ts';
import { numbersOf } from '../host-elements.ts';
import { requireDType } from '../pointwise.ts';

export const domain = 'ai.onnx.ml';

/** Element types that most operators of the domain take. */
export const featureTypes = ['float32', 'float64', 'int64', 'int32'] as const satisfies readonly DType[];

export interface FeatureRows {
  readonly count: number;
  readonly width: number;
  /** Row-major. */
  readonly values: ArrayLike<number>;
}

/** Number of rows of input 0, whose type and rank are checked. */
export function inferRowCount(context: NodeContext, dtypes: readonly DType[] = featureTypes): Dim {
  requireDType(context, 0, dtypes);
  const shape = expectRank(context, 0, 1, 2);
  return shape.length === 1 ? Dim.constant(1) : shape[0];
}

/** @param tensor of rank 1 or 2 */
export function featureRows(tensor: Tensor): FeatureRows {
  const { dims } = tensor;
  const [count, width] = dims.length === 1 ? [1, dims[0]] : dims;
  return { count, width, values: numbersOf(tensor) };
}
