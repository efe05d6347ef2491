// ai.onnx.ml: trees, linear models, support vectors and encoders.

import { Tensor } from '@onnx-ts/core';
import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float, floats } from '../graph-builder.ts';
import { countOf, drawShape, type Generator } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';

const domain = 'ai.onnx.ml';
const kinds: readonly ValueKind[] = ['unit', 'small', 'normal'];
const transforms = [undefined, 'NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT'];
const words = ['cat', 'dog', 'owl', '', 'Bee', 'x'];

/** A transform of scores; the probit only for what lies between 0 and 1. */
function transform(b: CaseBuilder): string | undefined {
  return b.draws.pick(transforms.slice(0, 5));
}

function labels(b: CaseBuilder, count: number, ints: string): Attributes {
  if (b.draws.coin()) return { classlabels_strings: Array.from({ length: count }, (_, at) => `class${at}`) };
  return { [ints]: Array.from({ length: count }, (_, at) => at * 2 - 1) };
}

function numbers(b: CaseBuilder, count: number, low = -1, high = 1): number[] {
  const generator = b.draws.generator();
  return Array.from({ length: count }, () => Math.fround(low + generator.uniform() * (high - low)));
}

function rows(b: CaseBuilder, dtype: DType): { x: string; features: number } {
  const [n, features] = [b.draws.pick([3, 1, 2, 8]), b.draws.pick([3, 1, 2, 5])];
  return { x: b.random(dtype, [n, features], kinds), features };
}

function finish(
  b: CaseBuilder,
  name: string,
  outputs: number,
  inputs: readonly string[],
  attributes: Attributes,
): void {
  b.outputs(b.ops(name, inputs, attributes, { domain, outputs }));
}

function linearClassifier(b: CaseBuilder): void {
  const { x, features } = rows(b, b.dtype('T1'));
  const classes = b.draws.pick([3, 2, 4]);
  b.allow({ ulps: 32, spread: 32, absolute: 1e-7 });
  finish(b, 'LinearClassifier', 2, [x], {
    coefficients: floats(numbers(b, classes * features)),
    intercepts: floats(numbers(b, classes)),
    post_transform: transform(b),
    multi_class: b.draws.maybe(() => b.draws.below(2)),
    ...labels(b, classes, 'classlabels_ints'),
  });
}

function linearRegressor(b: CaseBuilder): void {
  const { x, features } = rows(b, b.dtype('T'));
  const targets = b.draws.pick([1, 2, 3]);
  b.allow({ ulps: 32, spread: 32 });
  finish(b, 'LinearRegressor', 1, [x], {
    coefficients: floats(numbers(b, targets * features)),
    intercepts: b.draws.maybe(() => floats(numbers(b, targets))),
    targets,
    post_transform: targets > 1 ? transform(b) : undefined,
  });
}

const kernels = ['LINEAR', 'POLY', 'RBF', 'SIGMOID'];

function support(b: CaseBuilder, features: number, vectors: number): Attributes {
  const kernel = b.draws.pick(kernels);
  return {
    kernel_type: kernel,
    kernel_params: floats([0.5, 0.25, 2]),
    support_vectors: floats(numbers(b, vectors * features)),
  };
}

function svmRegressor(b: CaseBuilder): void {
  const { x, features } = rows(b, b.dtype('T'));
  const vectors = b.draws.between(1, 4);
  b.allow({ ulps: 64, spread: 64 });
  finish(b, 'SVMRegressor', 1, [x], {
    ...support(b, features, vectors),
    coefficients: floats(numbers(b, vectors)),
    n_supports: vectors,
    rho: floats(numbers(b, 1)),
    one_class: b.draws.oneIn(4) ? 1 : undefined,
  });
}

function svmClassifier(b: CaseBuilder): void {
  const { x, features } = rows(b, b.dtype('T1'));
  const classes = b.draws.pick([2, 3, 4]);
  const perClass = Array.from({ length: classes }, () => b.draws.between(1, 3));
  const vectors = perClass.reduce((sum, count) => sum + count, 0);
  const pairs = (classes * (classes - 1)) / 2;
  const hasProbabilities = b.draws.coin();
  b.allow({ ulps: 256, spread: 256, absolute: 1e-4 });
  finish(b, 'SVMClassifier', 2, [x], {
    ...support(b, features, vectors),
    coefficients: floats(numbers(b, (classes - 1) * vectors)),
    vectors_per_class: perClass,
    rho: floats(numbers(b, pairs)),
    prob_a: hasProbabilities ? floats(numbers(b, pairs, -2, -0.5)) : undefined,
    prob_b: hasProbabilities ? floats(numbers(b, pairs, -0.1, 0.1)) : undefined,
    post_transform: b.draws.pick([undefined, 'NONE']),
    ...labels(b, classes, 'classlabels_ints'),
  });
}

