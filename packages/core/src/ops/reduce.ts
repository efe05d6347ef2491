// Reductions over axes: sums, products, extremes and norms, each a formula of three lines.

import {
  abs,
  add,
  cast,
  Dim,
  type DType,
  div,
  type Expr,
  exp,
  isFloat,
  isInfinite,
  isNumeric,
  isUnsigned,
  log,
  mul,
  or,
  type ReduceOp,
  type Stage,
  select,
  sqrt,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType, sizeAs } from './compute-type.ts';
import {
  defineOperator,
  type InferContext,
  int,
  ints,
  type LowerContext,
  type NodeContext,
  type OperatorDefinition,
} from './define.ts';
import { expectRank } from './expect.ts';
import { Rows } from './rows.ts';
import { freshShape, knownIntegers } from './small-tensor.ts';

interface Reduction {
  readonly name: string;
  /** Version from which the axes are an input instead of an attribute. */
  readonly axesInputSince: number;
  readonly takesBool?: boolean;
  /** For shapes: the result for two sizes. */
  symbolic?(a: Dim, b: Dim): Dim;
  /** One element for each row, of the input's type. */
  lower(context: LowerContext, rows: Rows, dtype: DType): Stage;
}

/** Axes to reduce, in ascending order. None given means all, or none with `noop_with_empty_axes`. */
function reducedAxes(
  context: NodeContext,
  given: readonly number[] | undefined,
  noopWithEmptyAxes: boolean,
): readonly number[] {
  const rank = context.rank(0);
  if (!given || given.length === 0) return noopWithEmptyAxes ? [] : Array.from({ length: rank }, (_, axis) => axis);
  // Of a scalar, converters name axis 0 or −1.
  if (rank === 0 && given.every((axis) => axis === 0 || axis === -1)) return [];
  const axes = given.map((axis) => context.axis(axis, rank));
  if (new Set(axes).size !== axes.length) context.fail(`axes [${given.join(', ')}] name an axis twice.`);
  return axes.sort((a, b) => a - b);
}

function reducedShape(shape: readonly Dim[], axes: readonly number[], keepdims: boolean): readonly Dim[] {
  const kept = shape.map((size, axis) => (axes.includes(axis) ? Dim.constant(1) : size));
  return keepdims ? kept : kept.filter((_, axis) => !axes.includes(axis));
}

function inferReduction(context: InferContext, reduction: Reduction, axes: readonly number[], keepdims: boolean) {
  const dtype = context.dtype(0);
  if (!isNumeric(dtype) && !(dtype === 'bool' && reduction.takesBool)) {
    context.fail(`input 0 is ${dtype}, but this operator takes numbers.`, 'Insert a Cast.');
  }
  return [tensorType(dtype, reducedShape(context.shape(0), axes, keepdims))];
}

function reduceContents(
  context: NodeContext,
  reduction: Reduction,
  axes: readonly number[],
): readonly Dim[] | undefined {
  const list = context.contents(0);
  if (!list || list.length === 0 || !reduction.symbolic) return undefined;
  if (axes.length === 0) return list;
  // Lists of sizes have one axis; a reduction of all axes of anything else is the same.
  return axes.length === context.rank(0) ? [list.reduce((a, b) => reduction.symbolic!(a, b))] : undefined;
}

function lowerReduction(context: LowerContext, reduction: Reduction, axes: readonly number[]): Stage {
  const rows = new Rows(context, context.shape(0), axes);
  const result = reduction.lower(context, rows, context.dtype(0));
  const shape = context.outputShape(0);
  return shape.length === result.shape.length ? result : context.view(result, shape);
}

/** Both forms: axes as an attribute, then as an input. */
function reduction(meaning: Reduction): readonly OperatorDefinition[] {
  const { name, axesInputSince } = meaning;
  const byAttribute = defineOperator({
    name,
    since: 1,
    attributes: { axes: ints(), keepdims: int(1) },
    infer(context) {
      const axes = reducedAxes(context, context.attributes.axes, false);
      return inferReduction(context, meaning, axes, context.attributes.keepdims !== 0);
    },
    contents: (context) => reduceContents(context, meaning, reducedAxes(context, context.attributes.axes, false)),
    lower: (context) => lowerReduction(context, meaning, reducedAxes(context, context.attributes.axes, false)),
  });
  /** Undefined when only a run can tell. */
  const axesOf = (context: NodeContext, noop: number): readonly number[] | undefined => {
    const given = context.hasInput(1) ? knownIntegers(context, 1) : [];
    return given && reducedAxes(context, given, noop !== 0);
  };
  const byInput = defineOperator({
    name,
    since: axesInputSince,
    attributes: { keepdims: int(1), noop_with_empty_axes: int(0) },
    valueInputs: [1],
    infer(context) {
      const { keepdims, noop_with_empty_axes: noop } = context.attributes;
      const axes = axesOf(context, noop);
      if (axes) return inferReduction(context, meaning, axes, keepdims !== 0);
      const rank = context.rank(0);
      const removed = keepdims ? 0 : expectRank(context, 1, 1)[0].constant;
      if (removed === undefined) return [tensorType(context.dtype(0))];
      return [tensorType(context.dtype(0), freshShape(context, rank - removed, 'reduced'))];
    },
    contents(context) {
      const axes = axesOf(context, context.attributes.noop_with_empty_axes);
      return axes && reduceContents(context, meaning, axes);
    },
    lower(context) {
      const axes = axesOf(context, context.attributes.noop_with_empty_axes) ?? context.fail('the axes are not known.');
      return lowerReduction(context, meaning, axes);
    },
  });
  return [byAttribute, byInput];
}

