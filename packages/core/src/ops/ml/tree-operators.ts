// The operators on ensembles of decision trees.

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
  required,
  string,
  strings,
  tensor,
} from '../define.ts';
import { numbersOf, tensorOfNumbers } from '../host-elements.ts';
import { labelType, pickLabels, readLabels } from './class-labels.ts';
import { domain, type FeatureRows, featureRows, inferRowCount } from './feature-rows.ts';
import { oncePerNode } from './once-per-node.ts';
import {
  type PostTransform,
  postTransforms,
  readPostTransform,
  scorePair,
  transformRows,
  transformScores,
} from './post-transform.ts';
import {
  type Aggregation,
  aggregations,
  featureCount,
  scoreRows,
  type TreeEnsemble,
  type TreeScores,
} from './tree-ensemble.ts';
import { ensembleOfListedNodes, ensembleOfNamedNodes, type NamedNodes } from './tree-tables.ts';

const nodeAttributes = {
  base_values: floats(),
  nodes_falsenodeids: ints(),
  nodes_featureids: ints(),
  nodes_hitrates: floats(),
  nodes_missing_value_tracks_true: ints(),
  nodes_modes: strings(),
  nodes_nodeids: ints(),
  nodes_treeids: ints(),
  nodes_truenodeids: ints(),
  nodes_values: floats(),
  post_transform: string('NONE'),
};

/** Since version 3 numbers may be doubles, in tensors. Absent ones do no harm in version 1. */
const nodeTensors = {
  base_values_as_tensor: tensor(),
  nodes_hitrates_as_tensor: tensor(),
  nodes_values_as_tensor: tensor(),
};

type NodeAttributes = AttributesOf<typeof nodeAttributes & typeof nodeTensors>;

const numbersIn = (given: Tensor | undefined, list: readonly number[] | undefined): ArrayLike<number> =>
  given ? numbersOf(given) : (list ?? []);

function namedNodes(attributes: NodeAttributes, weights: NamedNodes['weights']): NamedNodes {
  return {
    trees: attributes.nodes_treeids ?? [],
    ids: attributes.nodes_nodeids ?? [],
    modes: attributes.nodes_modes ?? [],
    features: attributes.nodes_featureids ?? [],
    thresholds: numbersIn(attributes.nodes_values_as_tensor, attributes.nodes_values),
    whenTrue: attributes.nodes_truenodeids ?? [],
    whenFalse: attributes.nodes_falsenodeids ?? [],
    missingHolds: attributes.nodes_missing_value_tracks_true ?? [],
    weights,
  };
}

/** An ensemble with all that its node says about its results. */
interface Model {
  readonly ensemble: TreeEnsemble;
  readonly features: number;
  readonly baseValues: ArrayLike<number>;
}

const modelOf = (ensemble: TreeEnsemble, baseValues: ArrayLike<number>): Model => ({
  ensemble,
  features: featureCount(ensemble),
  baseValues,
});

function rowsFor(context: EvaluateContext, { features }: Model): FeatureRows {
  const rows = featureRows(context.tensor(0));
  if (rows.width < features) context.fail(`the trees ask for ${features} features, but the rows have ${rows.width}.`);
  return rows;
}

// ── Regression ──

const regressorAttributes = {
  ...nodeAttributes,
  aggregate_function: string('SUM'),
  n_targets: int(1),
  target_ids: ints(),
  target_nodeids: ints(),
  target_treeids: ints(),
  target_weights: floats(),
};

type RegressorAttributes = AttributesOf<typeof regressorAttributes & typeof nodeTensors> & {
  readonly target_weights_as_tensor?: Tensor;
};

const regressorModel = oncePerNode((context: EvaluateContext): Model => {
  const attributes = context.attributes as unknown as RegressorAttributes;
  const nodes = namedNodes(attributes, {
    trees: attributes.target_treeids ?? [],
    nodes: attributes.target_nodeids ?? [],
    targets: attributes.target_ids ?? [],
    values: numbersIn(attributes.target_weights_as_tensor, attributes.target_weights),
  });
  const baseValues = numbersIn(attributes.base_values_as_tensor, attributes.base_values);
  return modelOf(ensembleOfNamedNodes(context, nodes, attributes.n_targets), baseValues);
});

function readAggregation(context: NodeContext, name: string): Aggregation {
  const found = aggregations.find((aggregation) => aggregation === name);
  return found ?? context.fail(`aggregate_function "${name}" is not one of ${aggregations.join(', ')}.`);
}

