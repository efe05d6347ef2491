// Attributes of the tree operators → the arrays of tree-ensemble.ts. They come in two forms: version 1 names nodes by tree
// and number, with leaves among them; version 5 points into lists of nodes and of leaves.

import type { Tensor } from '../../session/tensor.ts';
import type { NodeContext } from '../define.ts';
import { numbersOf } from '../host-elements.ts';
import { leafMode, memberMode, nodeModes, type TreeEnsemble } from './tree-ensemble.ts';

/** Attributes of TreeEnsembleClassifier and TreeEnsembleRegressor, whose weights differ only in name. */
export interface NamedNodes {
  readonly trees: readonly number[];
  readonly ids: readonly number[];
  readonly modes: readonly string[];
  readonly features: readonly number[];
  readonly thresholds: ArrayLike<number>;
  readonly whenTrue: readonly number[];
  readonly whenFalse: readonly number[];
  readonly missingHolds: readonly number[];
  readonly weights: {
    readonly trees: readonly number[];
    readonly nodes: readonly number[];
    readonly targets: readonly number[];
    readonly values: ArrayLike<number>;
  };
}

function requireLength(context: NodeContext, name: string, list: ArrayLike<unknown>, length: number): void {
  if (list.length !== length) context.fail(`${name} has ${list.length} entries where ${length} are needed.`);
}

/** Weights sorted by the node that gives them. */
function groupWeights(
  nodeCount: number,
  nodes: readonly number[],
  targets: readonly number[],
  values: ArrayLike<number>,
): Pick<TreeEnsemble, 'weightStarts' | 'targets' | 'weights'> {
  const weightStarts = new Int32Array(nodeCount + 1);
  for (const node of nodes) weightStarts[node + 1]++;
  for (let node = 0; node < nodeCount; node++) weightStarts[node + 1] += weightStarts[node];
  const next = weightStarts.slice();
  const sorted = { targets: new Int32Array(nodes.length), weights: new Float64Array(nodes.length) };
  nodes.forEach((node, at) => {
    const place = next[node]++;
    sorted.targets[place] = targets[at];
    sorted.weights[place] = values[at];
  });
  return { weightStarts, ...sorted };
}

/** @throws OnnxTsError when a path from a root comes back to where it was */
function requireTrees(context: NodeContext, { roots, modes, whenTrue, whenFalse }: TreeEnsemble): void {
  const [onPath, done] = [1, 2];
  const state = new Uint8Array(modes.length);
  const stack = Array.from(roots);
  while (stack.length > 0) {
    const node = stack[stack.length - 1];
    if (state[node] !== 0 || modes[node] === leafMode) {
      state[node] = done;
      stack.pop();
      continue;
    }
    state[node] = onPath;
    for (const next of [whenTrue[node], whenFalse[node]]) {
      if (state[next] === onPath) context.fail(`the nodes of a tree form a ring at node ${next}.`);
      if (state[next] !== done) stack.push(next);
    }
  }
}

/** Targets of weights, and features of branches, must not be negative or beyond what there is. */
function requireTargets(context: NodeContext, targets: readonly number[], count: number): void {
  const bad = targets.find((target) => !(target >= 0 && target < count));
  if (bad !== undefined) context.fail(`a weight goes to target ${bad}, but there are ${count}.`);
}

/** @param targetCount number of targets or classes */
export function ensembleOfNamedNodes(context: NodeContext, nodes: NamedNodes, targetCount: number): TreeEnsemble {
  const { length } = nodes.trees;
  requireLength(context, 'nodes_nodeids', nodes.ids, length);
  requireLength(context, 'nodes_modes', nodes.modes, length);
  requireLength(context, 'nodes_featureids', nodes.features, length);
  requireLength(context, 'nodes_values', nodes.thresholds, length);
  requireLength(context, 'nodes_truenodeids', nodes.whenTrue, length);
  requireLength(context, 'nodes_falsenodeids', nodes.whenFalse, length);
  const { weights } = nodes;
  for (const list of [weights.trees, weights.nodes, weights.values]) {
    requireLength(context, 'a list of weights', list, weights.targets.length);
  }
  requireTargets(context, weights.targets, targetCount);

  const trees = new Map<number, Map<number, number>>();
  const roots: number[] = [];
  nodes.trees.forEach((tree, at) => {
    let places = trees.get(tree);
    if (!places) {
      // The first node listed of a tree is its root.
      roots.push(at);
      places = new Map();
      trees.set(tree, places);
    }
    if (places.has(nodes.ids[at])) context.fail(`tree ${tree} has two nodes ${nodes.ids[at]}.`);
    places.set(nodes.ids[at], at);
  });
  const placeOf = (tree: number, id: number): number =>
    trees.get(tree)?.get(id) ?? context.fail(`tree ${tree} has no node ${id}.`);
  const modes = Uint8Array.from(nodes.modes, (mode) => {
    const found = (nodeModes as readonly string[]).indexOf(mode);
    return found < 0 || found === memberMode ? context.fail(`"${mode}" is not a mode of tree nodes.`) : found;
  });
  const follow = (ids: readonly number[]): Int32Array =>
    Int32Array.from(ids, (id, at) => (modes[at] === leafMode ? at : placeOf(nodes.trees[at], id)));
  const ensemble: TreeEnsemble = {
    roots: Int32Array.from(roots),
    modes,
    features: Int32Array.from(nodes.features),
    thresholds: Float64Array.from(nodes.thresholds),
    whenTrue: follow(nodes.whenTrue),
    whenFalse: follow(nodes.whenFalse),
    missingHolds: Uint8Array.from(modes, (_, at) => nodes.missingHolds[at] ?? 0),
    members: [],
    ...groupWeights(
      length,
      weights.nodes.map((id, at) => placeOf(weights.trees[at], id)),
      weights.targets,
      weights.values,
    ),
  };
  requireTrees(context, ensemble);
  return ensemble;
}

