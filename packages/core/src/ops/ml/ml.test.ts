// The operators of ai.onnx.ml on small cases worked out by hand: post-transforms, votes, odd inputs, and what is rejected.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../../graph/graph.ts';
import { HostEvaluator } from '../../session/host-evaluator.ts';
import { Tensor } from '../../session/tensor.ts';
import type { HostMap, HostSequence, HostValue } from '../define.ts';
import { defaultRegistry } from '../registry.ts';

type Plain =
  | number
  | string
  | readonly (number | bigint)[]
  | readonly string[]
  | Tensor
  | { readonly floats: number[] }
  | { readonly float: number };

function attributeOf(value: Plain): AttributeValue {
  if (typeof value === 'number') return { type: 'int', value };
  if (typeof value === 'string') return { type: 'string', value };
  if (Tensor.is(value)) return { type: 'tensor', value };
  if ('float' in value) return { type: 'float', value: value.float };
  if ('floats' in value) return { type: 'floats', value: value.floats.map(Math.fround) };
  if (typeof value[0] === 'string') return { type: 'strings', value: value as readonly string[] };
  return { type: 'ints', value: value as readonly (number | bigint)[] };
}

function runAll(op: string, inputs: HostValue[], attributes: Record<string, Plain>, outputs = 1, opset = 3) {
  const node: GraphNode = {
    name: 'n',
    domain: 'ai.onnx.ml',
    op,
    opset,
    inputs: inputs.map((_, at) => newValue(`x${at}`)),
    outputs: Array.from({ length: outputs }, (_, at) => newValue(`y${at}`)),
    attributes: new Map(Object.entries(attributes).map(([name, value]) => [name, attributeOf(value)])),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, inputs);
}

const run = (op: string, inputs: HostValue[], attributes: Record<string, Plain> = {}, opset = 3): Tensor =>
  runAll(op, inputs, attributes, 1, opset)[0] as Tensor;

const floats = (...items: number[]) => ({ floats: items });
const float = (items: number[], dims?: number[]) => new Tensor('float32', items, dims);
const int64 = (items: bigint[], dims?: number[]) => new Tensor('int64', items, dims);
const rounded = (tensor: unknown): number[] =>
  (tensor as Tensor).toNumberArray().map((value) => Math.round(value * 1e4) / 1e4);

/** One comparison with a leaf for either answer, which gives weights to targets. */
const stump = (mode: string, threshold: number, tracksTrue = 0) => ({
  nodes_treeids: [0, 0, 0],
  nodes_nodeids: [0, 1, 2],
  nodes_modes: [mode, 'LEAF', 'LEAF'],
  nodes_featureids: [0, 0, 0],
  nodes_values: floats(threshold, 0, 0),
  nodes_truenodeids: [1, 0, 0],
  nodes_falsenodeids: [2, 0, 0],
  nodes_missing_value_tracks_true: [tracksTrue, 0, 0],
});

const regressor = { target_treeids: [0, 0], target_nodeids: [1, 2], target_ids: [0, 0], target_weights: floats(1, -1) };

