// Level 1: the ONNX graph in SSA form. Read it freely; change it only through `GraphPatch` (patch.ts).

import type { Dim } from '@onnx-ts/tensor-ir';
import type { OnnxTsError } from '../errors.ts';
import type { OperatorDefinition } from '../ops/define.ts';
import type { Tensor } from '../session/tensor.ts';
import type { ValueType } from './types.ts';

/** One SSA value: a graph input, a constant, or an output of one node. Identity is the object. */
export interface Value {
  /** For people: changed only when a branch moves into a graph that has the name already. */
  name: string;
  type: ValueType | undefined;
  producer: GraphNode | undefined;
  /** Set for initializers and folded values. */
  constant?: Tensor;
  /** Of a graph input that may be left out of the feeds: what it is then. */
  initial?: Tensor;
  /**
   * Elements of a small tensor of integers (or floats without fraction) in row-major order, as far as symbols can say
   * them: how shapes travel through Shape, Gather, Concat and the like without ever being computed on a device.
   */
  contents?: readonly Dim[];
}

/** Sizes that must agree. Those that depend on symbols are compared when a run has given the symbols values. */
export interface SizeRequirement {
  readonly a: Dim;
  readonly b: Dim;
  /** `a` may also be 1. */
  readonly broadcasts?: boolean;
  /** What the sizes are of, for the error: "the inner sizes of A and B". */
  readonly what: string;
}

/** Attribute values as JavaScript sees them. Integers are numbers when safe, bigints otherwise. */
export type AttributeValue =
  | { readonly type: 'int'; readonly value: number | bigint }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'type'; readonly value: ValueType }
  | { readonly type: 'sparse-tensor'; readonly value: SparseTensor }
  | { readonly type: 'ints'; readonly value: readonly (number | bigint)[] }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  | { readonly type: 'types'; readonly value: readonly ValueType[] };

export interface SparseTensor {
  readonly values: Tensor;
  readonly indices: Tensor;
  readonly dims: readonly number[];
}

/** What a composite was called. */
export type NodeOrigin = Pick<GraphNode, 'name' | 'domain' | 'op' | 'opset'>;

export interface GraphNode {
  /** See `Value.name`. */
  name: string;
  readonly domain: string;
  readonly op: string;
  /** Version of the domain's operator set that the model imports. */
  readonly opset: number;
  readonly overload?: string;
  /** Undefined entries are omitted optional inputs. */
  readonly inputs: (Value | undefined)[];
  /** Undefined entries are outputs that nobody asked for. */
  readonly outputs: (Value | undefined)[];
  readonly attributes: ReadonlyMap<string, AttributeValue>;
  /** The composite of the model that this node was expanded from, for errors. */
  origin?: NodeOrigin;
  /** Filled in by operator resolution. */
  operator?: OperatorDefinition;
  /** Filled in by type inference. */
  requirements?: readonly SizeRequirement[];
}

export interface Graph {
  readonly name: string;
  /** Operator set versions by domain; the default domain is ''. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly inputs: Value[];
  readonly outputs: Value[];
  /** In an order in which every node follows its producers. */
  nodes: GraphNode[];
  /** Values with a constant that came with the graph. */
  readonly initializers: Value[];
  /** Values of the enclosing graphs that a body of If, Loop or Scan uses, constants left out. */
  readonly captures: Value[];
  /** Why a branch of an If cannot run, found by type inference: thrown only if the branch is ever taken. */
  failure?: OnnxTsError;
}

export function newValue(name: string, type?: ValueType): Value {
  return { name, type, producer: undefined };
}