/** Scores of all targets: aggregated, base values added if there is one for each target, transformed. */
function regress(
  context: EvaluateContext,
  model: Model,
  targets: number,
  aggregation: Aggregation,
  transform: PostTransform,
): { readonly scores: Float64Array; readonly dims: readonly number[] } {
  const rows = rowsFor(context, model);
  const { scores } = scoreRows(model.ensemble, rows, targets, aggregation);
  if (model.baseValues.length === targets) {
    for (let at = 0; at < scores.length; at++) scores[at] += model.baseValues[at % targets];
  }
  transformRows(transform, scores, targets);
  return { scores, dims: [rows.count, targets] };
}

export const TreeEnsembleRegressor = [
  { since: 1, attributes: regressorAttributes },
  { since: 3, attributes: { ...regressorAttributes, ...nodeTensors, target_weights_as_tensor: tensor() } },
].map((version) =>
  defineOperator({
    domain,
    name: 'TreeEnsembleRegressor',
    ...version,
    infer(context) {
      readAggregation(context, context.attributes.aggregate_function);
      readPostTransform(context, context.attributes.post_transform);
      return [tensorType('float32', [inferRowCount(context), Dim.constant(context.attributes.n_targets)])];
    },
    evaluate(context) {
      const { aggregate_function: aggregation, n_targets: targets, post_transform: transform } = context.attributes;
      const { scores, dims } = regress(
        context as unknown as EvaluateContext,
        regressorModel(context as unknown as EvaluateContext),
        targets,
        readAggregation(context, aggregation),
        readPostTransform(context, transform),
      );
      return new Tensor('float32', Float32Array.from(scores), dims);
    },
  }),
);

const ensembleAttributes = {
  aggregate_function: int(1),
  leaf_targetids: required(ints()),
  leaf_weights: required(tensor()),
  membership_values: tensor(),
  n_targets: int(1),
  nodes_falseleafs: required(ints()),
  nodes_falsenodeids: required(ints()),
  nodes_featureids: required(ints()),
  nodes_hitrates: tensor(),
  nodes_missing_value_tracks_true: ints(),
  nodes_modes: required(tensor()),
  nodes_splits: required(tensor()),
  nodes_trueleafs: required(ints()),
  nodes_truenodeids: required(ints()),
  post_transform: int(0),
  tree_roots: required(ints()),
};

const ensembleModel = oncePerNode((context: EvaluateContext<typeof ensembleAttributes>): Model => {
  const { attributes } = context;
  const nodes = {
    roots: attributes.tree_roots,
    modes: attributes.nodes_modes,
    features: attributes.nodes_featureids,
    thresholds: attributes.nodes_splits,
    whenTrue: attributes.nodes_truenodeids,
    trueIsLeaf: attributes.nodes_trueleafs,
    whenFalse: attributes.nodes_falsenodeids,
    falseIsLeaf: attributes.nodes_falseleafs,
    missingHolds: attributes.nodes_missing_value_tracks_true ?? [],
    members: attributes.membership_values,
    leafTargets: attributes.leaf_targetids,
    leafWeights: attributes.leaf_weights,
  };
  return modelOf(ensembleOfListedNodes(context, nodes, attributes.n_targets), []);
});

/** Regression and classification scores alike, without labels. */
export const TreeEnsemble5 = defineOperator({
  domain,
  name: 'TreeEnsemble',
  since: 5,
  attributes: ensembleAttributes,
  infer(context) {
    const { aggregate_function: aggregation, n_targets: targets, post_transform: transform } = context.attributes;
    if (!aggregations[aggregation]) context.fail(`aggregate_function ${aggregation} is not known.`);
    if (!postTransforms[transform]) context.fail(`post_transform ${transform} is not known.`);
    const rows = inferRowCount(context, ['float32', 'float64', 'float16']);
    return [tensorType(context.dtype(0), [rows, Dim.constant(targets)])];
  },
  evaluate(context) {
    const { aggregate_function: aggregation, n_targets: targets, post_transform: transform } = context.attributes;
    const { scores, dims } = regress(
      context as unknown as EvaluateContext,
      ensembleModel(context),
      targets,
      aggregations[aggregation],
      postTransforms[transform],
    );
    return tensorOfNumbers(context.tensor(0).type, scores, dims);
  },
});

// ── Classification ──

