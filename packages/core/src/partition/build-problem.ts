// A graph, its providers and what the caller wants → a placement problem.

import { byteLength, type DimBinding, productOf } from '@onnx-ts/tensor-ir';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import type { DeviceProfile, ExecutionProvider } from '../provider/contract.ts';
import type { Placement } from './assign.ts';
import { secondsOf } from './cost.ts';
import { type FusionCluster, fuseNodes } from './fusion-clusters.ts';
import type { Flow, Place, PlacementProblem, Task, Weight } from './problem.ts';
import type { SupportTable } from './support.ts';

export interface PlannedDevice {
  readonly provider: ExecutionProvider;
  readonly profile: DeviceProfile;
  /** Bytes that it may allocate. */
  readonly budget: number;
}

export interface ProblemOptions {
  readonly devices: readonly PlannedDevice[];
  readonly supports: SupportTable;
  /** Position of the device that a node must run on. */
  readonly pinOf: (node: GraphNode) => number | undefined;
  /** Sizes to plan for: all of them. */
  readonly sizes: DimBinding;
  /** Inputs that are what an output was in the run before, by input. */
  readonly states: ReadonlyMap<Value, Value>;
  /** Outputs that stay where they are made. */
  readonly kept: ReadonlySet<Value>;
  /** Clusters of graphs that were looked at before, with the same devices and pins. */
  readonly known: Map<Graph, readonly FusionCluster[]>;
}

export interface GraphProblem {
  readonly problem: PlacementProblem;
  /** One per task. */
  readonly clusters: readonly FusionCluster[];
}

/** @param placements of all nodes, to whichever provider: those on providers are free to move */
export function buildProblem(
  graph: Graph,
  placements: ReadonlyMap<GraphNode, Placement>,
  options: ProblemOptions,
): GraphProblem {
  const { devices, supports, pinOf, sizes, states, kept, known } = options;
  const outputs = new Set(graph.outputs);
  const nodes = graph.nodes.filter((node) => placements.get(node)!.kind !== 'none');
  const choicesOf = (node: GraphNode): readonly number[] => {
    const pin = pinOf(node);
    if (pin !== undefined) return [pin];
    const able = [...devices.keys()].filter((at) => supports.of(node, at).ok);
    const taker = able.find((at) => devices[at].provider.takesAll);
    return taker === undefined ? able : [taker];
  };
  const choices = new Map<GraphNode, readonly number[]>();
  for (const node of nodes) if (placements.get(node)!.kind === 'provider') choices.set(node, choicesOf(node));
  // Where nodes of a kernel can run on different devices, its parts may have to go apart.
  const clusters =
    known.get(graph) ??
    fuseNodes(
      nodes,
      (node) => choices.get(node)?.join(),
      (value) => outputs.has(value),
    );
  known.set(graph, clusters);
  const taskOf = new Map(clusters.flatMap(({ nodes: own }, task) => own.map((node) => [node, task] as const)));
  const flows = flowsOf(graph, clusters, taskOf, sizes, states, kept);
  const working = new Float64Array(clusters.length);
  for (const { producer, readers, bytes, isState } of flows) {
    if (producer !== undefined && !isState) working[producer] += bytes;
    for (const reader of readers) working[reader] += bytes;
  }
  const tasks = clusters.map((cluster, at): Task => {
    const [node] = cluster.nodes;
    const own = choices.get(node);
    return {
      name: node.name,
      seconds: [
        own ? Infinity : 0,
        ...devices.map(({ profile }, device) =>
          own?.includes(device) ? clusterSeconds(cluster, profile, sizes) : Infinity,
        ),
      ],
      workingBytes: working[at],
    };
  });
  const places: Place[] = [
    { id: 'host', latency: 0, bandwidth: Infinity, sync: 0, budget: Infinity },
    ...devices.map(({ provider, profile, budget }) => ({
      id: provider.id,
      latency: profile.transferLatency,
      bandwidth: profile.transferBandwidth,
      sync: profile.sync ?? 0,
      budget,
    })),
  ];
  return { problem: { places, tasks, flows, weights: weightsOf(clusters) }, clusters };
}

function clusterSeconds({ nodes, kernels }: FusionCluster, profile: DeviceProfile, sizes: DimBinding): number {
  if (kernels) return kernels.reduce((sum, work) => sum + secondsOf(work, 1, profile, sizes), 0);
  // Kernels that nobody can look into: an operation for each element of the results.
  let seconds = 0;
  for (const node of nodes) {
    const results = node.outputs.filter((value) => value !== undefined);
    const bytes = [...operandsOf(node), ...results].reduce((sum, value) => sum + bytesOf(value, sizes), 0);
    const elements = results.reduce((sum, value) => sum + countOf(value, sizes), 0);
    seconds += profile.launch + Math.max(elements / profile.flops, bytes / profile.bandwidth);
  }
  return seconds;
}

function countOf({ type }: Value, sizes: DimBinding): number {
  return type?.kind === 'tensor' && type.shape ? Math.max(0, productOf(type.shape).evaluate(sizes)) : 1;
}

/** At the sizes that are planned for; next to nothing for what has no bytes that can be told. */
export function bytesOf(value: Value, sizes: DimBinding): number {
  const { type } = value;
  return type?.kind === 'tensor' && type.dtype !== 'string' ? byteLength(type.dtype, countOf(value, sizes)) : 1;
}

/** Values that are not known from sizes, with who makes and reads them. */
function flowsOf(
  graph: Graph,
  clusters: readonly FusionCluster[],
  taskOf: ReadonlyMap<GraphNode, number>,
  sizes: DimBinding,
  states: ReadonlyMap<Value, Value>,
  kept: ReadonlySet<Value>,
): Flow[] {
  const readers = new Map<Value, Set<number>>();
  for (const [task, { nodes }] of clusters.entries()) {
    for (const node of nodes) {
      for (const value of operandsOf(node)) {
        if (value.constant || value.contents) continue;
        const set = readers.get(value);
        if (set) set.add(task);
        else readers.set(value, new Set([task]));
      }
    }
  }
  const carried = new Set(states.values());
  const outputs = new Set(graph.outputs);
  for (const output of outputs) if (!readers.has(output)) readers.set(output, new Set());
  return [...readers].flatMap(([value, set]): Flow[] => {
    const state = states.get(value);
    const maker = (state ?? value).producer;
    const producer = maker && taskOf.get(maker);
    if (maker && producer === undefined) return [];
    return [
      {
        name: value.name,
        bytes: bytesOf(value, sizes),
        producer,
        readers: [...set],
        toHost: outputs.has(value) && !carried.has(value) && !kept.has(value),
        isState: state !== undefined,
      },
    ];
  });
}

function weightsOf(clusters: readonly FusionCluster[]): Weight[] {
  const readers = new Map<Value, Set<number>>();
  for (const [task, { nodes }] of clusters.entries()) {
    for (const node of nodes) {
      for (const value of node.inputs) {
        if (!value?.constant) continue;
        const set = readers.get(value);
        if (set) set.add(task);
        else readers.set(value, new Set([task]));
      }
    }
  }
  return [...readers].map(([value, set]) => ({ bytes: value.constant!.byteLength, readers: [...set] }));
}