const modes = ['BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GTE', 'BRANCH_GT', 'BRANCH_EQ', 'BRANCH_NEQ'];

interface Trees {
  readonly attributes: Attributes;
  readonly leaves: readonly { readonly tree: number; readonly node: number }[];
}

/** Trees whose inner nodes compare with halves, as the features are. */
function drawTrees(b: CaseBuilder, features: number): Trees {
  const generator = b.draws.generator();
  const count = b.draws.between(1, 3);
  const mode = b.draws.pick([...modes, 'mixed']);
  const tracks = b.draws.maybe(() => true) ?? false;
  const columns = {
    treeids: [],
    nodeids: [],
    featureids: [],
    values: [],
    truenodeids: [],
    falsenodeids: [],
    missing: [],
  } as Record<string, number[]>;
  const names: string[] = [];
  const leaves: { tree: number; node: number }[] = [];
  for (let tree = 0; tree < count; tree++) {
    let next = 0;
    const grow = (depth: number): number => {
      const node = next++;
      const at = columns.nodeids.length;
      const isLeaf = depth === 0 || (node > 0 && generator.below(4) === 0);
      columns.treeids[at] = tree;
      columns.nodeids[at] = node;
      columns.featureids[at] = isLeaf ? 0 : generator.below(features);
      columns.values[at] = isLeaf ? 0 : generator.between(-4, 4) / 2;
      columns.missing[at] = generator.below(2);
      columns.truenodeids[at] = 0;
      columns.falsenodeids[at] = 0;
      names[at] = isLeaf ? 'LEAF' : mode === 'mixed' ? generator.pick(modes) : mode;
      if (isLeaf) leaves.push({ tree, node });
      else {
        columns.truenodeids[at] = grow(depth - 1);
        columns.falsenodeids[at] = grow(depth - 1);
      }
      return node;
    };
    grow(b.draws.between(1, 3));
  }
  return {
    leaves,
    attributes: {
      nodes_treeids: columns.treeids,
      nodes_nodeids: columns.nodeids,
      nodes_featureids: columns.featureids,
      nodes_values: floats(columns.values),
      nodes_truenodeids: columns.truenodeids,
      nodes_falsenodeids: columns.falsenodeids,
      nodes_modes: names,
      nodes_missing_value_tracks_true: tracks ? columns.missing : undefined,
    },
  };
}

function treeRegressor(b: CaseBuilder): void {
  const { x, features } = treeRows(b, b.dtype('T'));
  const targets = b.draws.pick([1, 2, 3]);
  const { attributes, leaves } = drawTrees(b, features);
  const generator = b.draws.generator();
  b.allow({ ulps: 8, spread: 8 });
  finish(b, 'TreeEnsembleRegressor', 1, [x], {
    ...attributes,
    target_treeids: leaves.map(({ tree }) => tree),
    target_nodeids: leaves.map(({ node }) => node),
    target_ids: leaves.map(() => generator.below(targets)),
    target_weights: floats(leaves.map(() => generator.between(-8, 8) / 4)),
    n_targets: targets,
    base_values: b.draws.maybe(() => floats(numbers(b, targets))),
    aggregate_function: b.draws.pick([undefined, 'SUM', 'AVERAGE', 'MIN', 'MAX']),
    post_transform: targets > 1 ? transform(b) : undefined,
  });
}

function treeClassifier(b: CaseBuilder): void {
  const { x, features } = treeRows(b, b.dtype('T1'));
  const classes = b.draws.pick([3, 2, 4]);
  const { attributes, leaves } = drawTrees(b, features);
  const generator = b.draws.generator();
  b.allow({ ulps: 16, spread: 16 });
  // Weights are all different, so that no two classes tie.
  const votes = leaves.flatMap((leaf) => Array.from({ length: classes }, (_, id) => ({ ...leaf, id })));
  finish(b, 'TreeEnsembleClassifier', 2, [x], {
    ...attributes,
    class_treeids: votes.map(({ tree }) => tree),
    class_nodeids: votes.map(({ node }) => node),
    class_ids: votes.map(({ id }) => id),
    class_weights: floats(votes.map(() => Math.fround(generator.uniform()))),
    base_values: b.draws.oneIn(3) ? floats(numbers(b, classes, 0, 0.5)) : undefined,
    post_transform: transform(b),
    ...labels(b, classes, 'classlabels_int64s'),
  });
}

