// Reductions, arg-reductions, running sums, sorting.

import { isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';
import { drawAxis, signedAxis } from './movement.ts';

interface ReduceOptions {
  readonly kinds: readonly ValueKind[];
  readonly integers?: readonly ValueKind[];
  /** First operator set in which axes are an input. */
  readonly axesInput?: number;
  readonly ulps?: number;
  /** Empty reductions have no value. */
  readonly least?: number;
}

function reduction(
  op: string,
  { kinds, integers = ['small', 'unit', 'special'], axesInput = 18, ulps, least = 0 }: ReduceOptions,
) {
  return (b: CaseBuilder): void => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { budget: 3000, least });
    const axes = b.draws.maybe(() => b.draws.shuffled(b.draws.some(shape.map((_, axis) => axis))));
    const signed = axes?.map((axis) => (b.opset >= 11 ? signedAxis(b, axis, shape.length) : axis));
    // A peer that adds up integers in floating point is right for small ones.
    const x = b.random(dtype, shape, isFloat(dtype) ? kinds : b.isPeer ? ['small'] : integers);
    const terms = countOf(axes && axes.length > 0 ? axes.map((axis) => shape[axis]) : shape);
    if (ulps !== undefined) b.allowSums(terms, ulps);
    const keepdims = b.draws.maybe(() => b.draws.below(2));
    if (b.opset < axesInput) {
      const listed = signed && signed.length > 0 ? signed : undefined;
      return b.output(b.op(op, [x], { axes: listed, keepdims }), dtype);
    }
    const noop = b.draws.maybe(() => b.draws.below(2));
    const list = signed && b.int64s(signed);
    b.output(b.op(op, [x, list], { keepdims, noop_with_empty_axes: noop }), dtype);
  };
}

const sums: readonly ValueKind[] = ['small', 'unit', 'normal', 'spiked'];

function argReduce(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 1, budget: 3000 });
    const axis = drawAxis(b, shape.length);
    if (shape[axis] === 0) shape[axis] = 1;
    const attributes = {
      axis: axis === 0 && b.draws.coin() ? undefined : b.opset >= 11 ? signedAxis(b, axis, shape.length) : axis,
      keepdims: b.draws.maybe(() => b.draws.below(2)),
      select_last_index: b.opset >= 12 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    };
    b.output(
      b.op(
        op,
        [b.random(dtype, shape, b.isPeer ? ['small', 'normal', 'wide'] : ['small', 'normal', 'wide', 'spiked'])],
        attributes,
      ),
    );
  };
}

function running(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 1, budget: 2000 });
    const axis = drawAxis(b, shape.length);
    const isProduct = op === 'CumProd';
    const x = b.random(dtype, shape, isProduct ? ['unit', 'spiked'] : sums);
    if (isProduct) b.allow({ ulps: shape[axis] + 2 });
    else b.allowSums(shape[axis]);
    const attributes = {
      exclusive: b.draws.maybe(() => b.draws.below(2)),
      reverse: b.draws.maybe(() => b.draws.below(2)),
    };
    const position = encodeTensor(b.draws.pick(['int64', 'int32']), b.draws.oneIn(4) ? [1] : [], [
      signedAxis(b, axis, shape.length),
    ]);
    const place = b.operand(position);
    b.output(b.op(op, [x, place], attributes), dtype);
  };
}

function topK(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, budget: 2000 });
  const axis = drawAxis(b, shape.length);
  const k = b.draws.oneIn(4) ? shape[axis] : b.draws.between(0, Math.min(shape[axis], 20));
  const attributes = {
    axis: b.opset >= 11 ? signedAxis(b, axis, shape.length) : axis,
    largest: b.opset >= 11 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    sorted: b.opset >= 11 && !b.isPeer ? b.draws.maybe(() => b.draws.below(2)) : undefined,
  };
  // Ties are many among the small ones: the lower index comes first.
  const x = b.random(dtype, shape, b.isPeer ? ['small', 'normal', 'wide'] : ['small', 'normal', 'wide', 'special']);
  const [values, indices] =
    b.opset < 10
      ? b.ops('TopK', [x], { ...attributes, k }, { outputs: 2 })
      : b.ops('TopK', [x, b.int64s([k])], attributes, { outputs: 2 });
  b.output(values, dtype);
  if (b.draws.coin()) b.output(indices);
}

function hardmax(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, least: 1 });
  const axis = b.draws.maybe(() => signedAxis(b, drawAxis(b, shape.length), shape.length));
  b.output(
    b.op('Hardmax', [b.random(dtype, shape, ['small', 'normal'])], {
      axis: b.opset < 11 && axis !== undefined ? Math.abs(axis) % shape.length : axis,
    }),
    dtype,
  );
}

export const reductions: Family = {
  name: 'reduce',
  cases: {
    ReduceSum: reduction('ReduceSum', { kinds: sums, axesInput: 13, ulps: 1 }),
    ReduceMean: reduction('ReduceMean', { kinds: sums, ulps: 2 }),
    ReduceMax: reduction('ReduceMax', { kinds: ['small', 'normal', 'wide', 'special'] }),
    ReduceMin: reduction('ReduceMin', { kinds: ['small', 'normal', 'wide', 'special'] }),
    ReduceProd: reduction('ReduceProd', { kinds: ['unit'], ulps: 4 }),
    ReduceL1: reduction('ReduceL1', { kinds: sums, ulps: 2 }),
    ReduceL2: reduction('ReduceL2', { kinds: sums, integers: ['small', 'unit'], ulps: 2 }),
    ReduceSumSquare: reduction('ReduceSumSquare', { kinds: sums, ulps: 2 }),
    ReduceLogSum: reduction('ReduceLogSum', { kinds: ['positive'], integers: ['positive'], ulps: 8 }),
    ReduceLogSumExp: reduction('ReduceLogSumExp', { kinds: sums, integers: ['small'], ulps: 8 }),
    ArgMax: argReduce('ArgMax'),
    ArgMin: argReduce('ArgMin'),
    CumSum: running('CumSum'),
    CumProd: running('CumProd'),
    TopK: topK,
    Hardmax: hardmax,
  },
};
