// What a session does with a model, and why, as data and as text.

import type { GraphNode } from '../graph/graph.ts';
import type { GraphPlan } from '../plan/graph-plan.ts';
import { PartitionStep } from '../plan/steps.ts';
import type { HostCause } from '../partition/assign.ts';
import type { KernelInfo } from '../provider/contract.ts';

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
}

export interface Explanation {
  readonly providers: readonly { readonly id: string; readonly device: string; readonly note?: string }[];
  readonly steps: readonly ExplainedStep[];
  /** Nodes whose results are sizes: they cost nothing when the model runs. */
  readonly vanished: readonly string[];
  toString(): string;
}

export function explainPlan(plan: GraphPlan, providers: Explanation['providers']): Explanation {
  const named = (node: GraphNode) => ({ name: node.name, op: node.domain ? `${node.domain}.${node.op}` : node.op });
  const vanished: string[] = [];
  for (const [node, placement] of plan.placements) if (placement.kind === 'none') vanished.push(node.name);
  const madeOn = new Map<unknown, string>();
  const steps = plan.steps.map((step): ExplainedStep => {
    const isPartition = step instanceof PartitionStep;
    const provider = isPartition ? step.provider.id : 'host';
    const copiesIn = isPartition
      ? step.operands.filter((value) => madeOn.get(value) !== provider).map((value) => value.name)
      : [];
    for (const node of step.nodes) for (const output of node.outputs) if (output) madeOn.set(output, provider);
    const placement = plan.placements.get(step.nodes[0])!;
    const reason = 'reason' in placement ? placement.reason : undefined;
    return {
      place: placement.kind === 'none' ? 'host' : placement.kind,
      provider,
      nodes: step.nodes.map(named),
      copiesIn,
      ...(reason !== undefined && { reason }),
      ...(placement.kind === 'host' && { cause: placement.cause }),
      ...(isPartition && { kernels: step.executable.kernels }),
    };
  });
  return { providers, steps, vanished, toString: () => textOf({ providers, steps, vanished }) };
}

function textOf({ providers, steps, vanished }: Omit<Explanation, 'toString'>): string {
  const lines: string[] = [];
  for (const { id, device, note } of providers) lines.push(`provider ${id}: ${device}${note ? ` (${note})` : ''}`);
  if (vanished.length > 0) lines.push(`${vanished.length} nodes vanish into sizes`);
  for (const [at, step] of steps.entries()) {
    const what = step.place === 'provider' ? `${step.nodes.length} nodes, ${step.kernels?.length ?? 0} kernels` : step.nodes.map((node) => `${node.op} "${node.name}"`).join(', ');
    lines.push('', `step ${at}: ${step.provider}: ${what}${step.reason ? `: ${step.reason}` : ''}`);
    if (step.copiesIn.length > 0) lines.push(`  copied in: ${step.copiesIn.join(', ')}`);
    for (const kernel of step.kernels ?? []) lines.push(`  ${kernel.kind.padEnd(12)} ${kernel.nodes.join(' + ')}`);
  }
  return lines.join('\n');
}