/** A reduction in the element type: op over body(x). */
const plain =
  (op: ReduceOp, body: (x: Expr) => Expr = (x) => x): Reduction['lower'] =>
  (context, rows, dtype) =>
    rows.reduce(op, dtype, (index) => body(context.at(0, index)), op);

/** A sum that a last step turns into the result, kept in a type wide enough for both. */
const sumThen =
  (
    accumulator: (dtype: DType) => DType,
    body: (x: Expr) => Expr,
    finish: (total: Expr, count: Dim) => Expr,
  ): Reduction['lower'] =>
  (context, rows, dtype) => {
    const wide = accumulator(dtype);
    const total = rows.reduce('sum', wide, (index) => body(cast(wide, context.at(0, index))), 'sum');
    return rows.mapRows(dtype, (row) => cast(dtype, finish(context.at(total, row), rows.length)), 'finish');
  };

/** Type for results that are real numbers even where the input has integers. */
const realType = (dtype: DType): DType => (isFloat(dtype) ? computeType(dtype) : 'float64');

const same = (x: Expr): Expr => x;
const square = (x: Expr): Expr => mul(x, x);
const magnitude = (x: Expr): Expr => (isUnsigned(x.type) ? x : abs(x));

export const ReduceSum = reduction({
  name: 'ReduceSum',
  axesInputSince: 13,
  symbolic: (a, b) => a.add(b),
  lower: plain('sum'),
});

export const ReduceProd = reduction({
  name: 'ReduceProd',
  axesInputSince: 18,
  symbolic: (a, b) => a.mul(b),
  lower: plain('prod'),
});

export const ReduceMax = reduction({
  name: 'ReduceMax',
  axesInputSince: 18,
  takesBool: true,
  symbolic: (a, b) => a.max(b),
  lower: (context, rows, dtype) => plain(dtype === 'bool' ? 'or' : 'max')(context, rows, dtype),
});

export const ReduceMin = reduction({
  name: 'ReduceMin',
  axesInputSince: 18,
  takesBool: true,
  symbolic: (a, b) => a.min(b),
  lower: (context, rows, dtype) => plain(dtype === 'bool' ? 'and' : 'min')(context, rows, dtype),
});

export const ReduceMean = reduction({
  name: 'ReduceMean',
  axesInputSince: 18,
  lower: sumThen(computeType, same, (total, count) => div(total, sizeAs(total.type as DType, count))),
});

export const ReduceL1 = reduction({ name: 'ReduceL1', axesInputSince: 18, lower: plain('sum', magnitude) });
export const ReduceL2 = reduction({ name: 'ReduceL2', axesInputSince: 18, lower: sumThen(realType, square, sqrt) });
export const ReduceSumSquare = reduction({
  name: 'ReduceSumSquare',
  axesInputSince: 18,
  lower: plain('sum', square),
});
export const ReduceLogSum = reduction({
  name: 'ReduceLogSum',
  axesInputSince: 18,
  lower: sumThen(realType, same, log),
});

/** log Σ exp x = peak + log Σ exp(x − peak), which cannot overflow. An infinite peak is left out: ∞ − ∞ is no number. */
export const ReduceLogSumExp = reduction({
  name: 'ReduceLogSumExp',
  axesInputSince: 18,
  lower(context, rows, dtype) {
    const real = realType(dtype);
    const x = (index: readonly Expr[]): Expr => cast(real, context.at(0, index));
    const greatest = rows.reduce('max', real, x, 'max');
    const peak = rows.mapRows(
      real,
      (row) => {
        const value = context.at(greatest, row);
        return select(or(isInfinite(value, 'positive'), isInfinite(value, 'negative')), 0, value);
      },
      'peak',
    );
    const total = rows.reduce('sum', real, (index) => exp(sub(x(index), rows.perRow(peak, index))), 'sum');
    return rows.mapRows(dtype, (row) => cast(dtype, add(log(context.at(total, row)), context.at(peak, row))), 'log');
  },
});