function treeRows(b: CaseBuilder, dtype: DType): { x: string; features: number } {
  const [n, features] = [b.draws.pick([3, 1, 8, 40]), b.draws.pick([3, 1, 2])];
  return { x: b.random(dtype, [n, features], ['small', 'normal']), features };
}

function treeEnsemble(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['float16']);
  const { x, features } = treeRows(b, dtype);
  const generator = b.draws.generator();
  const targets = b.draws.pick([1, 2, 3]);
  const count = b.draws.between(1, 2);
  const nodes: {
    feature: number;
    split: number;
    mode: number;
    yes: number;
    no: number;
    yesLeaf: number;
    noLeaf: number;
    missing: number;
  }[] = [];
  const leaves: number[] = [];
  const roots: number[] = [];
  const mode = b.draws.below(6);
  const grow = (depth: number): { at: number; isLeaf: number } => {
    if (depth === 0 || generator.below(4) === 0) {
      leaves.push(generator.between(-8, 8) / 4);
      return { at: leaves.length - 1, isLeaf: 1 };
    }
    return { at: branch(depth), isLeaf: 0 };
  };
  const branch = (depth: number): number => {
    const at = nodes.length;
    nodes.push({
      feature: generator.below(features),
      split: generator.between(-4, 4) / 2,
      mode,
      yes: 0,
      no: 0,
      yesLeaf: 0,
      noLeaf: 0,
      missing: generator.below(2),
    });
    const [yes, no] = [grow(depth - 1), grow(depth - 1)];
    Object.assign(nodes[at], { yes: yes.at, no: no.at, yesLeaf: yes.isLeaf, noLeaf: no.isLeaf });
    return at;
  };
  for (let tree = 0; tree < count; tree++) roots.push(branch(b.draws.between(1, 3)));
  b.allow({ ulps: 8, spread: 8 });
  finish(b, 'TreeEnsemble', 1, [x], {
    tree_roots: roots,
    n_targets: targets,
    nodes_featureids: nodes.map((node) => node.feature),
    nodes_splits: encodeTensor(
      dtype,
      [nodes.length],
      nodes.map((node) => node.split),
    ),
    nodes_modes: encodeTensor(
      'uint8',
      [nodes.length],
      nodes.map((node) => node.mode),
    ),
    nodes_truenodeids: nodes.map((node) => node.yes),
    nodes_falsenodeids: nodes.map((node) => node.no),
    nodes_trueleafs: nodes.map((node) => node.yesLeaf),
    nodes_falseleafs: nodes.map((node) => node.noLeaf),
    nodes_missing_value_tracks_true: b.draws.maybe(() => nodes.map((node) => node.missing)),
    leaf_targetids: leaves.map(() => generator.below(targets)),
    leaf_weights: encodeTensor(dtype, [leaves.length], leaves),
    aggregate_function: b.draws.maybe(() => b.draws.below(4)),
    post_transform: targets > 1 ? b.draws.maybe(() => b.draws.below(4)) : undefined,
  });
}

function words1d(generator: Generator, shape: readonly number[]): Tensor {
  return new Tensor(
    'string',
    Array.from({ length: countOf(shape) }, () => generator.pick(words)),
    shape,
  );
}

function labelEncoder(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 30 });
  const generator = b.draws.generator();
  const keys = b.draws.pick(['int64s', 'strings', 'floats']);
  const values = b.draws.pick(['floats', 'strings', 'int64s']);
  const x =
    keys === 'strings'
      ? b.operand(words1d(generator, shape))
      : b.operand(
          encodeTensor(
            keys === 'floats' ? 'float32' : 'int64',
            shape,
            Array.from({ length: countOf(shape) }, () => generator.between(0, 4)),
          ),
        );
  const list = (kind: string, offset: number) => {
    if (kind === 'strings') return offset === 0 ? ['cat', 'dog', ''] : ['uno', 'due', 'tre'];
    return kind === 'floats' ? floats([1 + offset, 2 + offset, 3 + offset]) : [1 + offset, 2 + offset, 3 + offset];
  };
  if (b.since === 1) {
    return finish(b, 'LabelEncoder', 1, [b.operand(words1d(generator, shape))], { classes_strings: words });
  }
  finish(b, 'LabelEncoder', 1, [x], {
    [`keys_${keys}`]: list(keys, 0),
    [`values_${values}`]: list(values, 10),
    default_string: b.draws.maybe(() => 'none'),
    default_int64: b.draws.maybe(() => 7),
    default_float: b.draws.maybe(() => float(0.5)),
  });
}

