// MatMul and Gemm. Both lower to one `sum` stage over a product of two loads, which providers recognise as a
// contraction, followed by a map for scale and bias.

import {
  add,
  cast,
  constant,
  type Dim,
  type DType,
  type Expr,
  isFloat,
  mul,
  type Source,
  type Stage,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, float, type InferContext, int, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { broadcastIndex } from './lowering.ts';
import { requireStretchable } from './pointwise.ts';

/** How an operand of a matrix product is stored. */
export interface MatrixLayout {
  /** The last two axes are swapped. */
  readonly transpose?: boolean;
  /** The rows come before the batch axes (com.microsoft FusedMatMul's `transBatchA`). */
  readonly transposeBatch?: boolean;
}

/** Stored axes in the order batch, rows, columns. */
function matrixAxes(rank: number, { transpose = false, transposeBatch = false }: MatrixLayout): number[] {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  if (transposeBatch) axes.splice(rank - 2, 0, axes.shift()!);
  if (transpose) axes.push(...axes.splice(rank - 2, 1));
  return axes;
}

/** Shape of a product by the rules of numpy.matmul: vectors get a unit axis that the result loses again. */
export function matMulShape(
  ctx: InferContext,
  left: readonly Dim[],
  right: readonly Dim[],
  layouts: { readonly left?: MatrixLayout; readonly right?: MatrixLayout } = {},
): readonly Dim[] {
  if (left.length === 0 || right.length === 0) ctx.fail('a matrix product needs operands of at least rank 1.');
  const a = left.length < 2 ? left : matrixAxes(left.length, layouts.left ?? {}).map((axis) => left[axis]);
  const b = right.length < 2 ? right : matrixAxes(right.length, layouts.right ?? {}).map((axis) => right[axis]);
  expectEqual(ctx, a[a.length - 1], b[Math.max(0, b.length - 2)], 'the inner sizes of a matrix product');
  return [
    ...ctx.broadcast(a.slice(0, -2), b.slice(0, -2)),
    ...(a.length > 1 ? [a[a.length - 2]] : []),
    ...(b.length > 1 ? [b[b.length - 1]] : []),
  ];
}

/** The product of two tensors by the rules of numpy.matmul: one contraction stage. */
export function lowerMatMul(
  ctx: LowerContext,
  a: Source,
  b: Source,
  shape: readonly Dim[],
  layouts: { readonly left?: MatrixLayout; readonly right?: MatrixLayout } = {},
): Stage {
  const left = matrixOperand(ctx, a, layouts.left ?? {});
  const right = matrixOperand(ctx, b, layouts.right ?? {});
  const batch = shape.slice(0, shape.length - (left.isMatrix ? 1 : 0) - (right.isMatrix ? 1 : 0));
  return ctx.reduce('sum', a.dtype, shape, [left.inner('left')], (index, [k]) => {
    const at = index.slice(0, batch.length);
    const row = left.isMatrix ? [index[batch.length]] : [];
    const column = right.isMatrix ? [index[index.length - 1]] : [];
    return mul(left.at(at, batch, [...row, k]), right.at(at, batch, [k, ...column]));
  });
}

function matrixOperand(ctx: LowerContext, source: Source, layout: MatrixLayout) {
  const { shape } = source;
  const isMatrix = shape.length > 1;
  const axes = isMatrix ? matrixAxes(shape.length, layout) : [0];
  const logical = axes.map((axis) => shape[axis]);
  return {
    isMatrix,
    inner: (side: 'left' | 'right') => logical[side === 'left' ? logical.length - 1 : Math.max(0, logical.length - 2)],
    /** Element by the index into the product's batch and the operand's own last axes. */
    at(index: readonly Expr[], batch: readonly Dim[], tail: readonly Expr[]): Expr {
      const head = broadcastIndex(logical.slice(0, -2), index, batch);
      const stored: Expr[] = [];
      [...head, ...tail].forEach((position, at) => {
        stored[axes[at]] = position;
      });
      return ctx.at(source, stored);
    },
  };
}

export const MatMul = defineOperator({
  name: 'MatMul',
  since: 1,
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1);
    return [tensorType(dtype, matMulShape(ctx, ctx.shape(0), ctx.shape(1)))];
  },
  lower: (ctx) => lowerMatMul(ctx, ctx.input(0), ctx.input(1), ctx.outputShape(0)),
});

/** x · factor. Integer tensors are scaled in float64 and truncated, as a float attribute asks for. */
export function scaleBy(x: Expr, factor: number): Expr {
  if (factor === 1) return x;
  if (isFloat(x.type)) return mul(x, factor);
  return cast(x.type, mul(cast('float64', x), constant('float64', factor)));
}

export const gemmAttributes = { alpha: float(1), beta: float(1), transA: int(0), transB: int(0) };

interface GemmAttributes {
  readonly alpha: number;
  readonly beta: number;
  readonly transA: number;
  readonly transB: number;
}

type GemmNode = NodeContext & { readonly attributes: GemmAttributes };

export function inferGemm(ctx: InferContext & GemmNode): { readonly dtype: DType; readonly shape: readonly Dim[] } {
  const dtype = expectSameType(ctx, 0, 1, 2);
  const [a, b] = [expectRank(ctx, 0, 2), expectRank(ctx, 1, 2)];
  const [m, k] = ctx.attributes.transA ? [a[1], a[0]] : a;
  const [inner, n] = ctx.attributes.transB ? [b[1], b[0]] : b;
  expectEqual(ctx, k, inner, 'the inner sizes of A and B');
  if (ctx.hasInput(2)) {
    requireStretchable(ctx, expectRank(ctx, 2, 0, 2), [m, n]);
  }
  return { dtype, shape: [m, n] };
}

/** alpha · A′ · B′ + beta · C */
export function lowerGemm(ctx: LowerContext & GemmNode, shape: readonly Dim[]): Stage {
  const { alpha, beta, transA, transB } = ctx.attributes;
  const [a, b] = [ctx.input(0), ctx.input(1)];
  const product = ctx.reduce('sum', a.dtype, shape, [a.shape[transA ? 0 : 1]], ([m, n], [k]) =>
    mul(ctx.at(a, transA ? [k, m] : [m, k]), ctx.at(b, transB ? [n, k] : [k, n])),
  );
  const hasBias = ctx.hasInput(2) && beta !== 0;
  if (!hasBias && alpha === 1) return product;
  return ctx.map(
    a.dtype,
    shape,
    (index) => {
      const scaled = scaleBy(ctx.at(product, index), alpha);
      return hasBias ? add(scaled, scaleBy(ctx.broadcastAt(2, index, shape), beta)) : scaled;
    },
    'bias',
  );
}

// Before version 7 a C of fewer axes needed the attribute `broadcast`; what such a node means has not changed since.
export const Gemm = defineOperator({
  name: 'Gemm',
  since: 1,
  attributes: gemmAttributes,
  infer(ctx) {
    const { dtype, shape } = inferGemm(ctx);
    return [tensorType(dtype, shape)];
  },
  lower: (ctx) => lowerGemm(ctx, ctx.outputShape(0)),
});