describe('trees', () => {
  it.each([
    ['BRANCH_LEQ', [1, 1, -1, -1]],
    ['BRANCH_LT', [1, -1, -1, -1]],
    ['BRANCH_GTE', [-1, 1, 1, -1]],
    ['BRANCH_GT', [-1, -1, 1, -1]],
    ['BRANCH_EQ', [-1, 1, -1, -1]],
    ['BRANCH_NEQ', [1, -1, 1, 1]],
  ])('branch by %s', (mode, expected) => {
    const x = float([1, 2, 3, Number.NaN], [4, 1]);
    expect(rounded(run('TreeEnsembleRegressor', [x], { ...stump(mode, 2), ...regressor }))).toEqual(expected);
    const [, , , missing] = rounded(run('TreeEnsembleRegressor', [x], { ...stump(mode, 2, 1), ...regressor }));
    expect(missing).toBe(1);
  });

  it.each([
    ['SUM', [13, 1.5]],
    ['AVERAGE', [11.5, 1.25]],
    ['MIN', [11, 1.5]],
    ['MAX', [12, 1.5]],
  ])('are aggregated by %s, base values added', (aggregation, expected) => {
    const leaves = {
      nodes_treeids: [4, 7],
      nodes_nodeids: [0, 0],
      nodes_modes: ['LEAF', 'LEAF'],
      nodes_featureids: [0, 0],
      nodes_values: floats(0, 0),
      nodes_truenodeids: [0, 0],
      nodes_falsenodeids: [0, 0],
      target_treeids: [4, 7, 7],
      target_nodeids: [0, 0, 0],
      target_ids: [0, 0, 1],
      target_weights: floats(1, 2, 0.5),
      base_values: floats(10, 1),
      n_targets: 2,
      aggregate_function: aggregation,
    };
    expect(rounded(run('TreeEnsembleRegressor', [float([0], [1, 1])], leaves))).toEqual(expected);
  });

  it('compare and add in double precision', () => {
    const exact = (...items: number[]) => new Tensor('float64', items);
    const { nodes_values: _, ...nodes } = stump('BRANCH_LEQ', 0);
    const attributes = { ...nodes, ...regressor, nodes_values_as_tensor: exact(1 + 2 ** -40, 0, 0) };
    const x = new Tensor('float64', [1 + 2 ** -40, 1 + 2 ** -39], [2, 1]);
    expect(rounded(run('TreeEnsembleRegressor', [x], attributes))).toEqual([1, -1]);
  });

  const binary = {
    class_treeids: [0, 0],
    class_nodeids: [1, 2],
    class_ids: [0, 0],
    classlabels_int64s: [10, 2n ** 60n],
  };
  const x = float([0, 1], [2, 1]);
  const classify = (weights: number[], attributes: Record<string, Plain> = {}) => {
    const all = { ...stump('BRANCH_LEQ', 0), ...binary, class_weights: floats(...weights), ...attributes };
    const [labels, scores] = runAll('TreeEnsembleClassifier', [x], all, 2);
    return [(labels as Tensor).data, rounded(scores)];
  };

  it('tell two classes by one probability or one score', () => {
    expect(classify([0.2, 0.7])).toEqual([BigInt64Array.of(10n, 2n ** 60n), [0.8, 0.2, 0.3, 0.7]]);
    expect(classify([-0.6, 0.7])).toEqual([BigInt64Array.of(10n, 2n ** 60n), [0.6, -0.6, -0.7, 0.7]]);
    expect(classify([-0.6, 0.7], { post_transform: 'LOGISTIC', base_values: floats(1) })).toEqual([
      BigInt64Array.of(2n ** 60n, 2n ** 60n),
      [0.4013, 0.5987, 0.1545, 0.8455],
    ]);
    expect(classify([0.2, 0.7], { class_ids: [1, 1] })[1]).toEqual([0, 0.2, 0, 0.7]);
  });

  it('choose the greatest of several scores', () => {
    const three = {
      class_treeids: [0, 0, 0, 0],
      class_nodeids: [1, 1, 2, 2],
      class_ids: [0, 2, 1, 2],
      classlabels_strings: ['a', 'b', 'c'],
    };
    expect(classify([-3, -2, 4, 1], three)).toEqual([
      ['c', 'b'],
      [-3, 0, -2, 0, 4, 1],
    ]);
    expect(classify([-3, -2, 4, 1], { ...three, base_values: floats(0, 0, 5), post_transform: 'SOFTMAX' })[0]).toEqual([
      'c',
      'c',
    ]);
  });

  const ensemble = {
    tree_roots: [0],
    nodes_featureids: [0, 1],
    nodes_modes: new Tensor('uint8', [6, 0]),
    nodes_splits: float([0, 0.5]),
    nodes_truenodeids: [0, 1],
    nodes_trueleafs: [1, 1],
    nodes_falsenodeids: [1, 2],
    nodes_falseleafs: [0, 1],
    leaf_targetids: [0, 1, 0],
    leaf_weights: float([5, 6, 7]),
    membership_values: float([1, 3, Number.NaN]),
    n_targets: 2,
  };

  it('ask for membership, in lists of nodes and leaves', () => {
    const rows = float([3, 0, 2, 0, 2, 1], [3, 2]);
    expect(rounded(run('TreeEnsemble', [rows], ensemble, 5))).toEqual([5, 0, 0, 6, 7, 0]);
    expect(rounded(run('TreeEnsemble', [rows], { ...ensemble, post_transform: 2 }, 5))[0]).toBe(0.9933);
  });

  it('are rejected when they are none', () => {
    const rows = float([0], [1, 1]);
    const ring = { ...stump('BRANCH_LEQ', 0), nodes_modes: ['BRANCH_LEQ', 'BRANCH_LEQ', 'LEAF'] };
    expect(() => run('TreeEnsembleRegressor', [rows], { ...ring, ...regressor })).toThrow('ring');
    expect(() => run('TreeEnsembleRegressor', [rows], { ...stump('BRANCH_XOR', 0), ...regressor })).toThrow(
      'BRANCH_XOR',
    );
    expect(() =>
      run('TreeEnsembleRegressor', [rows], { ...stump('BRANCH_LEQ', 0), ...regressor, target_nodeids: [1, 9] }),
    ).toThrow('no node 9');
    expect(() =>
      run('TreeEnsembleRegressor', [rows], { ...stump('BRANCH_LEQ', 0), ...regressor, target_ids: [0, 1] }),
    ).toThrow('target 1');
    expect(() => run('TreeEnsemble', [rows], ensemble, 5)).toThrow('ask for 2 features');
    expect(() => run('TreeEnsemble', [rows], { ...ensemble, nodes_truenodeids: [0, 9] }, 5)).toThrow('no leaf 9');
  });
});

