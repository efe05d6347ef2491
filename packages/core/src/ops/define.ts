// How an operator is described. One definition serves every provider: types by `infer`, and meaning by exactly one of
// `lower` (tensor expressions), `expand` (simpler ONNX nodes), `evaluate` (host code), or `control` (core drives bodies).

import type {
  CombineOp,
  Dim,
  DimLike,
  DType,
  Expr,
  IndexLike,
  Operand,
  RecurrenceStep,
  ReduceOp,
  Source,
  Stage,
} from '@onnx-ts/tensor-ir';
import type { AttributeValue, Graph, GraphNode, SparseTensor, Value } from '../graph/graph.ts';
import type { TensorType, ValueType } from '../graph/types.ts';
import type { Tensor } from '../session/tensor.ts';

/** Attribute types of a definition. A default of undefined means the attribute may be absent. */
export interface AttributeSpec<T> {
  readonly type: AttributeValue['type'];
  readonly required: boolean;
  readonly fallback: T | undefined;
}

type Optional<T> = AttributeSpec<T | undefined>;

export function int(): Optional<number>;
export function int(fallback: number): AttributeSpec<number>;
export function int(fallback?: number): Optional<number> {
  return { type: 'int', required: false, fallback };
}

export function float(): Optional<number>;
export function float(fallback: number): AttributeSpec<number>;
export function float(fallback?: number): Optional<number> {
  // Attributes are float32, defaults no less.
  return { type: 'float', required: false, fallback: fallback === undefined ? undefined : Math.fround(fallback) };
}

export function string(): Optional<string>;
export function string(fallback: string): AttributeSpec<string>;
export function string(fallback?: string): Optional<string> {
  return { type: 'string', required: false, fallback };
}

export function ints(): Optional<readonly number[]>;
export function ints(fallback: readonly number[]): AttributeSpec<readonly number[]>;
export function ints(fallback?: readonly number[]): Optional<readonly number[]> {
  return { type: 'ints', required: false, fallback };
}

export function floats(): Optional<readonly number[]> {
  return { type: 'floats', required: false, fallback: undefined };
}

export function strings(): Optional<readonly string[]> {
  return { type: 'strings', required: false, fallback: undefined };
}

export function tensor(): Optional<Tensor> {
  return { type: 'tensor', required: false, fallback: undefined };
}

export function sparseTensor(): Optional<SparseTensor> {
  return { type: 'sparse-tensor', required: false, fallback: undefined };
}

export function graph(): Optional<Graph> {
  return { type: 'graph', required: false, fallback: undefined };
}

export function valueType(): Optional<ValueType> {
  return { type: 'type', required: false, fallback: undefined };
}

/** The attribute must be present. */
export function required<T>(spec: AttributeSpec<T | undefined>): AttributeSpec<T> {
  return { type: spec.type, required: true, fallback: undefined };
}

// biome-ignore lint/complexity/noBannedTypes: an operator without attributes has an empty record
export type AttributeSpecs = { readonly [name: string]: AttributeSpec<unknown> } | {};

export type AttributesOf<S> = { readonly [K in keyof S]: S[K] extends AttributeSpec<infer T> ? T : never };

/** What every callback of a definition can ask about its node. All accessors throw an OnnxTsError that names the node. */
export interface NodeContext<S = AttributeSpecs> {
  readonly node: GraphNode;
  readonly opset: number;
  readonly attributes: AttributesOf<S>;
  readonly inputCount: number;
  readonly outputCount: number;
  /** False for an omitted optional input. */
  hasInput(index: number): boolean;
  /** True when the node's output is used by somebody. */
  hasOutput(index: number): boolean;
  type(index: number): ValueType;
  dtype(index: number): DType;
  /** When even the rank is unknown this abandons the callback: the node is then handled at run time. */
  shape(index: number): readonly Dim[];
  rank(index: number): number;
  /** The input's value when it is known before the model runs. */
  constant(index: number): Tensor | undefined;
  /** Elements of a small integer input, row-major, as far as symbols can say them. See `Value.contents`. */
  contents(index: number): readonly Dim[] | undefined;
  /** Axis from an attribute or constant: adds the rank to negative values, checks the range. */
  axis(value: number, rank: number): number;
  /**
   * The sizes must agree: checked now if both are known, otherwise when a run binds the symbols.
   * @param what of what they are, in the plural: "the inner sizes of A and B"
   */
  requireEqual(a: Dim, b: Dim, what: string): void;
  fail(what: string, hint?: string): never;
}

