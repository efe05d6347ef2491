// What generators of cases write with: a graph, its feeds, and choices on how inputs are given and declared.

import { type HostValue, Tensor } from '@onnx-ts/core';
import type { MessageInput, ModelProto, TypeProto } from '@onnx-ts/onnx-proto';
import type { DType } from '@onnx-ts/tensor-ir';
import { exact, type Feeds, type Tolerance } from './case.ts';
import { type Attributes, type DeclaredDim, GraphBuilder, type NodeOptions } from './graph-builder.ts';
import { countOf, type Draws } from './random.ts';
import type { OperatorVersion } from './schemas.ts';
import { decodeTensor, drawTensor, encodeTensor, tameKinds, type ValueKind } from './values.ts';

/** In the order in which simpler cases are looked for. */
const simplestFirst: readonly DType[] = [
  ...(['float32', 'int64', 'int32', 'bool', 'float64', 'uint8', 'int8', 'float16', 'uint32', 'uint64'] as const),
  ...(['bfloat16', 'int16', 'uint16', 'float8e4m3fn', 'int4', 'uint4', 'float8e5m2', 'float8e4m3fnuz'] as const),
  ...([
    'float8e5m2fnuz',
    'float6e2m3',
    'float6e3m2',
    'float4e2m1',
    'float8e8m0',
    'int2',
    'uint2',
    'string',
    'complex64',
    'complex128',
  ] as const),
];

export type InputPlace = 'input' | 'initializer' | 'any';

export interface BuilderOptions {
  readonly draws: Draws;
  readonly opset: number;
  /** Of the operator that the case is about. */
  readonly version: OperatorVersion | undefined;
  /** True when the other side is not ours: cases that are known to end its process are left out. */
  readonly isPeer: boolean;
  /** Absent means an empty graph of its own. */
  readonly graph?: GraphBuilder;
}

export class CaseBuilder {
  readonly draws: Draws;
  readonly opset: number;
  readonly isPeer: boolean;
  readonly graph: GraphBuilder;
  readonly feeds: Record<string, HostValue> = {};
  tolerance: Tolerance = exact;
  /** False leaves no rank open: nothing then has to wait for the run. */
  leavesRanksOpen = true;
  /** False feeds no inputs of other sizes: those of outputs could become too many. */
  resizes = true;
  readonly #version: OperatorVersion | undefined;
  readonly #declared = new Map<string, readonly DeclaredDim[] | undefined>();
  #twin: MessageInput<ModelProto> | undefined;

  constructor({ draws, opset, version, isPeer, graph = new GraphBuilder() }: BuilderOptions) {
    this.graph = graph;
    this.draws = draws;
    this.opset = opset;
    this.isPeer = isPeer;
    this.#version = version;
  }

  /** First operator set of the operator's version in use. */
  get since(): number {
    return this.#version?.since ?? 1;
  }

  /** Element types that a constraint of the operator allows. */
  dtypes(constraint = 'T'): readonly DType[] {
    const allowed = this.#version?.types[constraint];
    if (!allowed) throw new TypeError(`the operator has no types "${constraint}"`);
    return allowed;
  }

  /** One of them, simple ones more often. */
  dtype(constraint: string | readonly DType[] = 'T', except: readonly DType[] = []): DType {
    const allowed = typeof constraint === 'string' ? this.dtypes(constraint) : constraint;
    return this.draws.pickEarly(simplestFirst.filter((dtype) => allowed.includes(dtype) && !except.includes(dtype)));
  }

  /** Floats may differ this much from the exact result; see `Tolerance`. */
  allow(tolerance: Partial<Tolerance>): void {
    this.tolerance = { ...this.tolerance, ...tolerance };
  }

  /** For sums of so many terms in any order. */
  allowSums(terms: number, ulps = 4): void {
    this.allow({ ulps, spread: 4 + 4 * Math.sqrt(terms) });
  }

  values(dtype: DType, dims: readonly number[], kinds: readonly ValueKind[] = tameKinds): Tensor {
    return drawTensor(this.draws, dtype, dims, kinds);
  }

  /** A random tensor as an operand. */
  random(
    dtype: DType,
    dims: readonly number[],
    kinds: readonly ValueKind[] = tameKinds,
    place: InputPlace = 'any',
  ): string {
    return this.operand(this.values(dtype, dims, kinds), place);
  }

