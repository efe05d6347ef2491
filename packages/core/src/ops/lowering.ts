// Runs `lower` of a node's definition and appends its stages to a program under construction.

import {
  cast,
  constant,
  Dim,
  type DimLike,
  type DType,
  decodeFloat,
  dimension,
  type Expr,
  elementAt,
  type IndexLike,
  isSmallFloat,
  mul,
  newTensorRef,
  type Operand,
  productOf,
  type Source,
  StageBuilder,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import { compatibleTypes, tensorType, typeText } from '../graph/types.ts';
import { BaseContext, FreshDims, NotKnownYet, nodeError, placeOf, TypeInference } from './context.ts';
import type { LowerContext, OperatorDefinition } from './define.ts';

const literalTypes = new Set<DType>([
  'float16',
  'bfloat16',
  'float32',
  'float64',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
]);

/** Lowers nodes one after another; values met for the first time become inputs or constants of the program. */
export class ProgramLowering {
  readonly builder = new StageBuilder();
  readonly sources = new Map<Value, Source>();
  /** Tensors that come from outside, by value. */
  readonly inputs = new Map<Value, TensorRef>();
  readonly constants = new Map<Value, TensorRef>();

  sourceOf(value: Value, node: GraphNode): Source {
    const found = this.sources.get(value);
    if (found) return found;
    const type = value.type;
    if (type?.kind !== 'tensor' || !type.shape) throw new NotKnownYet(`shape of "${value.name}"`);
    const isConstant = value.constant !== undefined;
    const tensor = newTensorRef(value.name || node.name, type.dtype, type.shape, { isConstant });
    (isConstant ? this.constants : this.inputs).set(value, tensor);
    this.sources.set(value, tensor);
    return tensor;
  }

  /** @throws OnnxTsError naming the node; NotKnownYet when shapes or values are missing */
  lower(node: GraphNode): void {
    const definition = node.operator;
    if (!definition?.lower) throw nodeError(node, 'this operator has no tensor form.');
    this.builder.origin = node;
    this.builder.name = node.name;
    const context = new Lowering(node, definition, this);
    const result = definition.lower(context as never);
    const outputs = Array.isArray(result) ? (result as readonly (Source | undefined)[]) : [result as Source];
    for (const [at, value] of node.outputs.entries()) {
      if (!value) continue;
      const source = outputs[at];
      if (!source) throw nodeError(node, `output ${at} is used, but this operator does not compute it here.`);
      checkOutput(node, value, source);
      this.sources.set(value, source);
    }
  }
}

/** A lowering and the types must tell the same. @throws OnnxTsError INTERNAL */
function checkOutput(node: GraphNode, value: Value, source: Source): void {
  const own = tensorType(source.dtype, source.shape);
  if (!value.type || compatibleTypes(own, value.type)) return;
  const what = `its lowering gives ${typeText(own)}, its types ${typeText(value.type)}.`;
  throw new OnnxTsError('INTERNAL', what, { place: placeOf(node) });
}

/** Sizes that only a run can tell are not known for an output that nobody reads. */
class UnknownDims extends FreshDims {
  override of(): never {
    throw new NotKnownYet('a size of an unused output');
  }
}

class Lowering extends BaseContext implements LowerContext<never> {
  readonly #program: ProgramLowering;

  constructor(node: GraphNode, definition: OperatorDefinition, program: ProgramLowering) {
    super(node, definition);
    this.#program = program;
  }

  input(index: number): Source {
    const value = this.node.inputs[index];
    if (!value) return this.fail(`input ${index} is missing.`);
    return this.#program.sourceOf(value, this.node);
  }

  outputShape(index: number): readonly Dim[] {
    const type = this.node.outputs[index]?.type ?? this.#unusedOutputType(index);
    if (type?.kind !== 'tensor' || !type.shape) throw new NotKnownYet(`shape of output ${index}`);
    return type.shape;
  }

  outputDType(index: number): DType {
    const type = this.node.outputs[index]?.type ?? this.#unusedOutputType(index);
    if (type?.kind !== 'tensor') throw new NotKnownYet(`type of output ${index}`);
    return type.dtype;
  }

  /** Lowerings may describe an output that nobody reads, for instance the first of several. */
  #unusedOutputType(index: number) {
    const definition = this.node.operator;
    return definition?.infer(new TypeInference(this.node, definition, new UnknownDims()) as never)[index];
  }

  at(
    source: number | Source,
    index: readonly IndexLike[],
    guard?: { readonly when: Expr; readonly otherwise: Operand },
  ): Expr {
    if (typeof source === 'number' && !guard) {
      const literal = this.#literal(source);
      if (literal) return literal;
    }
    return elementAt(typeof source === 'number' ? this.input(source) : source, index, guard);
  }

  broadcastAt(source: number | Source, index: readonly Expr[], outputShape: readonly Dim[]): Expr {
    if (typeof source === 'number') {
      const literal = this.#literal(source);
      if (literal) return literal;
    }
    const from = typeof source === 'number' ? this.input(source) : source;
    return elementAt(from, broadcastIndex(from.shape, index, outputShape));
  }

  scalar(index: number): Expr {
    const literal = this.#literal(index);
    if (literal) return literal;
    const source = this.input(index);
    return elementAt(
      source,
      source.shape.map(() => 0),
    );
  }

  /** A one-element input whose value is known or is a size. */
  #literal(index: number): Expr | undefined {
    const value = this.node.inputs[index];
    if (value?.type?.kind !== 'tensor' || !value.type.shape) return undefined;
    const { dtype, shape } = value.type;
    if (!literalTypes.has(dtype) || !productOf(shape).is(1)) return undefined;
    if (value.constant) {
      const element = value.constant.data[0] as number | bigint;
      return constant(dtype, isSmallFloat(dtype) ? decodeFloat(dtype, element as number) : element);
    }
    const [size] = value.contents ?? [];
    return size ? cast(dtype, dimension(size)) : undefined;
  }

  map(dtype: DType, shape: readonly DimLike[], body: (index: readonly Expr[]) => Expr, name?: string) {
    return this.#program.builder.map(dtype, shape, body, name);
  }

  reduce(...rest: Parameters<StageBuilder['reduce']>) {
    return this.#program.builder.reduce(...rest);
  }

  scan(...rest: Parameters<StageBuilder['scan']>) {
    return this.#program.builder.scan(...rest);
  }

  segments(...rest: Parameters<StageBuilder['segments']>) {
    return this.#program.builder.segments(...rest);
  }

  scatter(...rest: Parameters<StageBuilder['scatter']>) {
    return this.#program.builder.scatter(...rest);
  }

  recurrence(...rest: Parameters<StageBuilder['recurrence']>) {
    return this.#program.builder.recurrence(...rest);
  }

  view(source: Source, shape: readonly DimLike[]) {
    return this.#program.builder.view(source, shape);
  }
}

export function broadcastShapes(shapes: readonly (readonly Dim[])[]): readonly Dim[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    shapes.reduce((size, shape) => {
      const at = axis - (rank - shape.length);
      return at < 0 ? size : size.broadcast(shape[at]);
    }, Dim.constant(1)),
  );
}

/** Index into a tensor of `shape` for an index into a shape that it was broadcast to. */
export function broadcastIndex(
  shape: readonly Dim[],
  index: readonly IndexLike[],
  outputShape: readonly Dim[],
): readonly Expr[] {
  const offset = outputShape.length - shape.length;
  return shape.map((size, axis) => {
    const position = toIndex(index[axis + offset]);
    if (size.is(1)) return dimension(0);
    return size.equals(outputShape[axis + offset]) ? position : stretchedIndex(size, position);
  });
}

/** Position in an axis that is stretched when its size is 1. */
export function stretchedIndex(size: Dim, position: Expr): Expr {
  if (size.is(1)) return dimension(0);
  if (size.constant !== undefined && size.constant > 1) return position;
  // Whether this size is 1 is known only at run time: the position is multiplied by 0 or 1.
  return mul(position, dimension(size.sub(1).max(0).min(1)));
}
