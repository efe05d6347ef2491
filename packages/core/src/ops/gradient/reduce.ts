// Derivatives of reductions, softmax and the norms.

import type { Value } from '../../graph/graph.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { float, int, ints, type OperatorDefinition } from '../define.ts';
import { knownIntegers } from '../small-tensor.ts';
import { type Derivation, rule } from './rule.ts';

const attributes = { axes: ints(), keepdims: int(1), noop_with_empty_axes: int(0) };
type Reduction = Derivation<typeof attributes>;

/** Axes that the node reduces. */
function axesOf(d: Reduction): readonly number[] {
  const { ctx } = d;
  const rank = ctx.rank(0);
  const given = ctx.attributes.axes ?? (d.hasInput(1) ? knownIntegers(ctx, 1) : []);
  if (!given) return ctx.fail('the axes must be constant for a gradient.');
  if (given.length > 0) return given.map((axis) => ctx.axis(axis, rank));
  return ctx.attributes.noop_with_empty_axes ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

/** A value of the reduction's result with the reduced axes put in as axes of size 1. */
function kept(d: Reduction, value: Value): Value {
  const axes = axesOf(d);
  if (d.ctx.attributes.keepdims || axes.length === 0) return value;
  return d.ctx.op('Unsqueeze', [value, d.ctx.literal('int64', axes)]);
}

/** Number of elements that go into each result. */
function length(d: Reduction): Value {
  const { ctx } = d;
  const sizes = axesOf(d).map((axis) => ctx.op('Shape', [d.x()], { start: axis, end: axis + 1 }));
  const count = sizes.reduce((product, size) => ctx.op('Mul', [product, size]), ctx.literal('int64', [1]));
  return ctx.op('Cast', [count], { to: codeOfDType(ctx.dtype(0)) });
}

/** x̄ = ȳ · slope, with ȳ and y stretched to the shape of x. */
const reduction = (name: string, slope: (d: Reduction, y: Value, x: Value) => Value): OperatorDefinition =>
  rule(name, attributes, (d) => {
    const spread = d.op('Expand', kept(d, d.g), d.shapeOf(d.x()));
    return d.mul(spread, slope(d, kept(d, d.y()), d.x()));
  });

export const ReduceSum = rule('ReduceSum', attributes, (d) => d.op('Expand', kept(d, d.g), d.shapeOf(d.x())));
export const ReduceMean = reduction('ReduceMean', (d) => d.op('Reciprocal', length(d)));
export const ReduceSumSquare = reduction('ReduceSumSquare', (d, _, x) => d.mul(x, d.number(2, x)));
export const ReduceL1 = reduction('ReduceL1', (d, _, x) => d.op('Sign', x));
export const ReduceL2 = reduction('ReduceL2', (d, y, x) => d.div(x, y));
export const ReduceLogSum = reduction('ReduceLogSum', (d, y) => d.op('Exp', d.op('Neg', y)));
export const ReduceLogSumExp = reduction('ReduceLogSumExp', (d, y, x) => d.op('Exp', d.sub(x, y)));
export const ReduceProd = reduction('ReduceProd', (d, y, x) => d.div(y, x));

/** Elements that share the extreme value share its gradient. */
const extreme = (name: string): OperatorDefinition =>
  reduction(name, (d, y, x) => {
    const hits = d.ctx.op('Cast', [d.op('Equal', x, y)], { to: codeOfDType(d.ctx.dtype(0)) });
    const count = d.ctx.op('ReduceSum', [hits, d.ctx.literal('int64', axesOf(d))], { keepdims: 1 });
    return d.div(hits, count);
  });

export const ReduceMax = extreme('ReduceMax');
export const ReduceMin = extreme('ReduceMin');

const axisAttribute = { axis: int() };

/** Axes that Softmax and LogSoftmax normalise over: before version 13 all from `axis` on. */
function softmaxAxes(d: Derivation<typeof axisAttribute>): Value {
  const { ctx } = d;
  const rank = ctx.rank(0);
  const isOld = ctx.opset < 13;
  const axis = ctx.axis(ctx.attributes.axis ?? (isOld ? 1 : -1), rank);
  return ctx.literal('int64', isOld ? Array.from({ length: rank - axis }, (_, at) => axis + at) : [axis]);
}

/** x̄ = y (ȳ − Σ ȳ y) */
export const Softmax = rule('Softmax', axisAttribute, (d) => {
  const total = d.ctx.op('ReduceSum', [d.mul(d.g, d.y()), softmaxAxes(d)], { keepdims: 1 });
  return d.mul(d.y(), d.sub(d.g, total));
});

/** x̄ = ȳ − eʸ Σ ȳ */
export const LogSoftmax = rule('LogSoftmax', axisAttribute, (d) => {
  const total = d.ctx.op('ReduceSum', [d.g, softmaxAxes(d)], { keepdims: 1 });
  return d.sub(d.g, d.mul(d.op('Exp', d.y()), total));
});

/**
 * With n = (x − mean) / deviation and ḡ = ȳ · scale: x̄ = (ḡ − mean ḡ − n · mean(ḡ n)) / deviation, over the normalised axes.
 */
export const LayerNormalization = rule('LayerNormalization', { axis: int(-1), epsilon: float(1e-5) }, (d) => {
  const { ctx } = d;
  const rank = ctx.rank(0);
  const first = ctx.axis(ctx.attributes.axis, rank);
  const axes = ctx.literal(
    'int64',
    Array.from({ length: rank - first }, (_, at) => first + at),
  );
  const mean = (value: Value): Value => ctx.op('ReduceMean', [value, axes], { keepdims: 1 });
  const x = d.x();
  const centred = d.sub(x, mean(x));
  const variance = d.add(mean(d.mul(centred, centred)), d.number(ctx.attributes.epsilon, x));
  const inverse = d.op('Reciprocal', d.op('Sqrt', variance));
  const normal = d.mul(centred, inverse);
  const scaled = d.mul(d.g, d.x(1));
  const ofX = d.mul(inverse, d.sub(d.sub(scaled, mean(scaled)), d.mul(normal, mean(d.mul(scaled, normal)))));
  const ofScale = ctx.hasOutput(1) ? d.sumLike(d.mul(d.g, normal), d.x(1)) : undefined;
  return [ofX, ofScale, d.hasInput(2) ? d.sumLike(d.g, d.x(2)) : undefined];
});
