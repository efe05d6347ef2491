// Decision trees in flat arrays, and what an ensemble of them says about a row of features. The operators on them are in
// tree-operators.ts; tree-tables.ts makes the arrays from attributes.

import type { FeatureRows } from './feature-rows.ts';

/** In the order of TreeEnsemble's numbers for them; a leaf has none there. */
export const nodeModes = [
  'BRANCH_LEQ',
  'BRANCH_LT',
  'BRANCH_GTE',
  'BRANCH_GT',
  'BRANCH_EQ',
  'BRANCH_NEQ',
  'BRANCH_MEMBER',
  'LEAF',
] as const;

const [LEQ, LT, GTE, GT, EQ, NEQ, MEMBER] = nodeModes.keys();
export const memberMode = MEMBER;
export const leafMode = nodeModes.indexOf('LEAF');

/** In the order of TreeEnsemble's numbers for them. */
export const aggregations = ['AVERAGE', 'SUM', 'MIN', 'MAX'] as const;
export type Aggregation = (typeof aggregations)[number];

/** All arrays but those of the leaves' weights have one entry for each node. Nodes form trees: no path returns. */
export interface TreeEnsemble {
  readonly roots: Int32Array;
  /** Positions in `nodeModes`. */
  readonly modes: Uint8Array;
  readonly features: Int32Array;
  readonly thresholds: Float64Array;
  /** The next node when the comparison holds, and when it does not. */
  readonly whenTrue: Int32Array;
  readonly whenFalse: Int32Array;
  /** Whether NaN counts as a comparison that holds. */
  readonly missingHolds: Uint8Array;
  /** Of nodes that ask for membership. */
  readonly members: readonly (ReadonlySet<number> | undefined)[];
  /** Node k gives the weights from weightStarts[k] up to weightStarts[k + 1] to the targets beside them. */
  readonly weightStarts: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float64Array;
}

/** Features that the rows must have. */
export function featureCount(ensemble: TreeEnsemble): number {
  return ensemble.features.reduce((most, feature, node) => {
    return ensemble.modes[node] === leafMode ? most : Math.max(most, feature + 1);
  }, 0);
}

function holds(ensemble: TreeEnsemble, node: number, x: number): boolean {
  if (Number.isNaN(x) && ensemble.missingHolds[node]) return true;
  const threshold = ensemble.thresholds[node];
  switch (ensemble.modes[node]) {
    case LEQ:
      return x <= threshold;
    case LT:
      return x < threshold;
    case GTE:
      return x >= threshold;
    case GT:
      return x > threshold;
    case EQ:
      return x === threshold;
    case NEQ:
      return x !== threshold;
    default:
      return ensemble.members[node]!.has(x);
  }
}

/** The leaf that the features from `start` on lead to. */
function leafOf(ensemble: TreeEnsemble, root: number, values: ArrayLike<number>, start: number): number {
  const { modes, features, thresholds, whenTrue, whenFalse } = ensemble;
  let node = root;
  for (let mode = modes[node]; mode !== leafMode; mode = modes[node]) {
    const x = values[start + features[node]];
    // The common case first: x <= threshold.
    const isTrue = mode === LEQ && x <= thresholds[node] ? true : holds(ensemble, node, x);
    node = isTrue ? whenTrue[node] : whenFalse[node];
  }
  return node;
}

export interface TreeScores {
  /** [rows, targets]; zero where no leaf said anything. */
  readonly scores: Float64Array;
  /** 1 where one did. */
  readonly isScored: Uint8Array;
}

/** @param targets number of targets or classes; the ensemble's are all below it */
export function scoreRows(
  ensemble: TreeEnsemble,
  { count, width, values }: FeatureRows,
  targets: number,
  aggregation: Aggregation,
): TreeScores {
  const { roots, weightStarts, weights, targets: targetOf } = ensemble;
  const scores = new Float64Array(count * targets);
  const isScored = new Uint8Array(scores.length);
  for (let row = 0; row < count; row++) {
    for (let tree = 0; tree < roots.length; tree++) {
      const leaf = leafOf(ensemble, roots[tree], values, row * width);
      for (let at = weightStarts[leaf]; at < weightStarts[leaf + 1]; at++) {
        const place = row * targets + targetOf[at];
        const weight = weights[at];
        const isFirst = isScored[place] === 0;
        if (aggregation === 'MIN') scores[place] = isFirst ? weight : Math.min(scores[place], weight);
        else if (aggregation === 'MAX') scores[place] = isFirst ? weight : Math.max(scores[place], weight);
        else scores[place] += weight;
        isScored[place] = 1;
      }
    }
  }
  if (aggregation === 'AVERAGE') for (let at = 0; at < scores.length; at++) scores[at] /= roots.length;
  return { scores, isScored };
}