const classifierAttributes = {
  ...nodeAttributes,
  class_ids: ints(),
  class_nodeids: ints(),
  class_treeids: ints(),
  class_weights: floats(),
  classlabels_int64s: ints(),
  classlabels_strings: strings(),
};

type ClassifierAttributes = AttributesOf<typeof classifierAttributes & typeof nodeTensors> & {
  readonly class_weights_as_tensor?: Tensor;
};

const labelNames = { strings: 'classlabels_strings', ints: 'classlabels_int64s' } as const;

const classifierModel = oncePerNode((context: EvaluateContext): Model => {
  const attributes = context.attributes as unknown as ClassifierAttributes;
  const nodes = namedNodes(attributes, {
    trees: attributes.class_treeids ?? [],
    nodes: attributes.class_nodeids ?? [],
    targets: attributes.class_ids ?? [],
    values: numbersIn(attributes.class_weights_as_tensor, attributes.class_weights),
  });
  const baseValues = numbersIn(attributes.base_values_as_tensor, attributes.base_values);
  return modelOf(ensembleOfNamedNodes(context, nodes, readLabels(context, labelNames).length), baseValues);
});

/**
 * The one class that all weights go to although there are two, or undefined. Such weights speak of the second class: they
 * are probabilities of it when none is negative, and otherwise votes for it and against it.
 */
function soleClass({ targets }: TreeEnsemble, classes: number): number | undefined {
  const [first] = targets;
  return classes === 2 && targets.length > 0 && targets.every((target) => target === first) ? first : undefined;
}

function classifyBySoleScore(
  { ensemble, baseValues }: Model,
  { scores }: TreeScores,
  sole: number,
  transform: PostTransform,
): Int32Array {
  const isProbability = ensemble.weights.every((weight) => weight >= 0);
  const baseValue = baseValues[baseValues.length - 1] ?? 0;
  const choices = new Int32Array(scores.length / 2);
  for (let row = 0; row < choices.length; row++) {
    const score = scores[2 * row + sole] + baseValue;
    choices[row] = score > (isProbability ? 0.5 : 0) ? 1 : 0;
    // Weights that name the second class leave the first at zero, as ONNX Runtime does.
    const pair = sole === 1 ? Float64Array.of(0, score) : scorePair(transform, score, isProbability);
    if (pair instanceof Float64Array) transformScores(transform, pair);
    scores.set(pair, 2 * row);
  }
  return choices;
}

/** The first greatest score wins. Classes that no leaf spoke of do not take part. */
function classifyByScores(
  { baseValues }: Model,
  { scores, isScored }: TreeScores,
  classes: number,
  transform: PostTransform,
): Int32Array {
  const choices = new Int32Array(scores.length / classes);
  for (let row = 0; row < choices.length; row++) {
    const start = row * classes;
    let best = -1;
    for (let at = 0; at < classes; at++) {
      if (at < baseValues.length) scores[start + at] += baseValues[at];
      else if (!isScored[start + at]) continue;
      if (best < 0 || scores[start + at] > scores[start + best]) best = at;
    }
    choices[row] = Math.max(best, 0);
  }
  transformRows(transform, scores, classes);
  return choices;
}

export const TreeEnsembleClassifier = [
  { since: 1, attributes: classifierAttributes },
  { since: 3, attributes: { ...classifierAttributes, ...nodeTensors, class_weights_as_tensor: tensor() } },
].map((version) =>
  defineOperator({
    domain,
    name: 'TreeEnsembleClassifier',
    ...version,
    infer(context) {
      readPostTransform(context, context.attributes.post_transform);
      const labels = readLabels(context, labelNames);
      const rows = inferRowCount(context);
      return [tensorType(labelType(labels), [rows]), tensorType('float32', [rows, Dim.constant(labels.length)])];
    },
    evaluate(context) {
      const labels = readLabels(context, labelNames);
      const transform = readPostTransform(context, context.attributes.post_transform);
      const model = classifierModel(context as unknown as EvaluateContext);
      const rows = rowsFor(context as unknown as EvaluateContext, model);
      const found = scoreRows(model.ensemble, rows, labels.length, 'SUM');
      const sole = soleClass(model.ensemble, labels.length);
      const choices =
        sole === undefined
          ? classifyByScores(model, found, labels.length, transform)
          : classifyBySoleScore(model, found, sole, transform);
      const scores = new Tensor('float32', Float32Array.from(found.scores), [rows.count, labels.length]);
      return [pickLabels(labels, choices), scores];
    },
  }),
);