  /** A small list of int64 as an operand. */
  int64s(values: readonly number[], place: InputPlace = 'any'): string {
    return this.operand(new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]), place);
  }

  scalar(dtype: DType, value: number, place: InputPlace = 'any'): string {
    return this.operand(encodeTensor(dtype, [], [value]), place);
  }

  /** The tensor as an input with a random declaration, an initializer or a constant; sometimes in disguise. */
  operand(tensor: Tensor, place: InputPlace = 'any'): string {
    const form = place === 'input' ? 0 : place === 'initializer' ? 6 : this.draws.below(8);
    if (form === 6) return this.graph.initializer(tensor);
    if (form === 7) return this.graph.constant(tensor);
    if (form === 5 && place === 'any') return this.#disguised(tensor);
    return this.input(tensor);
  }

  /** The tensor as an input of the model. */
  input(tensor: Tensor): string {
    const declared = this.#declaration(tensor.dims);
    const name = this.graph.input(tensor.type, declared);
    this.feeds[name] = tensor;
    this.#declared.set(name, declared);
    return name;
  }

  /** A sequence, optional or map as an input of the model, of the declared type. */
  hostInput(value: HostValue, type: MessageInput<TypeProto>): string {
    const name = this.graph.typedInput(type);
    this.feeds[name] = value;
    return name;
  }

  /** Feeds in which sizes of one name have changed alike; they suit the declarations, but perhaps not the operators. */
  otherFeeds(): Feeds | undefined {
    if (!this.resizes || !this.draws.coin()) return undefined;
    const sizes = new Map<string, number>();
    const generator = this.draws.generator();
    const resized = Object.entries(this.feeds).map(([name, tensor]): [string, HostValue] => {
      if (!Tensor.is(tensor)) return [name, tensor];
      const dims = tensor.dims.map((size, axis) => {
        const symbol = this.#declared.get(name)?.[axis];
        if (typeof symbol !== 'string') return size;
        if (!sizes.has(symbol)) sizes.set(symbol, generator.pick([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 0, size]));
        return sizes.get(symbol)!;
      });
      return [name, repeated(tensor, dims)];
    });
    if (sizes.size === 0 || resized.some(([, value]) => Tensor.is(value) && value.size > 20_000)) return undefined;
    return Object.fromEntries(resized);
  }

  #declaration(dims: readonly number[]): readonly DeclaredDim[] | undefined {
    const style = this.draws.below(12);
    if (style < 4) return dims;
    if (style === 11 && this.leavesRanksOpen) return undefined;
    return dims.map((size) => {
      const form = style < 8 ? 1 : this.draws.below(4);
      if (form === 0) return size;
      // Sizes of one name are equal, and equal sizes often have one name.
      if (form < 3) return this.draws.below(3) < 2 ? `n${size}` : this.graph.freshName('s');
      return undefined;
    });
  }

  /** Nodes that make the tensor out of another one, without changing an element. */
  #disguised(tensor: Tensor): string {
    const { type, dims } = tensor;
    const isCommon = type === 'float32' || type === 'int64' || type === 'int32';
    if (!isCommon || tensor.size === 0 || dims.length === 0) return this.input(tensor);
    switch (this.draws.below(4)) {
      case 0: {
        const flat = this.input(new Tensor(type, tensor.data, [tensor.size]));
        const shape = this.graph.initializer(new Tensor('int64', BigInt64Array.from(dims, BigInt), [dims.length]));
        return this.op('Reshape', [flat, shape]);
      }
      case 1: {
        const perm = this.draws.shuffled(dims.map((_, axis) => axis));
        const inverse = perm.map((_, axis) => perm.indexOf(axis));
        return this.op('Transpose', [this.input(transposed(tensor, inverse))], { perm });
      }
      case 2:
        return this.op('Identity', [this.input(tensor)]);
      default: {
        const once = this.op('Neg', [this.input(tensor)]);
        return this.op('Neg', [once]);
      }
    }
  }

  op(op: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}, domain?: string): string {
    return this.graph.op(op, inputs, attributes, domain);
  }

  ops(
    op: string,
    inputs: readonly (string | undefined)[],
    attributes: Attributes = {},
    options: NodeOptions = {},
  ): string[] {
    return this.graph.ops(op, inputs, attributes, options);
  }

  /** Another model of the same inputs, whose output must be the same: the case in words of a later operator set. */
  sameAs(opset: number, write: (graph: GraphBuilder) => string): void {
    const graph = this.graph.subgraph();
    graph.inputs.push(...this.graph.inputs);
    graph.initializers.push(...this.graph.initializers);
    graph.output(write(graph));
    this.#twin = { irVersion: 10, opsetImport: [{ version: opset }], graph: graph.message() };
  }

  get twin(): MessageInput<ModelProto> | undefined {
    return this.#twin;
  }

  /** Makes values outputs of the model. With a type, a further node that loses nothing may follow. */
  output(name: string, dtype?: DType): void {
    if (dtype === 'float32' && this.draws.oneIn(6)) {
      this.graph.output(this.op(this.draws.pick(['Neg', 'Abs', 'Identity']), [name]));
      if (this.draws.coin()) return;
    }
    this.graph.output(name, dtype);
  }

  outputs(names: readonly string[]): void {
    for (const name of names) if (name !== '') this.output(name);
  }

  message(domains: ReadonlySet<string>): MessageInput<ModelProto> {
    return {
      irVersion: 10,
      opsetImport: [
        { version: this.opset },
        ...[...domains]
          .filter(Boolean)
          .map((domain) => ({ domain, version: domain === 'ai.onnx.ml' ? this.since : 1 })),
      ],
      graph: this.graph.message(),
    };
  }
}

/** The elements over and over again, as a tensor of other sizes. */
function repeated(tensor: Tensor, dims: readonly number[]): Tensor {
  const values = decodeTensor(tensor);
  const width = tensor.size > 0 ? values.length / tensor.size : 1;
  const at = (index: number): number | bigint | string => values[index % values.length] ?? 0;
  return encodeTensor(
    tensor.type,
    dims,
    Array.from({ length: countOf(dims) * width }, (_, index) => at(index)),
  );
}

function transposed(tensor: Tensor, perm: readonly number[]): Tensor {
  const dims = perm.map((axis) => tensor.dims[axis]);
  const strides = tensor.dims.map((_, axis) => countOf(tensor.dims.slice(axis + 1)));
  const source = tensor.data as Float32Array;
  const target = source.slice();
  const index = dims.map(() => 0);
  for (let at = 0; at < target.length; at++) {
    target[at] = source[index.reduce((sum, i, axis) => sum + i * strides[perm[axis]], 0)];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
  return new Tensor(tensor.type, target, dims);
}