export interface InferContext<S = AttributeSpecs> extends NodeContext<S> {
  /** A size known only when the node has run, for instance of NonZero. */
  freshDim(hint: string): Dim;
  /** Sizes of the broadcast of several inputs (ONNX multidirectional broadcasting). */
  broadcast(...shapes: (readonly Dim[])[]): readonly Dim[];
}

export interface LowerContext<S = AttributeSpecs> extends NodeContext<S> {
  /** The tensor or stage behind an input. */
  input(index: number): Source;
  outputShape(index: number): readonly Dim[];
  outputDType(index: number): DType;
  /** Element of an input or stage. `index` has one entry per dimension. */
  at(
    source: number | Source,
    index: readonly IndexLike[],
    guard?: { readonly when: Expr; readonly otherwise: Operand },
  ): Expr;
  /** Element of an input under broadcasting, addressed by an index of the (longer) output shape. */
  broadcastAt(source: number | Source, index: readonly Expr[], outputShape: readonly Dim[]): Expr;
  /** The constant-foldable scalar input as an expression: a literal when known, otherwise a load. */
  scalar(index: number): Expr;

  map(dtype: DType, shape: readonly DimLike[], body: (index: readonly Expr[]) => Expr, name?: string): Stage;
  reduce(
    op: ReduceOp,
    dtype: DType,
    shape: readonly DimLike[],
    over: readonly DimLike[],
    body: (index: readonly Expr[], inner: readonly Expr[]) => Expr,
    options?: { readonly selectLast?: boolean; readonly name?: string },
  ): Stage;
  scan(
    op: 'sum' | 'prod',
    dtype: DType,
    shape: readonly DimLike[],
    along: number,
    body: (index: readonly Expr[]) => Expr,
    options?: { readonly exclusive?: boolean; readonly reverse?: boolean },
  ): Stage;
  segments(
    dtype: DType,
    shape: readonly DimLike[],
    along: number,
    parts: readonly { readonly length: DimLike; readonly body: (index: readonly Expr[]) => Expr }[],
  ): Stage;
  scatter(
    dtype: DType,
    shape: readonly DimLike[],
    initial: (index: readonly Expr[]) => Expr,
    points: readonly DimLike[],
    update: (index: readonly Expr[]) => { destination: readonly Expr[]; value: Expr; guard?: Expr },
    combine?: CombineOp,
  ): Stage;
  /** See `StageBuilder.recurrence`. */
  recurrence(
    dtype: DType,
    steps: DimLike,
    sizes: readonly DimLike[],
    initial: readonly ((index: readonly Expr[]) => Expr)[],
    next: (before: RecurrenceStep) => readonly ((index: readonly Expr[]) => Expr)[],
  ): Stage;
  /** Same elements, other shape. */
  view(source: Source, shape: readonly DimLike[]): Stage;
}

/** Builds the nodes that replace a composite. New nodes are of the newest opset unless told otherwise. */
export interface ExpandContext<S = AttributeSpecs> extends NodeContext<S> {
  /** The value behind an input; undefined when omitted. */
  value(index: number): Value | undefined;
  /** One-output node. `attributes` values: number → int, { float: x } → float, string, number[] → ints, … */
  op(
    name: string,
    inputs: readonly (Value | undefined)[],
    attributes?: Readonly<Record<string, PlainAttribute>>,
    options?: { readonly domain?: string; readonly opset?: number },
  ): Value;
  /** Node with several outputs. */
  ops(
    name: string,
    inputs: readonly (Value | undefined)[],
    outputs: number,
    attributes?: Readonly<Record<string, PlainAttribute>>,
    options?: { readonly domain?: string; readonly opset?: number },
  ): readonly Value[];
  /** Copies of a body's nodes, reading `inputs` in the place of the body's own. Returns the body's outputs. */
  inline(body: Graph, inputs: readonly Value[]): readonly Value[];
  constantValue(tensor: Tensor): Value;
  /** Constant of the given type; `dims` absent means a scalar. */
  literal(dtype: DType, values: number | readonly number[], dims?: readonly number[]): Value;
  /** Type of any value met while expanding, new ones included. */
  typeOf(value: Value): TensorType;
}

