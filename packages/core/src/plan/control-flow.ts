// Runs If, Loop, Scan and SequenceMap: their bodies are plans of their own, driven from here with the values around them
// in view.

import type { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { nodeError } from '../ops/context.ts';
import type { HostSequence, HostValue } from '../ops/define.ts';
import { joinAlong, sliceAlong } from '../ops/host-elements.ts';
import { bodyOf, type ScanLayout, scanLayout } from '../passes/control-layout.ts';
import type { CompileContext } from '../provider/contract.ts';
import { arrayTypeOf, elementCount, Tensor, type TypedArray } from '../session/tensor.ts';
import { GraphPlan, type PlanEnvironment } from './graph-plan.ts';
import { checkAborted, type RunState, resultsOf, type Step } from './run-state.ts';
import { bindShape, RuntimeValue } from './runtime-value.ts';

export class ControlStep implements Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  readonly results: readonly Value[];
  /** Branches that cannot run have none. */
  readonly plans: ReadonlyMap<Graph, GraphPlan>;
  readonly #node: GraphNode;

  private constructor(node: GraphNode, plans: ReadonlyMap<Graph, GraphPlan>) {
    this.nodes = [node];
    this.operands = operandsOf(node);
    this.results = resultsOf(node);
    this.plans = plans;
    this.#node = node;
  }

  static async compile(node: GraphNode, environment: PlanEnvironment, context: CompileContext): Promise<ControlStep> {
    const names = node.operator?.control === 'if' ? ['then_branch', 'else_branch'] : ['body'];
    const plans = new Map<Graph, GraphPlan>();
    try {
      for (const name of names) {
        const body = bodyOf(node, name);
        if (body.failure) continue;
        try {
          plans.set(body, await GraphPlan.compile(body, environment, context));
        } catch (error) {
          if (names.length < 2 || !OnnxTsError.is(error) || error.code !== 'INVALID_MODEL') throw error;
          body.failure = error;
        }
      }
    } catch (error) {
      for (const plan of plans.values()) plan.dispose();
      throw error;
    }
    return new ControlStep(node, plans);
  }

  async run(state: RunState): Promise<void> {
    const results = await this.#results(state);
    for (const [at, value] of this.#node.outputs.entries()) {
      if (value) state.set(value, results[at]);
      else results[at]?.release();
    }
  }

  #results(state: RunState): Promise<RuntimeValue[]> {
    switch (this.#node.operator!.control!) {
      case 'if':
        return this.#if(state);
      case 'loop':
        return this.#loop(state);
      case 'scan':
        return this.#scan(state);
      case 'sequence-map':
        return this.#sequenceMap(state);
    }
  }

  /** As `#runBody`. `own` are those of the inputs that nobody uses afterwards. */
  async #runBodyWith(
    own: readonly RuntimeValue[],
    body: Graph,
    inputs: readonly RuntimeValue[],
    state: RunState,
  ): Promise<RuntimeValue[]> {
    try {
      return await this.#runBody(body, inputs, state);
    } finally {
      releaseAll(own);
    }
  }

  /** Runs a body once with its inputs bound to concrete sizes. They stay the caller's. */
  async #runBody(body: Graph, inputs: readonly RuntimeValue[], state: RunState): Promise<RuntimeValue[]> {
    checkAborted(state.context.signal);
    const plan = this.plans.get(body);
    if (!plan) throw body.failure!;
    const binding = new Map(state.binding);
    for (const [at, input] of body.inputs.entries()) {
      const { type } = input;
      const { dims } = inputs[at];
      if (type?.kind !== 'tensor' || !type.shape || !dims) continue;
      bindShape(type.shape, dims, binding, (what) => {
        throw nodeError(this.#node, `the input "${input.name}" of its body has an unexpected shape: ${what}`);
      });
    }
    return plan.run(inputs, state, binding, state.context);
  }

  async #if(state: RunState): Promise<RuntimeValue[]> {
    const [input] = this.#node.inputs;
    if (!input) throw nodeError(this.#node, 'its condition is missing.');
    const condition = await this.#scalar(state.get(input), 'its condition');
    return this.#runBody(bodyOf(this.#node, condition ? 'then_branch' : 'else_branch'), [], state);
  }

  async #scalar(value: RuntimeValue, what: string): Promise<number> {
    const tensor = await value.host();
    if (!Tensor.is(tensor) || tensor.size !== 1) throw nodeError(this.#node, `${what} must be one element.`);
    return Number((tensor.data as TypedArray)[0]);
  }

  async #loop(state: RunState): Promise<RuntimeValue[]> {
    const node = this.#node;
    const body = bodyOf(node, 'body');
    const [tripsInput, conditionInput, ...initial] = node.inputs;
    const trips = tripsInput ? await this.#scalar(state.get(tripsInput), 'its trip count') : Infinity;
    let goOn = conditionInput ? (await this.#scalar(state.get(conditionInput), 'its condition')) !== 0 : true;
    const count = initial.length;
    let carried = initial.map((value, at) => {
      if (!value) throw nodeError(node, `input ${at + 2}, a carried value, is missing.`);
      return state.get(value).retain();
    });
    const collected: HostValue[][] = body.outputs.slice(1 + count).map(() => []);
    try {
      for (let iteration = 0; goOn && iteration < trips; iteration++) {
        const counter = RuntimeValue.ofHost(new Tensor('int64', [BigInt(iteration)], []));
        const condition = RuntimeValue.ofHost(new Tensor('bool', [true], []));
        const results = await this.#runBodyWith([counter, condition], body, [counter, condition, ...carried], state);
        releaseAll(carried);
        carried = results.slice(1, 1 + count);
        goOn = (await this.#scalar(results[0], 'the condition of its body')) !== 0;
        results[0].release();
        await collect(results.slice(1 + count), collected);
      }
      const stacked = collected.map((items, at) => this.#stack(items, body.outputs[1 + count + at], 0, state));
      return [...carried, ...stacked];
    } catch (error) {
      releaseAll(carried);
      throw error;
    }
  }

  /** Per-iteration results along a new axis. */
  #stack(items: readonly HostValue[], output: Value, axis: number, state: RunState): RuntimeValue {
    if (items.length > 0) return RuntimeValue.ofHost(stackTensors(items, axis, this.#node));
    const { type } = output;
    if (type?.kind !== 'tensor') throw nodeError(this.#node, 'a scan output must be a tensor.');
    // Without any iteration the inner sizes are what types can tell, and 0 where they cannot.
    const inner = (type.shape ?? []).map((dim) => sizeOr(dim, state, 0));
    return RuntimeValue.ofHost(emptyTensor(type.dtype, inner.toSpliced(axis, 0, 0)));
  }

  async #scan(state: RunState): Promise<RuntimeValue[]> {
    const layout = scanLayout(this.#node);
    if (layout.batched) return this.#batchedScan(state, layout);
    const inputs: Tensor[] = [];
    for (const at of this.#node.inputs.keys()) inputs.push(await this.#tensor(at, state));
    return this.#scanSequence(layout, inputs, undefined, state);
  }

  async #tensor(input: number, state: RunState): Promise<Tensor> {
    const value = this.#node.inputs[input];
    const tensor = value && (await state.get(value).host());
    if (!Tensor.is(tensor)) throw nodeError(this.#node, `input ${input} must be a tensor.`);
    return tensor;
  }

  /** @param length steps to take; absent means as many as the scan inputs have */
  async #scanSequence(
    layout: ScanLayout,
    inputs: readonly Tensor[],
    length: number | undefined,
    state: RunState,
  ): Promise<RuntimeValue[]> {
    const body = bodyOf(this.#node, 'body');
    const { states } = layout;
    const scanned = inputs.slice(states);
    const axes = scanned.map(({ dims }, at) => fromEnd(layout.inputAxes[at], dims.length));
    const steps = length ?? scanned[0].dims[axes[0]];
    for (const [at, { dims }] of scanned.entries()) {
      if (length !== undefined || dims[axes[at]] === steps) continue;
      throw nodeError(this.#node, `scan inputs have ${steps} and ${dims[axes[at]]} steps.`);
    }
    let carried = inputs.slice(0, states).map((tensor) => RuntimeValue.ofHost(tensor));
    const collected: HostValue[][] = body.outputs.slice(states).map(() => []);
    try {
      for (let step = 0; step < steps; step++) {
        const slices = scanned.map((tensor, at) => {
          const position = layout.inputReversed[at] ? steps - 1 - step : step;
          return RuntimeValue.ofHost(itemOf(tensor, axes[at], position));
        });
        const results = await this.#runBodyWith(slices, body, [...carried, ...slices], state);
        releaseAll(carried);
        carried = results.slice(0, states);
        await collect(results.slice(states), collected);
      }
    } catch (error) {
      releaseAll(carried);
      throw error;
    }
    const stacked = collected.map((items, at) => {
      const output = body.outputs[states + at];
      const shape = output.type?.kind === 'tensor' ? output.type.shape : undefined;
      const rank = (items[0] as Tensor | undefined)?.dims.length ?? shape?.length ?? 0;
      const ordered = layout.outputReversed[at] ? items.toReversed() : items;
      return this.#stack(ordered, output, fromEnd(layout.outputAxes[at], rank + 1), state);
    });
    return [...carried, ...stacked];
  }

  /** Version 8: every batch entry is a scan of its own, of its own length; shorter ones are padded with zeros. */
  async #batchedScan(state: RunState, layout: ScanLayout): Promise<RuntimeValue[]> {
    const node = this.#node;
    const inputs: Tensor[] = [];
    for (let at = 1; at < node.inputs.length; at++) inputs.push(await this.#tensor(at, state));
    const lengths = node.inputs[0] ? (await this.#tensor(0, state)).toNumberArray() : undefined;
    const [batch] = inputs[0].dims;
    const longest = inputs[layout.states].dims[1 + layout.inputAxes[0]];
    const perEntry: Tensor[][] = [];
    for (let entry = 0; entry < batch; entry++) {
      const own = inputs.map((tensor) => itemOf(tensor, 0, entry));
      const length = lengths ? lengths[entry] : longest;
      if (!(length >= 0 && length <= longest)) {
        throw nodeError(node, `sequence length ${length} is outside [0, ${longest}].`);
      }
      const results = await this.#scanSequence(layout, own, length, state);
      const tensors: Tensor[] = [];
      for (const [at, value] of results.entries()) {
        const tensor = (await value.host()) as Tensor;
        tensors.push(at < layout.states ? tensor : padEnd(tensor, longest));
        value.release();
      }
      perEntry.push(tensors);
    }
    const { outputs } = bodyOf(node, 'body');
    return outputs.map((output, at) =>
      this.#stack(
        perEntry.map((tensors) => tensors[at]),
        output,
        0,
        state,
      ),
    );
  }

  async #sequenceMap(state: RunState): Promise<RuntimeValue[]> {
    const node = this.#node;
    const body = bodyOf(node, 'body');
    const inputs: (RuntimeValue | HostSequence)[] = [];
    for (const value of node.inputs) {
      if (!value) throw nodeError(node, 'an input is missing.');
      const given = state.get(value);
      const host = given.dims ? undefined : await given.host();
      inputs.push(host && !Tensor.is(host) && host.kind === 'sequence' ? host : given);
    }
    const sequences = inputs.filter((input): input is HostSequence => !(input instanceof RuntimeValue));
    const length = sequences[0]?.items.length ?? 0;
    for (const { items } of sequences) {
      if (items.length !== length) throw nodeError(node, `its sequences have ${length} and ${items.length} items.`);
    }
    const collected: HostValue[][] = body.outputs.map(() => []);
    for (let at = 0; at < length; at++) {
      const items = inputs.map((input) =>
        input instanceof RuntimeValue ? input : RuntimeValue.ofHost(input.items[at]),
      );
      const own = items.filter((_, input) => !(inputs[input] instanceof RuntimeValue));
      await collect(await this.#runBodyWith(own, body, items, state), collected);
    }
    return collected.map((items, at) => {
      const element = body.outputs[at].type;
      return RuntimeValue.ofHost({ kind: 'sequence', items, ...(items.length === 0 && element && { element }) });
    });
  }

  dispose(): void {
    for (const plan of this.plans.values()) plan.dispose();
  }
}

function releaseAll(values: readonly RuntimeValue[]): void {
  for (const value of values) value.release();
}

/** Moves the results of an iteration to the host, each to its list. */
async function collect(values: readonly RuntimeValue[], lists: readonly HostValue[][]): Promise<void> {
  for (const [at, value] of values.entries()) {
    lists[at].push(await value.host());
    value.release();
  }
}

function sizeOr(dim: Dim, state: RunState, fallback: number): number {
  try {
    return dim.evaluate(state.binding);
  } catch {
    return fallback;
  }
}

function fromEnd(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Zeros, or empty strings. */
function emptyTensor(dtype: Tensor['type'], dims: readonly number[]): Tensor {
  const count = elementCount(dims);
  if (dtype === 'string') return new Tensor('string', new Array<string>(count).fill(''), dims);
  const width = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1;
  return new Tensor(dtype, new (arrayTypeOf(dtype))(count * width), dims);
}

/** One position of an axis, which is dropped. */
function itemOf(tensor: Tensor, axis: number, position: number): Tensor {
  return sliceAlong(tensor, axis, position, 1).reshape(tensor.dims.toSpliced(axis, 1));
}

function stackTensors(items: readonly HostValue[], axis: number, node: GraphNode): Tensor {
  const parts = items.map((item) => {
    if (!Tensor.is(item)) throw nodeError(node, 'scan outputs must be tensors.');
    return item.reshape(item.dims.toSpliced(axis, 0, 1));
  });
  const [first] = parts;
  for (const { type, dims } of parts) {
    if (type === first.type && dims.join() === first.dims.join()) continue;
    const [before, after] = [first.dims, dims].map((sizes) => `[${sizes.toSpliced(axis, 1).join(', ')}]`);
    throw nodeError(node, `its iterations give ${before} and then ${after}.`);
  }
  return joinAlong(parts, axis);
}

/** Longer along axis 0, zeros behind. */
function padEnd(tensor: Tensor, length: number): Tensor {
  const missing = length - tensor.dims[0];
  return missing > 0 ? joinAlong([tensor, emptyTensor(tensor.type, tensor.dims.with(0, missing))], 0) : tensor;
}
