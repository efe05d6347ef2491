// com.microsoft SparseToDenseMatMul: a sparse matrix by a dense one. A sparse initializer is dense when it gets here.

import { isBigInteger } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { sparsePositions } from '../../onnx/sparse-tensor.ts';
import { arrayTypeOf, Tensor } from '../../session/tensor.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, float, type HostSparseTensor, int, type NodeContext } from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';
import { requireDType } from '../pointwise.ts';

const types = ['float32', 'float64', 'int64', 'int32', 'uint64', 'uint32'] as const;

/** Element type and shape of A, dense or sparse. */
function sparseOperand(ctx: NodeContext) {
  const type = ctx.type(0);
  if (type.kind !== 'tensor' && type.kind !== 'sparse-tensor') return ctx.fail('input 0 must be a matrix.');
  if (!type.shape) throw new NotKnownYet('shape of input 0');
  if (type.shape.length !== 2) return ctx.fail(`input 0 must have rank 2, not ${type.shape.length}.`);
  return { dtype: type.dtype, shape: type.shape };
}

/** alpha · op(A) · op(B), where op transposes or not. */
export const SparseToDenseMatMul = defineOperator({
  domain: 'com.microsoft',
  name: 'SparseToDenseMatMul',
  since: 1,
  attributes: { alpha: float(1), transA: int(0), transB: int(0) },
  infer(ctx) {
    const dtype = requireDType(ctx, 1, types);
    const a = sparseOperand(ctx);
    if (a.dtype !== dtype) ctx.fail(`A and B must have one element type, not ${a.dtype} and ${dtype}.`);
    const b = expectRank(ctx, 1, 2);
    const { transA, transB } = ctx.attributes;
    const [rows, inner] = transA ? [a.shape[1], a.shape[0]] : a.shape;
    const [columns, other] = transB ? b : [b[1], b[0]];
    expectEqual(ctx, inner, other, 'the inner sizes of A and B');
    return [tensorType(dtype, [rows, columns])];
  },
  expand(ctx) {
    const { alpha, transA, transB } = ctx.attributes;
    const turned = (input: number, isTurned: number) => {
      const matrix = ctx.value(input)!;
      return isTurned ? ctx.op('Transpose', [matrix], { perm: [1, 0] }) : matrix;
    };
    const product = ctx.op('MatMul', [turned(0, transA), turned(1, transB)]);
    return alpha === 1 ? product : ctx.op('Mul', [product, ctx.literal(ctx.dtype(1), alpha)]);
  },
  evaluateOnHost(ctx) {
    const { alpha, transA, transB } = ctx.attributes;
    const [sparse, b] = [ctx.hostValue(0) as HostSparseTensor, ctx.tensor(1)];
    const [rows, inner] = transA ? [sparse.dims[1], sparse.dims[0]] : sparse.dims;
    const columns = b.dims[transB ? 0 : 1];
    const type = b.type as (typeof types)[number];
    const [strideK, strideN] = transB ? [1, inner] : [columns, 1];
    const positions = sparsePositions(sparse);
    const places = positions.map((position) => {
      const [first, second] = [Math.floor(position / sparse.dims[1]), position % sparse.dims[1]];
      return transA ? [second, first] : [first, second];
    });
    const data = new (arrayTypeOf(type))(rows * columns);
    if (isBigInteger(type)) {
      const [values, dense, sums] = [sparse.values, b, { data }].map((tensor) => tensor.data as BigInt64Array);
      const factor = BigInt(Math.trunc(alpha));
      for (const [at, [m, k]] of places.entries()) {
        for (let n = 0; n < columns; n++) {
          sums[m * columns + n] += factor * values[at] * dense[k * strideK + n * strideN];
        }
      }
      return new Tensor(type, data, [rows, columns]);
    }
    const [values, dense] = [sparse.values.data as Float64Array, b.data as Float64Array];
    const sums = new Float64Array(rows * columns);
    for (const [at, [m, k]] of places.entries()) {
      for (let n = 0; n < columns; n++) {
        sums[m * columns + n] += values[at] * dense[k * strideK + n * strideN];
      }
    }
    for (const [at, sum] of sums.entries()) (data as Float64Array)[at] = alpha * sum;
    return new Tensor(type, data, [rows, columns]);
  },
});