describe('support vector machines', () => {
  const pairwise = {
    kernel_type: 'LINEAR',
    kernel_params: floats(0, 0, 0),
    vectors_per_class: [1, 1, 1],
    support_vectors: floats(1, 2, 3),
    coefficients: floats(1, -1, 0.5, 1, -2, -0.5),
    rho: floats(0.5, -0.5, 1),
    classlabels_strings: ['a', 'b', 'c'],
  };

  it('vote in pairs', () => {
    // For x: ab = x − 2x + 0.5, ac = x + 1.5x − 0.5, bc = −4x − 1.5x + 1.
    const [labels, scores] = runAll('SVMClassifier', [float([1, -1], [2, 1])], pairwise, 2);
    // Each class has one vote: the first wins.
    expect((labels as Tensor).data).toEqual(['a', 'a']);
    expect(rounded(scores)).toEqual([-0.5, 2, -4.5, 1.5, -3, 6.5]);
  });

  it('couple probabilities of pairs', () => {
    const proba = { ...pairwise, prob_a: floats(-1, -1, -1), prob_b: floats(0, 0, 0) };
    const [, scores] = runAll('SVMClassifier', [float([1, -1], [2, 1])], proba, 2);
    const [a, b, c, ...others] = (scores as Tensor).toNumberArray();
    expect(a + b + c).toBeCloseTo(1, 5);
    expect(others[0] + others[1] + others[2]).toBeCloseTo(1, 5);
    expect(c).toBeGreaterThan(b);
    // Of two classes the coupling gives back the pair itself, as nearly as its tolerance asks for.
    const two = {
      ...proba,
      vectors_per_class: [1, 1],
      support_vectors: floats(1, 2),
      coefficients: floats(1, -1),
      classlabels_strings: ['a', 'b'],
    };
    const [first] = (runAll('SVMClassifier', [float([1], [1, 1])], two, 2)[1] as Tensor).toNumberArray();
    expect(first).toBeCloseTo(1 / (1 + Math.exp(0.5)), 2);
  });

  it.each([
    ['LINEAR', 11],
    ['POLY', 36],
    ['RBF', 0.0183],
    ['SIGMOID', 1],
  ])('have the kernel %s', (kernel, expected) => {
    const attributes = {
      kernel_type: kernel,
      kernel_params: floats(0.5, 0.5, 2),
      n_supports: 1,
      support_vectors: floats(3, 4),
      coefficients: floats(1),
      rho: floats(0),
    };
    expect(rounded(run('SVMRegressor', [float([1, 2], [1, 2])], attributes))).toEqual([expected]);
    expect(rounded(run('SVMRegressor', [float([1, 2])], { ...attributes, one_class: 1 }))).toEqual([1]);
  });
});

