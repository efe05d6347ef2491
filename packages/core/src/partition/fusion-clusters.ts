// Nodes in clusters that placement does not divide: those that fusion would make one kernel of. A cut inside would cost
// more than it can be seen to gain.

import { fuseProgram, type Kernel } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { buildPartition } from '../plan/partition-program.ts';
import { isConstantKernel, type Work, workOfKernel } from './cost.ts';

export interface FusionCluster {
  /** In the order of the graph. */
  readonly nodes: readonly GraphNode[];
  /** Of each kernel that it would be; undefined when a node has no tensor form. */
  readonly kernels: readonly Work[] | undefined;
}

/**
 * All nodes, in clusters, each after those that make what it reads. A cluster reads nothing that depends on itself.
 * @param nodes in an order in which each follows its producers
 * @param kindOf what nodes of a cluster have in common; undefined for nodes that stay single
 * @param isNeeded values that are read by others than these nodes
 */
export function fuseNodes(
  nodes: readonly GraphNode[],
  kindOf: (node: GraphNode) => string | undefined,
  isNeeded: (value: Value) => boolean,
): FusionCluster[] {
  const byKind = new Map<string, GraphNode[]>();
  for (const node of nodes) {
    const kind = node.operator?.lower && kindOf(node);
    if (kind === undefined) continue;
    const list = byKind.get(kind);
    if (list) list.push(node);
    else byKind.set(kind, [node]);
  }
  const kernels: Kernel[] = [];
  const lowered = new Set<GraphNode>();
  for (const own of byKind.values()) {
    const made = kernelsOf(own, nodes, isNeeded);
    if (!made) continue;
    kernels.push(...made);
    for (const node of own) lowered.add(node);
  }
  const joined = new DisjointSets(nodes);
  const users = new Map<GraphNode, number>();
  for (const kernel of kernels) for (const node of originsOf(kernel)) users.set(node, (users.get(node) ?? 0) + 1);
  for (const kernel of kernels) {
    // What several kernels compute anew belongs to none of them.
    const own = originsOf(kernel).filter((node) => users.get(node) === 1);
    for (const node of own) joined.join(own[0], node);
  }
  const groups = sortGroups(nodes, joined.groups());
  const groupOf = new Map(groups.flatMap((group) => group.map((node) => [node, group] as const)));
  const works = new Map<readonly GraphNode[], Work[]>(groups.map((group) => [group, []]));
  const positions = new Map(nodes.map((node, at) => [node, at]));
  for (const kernel of kernels) {
    if (isConstantKernel(kernel)) continue;
    const origins = originsOf(kernel);
    const own = origins.filter((node) => users.get(node) === 1);
    const last = (own.length > 0 ? own : origins).reduce<GraphNode | undefined>(
      (latest, node) => (latest && positions.get(latest)! > positions.get(node)! ? latest : node),
      undefined,
    );
    const group = last && groupOf.get(last);
    if (group) works.get(group)!.push(workOfKernel(kernel));
  }
  return groups.map((group) => ({
    nodes: group,
    kernels: group.every((node) => lowered.has(node)) ? works.get(group) : undefined,
  }));
}

function originsOf({ origins }: Kernel): readonly GraphNode[] {
  return (origins as readonly (GraphNode | undefined)[]).filter((node) => node !== undefined);
}

/** Undefined when they cannot be lowered: whoever compiles them will say why. */
function kernelsOf(
  own: readonly GraphNode[],
  all: readonly GraphNode[],
  isNeeded: (value: Value) => boolean,
): readonly Kernel[] | undefined {
  const inside = new Set(own);
  const readOutside = new Set<Value>();
  for (const node of all) if (!inside.has(node)) for (const value of operandsOf(node)) readOutside.add(value);
  try {
    const partition = buildPartition('clusters', own, (value) => readOutside.has(value) || isNeeded(value));
    return fuseProgram(partition.lower().program).kernels;
  } catch (error) {
    if (OnnxTsError.is(error)) return undefined;
    throw error;
  }
}

class DisjointSets {
  readonly #nodes: readonly GraphNode[];
  readonly #parents = new Map<GraphNode, GraphNode>();

  constructor(nodes: readonly GraphNode[]) {
    this.#nodes = nodes;
  }

  #rootOf(node: GraphNode): GraphNode {
    let root = node;
    for (let up = this.#parents.get(root); up; up = this.#parents.get(root)) root = up;
    if (root !== node) this.#parents.set(node, root);
    return root;
  }

  join(a: GraphNode, b: GraphNode): void {
    const [from, to] = [this.#rootOf(a), this.#rootOf(b)];
    if (from !== to) this.#parents.set(from, to);
  }

  groups(): GraphNode[][] {
    const groups = new Map<GraphNode, GraphNode[]>();
    for (const node of this.#nodes) {
      const root = this.#rootOf(node);
      const group = groups.get(root);
      if (group) group.push(node);
      else groups.set(root, [node]);
    }
    return [...groups.values()];
  }
}

/** Each after what it reads. Groups in a circle are taken apart. */
function sortGroups(nodes: readonly GraphNode[], groups: readonly GraphNode[][]): GraphNode[][] {
  const current = new Set(groups);
  for (;;) {
    const groupOf = new Map<GraphNode, GraphNode[]>();
    for (const group of current) for (const node of group) groupOf.set(node, group);
    const found = sortOrFindCycle(nodes, groupOf);
    if ('sorted' in found) return found.sorted;
    for (const group of found.cycle) {
      if (group.length < 2) continue;
      current.delete(group);
      for (const node of group) current.add([node]);
    }
  }
}

type Sorting = { readonly sorted: GraphNode[][] } | { readonly cycle: readonly GraphNode[][] };

function sortOrFindCycle(nodes: readonly GraphNode[], groupOf: ReadonlyMap<GraphNode, GraphNode[]>): Sorting {
  const sorted = new Set<GraphNode[]>();
  const path: { readonly group: GraphNode[]; readonly waiting: GraphNode[][] }[] = [];
  const onPath = new Set<GraphNode[]>();
  const enter = (group: GraphNode[]): void => {
    const producers = new Set<GraphNode[]>();
    for (const node of group) {
      for (const { producer } of operandsOf(node)) {
        const before = producer && groupOf.get(producer);
        if (before && before !== group && !sorted.has(before)) producers.add(before);
      }
    }
    path.push({ group, waiting: [...producers].reverse() });
    onPath.add(group);
  };
  for (const node of nodes) {
    const first = groupOf.get(node)!;
    if (!sorted.has(first)) enter(first);
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const next = top.waiting.pop();
      if (next === undefined) {
        path.pop();
        onPath.delete(top.group);
        sorted.add(top.group);
      } else if (onPath.has(next)) {
        const circle = [...onPath];
        return { cycle: circle.slice(circle.indexOf(next)) };
      } else if (!sorted.has(next)) enter(next);
    }
  }
  return { sorted: [...sorted] };
}
