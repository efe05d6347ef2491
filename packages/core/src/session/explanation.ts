// What a session does with a model, and why, as data and as text.

import { byteLength, type DimBinding } from '@onnx-ts/tensor-ir';
import type { GraphNode, Value } from '../graph/graph.ts';
import { printGraph } from '../graph/print.ts';
import type { HostCause } from '../partition/assign.ts';
import { ControlStep } from '../plan/control-flow.ts';
import type { GraphPlan } from '../plan/graph-plan.ts';
import { PartitionStep } from '../plan/partition-step.ts';
import type { KernelInfo } from '../provider/contract.ts';
import { type ExplainedNode, explainNodes, type PlacementReport, reportPlacement } from './placement-report.ts';

export interface ExplainOptions {
  /** Sizes for which memory, copies and costs are told; those that the session fixed need not be here. */
  readonly dims?: Readonly<Record<string, number>>;
}

export interface ExplainedStep {
  readonly place: 'provider' | 'host' | 'control' | 'late';
  /** Provider id; for other places 'host'. */
  readonly provider: string;
  readonly nodes: readonly { readonly name: string; readonly op: string }[];
  /** Why it is not on a provider. */
  readonly reason?: string;
  /** For steps on the host: the kind of reason. `unsupported` means that no provider could take the node. */
  readonly cause?: HostCause;
  readonly kernels?: readonly KernelInfo[];
  /** Values copied to this step's device before it runs, as far as they come from elsewhere. */
  readonly copiesIn: readonly string[];
  /** Bytes of each of them; undefined where a size is not known. */
  readonly copiedBytes: readonly (number | undefined)[];
  readonly weightBytes?: number;
  /** Memory for what the step's kernels pass to each other, and the least that any plan could do with. */
  readonly scratchBytes?: number;
  readonly scratchLowerBound?: number;
  /** Estimate, where all sizes are known. */
  readonly cost?: StepCost;
  /** Of control flow: what runs inside, as often as it runs. Branches that cannot run are left out. */
  readonly bodies?: readonly ExplainedBody[];
}

export interface ExplainedBody {
  /** Name of the attribute: then_branch, body … */
  readonly name: string;
  readonly steps: readonly ExplainedStep[];
}

export interface StepCost {
  /** Operations, and bytes read and written by the kernels. */
  readonly flops: number;
  readonly bytes: number;
  /** What a device with the provider's rates would take: for each kernel, the longer of computing and moving. */
  readonly seconds: number;
}

export interface ExplainedProvider {
  readonly id: string;
  readonly device: string;
  /** It has a part in the plan. Others are closed. */
  readonly isUsed: boolean;
  /** Why it is not used, or works with less than it could. */
  readonly note?: string;
}

export interface Explanation {
  readonly providers: readonly ExplainedProvider[];
  readonly steps: readonly ExplainedStep[];
  /** Nodes whose results are sizes: they cost nothing when the model runs. */
  readonly vanished: readonly string[];
  /**
   * How it was decided which provider runs what. Absent when nothing was to decide: one provider, another placement than
   * `auto`, or a session that comes from a store, which keeps the decision alone.
   */
  readonly placement?: PlacementReport;
  /** All nodes of the graph after all rewrites, each after those that it reads. Bodies of control flow are in `steps`. */
  nodes(): readonly ExplainedNode[];
  /** The graph as it is after all rewrites, with types and the sizes that are known. */
  graphText(): string;
  toString(): string;
}

/** @throws OnnxTsError when the sizes do not fit the model */
export function explainPlan(
  plan: GraphPlan,
  providers: Explanation['providers'],
  options: ExplainOptions = {},
): Explanation {
  const dims = new Map(Object.entries(options.dims ?? {}));
  const vanished: string[] = [];
  const steps = explainSteps(plan, dims, vanished);
  const { planning } = plan.placed;
  const placement = planning && reportPlacement(planning);
  return {
    providers,
    steps,
    vanished,
    ...(placement && { placement }),
    nodes: () => explainNodes(plan.graph, plan.placed, providerOfNodes(plan), dims, bytesOf),
    graphText: () => printGraph(plan.graph),
    toString: () => textOf(providers, placement, steps, vanished),
  };
}

function explainSteps(plan: GraphPlan, dims: DimBinding, vanished: string[]): readonly ExplainedStep[] {
  for (const [node, placement] of plan.placements) if (placement.kind === 'none') vanished.push(node.name);
  const madeOn = new Map<Value, string>();
  return plan.steps.map((step): ExplainedStep => {
    const isPartition = step instanceof PartitionStep;
    const provider = isPartition ? step.provider.id : 'host';
    const copies = isPartition ? step.operands.filter((value) => madeOn.get(value) !== provider) : [];
    for (const node of step.nodes) for (const output of node.outputs) if (output) madeOn.set(output, provider);
    const placement = plan.placements.get(step.nodes[0])!;
    const reason = 'reason' in placement ? placement.reason : undefined;
    return {
      place: placement.kind === 'none' ? 'host' : placement.kind,
      provider,
      nodes: step.nodes.map(nameOf),
      copiesIn: copies.map((value) => value.name),
      copiedBytes: copies.map((value) => bytesOf(value, dims)),
      ...(reason !== undefined && { reason }),
      ...(placement.kind === 'host' && { cause: placement.cause }),
      ...(isPartition && explainPartition(step, dims)),
      ...(step instanceof ControlStep && { bodies: explainBodies(step, dims, vanished) }),
    };
  });
}