export type PlainAttribute = number | string | readonly number[] | { readonly float: number } | AttributeValue;

/** What flows on the host. */
export type HostValue = Tensor | HostSequence | HostOptional | HostMap | HostSparseTensor;
export interface HostSequence {
  readonly kind: 'sequence';
  readonly items: readonly HostValue[];
  /** Type of the items, for empty sequences. */
  readonly element?: ValueType;
}
export interface HostOptional {
  readonly kind: 'optional';
  readonly value: HostValue | undefined;
}
export interface HostMap {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string | number | bigint, HostValue | string | number | bigint>;
}
export interface HostSparseTensor extends SparseTensor {
  readonly kind: 'sparse-tensor';
}

export interface EvaluateContext<S = AttributeSpecs> extends NodeContext<S> {
  /** The tensor behind an input. */
  tensor(index: number): Tensor;
  optionalTensor(index: number): Tensor | undefined;
  hostValue(index: number): HostValue | undefined;
  /** Pseudo-random numbers in [0, 1): seeded by the node's seed attribute if it has one, else by the session. */
  random(seed?: number): () => number;
}

export interface OperatorDefinition<S = AttributeSpecs> {
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly name: string;
  /** First operator-set version with this meaning; it holds up to the next definition of the same name. */
  readonly since: number;
  readonly attributes: S;
  /** Types of all outputs. Entries are undefined for outputs the node does not have. */
  infer(context: InferContext<S>): readonly (ValueType | undefined)[];
  /** Symbolic elements of an output, for integer tensors that carry shapes. Asked for every output of the node. */
  contents?(context: NodeContext<S>, output: number): readonly Dim[] | undefined;
  /** One source per output. */
  lower?(context: LowerContext<S>): Source | readonly (Source | undefined)[];
  expand?(context: ExpandContext<S>): Value | readonly (Value | undefined)[];
  evaluate?(context: EvaluateContext<S>): HostValue | readonly (HostValue | undefined)[];
  /**
   * Host meaning beside `lower` or `expand`, used in their place when an input or output is not a tensor of numbers:
   * strings, complex numbers, sequences, optionals. Without it, `lower` must do for strings and complex numbers, too,
   * which holds if it only moves, selects or compares elements: the reference interpreter then runs it.
   */
  evaluateOnHost?(context: EvaluateContext<S>): HostValue | readonly (HostValue | undefined)[];
  readonly control?: 'if' | 'loop' | 'scan' | 'sequence-map';
  /** Has no meaning here: only providers with a kernel of their own can run it. */
  readonly providerOnly?: true;
  /** Takes the place of a definition of the same operator and version, which is otherwise refused as a duplicate. */
  readonly overrides?: boolean;
  /** May give different results for equal inputs, so it is never folded or merged. */
  readonly nondeterministic?: boolean;
  /**
   * Inputs whose values (not only types) the lowering needs before it can run: a Reshape's target, a Slice's starts. When
   * their contents are unknown, the node waits until the model runs and is compiled for the values found there.
   */
  readonly valueInputs?: readonly number[];
}

type Definition<S> = Omit<OperatorDefinition<S>, 'domain' | 'attributes'> & { domain?: string; attributes?: S };

/**
 * Registers nothing: it checks and completes a definition. Families export the result; `ops/groups` lists families.
 * @throws TypeError when the definition has not exactly one meaning
 */
export function defineOperator<const S extends AttributeSpecs>(definition: Definition<S>): OperatorDefinition {
  const meanings = [definition.lower, definition.expand, definition.evaluate, definition.control].filter(Boolean);
  if (meanings.length !== (definition.providerOnly ? 0 : 1)) {
    throw new TypeError(`${definition.name}: give one of lower, expand, evaluate, control`);
  }
  // biome-ignore lint/suspicious/noExplicitAny: attribute types are erased once a definition is stored
  return { domain: '', attributes: {}, ...definition } as OperatorDefinition<any>;
}

/** The same meaning under several versions or names: later definitions may override parts. */
export function derive<S>(base: OperatorDefinition<S>, changes: Partial<OperatorDefinition<S>>): OperatorDefinition<S> {
  return { ...base, ...changes };
}
