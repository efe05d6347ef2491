// How it was decided what runs where, as data for people: what each alternative would have cost, and what it is for each
// node.

import type { DimBinding } from '@onnx-ts/tensor-ir';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { typeText } from '../graph/types.ts';
import type { GraphPlacement, Planning } from '../partition/place-model.ts';
import { host } from '../partition/problem.ts';
import type { DeviceProfile } from '../provider/contract.ts';

/** Seconds are estimates for the sizes that were planned for. */
export interface PlacementReport {
  readonly seconds: number;
  /** What it is made of: computing, copies, and hand-overs to devices. */
  readonly compute: number;
  readonly transfer: number;
  readonly sync: number;
  /** It is known that no plan is better; otherwise it is the best of those that were looked at. */
  readonly isOptimal: boolean;
  /** Each provider with all that it can run. */
  readonly alternatives: readonly PlacementAlternative[];
  readonly copies: readonly PlannedCopy[];
}

export interface PlacementAlternative {
  readonly provider: string;
  readonly profile: DeviceProfile;
  /** Undefined when it has not enough memory. */
  readonly seconds: number | undefined;
}

/** A value on its way from or to the host. Values between devices take two. */
export interface PlannedCopy {
  readonly value: string;
  readonly bytes: number;
  readonly from: string;
  readonly to: string;
  readonly seconds: number;
}

export function reportPlacement({ problem, plan, simulation, devices }: Planning): PlacementReport {
  const { places, flows } = problem;
  const copies = simulation.transfers.map(({ flow, to, seconds }): PlannedCopy => {
    const { name, bytes, producer } = flows[flow];
    const from = to === host && producer !== undefined ? places[plan.assignment[producer]].id : 'host';
    return { value: name, bytes, from, to: places[to].id, seconds };
  });
  return {
    seconds: plan.seconds,
    compute: simulation.compute,
    transfer: simulation.transfer,
    sync: simulation.sync,
    isOptimal: plan.isOptimal,
    alternatives: plan.alone.map(({ place, seconds }) => ({
      provider: places[place].id,
      profile: devices[place - 1].profile,
      seconds: seconds === Infinity ? undefined : seconds,
    })),
    copies,
  };
}

/** A node of the graph after all rewrites. */
export interface ExplainedNode {
  readonly name: string;
  readonly op: string;
  /** Id of a provider, `host`, or `none` for what is known from sizes alone. */
  readonly place: string;
  /** Why it is not on a provider. */
  readonly reason?: string;
  /** Nodes with the same number stay together, as one kernel would do their work. */
  readonly cluster?: number;
  /** Seconds of its cluster by provider. */
  readonly seconds?: Readonly<Record<string, number>>;
  /** Why providers do not take it, by provider. */
  readonly refusals?: Readonly<Record<string, string>>;
  readonly inputs: readonly ExplainedEdge[];
  readonly outputs: readonly ExplainedResult[];
}

export interface ExplainedResult {
  readonly value: string;
  readonly type: string;
  readonly bytes?: number;
  /** The graph gives it to the caller. */
  readonly isOutput: boolean;
}

export interface ExplainedEdge {
  readonly value: string;
  readonly type: string;
  /** Position of the node that makes it; undefined for inputs of the graph. Weights are left out. */
  readonly from?: number;
  /** Undefined where a size is not known. */
  readonly bytes?: number;
}

/**
 * @param providers of nodes that are on one, its id
 * @param bytesOf at known sizes
 */
export function explainNodes(
  graph: Graph,
  { placements, planning }: GraphPlacement,
  providers: ReadonlyMap<GraphNode, string>,
  dims: DimBinding,
  bytesOf: (value: Value, dims: DimBinding) => number | undefined,
): ExplainedNode[] {
  const { nodes } = graph;
  const results = new Set(graph.outputs);
  const positions = new Map(nodes.map((node, at) => [node, at]));
  const taskOf = new Map(
    planning?.clusters.flatMap((cluster, task) => cluster.nodes.map((node) => [node, task] as const)),
  );
  return nodes.map((node): ExplainedNode => {
    const placement = placements.get(node)!;
    const task = taskOf.get(node);
    const isPlanned = planning && task !== undefined && placement.kind === 'provider';
    return {
      name: node.name,
      op: node.domain ? `${node.domain}.${node.op}` : node.op,
      place: placement.kind === 'none' ? 'none' : (providers.get(node) ?? 'host'),
      ...('reason' in placement && { reason: placement.reason }),
      ...(isPlanned && { cluster: task, ...judgements(node, task, planning) }),
      inputs: operandsOf(node).flatMap((value): ExplainedEdge[] => {
        if (value.constant) return [];
        const from = value.producer && positions.get(value.producer);
        const bytes = bytesOf(value, dims);
        return [
          {
            value: value.name,
            type: typeText(value.type),
            ...(from !== undefined && { from }),
            ...(bytes !== undefined && { bytes }),
          },
        ];
      }),
      outputs: node.outputs.flatMap((value): ExplainedResult[] => {
        if (!value) return [];
        const bytes = bytesOf(value, dims);
        const isOutput = results.has(value);
        return [{ value: value.name, type: typeText(value.type), isOutput, ...(bytes !== undefined && { bytes }) }];
      }),
    };
  });
}

function judgements(
  node: GraphNode,
  task: number,
  { problem, devices, supports }: Planning,
): Pick<ExplainedNode, 'seconds' | 'refusals'> {
  const seconds: Record<string, number> = {};
  const refusals: Record<string, string> = {};
  for (const [at, { provider }] of devices.entries()) {
    const estimate = problem.tasks[task].seconds[at + 1];
    if (estimate < Infinity) seconds[provider.id] = estimate;
    const support = supports.of(node, at);
    if (!support.ok) refusals[provider.id] = support.reason;
    else if (estimate === Infinity) refusals[provider.id] = 'it is pinned to another provider';
  }
  return { seconds, refusals };
}
