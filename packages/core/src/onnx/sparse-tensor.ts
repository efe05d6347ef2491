// Sparse tensors: where their values lie, and the dense tensor they stand for.

import { bitsOf, isPacked, packedBits, setPackedBits } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { SparseTensor } from '../graph/graph.ts';
import { arrayTypeOf, dataLength, elementCount, Tensor } from '../session/tensor.ts';

/** Elements of a dense tensor that is made of a sparse one, at most. */
const mostElements = 2 ** 31 - 1;

function bad(what: string): OnnxTsError {
  return new OnnxTsError('INVALID_MODEL', `a sparse tensor ${what}.`);
}

/**
 * Row-major positions of the values. Indices are such positions, or one row of coordinates for each value.
 * @throws OnnxTsError INVALID_MODEL
 */
export function sparsePositions({ values, indices, dims }: SparseTensor): readonly number[] {
  const text = `[${dims.join(', ')}]`;
  const rank = dims.length;
  const expected = indices.dims.length === 2 ? values.size * rank : values.size;
  if (indices.type !== 'int64' || indices.size !== expected) {
    const given = `${indices.type}[${indices.dims.join(', ')}]`;
    throw bad(`of dims ${text} with ${values.size} values has indices ${given}, not int64 for each of them`);
  }
  const numbers = indices.toNumberArray();
  const count = elementCount(dims);
  return Array.from({ length: values.size }, (_, at) => {
    if (indices.dims.length !== 2) {
      if (numbers[at] >= 0 && numbers[at] < count) return numbers[at];
      throw bad(`has the index ${numbers[at]} outside its dims ${text}`);
    }
    return dims.reduce((position, size, axis) => {
      const coordinate = numbers[at * rank + axis];
      if (coordinate >= 0 && coordinate < size) return position * size + coordinate;
      throw bad(`has the coordinate ${coordinate} on axis ${axis} of its dims ${text}`);
    }, 0);
  });
}

/**
 * All elements; those without a value are 0 or ''.
 * @throws OnnxTsError INVALID_MODEL for indices outside the dims, and for tensors that cannot be held
 */
export function denseTensor(sparse: SparseTensor): Tensor {
  const { values, dims } = sparse;
  const { type } = values;
  const count = elementCount(dims);
  if (!(count <= mostElements)) throw bad(`of dims [${dims.join(', ')}] is too large`);
  const positions = sparsePositions(sparse);
  if (type === 'string') {
    const texts = new Array<string>(count).fill('');
    for (const [at, position] of positions.entries()) texts[position] = (values.data as string[])[at];
    return new Tensor('string', texts, dims);
  }
  const data = new (arrayTypeOf(type))(dataLength(type, count));
  if (isPacked(type)) {
    const [bits, source, target] = [bitsOf(type), values.data as Uint8Array, data as Uint8Array];
    for (const [at, position] of positions.entries())
      setPackedBits(target, position, bits, packedBits(source, at, bits));
    return new Tensor(type, data, dims);
  }
  // Complex elements are pairs.
  const entries = type === 'complex64' || type === 'complex128' ? 2 : 1;
  for (const [at, position] of positions.entries()) {
    for (let part = 0; part < entries; part++) {
      data[position * entries + part] = (values.data as Float32Array)[at * entries + part];
    }
  }
  return new Tensor(type, data, dims);
}
