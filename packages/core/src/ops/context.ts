// What the callbacks of operator definitions see: the node, its types, its constants, with errors that name it all.

import { Dim, shapeText } from '@onnx-ts/tensor-ir';
import { type ErrorPlace, OnnxTsError } from '../errors.ts';
import type { AttributeValue, GraphNode, SizeRequirement, Value } from '../graph/graph.ts';
import { typeText } from '../graph/types.ts';
import type { Tensor } from '../session/tensor.ts';
import type { AttributeSpecs, InferContext, NodeContext, OperatorDefinition } from './define.ts';

/** Thrown inside a callback when it needs a shape or value that only a run can tell. Never leaves core. */
export class NotKnownYet extends Error {
  override readonly name = 'NotKnownYet';
}

/** Integers from models are clamped to this magnitude as dims: INT64_MAX means "to the end", far beyond any size. */
const largestDim = 2 ** 48;

export function placeOf(node: GraphNode): ErrorPlace {
  const shapes = node.inputs.map((input) => (input ? typeText(input.type) : '–'));
  const { name, op, domain, opset } = node.origin ?? node;
  return { node: name, op, domain, opset, ...(node.origin && { part: node.op }), shapes };
}

export function nodeError(node: GraphNode, what: string, hint?: string, cause?: unknown): OnnxTsError {
  return new OnnxTsError('INVALID_MODEL', what, { place: placeOf(node), ...(hint && { hint }), cause });
}

/** An error that was thrown where the node was not known. */
export function placedError(node: GraphNode, error: OnnxTsError): OnnxTsError {
  if (error.place.op !== undefined) return error;
  return new OnnxTsError(error.code, error.message, { place: placeOf(node), cause: error });
}

function plainAttribute(attribute: AttributeValue): unknown {
  if (attribute.type === 'int') return Number(attribute.value);
  if (attribute.type === 'ints') return attribute.value.map(Number);
  return attribute.value;
}

/** Attributes that were read before: host operators ask in every run, and trees have thousands of entries. */
const readBefore = new WeakMap<
  GraphNode['attributes'],
  { readonly specs: AttributeSpecs; readonly result: Readonly<Record<string, unknown>> }
>();

/**
 * Attributes by the definition's spec, defaults filled in.
 * @throws OnnxTsError when one is missing or has another type
 */
export function readAttributes(node: GraphNode, specs: AttributeSpecs): Readonly<Record<string, unknown>> {
  const before = readBefore.get(node.attributes);
  if (before?.specs === specs) return before.result;
  const result = convertAttributes(node, specs);
  readBefore.set(node.attributes, { specs, result });
  return result;
}

function convertAttributes(node: GraphNode, specs: AttributeSpecs): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const attribute = node.attributes.get(name);
    if (!attribute) {
      if (spec.required) throw nodeError(node, `the required attribute "${name}" is missing.`);
      result[name] = spec.fallback;
      continue;
    }
    // An empty list has no element to tell its type by, and exporters write it as any list type.
    const isEmptyList = Array.isArray(attribute.value) && attribute.value.length === 0;
    if (attribute.type !== spec.type && !isEmptyList) {
      throw nodeError(node, `attribute "${name}" must be of type ${spec.type}, not ${attribute.type}.`);
    }
    result[name] = plainAttribute(attribute);
  }
  return result;
}

const integerTypes = new Set(['int64', 'int32', 'uint8', 'bool']);

/**
 * Elements of a small constant of whole numbers as dims; undefined for others or more than 256 elements. Exporters write
 * the largest integer for "to the end": what is too large for a dim is cut off.
 */
export function constantContents(tensor: Tensor): readonly Dim[] | undefined {
  const { type, data } = tensor;
  if (data.length > 256) return undefined;
  if (type === 'float32' || type === 'float64') {
    // Old exports compute sizes in floating point.
    if (
      !(data as Float32Array).every(
        (item) => Number.isInteger(item) && Math.abs(item) < largestDim && !Object.is(item, -0),
      )
    )
      return undefined;
  } else if (!integerTypes.has(type)) return undefined;
  return Array.from(data as ArrayLike<bigint | number>, (item) => {
    const value = Number(item);
    return Dim.constant(Math.max(-largestDim, Math.min(largestDim, value)));
  });
}

/** True for an element that `constantContents` has cut off: good as the end of a slice, but not as a value. */
export function isCutOff(dim: Dim): boolean {
  return Math.abs(dim.constant ?? 0) >= largestDim;
}

export function contentsOf(value: Value | undefined): readonly Dim[] | undefined {
  if (!value) return undefined;
  return value.contents ?? (value.constant ? constantContents(value.constant) : undefined);
}

/** The part that all contexts share. */
export class BaseContext implements NodeContext<never> {
  readonly node: GraphNode;
  readonly attributes: never;

  constructor(node: GraphNode, definition: OperatorDefinition) {
    this.node = node;
    this.attributes = readAttributes(node, definition.attributes) as never;
  }