describe('linear models', () => {
  it('have as many scores as classes, or one for two', () => {
    const x = new Tensor('int64', [1n, 2n, -3n, 0n], [2, 2]);
    const attributes = { coefficients: floats(1, 0.5), intercepts: floats(-0.5), classlabels_ints: [4, 5] };
    const [labels, scores] = runAll('LinearClassifier', [x], attributes, 2);
    expect((labels as Tensor).data).toEqual(BigInt64Array.of(5n, 4n));
    expect(rounded(scores)).toEqual([-0.5, 1.5, 4.5, -3.5]);
    const three = {
      coefficients: floats(1, 0, 0, 1, -1, -1),
      classlabels_strings: ['p', 'q', 'r'],
      post_transform: 'SOFTMAX',
    };
    const [names, shares] = runAll('LinearClassifier', [x], three, 2);
    expect((names as Tensor).data).toEqual(['q', 'r']);
    expect(rounded(shares).slice(0, 3)).toEqual([0.2676, 0.7275, 0.0049]);
  });

  it.each([
    ['NONE', [0.5, 0, 0.25, 0.75]],
    ['LOGISTIC', [0.6225, 0.5, 0.5622, 0.6792]],
    ['SOFTMAX', [0.6225, 0.3775, 0.3775, 0.6225]],
    ['SOFTMAX_ZERO', [1, 0, 0.3775, 0.6225]],
    ['PROBIT', [0, -Infinity, -0.6746, 0.6746]],
  ])('end with %s', (transform, expected) => {
    const attributes = { coefficients: floats(1, 0, 0, 1), targets: 2, post_transform: transform };
    const scores = run('LinearRegressor', [float([0.5, 0, 0.25, 0.75], [2, 2])], attributes).toNumberArray();
    scores.forEach((score, at) => {
      if (Number.isFinite(expected[at])) expect(score).toBeCloseTo(expected[at], 3);
    });
  });
});

describe('features', () => {
  it('are scaled, cut, filled up and replaced', () => {
    const x = new Tensor('float64', [1, -2, 3, -4], [2, 2]);
    expect(rounded(run('Scaler', [x], { offset: floats(1, 0), scale: floats(2) }))).toEqual([0, -4, 4, -8]);
    expect(rounded(run('FeatureVectorizer', [x, int64([5n, 6n], [2, 1])], { inputdimensions: [1, 2] }))).toEqual([
      1, 5, 0, 3, 6, 0,
    ]);
    const gaps = float([Number.NaN, 1, 2, Number.NaN], [2, 2]);
    const imputer = { imputed_value_floats: floats(8), replaced_value_float: { float: Number.NaN } };
    expect(rounded(run('Imputer', [gaps], imputer))).toEqual([8, 1, 2, 8]);
    const zeros = int64([0n, 1n, 2n, 0n], [2, 2]);
    expect(rounded(run('Imputer', [zeros], { imputed_value_int64s: [7, 9] }))).toEqual([7, 1, 2, 9]);
    expect(() => run('Scaler', [x], { offset: floats(1, 2, 3) })).toThrow('3 entries');
  });

  it.each([
    ['MAX', [1, 2, -0.5, 1, 0, 0]],
    ['L1', [-0.3333, -0.6667, -0.3333, 0.6667, 0, 0]],
    ['L2', [-0.4472, -0.8944, -0.4472, 0.8944, 0, 0]],
  ])('have the norm %s', (norm, expected) => {
    const x = new Tensor('int32', [-1, -2, -1, 2, 0, 0], [3, 2]);
    expect(
      run('Normalizer', [x], { norm })
        .toNumberArray()
        .map((y) => Math.round(y * 1e4) / 1e4 + 0),
    ).toEqual(expected);
  });

  it('are picked, strings as well', () => {
    const words = new Tensor('string', ['a', 'b', 'c', 'd']);
    const picked = run('ArrayFeatureExtractor', [words, int64([3n, 0n])]);
    expect([picked.data, picked.dims]).toEqual([
      ['d', 'a'],
      [1, 2],
    ]);
    expect(() => run('ArrayFeatureExtractor', [words, int64([4n])])).toThrow('outside');
  });
});

