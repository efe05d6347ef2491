// What providers that generate code have in common at run time.

import { byteLength, type DimBinding, type TensorRef } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode } from '../graph/graph.ts';

/**
 * Bytes of a tensor of an expression for concrete sizes.
 * @throws OnnxTsError INVALID_INPUT when a size is negative
 */
export function bytesOf(tensor: TensorRef, dims: DimBinding): number {
  let count = 1;
  for (const dim of tensor.shape) {
    const size = dim.evaluate(dims);
    if (size < 0) {
      throw new OnnxTsError('INVALID_INPUT', `the size ${dim} = ${size} is negative.`, {
        place: { value: tensor.name },
      });
    }
    count *= size;
  }
  return byteLength(tensor.dtype, count);
}

/**
 * The error of a kernel that met an index out of range, OUT_OF_RANGE.
 * @param origin of the stage or `bounded` expression: the node, or what it was expanded from
 */
export function indexError(provider: string, origin: unknown): OnnxTsError {
  const made = origin as GraphNode | undefined;
  const node = made?.origin ?? made;
  return new OnnxTsError('OUT_OF_RANGE', 'an index that was read from data is out of range.', {
    place: {
      provider,
      ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
    },
    hint: 'Check the indices that are fed to the model.',
  });
}
