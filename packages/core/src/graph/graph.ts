// Level 1: the ONNX graph in SSA form. Read it freely; change it only through `GraphPatch` (patch.ts).

import type { Dim } from '@onnx-ts/tensor-ir';
import type { OperatorDefinition } from '../ops/define.ts';
import type { Tensor } from '../session/tensor.ts';
import type { ValueType } from './types.ts';

/** One SSA value: a graph input, a constant, or an output of one node. Identity is the object. */
export interface Value {
  readonly name: string;
  type: ValueType | undefined;
  producer: GraphNode | undefined;
  /** Set for initializers and folded values. */
  constant?: Tensor;
  /**
   * Elements of a small integer tensor in row-major order, as far as symbols can say them: how shapes travel through
   * Shape, Gather, Concat and the like without ever being computed on a device.
   */
  contents?: readonly Dim[];
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

export interface GraphNode {
  readonly name: string;
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
  /** Filled in by operator resolution. */
  operator?: OperatorDefinition;
}

export interface Graph {
  readonly name: string;
  /** Operator set versions by domain; the default domain is ''. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly inputs: Value[];
  readonly outputs: Value[];
  /** In an order in which every node follows its producers. */
  nodes: GraphNode[];
  /** Values with a constant, initializers first. Initializers that are also graph inputs may be overridden by feeds. */
  readonly initializers: Value[];
  /** Values of the enclosing graphs that a body of If, Loop or Scan uses. */
  readonly captures: Value[];
}

export function newValue(name: string, type?: ValueType): Value {
  return { name, type, producer: undefined };
}