/** Attributes of TreeEnsemble. */
export interface ListedNodes {
  readonly roots: readonly number[];
  readonly modes: Tensor;
  readonly features: readonly number[];
  readonly thresholds: Tensor;
  readonly whenTrue: readonly number[];
  readonly trueIsLeaf: readonly number[];
  readonly whenFalse: readonly number[];
  readonly falseIsLeaf: readonly number[];
  readonly missingHolds: readonly number[];
  /** The sets of all membership nodes in order, a NaN after each. */
  readonly members: Tensor | undefined;
  readonly leafTargets: readonly number[];
  readonly leafWeights: Tensor;
}

function readMembers(context: NodeContext, modes: ArrayLike<number>, members: Tensor | undefined) {
  const values = members ? numbersOf(members) : [];
  let at = 0;
  return Array.from(modes, (mode) => {
    if (mode !== memberMode) return undefined;
    if (at >= values.length) context.fail('membership_values has fewer sets than there are nodes for them.');
    const set = new Set<number>();
    for (; at < values.length && !Number.isNaN(values[at]); at++) set.add(values[at]);
    at++;
    return set;
  });
}

/** The nodes, and after them the leaves. */
export function ensembleOfListedNodes(context: NodeContext, nodes: ListedNodes, targetCount: number): TreeEnsemble {
  const { length } = nodes.features;
  const branchModes = numbersOf(nodes.modes);
  const thresholds = numbersOf(nodes.thresholds);
  const leafWeights = numbersOf(nodes.leafWeights);
  const leaves = nodes.leafTargets.length;
  requireLength(context, 'nodes_modes', branchModes, length);
  requireLength(context, 'nodes_splits', thresholds, length);
  requireLength(context, 'nodes_truenodeids', nodes.whenTrue, length);
  requireLength(context, 'nodes_trueleafs', nodes.trueIsLeaf, length);
  requireLength(context, 'nodes_falsenodeids', nodes.whenFalse, length);
  requireLength(context, 'nodes_falseleafs', nodes.falseIsLeaf, length);
  requireLength(context, 'leaf_weights', leafWeights, leaves);
  requireTargets(context, nodes.leafTargets, targetCount);
  const badMode = Array.from(branchModes).find((mode) => !(mode >= 0 && mode <= memberMode));
  if (badMode !== undefined) context.fail(`${badMode} is not a mode of tree nodes.`);

  const placeOf = (id: number, isLeaf: number): number => {
    const count = isLeaf ? leaves : length;
    if (!(id >= 0 && id < count)) context.fail(`there is no ${isLeaf ? 'leaf' : 'node'} ${id}.`);
    return isLeaf ? length + id : id;
  };
  const follow = (ids: readonly number[], isLeaf: readonly number[]): Int32Array => {
    const places = new Int32Array(length + leaves);
    ids.forEach((id, at) => {
      places[at] = placeOf(id, isLeaf[at]);
    });
    return places;
  };
  const modes = new Uint8Array(length + leaves).fill(leafMode);
  modes.set(Uint8Array.from(branchModes));
  const ensemble: TreeEnsemble = {
    roots: Int32Array.from(nodes.roots, (root) => placeOf(root, 0)),
    modes,
    features: extend(Int32Array.from(nodes.features), new Int32Array(length + leaves)),
    thresholds: extend(Float64Array.from(thresholds), new Float64Array(length + leaves)),
    whenTrue: follow(nodes.whenTrue, nodes.trueIsLeaf),
    whenFalse: follow(nodes.whenFalse, nodes.falseIsLeaf),
    missingHolds: extend(Uint8Array.from(nodes.missingHolds.slice(0, length)), new Uint8Array(length + leaves)),
    members: readMembers(context, branchModes, nodes.members),
    ...groupWeights(
      length + leaves,
      nodes.leafTargets.map((_, leaf) => length + leaf),
      nodes.leafTargets,
      leafWeights,
    ),
  };
  requireTrees(context, ensemble);
  return ensemble;
}

/** Fills the start of a longer array. */
function extend<T extends Int32Array | Float64Array | Uint8Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
