// Runs single nodes on the host with concrete inputs: host operators as they are, tensor operators through the reference
// interpreter. Used to fold constants, for small integer work, and for nodes whose shapes depend on values.

import { Dim, interpretProgram, newTensorRef, SizeError, type TensorBuffer, type TensorRef } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { isNumberTensor, tensorType } from '../graph/types.ts';
import { BaseContext, FreshDims, NotKnownYet, nodeError, placedError, placeOf } from '../ops/context.ts';
import type { EvaluateContext, HostValue } from '../ops/define.ts';
import { ProgramLowering } from '../ops/lowering.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { expandNode } from '../passes/expand-composites.ts';
import { inferNode } from '../passes/infer-types.ts';
import { typeOfHostValue } from './host-value.ts';
import { Tensor } from './tensor.ts';

export class HostEvaluator {
  readonly #registry: OperatorRegistry;
  readonly #fresh = new FreshDims();
  readonly #seed: () => number;

  /** @param seed gives the seed of the next random operator that has none of its own */
  constructor(registry: OperatorRegistry, seed: () => number = () => 0) {
    this.#registry = registry;
    this.#seed = seed;
  }

  /**
   * One value per output of the node; undefined where the node has none or nobody asked.
   * Control flow is not for here: it needs compiled bodies.
   * @throws OnnxTsError naming the node
   */
  evaluate(node: GraphNode, inputs: readonly (HostValue | undefined)[]): readonly (HostValue | undefined)[] {
    const specialised = specialise(node, inputs);
    inferNode(specialised, this.#registry, this.#fresh);
    const definition = specialised.operator!;
    try {
      const evaluate = definition.evaluate ?? (movesNumbersOnly(specialised) ? undefined : definition.evaluateOnHost);
      if (evaluate) {
        const context = new Evaluation(specialised, inputs, this.#seed);
        const result = evaluate(context as never);
        return Array.isArray(result) ? result : [result as HostValue];
      }
      if (definition.lower) return this.#interpret(specialised, inputs);
      if (definition.expand) return this.#expand(specialised, inputs);
    } catch (error) {
      throw computationError(specialised, error);
    }
    throw nodeError(specialised, 'this operator cannot run on the host.');
  }

  #interpret(node: GraphNode, inputs: readonly (HostValue | undefined)[]): (HostValue | undefined)[] {
    const lowering = new ProgramLowering();
    lowering.lower(node);
    const buffers = new Map<TensorRef, TensorBuffer>();
    for (const [at, value] of node.inputs.entries()) {
      const tensor = value && (lowering.inputs.get(value) ?? lowering.constants.get(value));
      const given = inputs[at];
      if (!tensor || !given) continue;
      if (!Tensor.is(given)) throw nodeError(node, `input ${at} must be a tensor.`);
      buffers.set(tensor, { dtype: given.type, dims: given.dims, data: given.data });
    }
    const outputs = node.outputs.map((value) => {
      const source = value && lowering.sources.get(value);
      if (!source) return undefined;
      return { source, tensor: newTensorRef(value.name, source.dtype, source.shape) };
    });
    const wanted = outputs.filter((output) => output !== undefined);
    const results = interpretProgram(
      { inputs: [...buffers.keys()], stages: lowering.builder.stages, outputs: wanted },
      buffers,
      new Map(),
      { onOutOfRange: (_stage, value, size) => outOfRange(node, value, size) },
    );
    return outputs.map((output) => {
      const buffer = output && results.get(output.tensor);
      return buffer && new Tensor(buffer.dtype, buffer.data, buffer.dims);
    });
  }

  #expand(node: GraphNode, inputs: readonly (HostValue | undefined)[]): (HostValue | undefined)[] {
    const nodes = expandNode(node, this.#registry, this.#fresh);
    if (!nodes) throw nodeError(node, 'it could not be expanded.');
    const values = new Map<Value, HostValue | undefined>();
    for (const [at, value] of node.inputs.entries()) if (value) values.set(value, inputs[at]);
    const hostValueOf = (value: Value | undefined): HostValue | undefined =>
      value && (value.constant ?? values.get(value));
    for (const inner of nodes) {
      const results = this.evaluate(inner, inner.inputs.map(hostValueOf));
      for (const [at, value] of inner.outputs.entries()) if (value) values.set(value, results[at]);
    }
    return node.outputs.map(hostValueOf);
  }
}

/** Whether all that a node reads and writes are tensors of numbers, for a node with concrete types. */
function movesNumbersOnly(node: GraphNode): boolean {
  const types = [...node.inputs, ...node.outputs].flatMap((value) => (value ? [value.type] : []));
  return types.every(isNumberTensor);
}

/** What the engine says when it cannot allocate. */
const allocationFailures = /allocation failed|Invalid (typed )?array length|Invalid string length/;

/** The error for what was thrown while a node was computed. */
export function computationError(node: GraphNode, error: unknown): OnnxTsError {
  if (OnnxTsError.is(error)) return placedError(node, error);
  const reason = error instanceof NotKnownYet ? `the ${error.message} is not known` : (error as Error).message;
  const tooLarge =
    error instanceof SizeError || (error instanceof RangeError && allocationFailures.test(error.message));
  if (!tooLarge) return nodeError(node, `it could not be computed: ${reason}.`, undefined, error);
  return new OnnxTsError('OUT_OF_MEMORY', `its result is too large: ${reason}.`, {
    place: placeOf(node),
    hint: 'Check the shapes and counts that are fed to the model.',
    cause: error,
  });
}

export function outOfRange(node: GraphNode, value: number, size: number): never {
  throw new OnnxTsError('OUT_OF_RANGE', `the index ${value} is outside [${-size}, ${size - 1}].`, {
    place: placeOf(node),
    hint: 'Check the indices that are fed to the model.',
  });
}

/** The node on values that carry concrete types and data. */
export function specialise(node: GraphNode, inputs: readonly (HostValue | undefined)[]): GraphNode {
  const seen = new Map<Value, Value>();
  const values = node.inputs.map((input, at) => {
    const given = inputs[at];
    if (!input || given === undefined) return undefined;
    const before = seen.get(input);
    if (before) return before;
    const value = newValue(input.name, typeOfHostValue(given) ?? input.type);
    if (Tensor.is(given)) value.constant = given;
    seen.set(input, value);
    return value;
  });
  const copy: GraphNode = {
    ...node,
    inputs: values,
    outputs: node.outputs.map((output) => output && newValue(output.name)),
  };
  for (const output of copy.outputs) if (output) output.producer = copy;
  return copy;
}

class Evaluation extends BaseContext implements EvaluateContext<never> {
  readonly #inputs: readonly (HostValue | undefined)[];
  readonly #seed: () => number;

  constructor(node: GraphNode, inputs: readonly (HostValue | undefined)[], seed: () => number) {
    super(node, node.operator!);
    this.#inputs = inputs;
    this.#seed = seed;
  }

  tensor(index: number): Tensor {
    return this.optionalTensor(index) ?? this.fail(`input ${index} is missing.`);
  }

  optionalTensor(index: number): Tensor | undefined {
    const value = this.#inputs[index];
    if (value !== undefined && !Tensor.is(value))
      return this.fail(`input ${index} must be a tensor, not a ${value.kind}.`);
    return value;
  }

  hostValue(index: number): HostValue | undefined {
    return this.#inputs[index];
  }

  random(seed?: number): () => number {
    return randomFrom(seed ?? this.#seed());
  }
}

/** Uniform numbers in [0, 1) with 32 random bits: the mulberry32 generator of T. Ettinger (public domain). */
export function randomFrom(seed: number): () => number {
  const bits = new Uint32Array(new Float64Array([seed]).buffer);
  let state = (bits[0] ^ Math.imul(bits[1], 0x9e3779b1)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Type of a constant, for values made by passes. */
export function typeOfTensor(tensor: Tensor) {
  return tensorType(tensor.type, tensor.dims.map(Dim.constant));
}
