// Support vector machines as libsvm and liblinear train them: the former have support vectors, the latter only weights.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { Tensor } from '../../session/tensor.ts';
import {
  type AttributesOf,
  defineOperator,
  type EvaluateContext,
  floats,
  int,
  ints,
  type NodeContext,
  strings,
} from '../define.ts';
import { labelType, pickLabels, readLabels } from './class-labels.ts';
import { domain, type FeatureRows, featureRows, inferRowCount } from './feature-rows.ts';
import { logistic, readPostTransform, scorePair, transformRows } from './post-transform.ts';
import { couplePairs, kernelAttributes, readKernel } from './svm-kernel.ts';

function requireEntries(context: NodeContext, name: string, list: ArrayLike<unknown>, least: number): void {
  if (list.length < least) context.fail(`${name} has ${list.length} entries where ${least} are needed.`);
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** Weights for every row: [rows, targets], one `rho` added to all. */
function linearScores(
  context: NodeContext,
  { count, width, values }: FeatureRows,
  coefficients: readonly number[],
  targets: number,
  rho: number,
): Float32Array {
  requireEntries(context, 'coefficients', coefficients, targets * width);
  const scores = new Float32Array(count * targets);
  const weights = Float64Array.from(coefficients);
  for (let row = 0; row < count; row++) {
    for (let target = 0; target < targets; target++) {
      let score = rho;
      for (let at = 0; at < width; at++) score += values[row * width + at] * weights[target * width + at];
      scores[row * targets + target] = score;
    }
  }
  return scores;
}

/** The kernel of a row and each support vector, row by row into one array that is used again. */
function kernelRows(
  context: NodeContext,
  attributes: AttributesOf<typeof kernelAttributes>,
  { width, values }: FeatureRows,
  vectorCount: number,
): (row: number) => Float64Array {
  const vectors = Float64Array.from(attributes.support_vectors ?? []);
  if (vectors.length !== vectorCount * width) {
    context.fail(`${vectorCount} support vectors of ${vectors.length / vectorCount} features meet rows of ${width}.`);
  }
  const kernel = readKernel(context, attributes, width);
  const results = new Float64Array(vectorCount);
  return (row) => {
    for (let at = 0; at < vectorCount; at++) results[at] = kernel(values, row * width, vectors, at * width);
    return results;
  };
}

/** One target; `one_class` gives 1 above zero and −1 elsewhere. ONNX Runtime takes no notice of `post_transform`. */
export const SVMRegressor = defineOperator({
  domain,
  name: 'SVMRegressor',
  since: 1,
  attributes: { ...kernelAttributes, n_supports: int(0), one_class: int(0) },
  infer(context) {
    readPostTransform(context, context.attributes.post_transform);
    return [tensorType('float32', [inferRowCount(context), Dim.constant(1)])];
  },
  evaluate(context) {
    const { attributes } = context;
    const { coefficients = [], n_supports: vectorCount, one_class: isOneClass, rho: [rho = 0] = [] } = attributes;
    const rows = featureRows(context.tensor(0));
    let scores: Float32Array;
    if (vectorCount > 0) {
      requireEntries(context, 'coefficients', coefficients, vectorCount);
      const kernels = kernelRows(context, attributes, rows, vectorCount);
      scores = Float32Array.from({ length: rows.count }, (_, row) =>
        kernels(row).reduce((score, likeness, at) => score + likeness * coefficients[at], rho),
      );
    } else scores = linearScores(context, rows, coefficients, 1, rho);
    if (isOneClass) scores = scores.map((score) => (score > 0 ? 1 : -1));
    return new Tensor('float32', scores, [rows.count, 1]);
  },
});

const classifierAttributes = {
  ...kernelAttributes,
  classlabels_ints: ints(),
  classlabels_strings: strings(),
  prob_a: floats(),
  prob_b: floats(),
  vectors_per_class: ints(),
};

type ClassifierContext = EvaluateContext<typeof classifierAttributes>;

const labelNames = { strings: 'classlabels_strings', ints: 'classlabels_ints' } as const;

/** Whether the model is of libsvm, and then whether it knows probabilities. */
function kindOf({ prob_a: probA, vectors_per_class: counts }: AttributesOf<typeof classifierAttributes>) {
  if (sum(counts ?? []) === 0) return 'linear';
  return probA?.length ? 'probabilities' : 'votes';
}

/** Without probabilities libsvm has a score for each pair of classes. */
function scoreWidth(kind: ReturnType<typeof kindOf>, classes: number): number {
  return kind === 'votes' && classes > 2 ? (classes * (classes - 1)) / 2 : classes;
}

/** Position of the first greatest element. */
function greatest(values: ArrayLike<number>, start: number, length: number): number {
  let best = 0;
  for (let at = 1; at < length; at++) if (values[start + at] > values[start + best]) best = at;
  return best;
}

interface Decisions {
  readonly choices: Int32Array;
  /** [rows, pairs of classes]: above zero for the first of the pair. */
  readonly scores: Float64Array;
}

/**
 * Lets every pair of classes vote. `coefficients` is [classes − 1, vectors]: row k holds those of the vectors of a class
 * against class k, or k + 1 from the class itself on.
 */
function voteInPairs(context: ClassifierContext, rows: FeatureRows, classes: number): Decisions {
  const { coefficients = [], rho = [], vectors_per_class: counts = [] } = context.attributes;
  const vectorCount = sum(counts);
  const pairs = (classes * (classes - 1)) / 2;
  if (counts.length !== classes) context.fail(`vectors_per_class has ${counts.length} entries for ${classes} classes.`);
  requireEntries(context, 'coefficients', coefficients, (classes - 1) * vectorCount);
  requireEntries(context, 'rho', rho, pairs);
  const weights = Float64Array.from(coefficients);
  const starts = counts.map((_, at) => sum(counts.slice(0, at)));
  const kernels = kernelRows(context, context.attributes, rows, vectorCount);
  const scores = new Float64Array(rows.count * pairs);
  const choices = new Int32Array(rows.count);
  const votes = new Int32Array(classes);
  for (let row = 0; row < rows.count; row++) {
    const likeness = kernels(row);
    const addUp = (category: number, against: number): number => {
      let total = 0;
      const end = starts[category] + counts[category];
      for (let at = starts[category]; at < end; at++) total += weights[against * vectorCount + at] * likeness[at];
      return total;
    };
    votes.fill(0);
    let pair = 0;
    for (let i = 0; i < classes - 1; i++) {
      for (let j = i + 1; j < classes; j++, pair++) {
        const score = addUp(i, j - 1) + addUp(j, i) + rho[pair];
        scores[row * pairs + pair] = score;
        votes[score > 0 ? i : j]++;
      }
    }
    choices[row] = greatest(votes, 0, classes);
  }
  return { choices, scores };
}

/** [rows, classes], by a sigmoid for each pair (J. Platt) and the coupling of the pairs. */
function probabilities(context: ClassifierContext, pairScores: Float64Array, classes: number): Float32Array {
  const { prob_a: a = [], prob_b: b = [] } = context.attributes;
  const pairs = (classes * (classes - 1)) / 2;
  requireEntries(context, 'prob_a', a, pairs);
  requireEntries(context, 'prob_b', b, pairs);
  const result = new Float32Array((pairScores.length / pairs) * classes);
  const r = new Float64Array(classes * classes);
  for (let row = 0; row * classes < result.length; row++) {
    let pair = 0;
    for (let i = 0; i < classes - 1; i++) {
      for (let j = i + 1; j < classes; j++, pair++) {
        const likely = 1 - logistic(pairScores[row * pairs + pair] * a[pair] + b[pair]);
        r[i * classes + j] = Math.min(Math.max(likely, 1e-7), 1 - 1e-7);
        r[j * classes + i] = 1 - r[i * classes + j];
      }
    }
    result.set(couplePairs(classes, r), row * classes);
  }
  return result;
}

/** The rule of ONNX Runtime: of two classes the second wins by any score above zero, or of 0.5 if no weight is negative. */
function chooseByScores(scores: Float32Array, classes: number, coefficients: readonly number[]): Int32Array {
  const isPositive = coefficients.every((weight) => weight >= 0);
  return Int32Array.from({ length: scores.length / classes }, (_, row) => {
    const best = greatest(scores, row * classes, classes);
    const score = scores[row * classes + best];
    return classes === 2 && (isPositive ? score >= 0.5 : score > 0) ? 1 : best;
  });
}

export const SVMClassifier = defineOperator({
  domain,
  name: 'SVMClassifier',
  since: 1,
  attributes: classifierAttributes,
  infer(context) {
    readPostTransform(context, context.attributes.post_transform);
    const labels = readLabels(context, labelNames);
    const rows = inferRowCount(context);
    const width = scoreWidth(kindOf(context.attributes), labels.length);
    if (labels.length < 2) context.fail('it needs at least two classes.');
    return [tensorType(labelType(labels), [rows]), tensorType('float32', [rows, Dim.constant(width)])];
  },
  evaluate(context) {
    const { coefficients = [], rho: [rho = 0] = [] } = context.attributes;
    const transform = readPostTransform(context, context.attributes.post_transform);
    const labels = readLabels(context, labelNames);
    const classes = labels.length;
    const rows = featureRows(context.tensor(0));
    const kind = kindOf(context.attributes);
    const width = scoreWidth(kind, classes);
    let choices: Int32Array;
    let scores: Float32Array;
    if (kind === 'linear') {
      scores = linearScores(context, rows, coefficients, classes, rho);
      choices = chooseByScores(scores, classes, coefficients);
    } else {
      const decisions = voteInPairs(context, rows, classes);
      choices = decisions.choices;
      scores =
        kind === 'probabilities'
          ? probabilities(context, decisions.scores, classes)
          : Float32Array.from(decisions.scores);
    }
    if (kind === 'votes' && classes === 2) {
      const pairs = new Float32Array(rows.count * 2);
      scores.forEach((score, row) => {
        pairs.set(scorePair(transform, score, transform !== 'NONE'), row * 2);
      });
      scores = pairs;
    } else transformRows(transform, scores, width);
    return [pickLabels(labels, choices), new Tensor('float32', scores, [rows.count, width])];
  },
});