function oneHotEncoder(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string']);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 30 });
  const generator = b.draws.generator();
  const isText = b.draws.coin();
  const categories = [1, 2, 3];
  const values = Array.from({ length: countOf(shape) }, () =>
    b.isPeer ? generator.between(1, 3) : generator.between(0, 4),
  );
  const x = isText
    ? b.operand(
        new Tensor(
          'string',
          values.map((value) => words[value % 3]),
          shape,
        ),
      )
    : b.operand(encodeTensor(dtype, shape, values));
  finish(b, 'OneHotEncoder', 1, [x], {
    ...(isText ? { cats_strings: words.slice(0, 4) } : { cats_int64s: categories }),
    zeros: b.draws.maybe(() => 1),
  });
}

function simple(
  name: string,
  constraint: string,
  attributes: (b: CaseBuilder, features: number, dtype: DType) => Attributes,
): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype(constraint, ['string']);
    const { x, features } = rows(b, dtype);
    b.allow({ ulps: 8, spread: 2 });
    finish(b, name, 1, [x], attributes(b, features, dtype));
  };
}

function categoryMapper(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 30 });
  const generator = b.draws.generator();
  const x = b.draws.coin()
    ? b.operand(words1d(generator, shape))
    : b.operand(
        encodeTensor(
          'int64',
          shape,
          Array.from({ length: countOf(shape) }, () => generator.between(0, 7)),
        ),
      );
  finish(b, 'CategoryMapper', 1, [x], {
    cats_int64s: [0, 1, 2, 3, 4],
    cats_strings: ['cat', 'dog', 'owl', '', 'Bee'],
    default_int64: b.draws.maybe(() => 9),
  });
}

function featureExtractor(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string']);
  const shape = [...drawShape(b.draws, { maxRank: 2, budget: 12, least: 1 }), b.draws.between(1, 6)];
  const generator = b.draws.generator();
  const picks = Array.from({ length: b.draws.between(1, 4) }, () => generator.below(shape.at(-1)!));
  finish(b, 'ArrayFeatureExtractor', 1, [b.random(dtype, shape, kinds), b.int64s(picks)], {});
}

function featureVectorizer(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const n = b.draws.between(1, 4);
  const widths = Array.from({ length: b.draws.between(1, 3) }, () => b.draws.between(1, 4));
  const inputs = widths.map((width) => b.random(dtype, [n, width], kinds));
  finish(b, 'FeatureVectorizer', 1, inputs, { inputdimensions: widths });
}

const cases: Readonly<Record<string, (b: CaseBuilder) => void>> = {
  LinearClassifier: linearClassifier,
  LinearRegressor: linearRegressor,
  SVMRegressor: svmRegressor,
  SVMClassifier: svmClassifier,
  TreeEnsembleRegressor: treeRegressor,
  TreeEnsembleClassifier: treeClassifier,
  TreeEnsemble: treeEnsemble,
  LabelEncoder: labelEncoder,
  OneHotEncoder: oneHotEncoder,
  CategoryMapper: categoryMapper,
  ArrayFeatureExtractor: featureExtractor,
  FeatureVectorizer: featureVectorizer,
  Binarizer: simple('Binarizer', 'T', (b) => ({ threshold: b.draws.maybe(() => float(0.5)) })),
  Normalizer: simple('Normalizer', 'T', (b) => ({ norm: b.draws.pick([undefined, 'MAX', 'L1', 'L2']) })),
  Scaler: simple('Scaler', 'T', (b, features) => {
    const count = b.draws.coin() ? 1 : features;
    return { offset: floats(numbers(b, count)), scale: floats(numbers(b, count)) };
  }),
  Imputer: simple('Imputer', 'T', (b, features, dtype) => {
    const count = b.draws.coin() ? 1 : features;
    return dtype.startsWith('float')
      ? {
          imputed_value_floats: floats(numbers(b, count)),
          replaced_value_float: float(b.draws.pick([0, 0.5, Number.NaN])),
        }
      : {
          imputed_value_int64s: Array.from({ length: count }, (_, at) => at + 5),
          replaced_value_int64: b.draws.pick([0, 2]),
        };
  }),
};

export const classical: Family = {
  name: 'classical',
  cases: Object.fromEntries(Object.entries(cases).map(([name, generator]) => [`${domain}:${name}`, generator])),
};
