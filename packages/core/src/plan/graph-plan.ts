// A graph made ready to run: steps in order, each on a provider, on the host, or driving the bodies of control flow.

import type { PartitionRecords } from '../artifacts/session-artifact.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { assignNodes, type Cluster, clusterNodes, type Placement } from '../partition/assign.ts';
import type { GraphPlacement } from '../partition/place-model.ts';
import type { CompileContext, ExecutionProvider, RunContext } from '../provider/contract.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { breathe } from './breathe.ts';
import { ControlStep } from './control-flow.ts';
import { buildPartition } from './partition-program.ts';
import { PartitionStep } from './partition-step.ts';
import { checkAborted, RunState, type Step } from './run-state.ts';
import type { RuntimeValue } from './runtime-value.ts';
import { HostStep, LateStep } from './steps.ts';

export interface PlanEnvironment {
  readonly registry: OperatorRegistry;
  readonly evaluator: HostEvaluator;
  /** In order of preference. */
  readonly providers: readonly ExecutionProvider[];
  /** What was decided for the graph and the bodies inside; without it, the first provider that takes a node has it. */
  readonly placed?: ReadonlyMap<Graph, GraphPlacement>;
  /** Everything that a provider can compile goes there, however small. */
  readonly everythingOnProviders?: boolean;
  /** Where what providers compile is kept, or comes from. */
  readonly records?: PartitionRecords;
}

export class GraphPlan {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly placed: GraphPlacement;
  /** Values whose last reader is the step at that index. */
  readonly #lastUse: readonly (readonly Value[])[];
  /** Inputs that several steps read, or that are outputs. */
  readonly #rereadInputs: ReadonlySet<Value>;

  private constructor(graph: Graph, steps: readonly Step[], placed: GraphPlacement) {
    this.graph = graph;
    this.steps = steps;
    this.placed = placed;
    this.#lastUse = lastUses(graph, steps);
    const isReread = (input: Value): boolean =>
      graph.outputs.includes(input) || steps.filter(({ operands }) => operands.includes(input)).length > 1;
    this.#rereadInputs = new Set(graph.inputs.filter(isReread));
  }

  get placements(): ReadonlyMap<GraphNode, Placement> {
    return this.placed.placements;
  }

  /** @throws OnnxTsError */
  static async compile(graph: Graph, environment: PlanEnvironment, context: CompileContext): Promise<GraphPlan> {
    const placed = environment.placed?.get(graph) ?? {
      placements: assignNodes(graph, environment.providers, environment),
    };
    const clusters = clusterNodes(graph, placed.placements, placed.tasks);
    const readers = readersOf(clusters);
    const outputs = new Set(graph.outputs);
    const steps: Step[] = [];
    try {
      for (const cluster of clusters) {
        if (context.signal || context.progress) await breathe();
        checkAborted(context.signal);
        const isNeeded = (value: Value): boolean =>
          outputs.has(value) || [...(readers.get(value) ?? [])].some((reader) => reader !== cluster);
        steps.push(await makeStep(cluster, clusters.length, steps.length, isNeeded, environment, context));
      }
    } catch (error) {
      for (const step of steps) step.dispose();
      throw error;
    }
    return new GraphPlan(graph, steps, placed);
  }

  /**
   * @param inputs one per graph input; undefined where a default (an initializer) is to be used. They stay the caller's.
   * @param outer values of the enclosing plan that this graph captures
   * @param kept outputs that the caller leaves on their device, with the positions to make room for
   * @param yielded inputs that the caller does not need any more as they are
   * @returns one value per graph output, each to be released by the caller
   */
  async run(
    inputs: readonly (RuntimeValue | undefined)[],
    outer: RunState | undefined,
    binding: Map<string, number>,
    context: RunContext,
    kept?: ReadonlyMap<Value, number>,
    yielded?: readonly Value[],
  ): Promise<RuntimeValue[]> {
    const free = yielded && new Set(yielded.filter((value) => !this.#rereadInputs.has(value)));
    const state = new RunState(binding, context, kept, free);
    for (const [at, value] of this.graph.inputs.entries()) {
      const given = inputs[at];
      if (given) state.values.set(value, given.retain());
    }
    if (outer) for (const value of this.graph.captures) state.values.set(value, outer.get(value).retain());
    try {
      for (const [at, step] of this.steps.entries()) {
        if (context.signal) await breathe();
        checkAborted(context.signal);
        await step.run(state);
        for (const value of this.#lastUse[at]) {
          state.values.get(value)?.release();
          state.values.delete(value);
        }
      }
      const results = this.graph.outputs.map((value) => state.get(value));
      return results.map((value) => value.retain());
    } finally {
      for (const value of state.values.values()) value.release();
    }
  }

  dispose(): void {
    for (const step of this.steps) step.dispose();
  }
}

/** Clusters that read each value. */
function readersOf(clusters: readonly Cluster[]): Map<Value, Set<Cluster>> {
  const readers = new Map<Value, Set<Cluster>>();
  for (const cluster of clusters) {
    for (const node of cluster.nodes) {
      for (const operand of operandsOf(node)) {
        const set = readers.get(operand);
        if (set) set.add(cluster);
        else readers.set(operand, new Set([cluster]));
      }
    }
  }
  return readers;
}

async function makeStep(
  cluster: Cluster,
  count: number,
  index: number,
  isNeeded: (value: Value) => boolean,
  environment: PlanEnvironment,
  context: CompileContext,
): Promise<Step> {
  const { registry, evaluator, providers } = environment;
  const [node] = cluster.nodes;
  switch (cluster.placement.kind) {
    case 'provider': {
      const provider = providers[cluster.placement.provider];
      const built = buildPartition(`${provider.id}-${index}`, cluster.nodes, isNeeded);
      const record = environment.records?.begin(built, provider);
      const progress = context.progress;
      const step = await PartitionStep.compile(record?.partition ?? built, provider, {
        ...context,
        ...record?.context,
        ...(progress && {
          progress: (fraction: number, what: string) => progress((index + fraction) / count, what),
        }),
      });
      record?.end();
      return step;
    }
    case 'host':
      return new HostStep(node, evaluator);
    case 'late':
      return new LateStep(node, evaluator, registry, providers, environment.everythingOnProviders ? 0 : undefined);
    case 'control':
      return ControlStep.compile(node, environment, context);
  }
}

function lastUses(graph: Graph, steps: readonly Step[]): Value[][] {
  const outputs = new Set(graph.outputs);
  const last = new Map<Value, number>();
  for (const [at, step] of steps.entries()) {
    for (const value of step.operands) last.set(value, at);
    for (const result of step.results) if (!last.has(result)) last.set(result, at);
  }
  const result: Value[][] = steps.map(() => []);
  for (const [value, at] of last) if (!outputs.has(value)) result[at].push(value);
  return result;
}