function explainBodies(step: ControlStep, dims: DimBinding, vanished: string[]): readonly ExplainedBody[] {
  const bodies: ExplainedBody[] = [];
  for (const [name, attribute] of step.nodes[0].attributes) {
    const plan = attribute.type === 'graph' ? step.plans.get(attribute.value) : undefined;
    if (plan) bodies.push({ name, steps: explainSteps(plan, dims, vanished) });
  }
  return bodies;
}

function providerOfNodes({ steps }: GraphPlan): Map<GraphNode, string> {
  const providers = new Map<GraphNode, string>();
  for (const step of steps) {
    if (step instanceof PartitionStep) for (const node of step.nodes) providers.set(node, step.provider.id);
  }
  return providers;
}

function nameOf(node: GraphNode): { readonly name: string; readonly op: string } {
  return { name: node.name, op: node.domain ? `${node.domain}.${node.op}` : node.op };
}

function explainPartition(step: PartitionStep, dims: DimBinding): Partial<ExplainedStep> {
  const { kernels, weightBytes } = step.executable;
  const isBound = step.symbols.every((name) => dims.has(name));
  const bound = isBound ? step.bind(dims) : undefined;
  const cost = isBound ? costOf(step, dims) : undefined;
  return {
    kernels,
    ...(weightBytes !== undefined && { weightBytes }),
    ...(bound && { scratchBytes: bound.scratchBytes }),
    ...(bound?.scratchLowerBound !== undefined && { scratchLowerBound: bound.scratchLowerBound }),
    ...(cost && { cost }),
  };
}

/** Undefined when the provider does not count the work of its kernels. */
function costOf({ executable, provider }: PartitionStep, dims: DimBinding): StepCost | undefined {
  const { launch, flops: rate, bandwidth } = provider.profile;
  const total = { flops: 0, bytes: 0, seconds: 0 };
  for (const kernel of executable.kernels) {
    if (kernel.atLoad) continue;
    const flops = kernel.flops?.evaluate(dims);
    const bytes = kernel.bytes?.evaluate(dims);
    if (flops === undefined || bytes === undefined) return undefined;
    total.flops += flops;
    total.bytes += bytes;
    total.seconds += launch + Math.max(flops / rate, bytes / bandwidth);
  }
  return total;
}

function bytesOf({ type }: Value, dims: DimBinding): number | undefined {
  if (type?.kind !== 'tensor' || !type.shape || type.dtype === 'string') return undefined;
  let count = 1;
  for (const dim of type.shape) {
    if ([...dim.symbols()].some((name) => !dims.has(name))) return undefined;
    count *= dim.evaluate(dims);
  }
  return byteLength(type.dtype, count);
}

function textOf(
  providers: Explanation['providers'],
  placement: PlacementReport | undefined,
  steps: readonly ExplainedStep[],
  vanished: readonly string[],
): string {
  const lines: string[] = [];
  for (const { id, device, note } of providers) lines.push(`provider ${id}: ${device}${note ? ` (${note})` : ''}`);
  if (placement) lines.push(...placementLines(placement));
  if (vanished.length > 0) lines.push(`${vanished.length} nodes vanish into sizes`);
  lines.push(...linesOf(steps));
  return lines.join('\n');
}

/** What was decided, in a few lines. */
function placementLines({ alternatives, ...plan }: PlacementReport): string[] {
  const text = (seconds: number): string => `${(seconds * 1000).toPrecision(3)} ms`;
  const parts = `${text(plan.compute)} computing, ${text(plan.transfer)} copies, ${text(plan.sync)} hand-overs`;
  return [
    `estimate of this plan: ${text(plan.seconds)} (${parts})${plan.isOptimal ? ', the least of all plans' : ''}`,
    ...alternatives.map(({ provider, seconds }) => {
      return `estimate of ${provider} alone: ${seconds === undefined ? 'not enough memory' : text(seconds)}`;
    }),
  ];
}

function linesOf(steps: readonly ExplainedStep[]): string[] {
  return steps.flatMap((step, at) => {
    const what =
      step.place === 'provider'
        ? `${step.nodes.length} nodes, ${step.kernels?.length ?? 0} kernels`
        : step.nodes.map((node) => `${node.op} "${node.name}"`).join(', ');
    const lines = ['', `step ${at}: ${step.provider}: ${what}${step.reason ? `: ${step.reason}` : ''}`];
    if (step.copiesIn.length > 0) lines.push(`  copied in: ${step.copiesIn.join(', ')}`);
    for (const kernel of step.kernels ?? []) lines.push(`  ${kernel.kind.padEnd(12)} ${kernel.nodes.join(' + ')}`);
    for (const body of step.bodies ?? []) {
      lines.push(`  ${body.name}:`, ...linesOf(body.steps).map((line) => (line === '' ? line : `    ${line}`)));
    }
    return lines;
  });
}
