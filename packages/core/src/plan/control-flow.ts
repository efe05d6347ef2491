// Runs If, Loop and Scan: their bodies are plans of their own, driven from here with the values around them in view.

import type { Dim } from '@onnx-ts/tensor-ir';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { nodeError } from '../ops/context.ts';
import type { HostValue } from '../ops/define.ts';
import { bodyOf, type ScanLayout, scanLayout } from '../passes/infer-control.ts';
import type { CompileContext } from '../provider/contract.ts';
import { arrayTypeOf, elementCount, Tensor, type TypedArray } from '../session/tensor.ts';
import { GraphPlan, type PlanEnvironment } from './graph-plan.ts';
import { bindShape, RuntimeValue } from './runtime-value.ts';
import { checkAborted, type RunState, type Step } from './steps.ts';

export class ControlStep implements Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  readonly #node: GraphNode;
  readonly #plans: ReadonlyMap<Graph, GraphPlan>;

  private constructor(node: GraphNode, plans: ReadonlyMap<Graph, GraphPlan>) {
    this.nodes = [node];
    this.operands = operandsOf(node);
    this.#node = node;
    this.#plans = plans;
  }

  static async compile(node: GraphNode, environment: PlanEnvironment, context: CompileContext): Promise<ControlStep> {
    const names = node.operator?.control === 'if' ? ['then_branch', 'else_branch'] : ['body'];
    const plans = new Map<Graph, GraphPlan>();
    for (const name of names) {
      const body = bodyOf(node, name);
      plans.set(body, await GraphPlan.compile(body, environment, context));
    }
    return new ControlStep(node, plans);
  }

  async run(state: RunState): Promise<void> {
    const control = this.#node.operator!.control;
    const results =
      control === 'if'
        ? await this.#if(state)
        : control === 'loop'
          ? await this.#loop(state)
          : await this.#scan(state);
    for (const [at, value] of this.#node.outputs.entries()) {
      if (value) state.set(value, results[at]);
      else results[at]?.release();
    }
  }

  /** Runs a body once with its inputs bound to concrete sizes. */
  async #runBody(body: Graph, inputs: readonly RuntimeValue[], state: RunState): Promise<RuntimeValue[]> {
    checkAborted(state.context.signal);
    const binding = new Map(state.binding);
    for (const [at, input] of body.inputs.entries()) {
      const { type } = input;
      const { dims } = inputs[at];
      if (type?.kind !== 'tensor' || !type.shape || !dims) continue;
      bindShape(type.shape, dims, binding, (what) => {
        throw nodeError(this.#node, `the input "${input.name}" of its body has an unexpected shape: ${what}`);
      });
    }
    return this.#plans.get(body)!.run(inputs, state, binding, state.context);
  }

  async #if(state: RunState): Promise<RuntimeValue[]> {
    const condition = await this.#scalar(state.get(this.#node.inputs[0]!), 'its condition');
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
    let carried = initial.map((value) => state.get(value!).retain());
    const collected: HostValue[][] = body.outputs.slice(1 + carried.length).map(() => []);
    for (let iteration = 0; goOn && iteration < trips; iteration++) {
      const counter = RuntimeValue.ofHost(new Tensor('int64', new BigInt64Array([BigInt(iteration)]), []));
      const condition = RuntimeValue.ofHost(new Tensor('bool', new Uint8Array([1]), []));
      const results = await this.#runBody(body, [counter, condition, ...carried], state);
      goOn = (await this.#scalar(results[0], 'the condition of its body')) !== 0;
      for (const value of [results[0], ...carried]) value.release();
      carried = results.slice(1, 1 + carried.length);
      for (const [at, value] of results.slice(1 + carried.length).entries()) {
        collected[at].push(await value.host());
        value.release();
      }
    }
    const stacked = collected.map((items, at) => this.#stack(items, body.outputs[1 + carried.length + at], 0, state));
    return [...carried, ...stacked];
  }

  /** Per-iteration results along a new axis. */
  #stack(items: readonly HostValue[], output: Value, axis: number, state: RunState): RuntimeValue {
    const tensors = items.map((item) => {
      if (!Tensor.is(item)) throw nodeError(this.#node, 'scan outputs must be tensors.');
      return item;
    });
    const [first] = tensors;
    if (first) return RuntimeValue.ofHost(stackTensors(tensors, axis, this.#node));
    const { type } = output;
    if (type?.kind !== 'tensor') throw nodeError(this.#node, 'a scan output must be a tensor.');
    // Without any iteration the inner sizes are what types can tell, and 0 where they cannot.
    const inner = (type.shape ?? []).map((dim) => sizeOr(dim, state, 0));
    const dims = [...inner.slice(0, axis), 0, ...inner.slice(axis)];
    const data = type.dtype === 'string' ? [] : new (arrayTypeOf(type.dtype))(0);
    return RuntimeValue.ofHost(new Tensor(type.dtype, data, dims));
  }

  async #scan(state: RunState): Promise<RuntimeValue[]> {
    const node = this.#node;
    const layout = scanLayout(node);
    if (layout.batched) return this.#batchedScan(state, layout);
    const inputs: Tensor[] = [];
    for (const value of node.inputs) inputs.push(await this.#tensor(state.get(value!)));
    const results = await this.#scanSequence(layout, inputs, undefined, state);
    return results;
  }

  async #tensor(value: RuntimeValue): Promise<Tensor> {
    const tensor = await value.host();
    if (!Tensor.is(tensor)) throw nodeError(this.#node, 'its inputs must be tensors.');
    return tensor;
  }

  async #scanSequence(
    layout: ScanLayout,
    inputs: readonly Tensor[],
    length: number | undefined,
    state: RunState,
  ): Promise<RuntimeValue[]> {
    const body = bodyOf(this.#node, 'body');
    const { states } = layout;
    const scanned = inputs.slice(states);
    const axes = scanned.map((tensor, at) => fromEnd(layout.inputAxes[at], tensor.dims.length));
    const steps = length ?? scanned[0].dims[axes[0]];
    for (const [at, tensor] of scanned.entries()) {
      if (length === undefined && tensor.dims[axes[at]] !== steps) {
        throw nodeError(this.#node, `scan inputs have ${steps} and ${tensor.dims[axes[at]]} steps.`);
      }
    }
    let carried = inputs.slice(0, states).map((tensor) => RuntimeValue.ofHost(tensor));
    const collected: HostValue[][] = body.outputs.slice(states).map(() => []);
    for (let step = 0; step < steps; step++) {
      const slices = scanned.map((tensor, at) => {
        const position = layout.inputReversed[at] ? steps - 1 - step : step;
        return RuntimeValue.ofHost(sliceTensor(tensor, axes[at], position));
      });
      const results = await this.#runBody(body, [...carried, ...slices], state);
      for (const value of carried) value.release();
      carried = results.slice(0, states);
      for (const [at, value] of results.slice(states).entries()) {
        collected[at].push(await value.host());
        value.release();
      }
    }
    const stacked = collected.map((items, at) => {
      const output = body.outputs[states + at];
      const rank = (items[0] as Tensor | undefined)?.dims.length ?? (output.type?.kind === 'tensor' ? (output.type.shape?.length ?? 0) : 0);
      const ordered = layout.outputReversed[at] ? items.reverse() : items;
      return this.#stack(ordered, output, fromEnd(layout.outputAxes[at], rank + 1), state);
    });
    return [...carried, ...stacked];
  }

  /** Version 8: every batch entry is a scan of its own, of its own length; shorter ones are padded with zeros. */
  async #batchedScan(state: RunState, layout: ScanLayout): Promise<RuntimeValue[]> {
    const node = this.#node;
    const inputs: Tensor[] = [];
    for (const value of node.inputs.slice(1)) inputs.push(await this.#tensor(state.get(value!)));
    const lengths = node.inputs[0] ? (await this.#tensor(state.get(node.inputs[0]))).toNumberArray() : undefined;
    const batch = inputs[0].dims[0];
    const longest = inputs[layout.states].dims[1 + layout.inputAxes[0]];
    const perEntry: Tensor[][] = [];
    for (let entry = 0; entry < batch; entry++) {
      const own = inputs.map((tensor) => sliceTensor(tensor, 0, entry));
      const length = lengths ? lengths[entry] : longest;
      if (!(length >= 0 && length <= longest)) throw nodeError(node, `sequence length ${length} is outside [0, ${longest}].`);
      const results = await this.#scanSequence(layout, own, length, state);
      const tensors: Tensor[] = [];
      for (const [at, value] of results.entries()) {
        const tensor = await this.#tensor(value);
        tensors.push(at < layout.states ? tensor : padEnd(tensor, longest));
        value.release();
      }
      perEntry.push(tensors);
    }
    const outputs = bodyOf(node, 'body').outputs;
    return outputs.map((output, at) => this.#stack(perEntry.map((tensors) => tensors[at]), output, 0, state));
  }

  dispose(): void {
    for (const plan of this.#plans.values()) plan.dispose();
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

type Chunk = { readonly outer: number; readonly inner: number };

/** Copies blocks of elements between arrays of the same type, strings included. */
function copyBlock(from: Tensor, fromAt: number, to: TypedArray | string[], toAt: number, count: number): void {
  const scale = from.type === 'complex64' || from.type === 'complex128' ? 2 : 1;
  if (Array.isArray(to)) {
    for (let k = 0; k < count; k++) to[toAt + k] = (from.data as string[])[fromAt + k];
    return;
  }
  const source = from.data as TypedArray;
  to.set(source.subarray(fromAt * scale, (fromAt + count) * scale) as never, toAt * scale);
}

function emptyData(tensor: Tensor, count: number): TypedArray | string[] {
  if (tensor.type === 'string') return new Array<string>(count).fill('');
  const scale = tensor.type === 'complex64' || tensor.type === 'complex128' ? 2 : 1;
  return new (arrayTypeOf(tensor.type))(count * scale);
}

function around(dims: readonly number[], axis: number): Chunk {
  return { outer: elementCount(dims.slice(0, axis)), inner: elementCount(dims.slice(axis + 1)) };
}

/** One position of an axis, which is dropped. */
function sliceTensor(tensor: Tensor, axis: number, position: number): Tensor {
  const { outer, inner } = around(tensor.dims, axis);
  const data = emptyData(tensor, outer * inner);
  for (let o = 0; o < outer; o++) copyBlock(tensor, (o * tensor.dims[axis] + position) * inner, data, o * inner, inner);
  return new Tensor(tensor.type, data, tensor.dims.filter((_, k) => k !== axis));
}

function stackTensors(tensors: readonly Tensor[], axis: number, node: GraphNode): Tensor {
  const [first] = tensors;
  for (const tensor of tensors) {
    if (tensor.dims.join() !== first.dims.join() || tensor.type !== first.type) {
      throw nodeError(node, `its iterations give [${first.dims.join(', ')}] and then [${tensor.dims.join(', ')}].`);
    }
  }
  const dims = [...first.dims.slice(0, axis), tensors.length, ...first.dims.slice(axis)];
  const { outer, inner } = around(dims, axis);
  const data = emptyData(first, outer * inner * tensors.length);
  for (const [k, tensor] of tensors.entries()) {
    for (let o = 0; o < outer; o++) copyBlock(tensor, o * inner, data, (o * tensors.length + k) * inner, inner);
  }
  return new Tensor(first.type, data, dims);
}

/** Longer along axis 0, zeros behind. */
function padEnd(tensor: Tensor, length: number): Tensor {
  const inner = elementCount(tensor.dims.slice(1));
  const data = emptyData(tensor, length * inner);
  copyBlock(tensor, 0, data, 0, tensor.dims[0] * inner);
  return new Tensor(tensor.type, data, [length, ...tensor.dims.slice(1)]);
}