  get opset(): number {
    return this.node.opset;
  }

  get inputCount(): number {
    return this.node.inputs.length;
  }

  get outputCount(): number {
    return this.node.outputs.length;
  }

  hasInput(index: number): boolean {
    return this.node.inputs[index] !== undefined;
  }

  hasOutput(index: number): boolean {
    return this.node.outputs[index] !== undefined;
  }

  #value(index: number): Value {
    const value = this.node.inputs[index];
    if (!value) throw nodeError(this.node, `input ${index} is missing.`);
    return value;
  }

  type(index: number) {
    const { type } = this.#value(index);
    if (!type) throw new NotKnownYet(`type of input ${index}`);
    return type;
  }

  #tensorType(index: number) {
    const type = this.type(index);
    if (type.kind !== 'tensor') throw nodeError(this.node, `input ${index} must be a tensor, not a ${typeText(type)}.`);
    return type;
  }

  dtype(index: number) {
    return this.#tensorType(index).dtype;
  }

  shape(index: number): readonly Dim[] {
    const { shape } = this.#tensorType(index);
    if (!shape) throw new NotKnownYet(`shape of input ${index}`);
    return shape;
  }

  rank(index: number): number {
    return this.shape(index).length;
  }

  constant(index: number): Tensor | undefined {
    return this.node.inputs[index]?.constant;
  }

  contents(index: number): readonly Dim[] | undefined {
    return contentsOf(this.node.inputs[index]);
  }

  axis(value: number, rank: number): number {
    const axis = value < 0 ? value + rank : value;
    if (!(axis >= 0 && axis < rank)) {
      const what = rank === 0 ? 'but a scalar has no axes' : `is outside [${-rank}, ${rank - 1}]`;
      throw nodeError(this.node, `axis ${value} ${rank === 0 ? 'is asked for, ' : ''}${what}.`);
    }
    return axis;
  }

  requireEqual(a: Dim, b: Dim, what: string): void {
    if (a.constant === undefined || b.constant === undefined || a.equals(b)) return;
    throw nodeError(this.node, `${what} must agree, but they are ${a} and ${b}.`);
  }

  fail(what: string, hint?: string): never {
    throw nodeError(this.node, what, hint);
  }
}

/** Gives out symbols that no model uses: `#` cannot occur in one that was parsed from a file. */
export class FreshDims {
  #count = 0;
  readonly #ofNodes = new WeakMap<GraphNode, Map<string, Dim>>();

  next(hint: string): Dim {
    return Dim.symbol(`${hint}#${this.#count++}`);
  }

  /**
   * The same symbol whenever it is asked for: a node may be inferred again, after a rewrite or for the next round of a
   * loop, and what follows it must not see other sizes each time.
   */
  of(node: GraphNode, key: string, hint: string): Dim {
    let dims = this.#ofNodes.get(node);
    if (!dims) this.#ofNodes.set(node, (dims = new Map()));
    let dim = dims.get(key);
    if (!dim) dims.set(key, (dim = this.next(hint)));
    return dim;
  }
}

export class TypeInference extends BaseContext implements InferContext<never> {
  /** What the types rest on, as far as symbols leave it open. */
  readonly requirements: SizeRequirement[] = [];
  readonly #fresh: FreshDims;
  #freshCount = 0;

  constructor(node: GraphNode, definition: OperatorDefinition, fresh: FreshDims) {
    super(node, definition);
    this.#fresh = fresh;
  }

  freshDim(hint: string): Dim {
    return this.#fresh.of(this.node, String(this.#freshCount++), hint);
  }

  override requireEqual(a: Dim, b: Dim, what: string): void {
    super.requireEqual(a, b, what);
    if (!a.equals(b)) this.requirements.push({ a, b, what });
  }

  broadcast(...shapes: (readonly Dim[])[]): readonly Dim[] {
    const rank = Math.max(0, ...shapes.map((shape) => shape.length));
    return Array.from({ length: rank }, (_, axis) => this.#broadcastAxis(shapes, axis - rank));
  }

  /** @param axis counted from the end */
  #broadcastAxis(shapes: readonly (readonly Dim[])[], axis: number): Dim {
    const sizes = shapes.flatMap((shape) => shape[shape.length + axis] ?? []);
    let result = Dim.constant(1);
    for (const size of sizes) {
      const [a, b] = [result.constant, size.constant];
      if (a !== undefined && b !== undefined && a !== b && a !== 1 && b !== 1) {
        this.fail(`shapes ${shapes.map(shapeText).join(' and ')} cannot be broadcast: ${a} against ${b}.`);
      }
      result = result.broadcast(size);
    }
    for (const size of sizes) {
      if (size.is(1) || size.equals(result)) continue;
      const what = `the sizes of axis ${axis} of the shapes ${shapes.map(shapeText).join(' and ')}`;
      this.requirements.push({ a: size, b: result, broadcasts: true, what });
    }
    return result;
  }
}
