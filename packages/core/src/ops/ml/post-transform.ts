// What classifiers and regressors do to their scores at the end.

import type { NodeContext } from '../define.ts';

/** In the order of TreeEnsemble's numbers for them. */
export const postTransforms = ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT'] as const;
export type PostTransform = (typeof postTransforms)[number];

type Scores = Float32Array | Float64Array;

/** @throws OnnxTsError for an unknown name */
export function readPostTransform(context: NodeContext, name: string): PostTransform {
  const found = postTransforms.find((transform) => transform === name);
  return found ?? context.fail(`post_transform "${name}" is not one of ${postTransforms.join(', ')}.`);
}

export function logistic(x: number): number {
  const y = 1 / (1 + Math.exp(-Math.abs(x)));
  return x < 0 ? 1 - y : y;
}

/** Scores nearer to zero than this count as zero in SOFTMAX_ZERO. */
export const leastScore = 1e-7;

const a = 0.147;

/** Constants of the approximation of erf⁻¹ by S. Winitzki (2008), the one that ONNX Runtime has. */
export const erfInverse = { shift: 2 / (Math.PI * a), scale: 1 / a } as const;

/** √2 · erf⁻¹(2x − 1) */
export function probit(x: number): number {
  const y = 2 * x - 1;
  const log = Math.log((1 - y) * (1 + y));
  const half = erfInverse.shift + log / 2;
  return Math.SQRT2 * Math.sign(y) * Math.sqrt(Math.sqrt(half * half - log * erfInverse.scale) - half);
}

function eachScore(scores: Scores, formula: (x: number) => number): void {
  for (let at = 0; at < scores.length; at++) scores[at] = formula(scores[at]);
}

/** @param keepsZeros scores of zero do not take part: SOFTMAX_ZERO */
function softmax(scores: Scores, keepsZeros: boolean): void {
  let most = -Infinity;
  for (const score of scores) if (score > most) most = score;
  let sum = 0;
  eachScore(scores, (score) => {
    if (keepsZeros && Math.abs(score) <= leastScore) return score * Math.exp(-most);
    const power = Math.exp(score - most);
    sum += power;
    return power;
  });
  eachScore(scores, (score) => score / sum);
}

/**
 * Transforms the scores of one row in place. A single score is only changed by PROBIT: there is nothing to compare it
 * with, and ONNX Runtime leaves it alone.
 */
export function transformScores(transform: PostTransform, scores: Scores): void {
  if (transform === 'PROBIT') eachScore(scores, probit);
  else if (transform === 'NONE' || scores.length < 2) return;
  else if (transform === 'LOGISTIC') eachScore(scores, logistic);
  else softmax(scores, transform === 'SOFTMAX_ZERO');
}

/** Does so for every row of a matrix. */
export function transformRows(transform: PostTransform, scores: Scores, width: number): void {
  if (transform === 'NONE') return;
  for (let at = 0; at < scores.length; at += width) transformScores(transform, scores.subarray(at, at + width));
}

/**
 * The scores of both classes of a classifier that has but one, of the second: p and 1 − p for probabilities, s and −s
 * otherwise. LOGISTIC makes probabilities of either.
 */
export function scorePair(transform: PostTransform, score: number, isProbability: boolean): readonly [number, number] {
  if (transform === 'LOGISTIC') return [logistic(-score), logistic(score)];
  if (transform === 'PROBIT') return [-probit(score), probit(score)];
  return [isProbability ? 1 - score : -score, score];
}
