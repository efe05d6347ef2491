// What happens to the data of constants once a model is compiled.

import type { Value } from '../graph/graph.ts';
import { ControlStep } from '../plan/control-flow.ts';
import type { GraphPlan } from '../plan/graph-plan.ts';
import { PartitionStep } from '../plan/partition-step.ts';
import { memoryOf } from './fetches.ts';

/**
 * Weights that steps outside of providers still need are read now, before their file is closed; those that only providers
 * use are on devices by now, and their data is let go.
 * @returns the memory of those that stay
 */
export function settleWeights(plan: GraphPlan): Set<unknown> {
  const kept = new Set<Value>();
  const onDevices = new Set<Value>();
  collect(plan, kept, onDevices);
  const memory = new Set<unknown>();
  for (const { constant } of kept) if (constant) memory.add(memoryOf(constant.data));
  for (const { initial } of plan.graph.inputs) if (initial) memory.add(memoryOf(initial.data));
  for (const value of onDevices) if (!kept.has(value)) value.constant?.dispose();
  return memory;
}

function collect(plan: GraphPlan, kept: Set<Value>, onDevices: Set<Value>): void {
  for (const value of plan.graph.outputs) kept.add(value);
  for (const step of plan.steps) {
    const into = step instanceof PartitionStep ? onDevices : kept;
    for (const node of step.nodes) for (const input of node.inputs) if (input?.constant) into.add(input);
    if (step instanceof ControlStep) for (const body of step.plans.values()) collect(body, kept, onDevices);
  }
}
