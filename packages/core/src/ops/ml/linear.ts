// Linear models: one weighted sum of the features for each class or target.

import { Dim } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { Tensor } from '../../session/tensor.ts';
import {
  defineOperator,
  type ExpandContext,
  floats,
  int,
  ints,
  type NodeContext,
  required,
  string,
  strings,
} from '../define.ts';
import { labelType, pickLabels, readLabels } from './class-labels.ts';
import { domain, type FeatureRows, featureRows, inferRowCount } from './feature-rows.ts';
import {
  erfInverse,
  leastScore,
  type PostTransform,
  readPostTransform,
  scorePair,
  transformRows,
} from './post-transform.ts';

/** x · coefficientsᵀ + intercepts: [rows, targets]. Intercepts may be absent or fewer than the targets: then zero. */
function weightedSums(
  context: NodeContext,
  { count, width, values }: FeatureRows,
  coefficients: readonly number[],
  intercepts: readonly number[],
  targets: number,
): Float32Array {
  if (coefficients.length !== targets * width) {
    context.fail(`${targets} × ${width} coefficients are needed, but there are ${coefficients.length}.`);
  }
  const sums = new Float32Array(count * targets);
  const weights = Float64Array.from(coefficients);
  for (let row = 0; row < count; row++) {
    for (let target = 0; target < targets; target++) {
      let sum = intercepts[target] ?? 0;
      for (let at = 0; at < width; at++) sum += values[row * width + at] * weights[target * width + at];
      sums[row * targets + target] = sum;
    }
  }
  return sums;
}

/** Post-transforms of a matrix as tensor operators, with the rules of `transformScores`. */
function expandTransform(context: ExpandContext, transform: PostTransform, scores: Value, width: number): Value {
  const literal = (value: number): Value => context.literal('float32', value);
  if (transform === 'PROBIT') {
    const y = context.op('Sub', [context.op('Mul', [scores, literal(2)]), literal(1)]);
    const log = context.op('Log', [context.op('Sub', [literal(1), context.op('Mul', [y, y])])]);
    const { scale, shift } = erfInverse;
    const half = context.op('Add', [context.op('Mul', [log, literal(0.5)]), literal(shift)]);
    const under = context.op('Sub', [context.op('Mul', [half, half]), context.op('Mul', [log, literal(scale)])]);
    const root = context.op('Sqrt', [context.op('Sub', [context.op('Sqrt', [under]), half])]);
    return context.op('Mul', [context.op('Mul', [context.op('Sign', [y]), root]), literal(Math.SQRT2)]);
  }
  if (transform === 'NONE' || width < 2) return scores;
  if (transform === 'LOGISTIC') return context.op('Sigmoid', [scores]);
  if (transform === 'SOFTMAX') return context.op('Softmax', [scores], { axis: 1 });
  const axis = context.literal('int64', [1], [1]);
  const most = context.op('ReduceMax', [scores, axis]);
  const takesPart = context.op('Greater', [context.op('Abs', [scores]), literal(leastScore)]);
  const power = context.op('Exp', [context.op('Sub', [scores, most])]);
  const sum = context.op('ReduceSum', [context.op('Where', [takesPart, power, literal(0)]), axis]);
  const rest = context.op('Mul', [scores, context.op('Exp', [context.op('Neg', [most])])]);
  return context.op('Div', [context.op('Where', [takesPart, power, rest]), sum]);
}

/** x · coefficientsᵀ + intercepts, which count only if there is one for each target. */
export const LinearRegressor = defineOperator({
  domain,
  name: 'LinearRegressor',
  since: 1,
  attributes: { coefficients: floats(), intercepts: floats(), post_transform: string('NONE'), targets: int(1) },
  infer(context) {
    const { coefficients = [], post_transform: transform, targets } = context.attributes;
    readPostTransform(context, transform);
    const rows = inferRowCount(context);
    const shape = context.shape(0);
    const needed = shape[shape.length - 1].mul(targets);
    context.requireEqual(needed, Dim.constant(coefficients.length), 'the numbers of weights and coefficients');
    return [tensorType('float32', [rows, Dim.constant(targets)])];
  },
  expand(context) {
    const { coefficients = [], intercepts = [], post_transform: transform, targets } = context.attributes;
    let x = context.value(0)!;
    if (context.rank(0) === 1) x = context.op('Unsqueeze', [x, context.literal('int64', [0], [1])]);
    if (context.dtype(0) !== 'float32') x = context.op('Cast', [x], { to: codeOfDType('float32') });
    const weights = context.literal('float32', coefficients, [targets, coefficients.length / targets]);
    const bias = intercepts.length === targets ? context.literal('float32', intercepts, [targets]) : undefined;
    const sums = context.op('Gemm', [x, weights, bias], { transB: 1 });
    return expandTransform(context, readPostTransform(context, transform), sums, targets);
  },
});

const labelNames = { strings: 'classlabels_strings', ints: 'classlabels_ints' } as const;

/** Position of the first greatest element from `start` on. */
function greatest(scores: Float32Array, start: number, length: number): number {
  let best = 0;
  for (let at = 1; at < length; at++) if (scores[start + at] > scores[start + best]) best = at;
  return best;
}

/** One score for each class, or for two classes a single one, which tells the second by being above zero. */
export const LinearClassifier = defineOperator({
  domain,
  name: 'LinearClassifier',
  since: 1,
  attributes: {
    classlabels_ints: ints(),
    classlabels_strings: strings(),
    coefficients: required(floats()),
    intercepts: floats(),
    multi_class: int(0),
    post_transform: string('NONE'),
  },
  infer(context) {
    readPostTransform(context, context.attributes.post_transform);
    const labels = readLabels(context, labelNames);
    const rows = inferRowCount(context);
    return [tensorType(labelType(labels), [rows]), tensorType('float32', [rows, Dim.constant(labels.length)])];
  },
  evaluate(context) {
    const { coefficients, intercepts = [] } = context.attributes;
    const transform = readPostTransform(context, context.attributes.post_transform);
    const labels = readLabels(context, labelNames);
    const rows = featureRows(context.tensor(0));
    const isSingle = labels.length === 2 && coefficients.length === rows.width;
    const targets = isSingle ? 1 : labels.length;
    const sums = weightedSums(context, rows, coefficients, intercepts, targets);
    const choices = new Int32Array(rows.count);
    let scores = sums;
    if (isSingle) {
      scores = new Float32Array(rows.count * 2);
      for (let row = 0; row < rows.count; row++) {
        choices[row] = sums[row] > 0 ? 1 : 0;
        scores.set(scorePair(transform, sums[row], true), row * 2);
      }
    } else {
      for (let row = 0; row < rows.count; row++) choices[row] = greatest(sums, row * targets, targets);
      transformRows(transform, scores, targets);
    }
    return [pickLabels(labels, choices), new Tensor('float32', scores, [rows.count, labels.length])];
  },
});
