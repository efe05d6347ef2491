// The whole decision: for a model and the bodies inside, what runs where, and what the alternatives would have cost.

import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { bodiesOf } from '../graph/traverse.ts';
import { assignNodes, type Placement } from './assign.ts';
import { buildProblem, type PlannedDevice } from './build-problem.ts';
import type { FusionCluster } from './fusion-clusters.ts';
import { LikelySizes } from './likely-sizes.ts';
import { type OptimizedPlan, optimize } from './optimize.ts';
import { type PlacementPin, readPins } from './pins.ts';
import { host, type PlacementProblem } from './problem.ts';
import { type Simulation, Simulator } from './simulate.ts';
import { statesOfBody, statesOfModel } from './state-values.ts';
import { SupportTable } from './support.ts';

/**
 * - `auto`: the least total time, copies included;
 * - `first`: the first provider of the list that takes a node;
 * - `providers`: as `first`, small integer work too, which is for testing providers.
 */
export type PlacementStrategy = 'auto' | 'first' | 'providers';

export interface PlacementRequest {
  readonly strategy: PlacementStrategy;
  readonly pins: readonly PlacementPin[];
  /** Sizes to plan for, as far as they are told. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Names of the model's outputs, in order, and of those that stay where they are made. */
  readonly outputNames: readonly string[];
  readonly kept: { has(name: string): boolean };
}

/** Placement of one graph. */
export interface GraphPlacement {
  readonly placements: ReadonlyMap<GraphNode, Placement>;
  /** All nodes that run, in parts that stay together, each after those that it reads from. Absent: each for itself. */
  readonly tasks?: readonly (readonly GraphNode[])[];
  /** How it was decided, when there was something to decide. */
  readonly planning?: Planning;
}

export interface Planning {
  readonly problem: PlacementProblem;
  readonly clusters: readonly FusionCluster[];
  readonly plan: OptimizedPlan;
  readonly simulation: Simulation;
  /** Positions of devices are one less than those of places in the problem. */
  readonly devices: readonly PlannedDevice[];
  readonly supports: SupportTable;
}

export interface ModelPlacement {
  /** Of the model and of all bodies; indices of providers are positions in `order`. */
  readonly graphs: ReadonlyMap<Graph, GraphPlacement>;
  /** Positions of the devices that are used, the one with most of the work first. */
  readonly order: readonly number[];
}

/**
 * @param known what was found out before about the same model, devices and request, with other profiles
 * @throws OnnxTsError for pins that cannot be
 */
export function placeModel(
  model: Graph,
  devices: readonly PlannedDevice[],
  { strategy, pins, sizes, outputNames, kept }: PlacementRequest,
  known: Map<Graph, readonly FusionCluster[]> = new Map(),
): ModelPlacement {
  const supports = new SupportTable(devices.map(({ provider }) => provider));
  const pinOf = readPins(pins, supports);
  const likely = new LikelySizes(Object.entries(sizes));
  const graphs = new Map<Graph, GraphPlacement>();
  const place = (graph: Graph, states: ReadonlyMap<Value, Value>, keptValues: ReadonlySet<Value>): void => {
    const placements = assignNodes(graph, supports, { everythingOnProviders: strategy === 'providers' });
    if (strategy === 'auto' && devices.length > 1) {
      const options = { devices, supports, pinOf, sizes: likely, states, kept: keptValues, known };
      const { problem, clusters } = buildProblem(graph, placements, options);
      const plan = optimize(problem);
      for (const [task, { nodes }] of clusters.entries()) {
        const at = plan.assignment[task];
        if (at === host) continue;
        for (const node of nodes) placements.set(node, { kind: 'provider', provider: at - 1 });
      }
      const simulation = new Simulator(problem).details(plan.assignment);
      const planning = { problem, clusters, plan, simulation, devices, supports };
      graphs.set(graph, { placements, tasks: clusters.map(({ nodes }) => nodes), planning });
    } else {
      for (const [node, { kind }] of placements) {
        const pin = kind === 'provider' ? pinOf(node) : undefined;
        if (pin !== undefined) placements.set(node, { kind: 'provider', provider: pin });
      }
      graphs.set(graph, { placements });
    }
    for (const node of graph.nodes) {
      for (const body of bodiesOf(node)) if (!body.failure) place(body, statesOfBody(body, node), new Set());
    }
  };
  const states = statesOfModel(model, outputNames);
  place(model, states, new Set(model.outputs.filter((_, at) => kept.has(outputNames[at]))));
  const order = strategy === 'auto' ? usedDevices(graphs, devices) : [...devices.keys()];
  return { graphs: renumbered(graphs, order), order };
}

/** Never none: what is compiled only when the model runs needs one too. */
function usedDevices(graphs: ReadonlyMap<Graph, GraphPlacement>, devices: readonly PlannedDevice[]): number[] {
  const nodes = devices.map(() => 0);
  for (const { placements } of graphs.values()) {
    for (const placement of placements.values()) if (placement.kind === 'provider') nodes[placement.provider]++;
  }
  const used = [...devices.keys()].filter((at) => nodes[at] > 0).sort((a, b) => nodes[b] - nodes[a]);
  if (used.length > 0) return used;
  const distance = ({ profile }: PlannedDevice): number => profile.transferLatency + (profile.sync ?? 0);
  return [[...devices.keys()].reduce((near, at) => (distance(devices[at]) < distance(devices[near]) ? at : near), 0)];
}

function renumbered(
  graphs: ReadonlyMap<Graph, GraphPlacement>,
  order: readonly number[],
): ReadonlyMap<Graph, GraphPlacement> {
  const result = new Map<Graph, GraphPlacement>();
  for (const [graph, placed] of graphs) {
    const placements = new Map<GraphNode, Placement>();
    for (const [node, placement] of placed.placements) {
      const isMoved = placement.kind === 'provider';
      placements.set(node, isMoved ? { kind: 'provider', provider: order.indexOf(placement.provider) } : placement);
    }
    result.set(graph, { ...placed, placements });
  }
  return result;
}
