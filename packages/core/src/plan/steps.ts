// The steps of a plan that work on single nodes: on the host, or compiled when their shapes are known. See
// partition-step.ts for the parts that a provider runs.

import { Dim } from '@onnx-ts/tensor-ir';
import { type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { tensorType } from '../graph/types.ts';
import { FreshDims, nodeError } from '../ops/context.ts';
import type { HostValue } from '../ops/define.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { expandNode } from '../passes/expand-composites.ts';
import { inferNode } from '../passes/infer-types.ts';
import type { ExecutionProvider, RunContext } from '../provider/contract.ts';
import type { HostEvaluator } from '../session/host-evaluator.ts';
import { typeOfHostValue } from '../session/host-value.ts';
import { elementCount, Tensor } from '../session/tensor.ts';
import { LruCache } from './lru.ts';
import { buildPartition } from './partition-program.ts';
import { PartitionStep } from './partition-step.ts';
import { RunState, resultsOf, type Step } from './run-state.ts';
import { RuntimeValue } from './runtime-value.ts';

/** Combinations of sizes that are kept. */
const keptBindings = 8;

export class HostStep implements Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  readonly results: readonly Value[];
  readonly #node: GraphNode;
  readonly #evaluator: HostEvaluator;

  constructor(node: GraphNode, evaluator: HostEvaluator) {
    this.nodes = [node];
    this.operands = operandsOf(node);
    this.results = resultsOf(node);
    this.#node = node;
    this.#evaluator = evaluator;
  }

  async run(state: RunState): Promise<void> {
    const start = performance.now();
    const inputs = await hostInputs(this.#node, state);
    const results = this.#evaluator.evaluate(this.#node, inputs);
    setOutputs(this.#node, results, state);
    state.context.trace?.({
      name: this.#node.name,
      kind: `host ${this.#node.op}`,
      start,
      duration: performance.now() - start,
    });
  }

  dispose(): void {}
}

async function hostInputs(node: GraphNode, state: RunState): Promise<(HostValue | undefined)[]> {
  const inputs: (HostValue | undefined)[] = [];
  for (const value of node.inputs) inputs.push(value && (await state.get(value).host()));
  return inputs;
}

export function setOutputs(node: GraphNode, results: readonly (HostValue | undefined)[], state: RunState): void {
  for (const [at, value] of node.outputs.entries()) {
    if (!value) continue;
    const result = results[at];
    if (result === undefined) throw nodeError(node, `output ${at} ("${value.name}") was not computed.`);
    state.set(value, RuntimeValue.ofHost(result));
  }
}

/** Elements below which compiling a late node costs more than interpreting it. */
const worthCompiling = 4096;

/**
 * A node whose shapes depend on values. When it is reached they are known: it is compiled for these sizes on the first
 * provider that can, or computed on the host when it is small.
 */
export class LateStep implements Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  readonly results: readonly Value[];
  readonly #node: GraphNode;
  readonly #evaluator: HostEvaluator;
  readonly #registry: OperatorRegistry;
  readonly #providers: readonly ExecutionProvider[];
  readonly #threshold: number;
  readonly #compiled = new LruCache<LatePartition>(keptBindings, (partition) => partition.dispose());

  constructor(
    node: GraphNode,
    evaluator: HostEvaluator,
    registry: OperatorRegistry,
    providers: readonly ExecutionProvider[],
    threshold = worthCompiling,
  ) {
    this.#threshold = threshold;
    this.nodes = [node];
    this.operands = operandsOf(node);
    this.results = resultsOf(node);
    this.#node = node;
    this.#evaluator = evaluator;
    this.#registry = registry;
    this.#providers = providers;
  }

  async run(state: RunState): Promise<void> {
    const start = performance.now();
    const node = this.#node;
    const inputs = node.inputs.map((value) => value && state.get(value));
    const known = new Map<number, HostValue>();
    const valueInputs = new Set(node.operator?.valueInputs ?? []);
    let elements = 0;
    let plain = true;
    for (const [at, input] of inputs.entries()) {
      if (!input) continue;
      if (!input.dims || input.dtype === 'string') plain = false;
      else elements += elementCount(input.dims);
      if (valueInputs.has(at)) known.set(at, await input.host());
    }
    if (plain && elements >= this.#threshold) {
      const partition = await this.#partition(inputs, known);
      if (partition) {
        const results = await partition.run(inputs, state.context);
        for (const [at, value] of node.outputs.entries()) if (value) state.set(value, results[at]!);
        return;
      }
    }
    setOutputs(node, this.#evaluator.evaluate(node, await hostInputs(node, state)), state);
    state.context.trace?.({ name: node.name, kind: `host ${node.op}`, start, duration: performance.now() - start });
  }

  async #partition(
    inputs: readonly (RuntimeValue | undefined)[],
    known: ReadonlyMap<number, HostValue>,
  ): Promise<LatePartition | undefined> {
    const keyParts = inputs.map((input, at) => {
      if (!input) return '';
      const value = known.get(at);
      const contents = Tensor.is(value) ? `=${Array.from(value.data as ArrayLike<unknown>).join(' ')}` : '';
      return `${input.dtype}[${input.dims!.join(' ')}]${contents}`;
    });
    const key = keyParts.join(';');
    const before = this.#compiled.get(key);
    if (before) return before;
    for (const provider of this.#providers) {
      const partition = await LatePartition.compile(this.#node, inputs, known, this.#registry, provider);
      if (!partition) continue;
      this.#compiled.set(key, partition);
      return partition;
    }
    return undefined;
  }

  dispose(): void {
    this.#compiled.clear();
  }
}

class LatePartition {
  readonly #step: PartitionStep;
  /** Input and output values of the specialised node. */
  readonly #inputs: readonly (Value | undefined)[];
  readonly #outputs: readonly (Value | undefined)[];

  private constructor(
    step: PartitionStep,
    inputs: readonly (Value | undefined)[],
    outputs: readonly (Value | undefined)[],
  ) {
    this.#step = step;
    this.#inputs = inputs;
    this.#outputs = outputs;
  }

  static async compile(
    node: GraphNode,
    inputs: readonly (RuntimeValue | undefined)[],
    known: ReadonlyMap<number, HostValue>,
    registry: OperatorRegistry,
    provider: ExecutionProvider,
  ): Promise<LatePartition | undefined> {
    const fresh = new FreshDims();
    const values = new Map<Value, Value>();
    const specialised: GraphNode = {
      ...node,
      inputs: node.inputs.map((input, at) => {
        const given = inputs[at];
        if (!input || !given) return undefined;
        const before = values.get(input);
        if (before) return before;
        const constant = known.get(at) ?? input.constant;
        const type = constant ? typeOfHostValue(constant) : tensorType(given.dtype!, given.dims!.map(Dim.constant));
        const value = newValue(input.name, type);
        if (Tensor.is(constant)) value.constant = constant;
        values.set(input, value);
        return value;
      }),
      outputs: node.outputs.map((output) => output && newValue(output.name)),
    };
    for (const output of specialised.outputs) if (output) output.producer = specialised;
    inferNode(specialised, registry, fresh);
    const nodes = expandAll([specialised], registry, fresh);
    if (!nodes?.every((inner) => inner.operator?.lower && provider.supports(inner).ok)) return undefined;
    const outputs = specialised.outputs.filter((output) => output !== undefined);
    const partition = buildPartition(node.name, nodes, (value) => outputs.includes(value));
    const step = await PartitionStep.compile(partition, provider, {});
    return new LatePartition(step, specialised.inputs, specialised.outputs);
  }

  async run(inputs: readonly (RuntimeValue | undefined)[], context: RunContext): Promise<(RuntimeValue | undefined)[]> {
    const state = new RunState(new Map(), context);
    for (const [at, value] of this.#inputs.entries()) {
      const given = inputs[at];
      if (value && given) state.values.set(value, given);
    }
    await this.#step.run(state);
    return this.#outputs.map((value) => value && state.get(value));
  }

  dispose(): void {
    this.#step.dispose();
  }
}

function expandAll(
  nodes: readonly GraphNode[],
  registry: OperatorRegistry,
  fresh: FreshDims,
): readonly GraphNode[] | undefined {
  const result: GraphNode[] = [];
  for (const node of nodes) {
    if (!node.operator?.expand) {
      result.push(node);
      continue;
    }
    const expanded = expandNode(node, registry, fresh);
    const inner = expanded && expandAll(expanded, registry, fresh);
    if (!inner) return undefined;
    result.push(...inner);
  }
  return result;
}