describe('categories', () => {
  it('are looked up without loss, NaN and 64-bit hashes included', () => {
    const hash = 2n ** 60n + 1n;
    const keys = { keys_int64s: [hash - 1n, hash], values_strings: ['near', 'right'], default_string: 'none' };
    expect(run('LabelEncoder', [int64([hash, 5n])], keys, 2).data).toEqual(['right', 'none']);
    const tensors = {
      keys_tensor: new Tensor('float64', [Number.NaN, 2]),
      values_tensor: new Tensor('int16', [3, 4]),
      default_tensor: new Tensor('int16', [-7]),
    };
    const x = new Tensor('float64', [2, Number.NaN, 1]);
    expect(run('LabelEncoder', [x], tensors, 4).data).toEqual(Int16Array.of(4, 3, -7));
    const classes = { classes_strings: ['u', 'v'] };
    expect(run('LabelEncoder', [new Tensor('string', ['v', 'w'])], classes, 1).data).toEqual(BigInt64Array.of(1n, -1n));
    expect(run('LabelEncoder', [int64([0n, 9n])], classes, 1).data).toEqual(['u', '_Unused']);
    const mapper = { cats_strings: ['u', 'v'], cats_int64s: [5, 6] };
    expect(run('CategoryMapper', [new Tensor('string', ['v', 'w'])], mapper).data).toEqual(BigInt64Array.of(6n, -1n));
  });

  it('become columns', () => {
    expect(rounded(run('OneHotEncoder', [float([2.9, 0])], { cats_int64s: [1, 2] }))).toEqual([0, 1, 0, 0]);
    const words = new Tensor('string', ['b']);
    expect(rounded(run('OneHotEncoder', [words], { cats_strings: ['a', 'b'] }))).toEqual([0, 1]);
    expect(() => run('OneHotEncoder', [words], { cats_strings: ['a'], zeros: 0 })).toThrow('none of the categories');
  });
});

describe('maps', () => {
  const map = (...entries: [string | bigint, HostValue | number | string][]): HostMap => ({
    kind: 'map',
    entries: new Map(entries),
  });

  it('are made of scores', () => {
    const [sequence] = runAll('ZipMap', [float([0.25, 0.75], [1, 2])], { classlabels_int64s: [3, 4] });
    const [item] = (sequence as HostSequence).items as HostMap[];
    expect([...item.entries]).toEqual([
      [3n, 0.25],
      [4n, 0.75],
    ]);
  });

  it('become rows of a vocabulary', () => {
    const vectorizer = { string_vocabulary: ['a', 'b', 'c'] };
    expect(rounded(run('DictVectorizer', [map(['c', 2], ['a', float([1], [])])], vectorizer))).toEqual([1, 0, 2]);
    expect(run('DictVectorizer', [map([7n, 'x'])], { int64_vocabulary: [8, 7] }).data).toEqual(['', 'x']);
  });

  it('are cast in the order of their keys', () => {
    const texts = map([2n, '1.5'], [0n, '-3']);
    expect(rounded(run('CastMap', [texts], {}))).toEqual([-3, 1.5]);
    expect(rounded(run('CastMap', [texts], { map_form: 'SPARSE', max_map: 4 }))).toEqual([-3, 0, 1.5, 0]);
    expect(run('CastMap', [texts], { cast_to: 'TO_INT64' }).data).toEqual(BigInt64Array.of(-3n, 1n));
    expect(run('CastMap', [map([0n, 0.5])], { cast_to: 'TO_STRING' }).data).toEqual(['0.500000']);
    expect(() => run('CastMap', [map([0n, 'x'])], {})).toThrow('cannot be cast');
  });
});
